// SPDX-License-Identifier: EUPL-1.2
//! Scores answers: `cargo run --release -p mlx-models --example classify -- DIR PROMPT ANSWER ANSWER..`
//!
//! For instance with `mlx-models/tests/golden/tiny-chat-gemma3`, `"Is fire cold?"`, `yes` and `no`.
#![allow(clippy::print_stdout, reason = "an example shows what it computes")]

use std::error::Error;

use mlx_models::{Message, load};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, prompt, answers @ ..] = arguments.as_slice() else {
        return Err("usage: classify DIR PROMPT ANSWER ANSWER..".into());
    };
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();

    let model = load(dir)?;
    // With a chat template the answers are the assistant's; without one they continue the prompt.
    let result = match model.tokenizer().and_then(|tokenizer| tokenizer.chat_template()) {
        Some(_) => model.classify_chat(&[Message::user(prompt.as_str())], &answers)?,
        None => model.classify(prompt, &answers)?,
    };
    for (score, probability) in result.scores.iter().zip(result.probabilities()) {
        println!("{:6.2} %  {:9.4}  {}", 100.0 * probability, score.log_prob, score.answer);
    }
    Ok(())
}
