// SPDX-License-Identifier: EUPL-1.2
//! What is written to the data files: conversations and texts, in three parts.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::domains::{question, sentences};
use crate::draw::Draw;
use crate::facts::facts;
use crate::files::write_lines;
use crate::story::story;

/// Different stories.
const STORIES: usize = 7100;

/// One story in so many stands for itself, without anybody who asks for it.
const ALONE: usize = 6;

/// One story in so many is talked about when it has been told.
const TALKED_ABOUT: usize = 5;

/// One example in so many is kept for validation, and as many for testing.
const KEPT: usize = 25;

/// How often a fact is in the training data. Facts are fewer than stories and are to be known by heart.
const FACTS: usize = 3;

/// Examples in three parts, none of which is in another.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) train: Vec<Value>,
    pub(crate) valid: Vec<Value>,
    pub(crate) test: Vec<Value>,
}

impl Parts {
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        for (name, examples) in [("train", &self.train), ("valid", &self.valid), ("test", &self.test)] {
            write_lines(&folder.join(format!("{name}.jsonl")), examples)?;
        }
        Ok(())
    }
}

fn chat(turns: &[(&str, &str)]) -> Value {
    let messages: Vec<Value> = turns
        .iter()
        .flat_map(|(user, assistant)| {
            [json!({"role": "user", "content": user}), json!({"role": "assistant", "content": assistant})]
        })
        .collect();
    json!({ "messages": messages })
}

/// Stories and facts.
pub(crate) fn stories(seed: u64) -> Parts {
    let mut parts = Parts::default();
    let mut draw = Draw::new(seed, "stories");
    let mut told = BTreeSet::new();
    while told.len() < STORIES {
        let story = story(&mut draw);
        if !told.insert(story.text.clone()) {
            continue;
        }
        let example = if draw.once_in(ALONE) {
            json!({ "text": story.text })
        } else {
            let mut turns = vec![(story.request.as_str(), story.text.as_str())];
            if draw.once_in(TALKED_ABOUT) {
                let count = 1 + draw.below(2);
                turns.extend(story.questions.iter().take(count).map(|(q, a)| (q.as_str(), a.as_str())));
            }
            chat(&turns)
        };
        match told.len() % KEPT {
            0 => parts.valid.push(example),
            1 => parts.test.push(example),
            _ => parts.train.push(example),
        }
    }

    let mut draw = Draw::new(seed, "facts");
    for (question, answer) in facts(&mut draw) {
        let example = chat(&[(&question, &answer)]);
        match draw.below(KEPT) {
            0 => parts.valid.push(example),
            1 => parts.test.push(example),
            _ => parts.train.extend(vec![example; FACTS]),
        }
    }
    for list in [&mut parts.train, &mut parts.valid, &mut parts.test] {
        draw.shuffle(list);
    }
    parts
}

/// Sentences with the domain that each belongs to.
pub(crate) fn domains(seed: u64) -> Parts {
    let sentences = sentences(&mut Draw::new(seed, "domains"));
    let examples = |list: &[(String, &str)]| {
        list.iter().map(|(sentence, domain)| chat(&[(&question(sentence), domain)])).collect()
    };
    Parts {
        train: examples(&sentences.train),
        valid: examples(&sentences.valid),
        test: examples(&sentences.test),
    }
}

/// All that examples say, with the roles of those who say it: what tokenizers are trained on.
pub(crate) fn texts(examples: &[Value]) -> Vec<&str> {
    let mut texts = Vec::new();
    for example in examples {
        texts.extend(example.get("text").and_then(Value::as_str));
        for message in example.get("messages").and_then(Value::as_array).into_iter().flatten() {
            texts.extend(message.get("content").and_then(Value::as_str));
            let role = message.get("role").and_then(Value::as_str);
            texts.extend(role);
            // As Gemma calls it.
            texts.extend(role.filter(|role| *role == "assistant").map(|_| "model"));
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_share_nothing_and_have_both_forms() {
        let parts = stories(0);
        assert!((15_000..25_000).contains(&parts.train.len()), "{}", parts.train.len());
        let of = |list: &[Value]| list.iter().map(Value::to_string).collect::<BTreeSet<_>>();
        let (train, valid, test) = (of(&parts.train), of(&parts.valid), of(&parts.test));
        assert!(train.is_disjoint(&valid) && train.is_disjoint(&test) && valid.is_disjoint(&test));
        for list in [&parts.train, &parts.valid, &parts.test] {
            assert!(list.iter().any(|example| example.get("text").is_some()));
            assert!(
                list.iter().any(|example| example["messages"].as_array().is_some_and(|list| list.len() > 2))
            );
        }
    }

    #[test]
    fn the_seed_decides() {
        let draw = |seed| story(&mut Draw::new(seed, "stories"));
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }
}
