// SPDX-License-Identifier: EUPL-1.2
//! The ways in which a command ends without success, and their exit codes.

use std::fmt;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was typed cannot be meant.
    Usage(String),
    /// Something went wrong.
    Failed(anyhow::Error),
    /// The user stopped it, and what there was to say has been said.
    Interrupted,
    /// Whoever read the output has gone, and wants no more of it.
    ReaderGone,
}

impl Failure {
    /// A failure with a message of the program's own.
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self::Failed(anyhow::anyhow!("{message}"))
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 1,
            Self::Interrupted => 130,
            Self::ReaderGone => 0,
        }
    }

    /// What there is to tell, on one line.
    pub(crate) fn message(&self) -> Option<String> {
        match self {
            Self::Usage(message) => Some(one_line(message)),
            Self::Failed(error) => Some(one_line(&format!("{error:#}"))),
            Self::Interrupted | Self::ReaderGone => None,
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// `text` on one line: what stood on lines of its own follows a semicolon, unless punctuation is there already.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::new();
    for part in text.lines().map(str::trim).filter(|part| !part.is_empty()) {
        if !line.is_empty() {
            line += if line.ends_with([':', ';', ',']) { " " } else { "; " };
        }
        line += part;
    }
    // A file's name or a template's message may hold anything, the codes that steer a terminal included.
    line.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_line_without_control_characters() {
        assert_eq!(
            one_line("weights do not fit:\n  missing: a\n  surplus: b\n"),
            "weights do not fit: missing: a; surplus: b"
        );
        assert_eq!(one_line("one"), "one");
        assert_eq!(one_line("a\u{1b}[31mred"), "a\u{fffd}[31mred");
        assert_eq!(Failure::new("x\ny").message().unwrap(), "x; y");
    }

    #[test]
    fn each_failure_has_its_exit_code() {
        let all =
            [Failure::ReaderGone, Failure::new(""), Failure::Usage(String::new()), Failure::Interrupted];
        assert_eq!(all.map(|f| f.code()), [0, 1, 2, 130]);
    }
}
