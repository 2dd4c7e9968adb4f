// SPDX-License-Identifier: EUPL-1.2
//! Streams an answer: `cargo run --release -p mlx-models --example generate -- DIR PROMPT..`
//!
//! `DIR` is a checkpoint; `mlx-models/tests/golden/tiny-chat-qwen3` is one that knows a few answers by heart.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what it computes")]

use std::error::Error;
use std::io::Write;

use mlx_models::{GenerateOptions, load};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("usage: generate DIR PROMPT..")?;
    let prompt = arguments.collect::<Vec<_>>().join(" ");

    let model = load(dir)?;
    let options = GenerateOptions { max_tokens: 100, ..Default::default() };
    let mut stream = model.stream(&model.prompt_ids(&prompt, &options)?, &options)?;
    for token in &mut stream {
        print!("{}", token?.text.unwrap_or_default());
        std::io::stdout().flush()?;
    }
    println!();

    let figures = stream.finish()?;
    eprintln!(
        "{} tokens after {:.3} s, then {:.1} a second",
        figures.generated_tokens,
        figures.time_to_first_token_s,
        figures.decode_tps.unwrap_or_default()
    );
    Ok(())
}
