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
            Self::Failed(error) => Some(one_line(&with_causes(error))),
            Self::Interrupted | Self::ReaderGone => None,
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// An error and its causes, without those that it repeats already.
fn with_causes(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |message, cause| {
        let cause = cause.to_string();
        match message.is_empty() {
            true => cause,
            false if message.contains(&cause) => message,
            false => format!("{message}: {cause}"),
        }
    })
}

/// The most characters of a message: a file can hold a value of any length, and the message repeats it.
const LONGEST: usize = 4000;

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
    let mut shown: String = line
        .chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if shown.len() < line.len() && line.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
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
    fn causes_that_a_message_repeats_are_told_once() {
        let source = std::io::Error::other("disk on fire");
        let repeats = mlx_core::Error::Io { path: "a/b".into(), source };
        assert_eq!(Failure::from(repeats).message().unwrap(), "a/b: disk on fire");
        let context = anyhow::Error::new(std::io::Error::other("disk on fire")).context("cannot write");
        assert_eq!(Failure::from(context).message().unwrap(), "cannot write: disk on fire");
    }

    #[test]
    fn messages_have_a_bound() {
        assert_eq!(one_line(&"é".repeat(LONGEST + 5)), "é".repeat(LONGEST) + "…");
        assert_eq!(one_line(&"é".repeat(LONGEST)), "é".repeat(LONGEST));
    }

    #[test]
    fn each_failure_has_its_exit_code() {
        let all =
            [Failure::ReaderGone, Failure::new(""), Failure::Usage(String::new()), Failure::Interrupted];
        assert_eq!(all.map(|f| f.code()), [0, 1, 2, 130]);
    }
}
