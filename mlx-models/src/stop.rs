// SPDX-License-Identifier: EUPL-1.2
//! Stop strings, found across token boundaries.

use crate::error::{Error, Result};

/// Passes text on until a stop string has come, and holds back what may be the beginning of one.
#[derive(Clone, Debug)]
pub struct StopStrings {
    stops: Vec<String>,
    /// Text that is the beginning of a stop string, so nobody may see it yet.
    held: String,
    matched: bool,
}

impl StopStrings {
    /// A filter for these strings.
    ///
    /// # Errors
    /// [`Error::Argument`] when one of them is empty: it would match before the first letter.
    pub fn new(stops: &[String]) -> Result<Self> {
        if stops.iter().any(String::is_empty) {
            let message = "a stop string must not be empty".into();
            return Err(Error::Argument { argument: "stop", message });
        }
        Ok(Self { stops: stops.to_vec(), held: String::new(), matched: false })
    }

    /// Takes the next piece of text and returns what may be shown: everything in front of the first stop string,
    /// and nothing that could still become one. Of several strings the one that is complete first counts, and of
    /// those the longest, so that it does not matter in which pieces the text comes.
    pub fn push(&mut self, text: &str) -> String {
        if self.matched {
            return String::new();
        }
        self.held.push_str(text);
        let place = |stop: &String| self.held.find(stop.as_str()).map(|start| (start + stop.len(), start));
        if let Some((_, start)) = self.stops.iter().filter_map(place).min() {
            self.matched = true;
            self.held.truncate(start);
            return std::mem::take(&mut self.held);
        }
        let keep = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        std::mem::replace(&mut self.held, rest)
    }

    /// Returns what was held back, since no more text comes.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Whether a stop string has come.
    #[must_use]
    pub fn matched(&self) -> bool {
        self.matched
    }
}

/// How many bytes at the end of `text` are the beginning of `stop`, and not all of it.
fn overlap(text: &str, stop: &str) -> usize {
    let longest = text.len().min(stop.len().saturating_sub(1));
    // A prefix that ends inside a letter of `stop` cannot be one: `text` consists of whole letters.
    (1..=longest).rev().find(|&n| stop.get(..n).is_some_and(|start| text.ends_with(start))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut filter = StopStrings::new(&stops).unwrap();
        let mut shown: Vec<String> = pieces.iter().map(|piece| filter.push(piece)).collect();
        shown.push(filter.finish());
        (shown, filter.matched())
    }

    #[test]
    fn a_stop_string_across_pieces_is_found_and_not_shown() {
        let (shown, matched) = run(&["END"], &["say E", "N", "D and more"]);
        assert!(matched);
        assert_eq!(shown, ["say ", "", "", ""]);
    }

    #[test]
    fn what_only_looks_like_a_stop_string_is_shown_as_soon_as_that_is_known() {
        let (shown, matched) = run(&["END"], &["E", "N", "T", "EN"]);
        assert!(!matched);
        assert_eq!(shown, ["", "", "ENT", "", "EN"]);
    }

    #[test]
    fn the_string_that_is_complete_first_counts_in_any_pieces() {
        for pieces in [&["xabcde"][..], &["xabcd", "e"], &["xa", "bc", "de"], &["x", "a", "b", "c", "d", "e"]]
        {
            let (shown, matched) = run(&["cd", "abcde"], pieces);
            assert!(matched);
            assert_eq!(shown.concat(), "xab", "{pieces:?}");
            assert_eq!(run(&["de", "abcde"], pieces).0.concat(), "x", "{pieces:?}");
        }
    }

    #[test]
    fn repeated_letters_do_not_hide_a_match() {
        assert_eq!(
            run(&["aab"], &["a", "a", "a", "b"]),
            (vec!["".into(), "".into(), "a".into(), "".into(), "".into()], true)
        );
    }

    #[test]
    fn letters_of_several_bytes_stay_whole() {
        let (shown, matched) = run(&["é!"], &["caf", "é", "è", "é!"]);
        assert!(matched);
        assert_eq!(shown.concat(), "caféè");
    }

    #[test]
    fn every_split_of_a_text_gives_the_same_result() {
        let text = "one two\n\nthree ### four";
        for first in 0..text.len() {
            for second in first..text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                let (shown, matched) = run(&["###", "\n\n\n"], &pieces);
                assert!(matched);
                assert_eq!(shown.concat(), "one two\n\nthree ");
            }
        }
    }

    #[test]
    fn an_empty_stop_string_is_an_error() {
        assert!(StopStrings::new(&[String::new()]).unwrap_err().to_string().contains("stop"));
    }
}
