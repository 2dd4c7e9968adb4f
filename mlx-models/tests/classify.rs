// SPDX-License-Identifier: EUPL-1.2
//! Scores of given answers against the sum of log-probabilities from one plain pass.

use mlx_models::{Message, Model, load};

use crate::common::golden;

/// `Σ log p(token | before)` over `ids[start..]`, from the logits of the whole text, in float64.
fn reference(model: &Model, ids: &[u32], start: usize) -> f64 {
    let logits = model.logits(ids).unwrap();
    let vocabulary = model.vocab_size();
    let logits = logits.to_vec::<f32>().unwrap();
    (start..ids.len())
        .map(|i| {
            let row = &logits[(i - 1) * vocabulary..i * vocabulary];
            let largest = row.iter().fold(f32::MIN, |a, &b| a.max(b));
            let sum: f64 = row.iter().map(|&x| f64::from(x - largest).exp()).sum();
            f64::from(row[ids[i] as usize] - largest) - sum.ln()
        })
        .sum()
}

fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[test]
fn a_score_is_the_sum_of_the_log_probabilities_of_its_tokens() {
    for case in ["tiny-chat-qwen3", "tiny-chat-gemma3"] {
        let model = load(golden(case)).unwrap();
        let prompt = "The capital of France is";
        let answers = [" Paris.", " Rome, the capital of Italy.", " Vienna", " blue"];
        let result = model.classify(prompt, &answers).unwrap();
        let prompt_ids = model.encode(prompt).unwrap();
        let whole: Vec<Vec<u32>> =
            answers.iter().map(|answer| model.encode(&format!("{prompt}{answer}")).unwrap()).collect();
        let start = whole.iter().map(|ids| common(&prompt_ids, ids)).min().unwrap();
        for ((score, ids), answer) in result.scores.iter().zip(&whole).zip(answers) {
            let expected = reference(&model, ids, start);
            assert_eq!((score.answer.as_str(), score.tokens), (answer, ids.len() - start), "{case}");
            let slack = 2e-2 * expected.abs().max(1.0);
            assert!((score.log_prob - expected).abs() < slack, "{case}: {score:?}, expected {expected}");
        }
        let sum: f64 = result.probabilities().iter().sum();
        assert!((sum - 1.0).abs() < 1e-12);
    }
}

#[test]
fn an_answer_that_was_learnt_is_the_best() {
    for case in ["tiny-chat-qwen3", "tiny-chat-gemma3"] {
        let model = load(golden(case)).unwrap();
        for (prompt, best) in [
            ("Is the film good? I loved every minute.", "positive"),
            ("Is the film good? I fell asleep.", "negative"),
        ] {
            let result = model.classify_chat(&[Message::user(prompt)], &["negative", "positive"]).unwrap();
            assert_eq!(result.best().unwrap().answer, best, "{case}: {result:?}");
        }
        let result = model.classify_chat(&[Message::user("Is fire cold?")], &["yes", "no"]).unwrap();
        assert_eq!(result.best().unwrap().answer, "no", "{case}");
        assert!(result.probabilities()[1] > 0.9);
    }
}

#[test]
fn tokens_across_the_boundary_are_scored_whole() {
    // "for" is one token, and "f" begins it: prompt and answer meet within a token.
    let model = load(golden("tiny-chat-qwen3")).unwrap();
    let (prompt, answers) = ("Rust is a language f", ["or fast programs", "ast"]);
    let prompt_ids = model.encode(prompt).unwrap();
    let whole: Vec<Vec<u32>> =
        answers.iter().map(|answer| model.encode(&format!("{prompt}{answer}")).unwrap()).collect();
    let start = whole.iter().map(|ids| common(&prompt_ids, ids)).min().unwrap();
    assert!(start < prompt_ids.len(), "the boundary lies between tokens, so this tests nothing");
    let result = model.classify(prompt, &answers).unwrap();
    for (score, ids) in result.scores.iter().zip(&whole) {
        let expected = reference(&model, ids, start);
        assert!((score.log_prob - expected).abs() < 2e-2 * expected.abs().max(1.0), "{score:?}, {expected}");
    }
}

#[test]
fn a_long_prompt_in_chunks_scores_as_in_one_pass() {
    let model = load(golden("tiny-chat-gemma3")).unwrap();
    let prompt = "The sky is blue. Grass is green. ".repeat(40);
    let result = model.classify(&prompt, &["A lemon is yellow.", "Rome"]).unwrap();
    let ids = model.encode(&format!("{prompt}A lemon is yellow.")).unwrap();
    assert!(ids.len() > 512, "{} tokens", ids.len());
    let expected = reference(&model, &ids, ids.len() - result.scores[0].tokens);
    assert!((result.scores[0].log_prob - expected).abs() < 3e-2 * expected.abs(), "{result:?}, {expected}");
}

#[test]
fn answers_that_cannot_be_scored_are_errors() {
    let model = load(golden("tiny-chat-qwen3")).unwrap();
    let error = |prompt: &str, answers: &[&str]| model.classify(prompt, answers).unwrap_err().to_string();
    assert!(error("The sky is", &[]).starts_with("answers"));
    assert!(error("The sky is", &[" blue", ""]).contains("\"\""));
    assert!(error("", &["yes"]).contains("empty"));
    let long = "word ".repeat(2000);
    assert!(error(&long, &["yes"]).contains("1024"));
}
