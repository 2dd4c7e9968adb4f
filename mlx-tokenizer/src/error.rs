// SPDX-License-Identifier: EUPL-1.2
//! What can go wrong, each with the file, key or argument that is to blame.

use std::path::{Path, PathBuf};

/// The result of anything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure to load a tokenizer, or to use one.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory holds neither `tokenizer.json` nor `tokenizer.model`.
    #[error("{}: holds neither tokenizer.json nor tokenizer.model", .dir.display())]
    Missing {
        /// The directory that was searched.
        dir: PathBuf,
    },
    /// A file could not be read.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file is not what its name says.
    #[error("{}: {message}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },
    /// One key of a file has a value that cannot be used.
    #[error("{}: {key}: {message}", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The key, with dots between levels.
        key: String,
        /// What was expected and what was found.
        message: String,
    },
    /// A chat template does not compile, fails, or refuses the conversation.
    #[error("{}{}: {message}", .path.display(), at_line(*.line))]
    Template {
        /// The file that the template stands in.
        path: PathBuf,
        /// The line within the template, counted from 1; 0 when it is not known.
        line: usize,
        /// What the template engine, or the template itself, said.
        message: String,
    },
    /// A conversation was to be rendered, and the checkpoint brings no chat template.
    #[error("{}: has no chat template (chat_template.jinja, or `chat_template` in tokenizer_config.json)", .dir.display())]
    NoChatTemplate {
        /// The directory that was searched.
        dir: PathBuf,
    },
    /// An argument cannot be used.
    #[error("{argument}: {message}")]
    Argument {
        /// The argument's name.
        argument: &'static str,
        /// What was expected and what was found.
        message: String,
    },
    /// The text cannot be turned into ids.
    #[error("cannot encode the text: {message}")]
    Encode {
        /// What the tokenizer said.
        message: String,
    },
    /// The ids cannot be turned into text.
    #[error("cannot decode the ids: {message}")]
    Decode {
        /// What the tokenizer said.
        message: String,
    },
}

impl Error {
    /// A file that is not what its name says.
    pub(crate) fn file(path: &Path, message: impl Into<String>) -> Error {
        Error::File { path: path.to_owned(), message: message.into() }
    }

    /// A key whose value cannot be used.
    pub(crate) fn key(path: &Path, key: impl Into<String>, message: impl Into<String>) -> Error {
        Error::Key { path: path.to_owned(), key: key.into(), message: message.into() }
    }
}

/// ", line 3", or nothing where the line is not known.
fn at_line(line: usize) -> String {
    if line == 0 { String::new() } else { format!(", line {line}") }
}

/// Runs code of another crate that indexes by what a file says, and turns its panic into a message.
///
/// The checks before each use leave no panic that we know of; a checkpoint comes from anywhere, so a caller is
/// protected from those we do not know of as well.
pub(crate) fn guard<T>(f: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string()),
        Err(payload) => {
            let said = payload
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| payload.downcast_ref::<&str>().copied());
            Err(format!("the tokenizer failed inside: {}", said.unwrap_or("no message")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guard_turns_a_panic_into_its_message() {
        let message = guard::<()>(|| panic!("index 3 of 2")).unwrap_err();
        assert_eq!(message, "the tokenizer failed inside: index 3 of 2");
        assert_eq!(guard::<()>(|| Err("no".into())).unwrap_err(), "no");
        assert_eq!(guard(|| Ok(7)).unwrap(), 7);
    }

    #[test]
    fn messages_name_file_and_key() {
        let error =
            Error::key(Path::new("m/config.json"), "eos_token_id", "expected an integer, found a string");
        assert_eq!(error.to_string(), "m/config.json: eos_token_id: expected an integer, found a string");
    }
}
