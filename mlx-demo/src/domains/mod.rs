// SPDX-License-Identifier: EUPL-1.2
//! Sentences of four domains, to be told apart.
//!
//! Each sentence is a template with one word of its domain. Some pairs of the two are kept for validation and testing, so
//! that their sentences are new, although their words and their form are not.

mod tables;

use std::collections::BTreeSet;

use crate::draw::Draw;
use crate::text::{Slots, render};
use tables::DOMAINS;

/// A domain's name, the forms of its sentences, and the words that go into them.
#[derive(Debug)]
pub(crate) struct Domain {
    pub(crate) name: &'static str,
    pub(crate) templates: &'static [&'static str],
    pub(crate) words: &'static [&'static str],
}

/// Sentences with their domains.
#[derive(Debug, Default)]
pub(crate) struct Sentences {
    pub(crate) train: Vec<(String, &'static str)>,
    pub(crate) valid: Vec<(String, &'static str)>,
    pub(crate) test: Vec<(String, &'static str)>,
}

/// How often each pair of a template and a word is drawn.
const DRAWS: usize = 3;

/// What is asked of a sentence.
pub(crate) fn question(sentence: &str) -> String {
    format!("Which domain is this sentence: technical, creative, ethical or casual?\n\n{sentence}")
}

/// All sentences, in any order, each once.
pub(crate) fn sentences(draw: &mut Draw) -> Sentences {
    let mut out = Sentences::default();
    let mut seen = BTreeSet::new();
    for domain in DOMAINS {
        for (t, template) in domain.templates.iter().enumerate() {
            for (w, word) in domain.words.iter().enumerate() {
                let slots = Slots::from([("x", (*word).to_owned())]);
                let list = match (3 * t + w) % 10 {
                    0 => &mut out.test,
                    5 => &mut out.valid,
                    _ => &mut out.train,
                };
                for _ in 0..DRAWS {
                    let sentence = render(template, &slots, draw);
                    if seen.insert(sentence.clone()) {
                        list.push((sentence, domain.name));
                    }
                }
            }
        }
    }
    for list in [&mut out.train, &mut out.valid, &mut out.test] {
        draw.shuffle(list);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_about_equally_frequent_and_never_share_a_sentence() {
        let sentences = sentences(&mut Draw::new(1, "domains"));
        assert!(sentences.train.len() > 3000 && sentences.valid.len() > 300 && sentences.test.len() > 300);
        for list in [&sentences.train, &sentences.valid, &sentences.test] {
            for domain in DOMAINS {
                let share =
                    list.iter().filter(|(_, name)| *name == domain.name).count() as f64 / list.len() as f64;
                assert!((0.2..0.3).contains(&share), "{} {share}", domain.name);
            }
        }
        let all: Vec<&String> = [&sentences.train, &sentences.valid, &sentences.test]
            .into_iter()
            .flatten()
            .map(|(text, _)| text)
            .collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        for text in all {
            assert!(!text.contains(['{', '[', '|', '(']) && !text.contains("  "), "{text}");
        }
    }

    #[test]
    fn what_is_kept_for_testing_has_words_that_were_learnt() {
        let sentences = sentences(&mut Draw::new(1, "domains"));
        for domain in DOMAINS {
            for word in domain.words {
                let of = |list: &[(String, &str)]| {
                    list.iter().any(|(text, name)| {
                        *name == domain.name && text.to_lowercase().contains(&word.to_lowercase())
                    })
                };
                assert!(of(&sentences.train) && of(&sentences.test), "{word}");
            }
        }
    }
}
