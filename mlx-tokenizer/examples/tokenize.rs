// SPDX-License-Identifier: EUPL-1.2
//! What a model sees of a text: `cargo run -p mlx-tokenizer --example tokenize -- [DIR [TEXT]]`.
//!
//! Without a directory, a small tokenizer of this crate's tests is used.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::path::PathBuf;

use mlx_tokenizer::{ChatOptions, Message, Result, Tokenizer};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/qwen");
    let dir = args.next().map_or_else(|| PathBuf::from(fixture), PathBuf::from);
    let text = args.next().unwrap_or_else(|| "The ship's naïve cat: 🐈".into());

    let tokenizer = Tokenizer::from_dir(&dir)?;
    println!("{} ids, BOS {:?}, EOS {:?}", tokenizer.vocab_size(), tokenizer.bos(), tokenizer.eos());

    // The text that each id makes certain: the parts of a character come together.
    let mut stream = tokenizer.stream(false);
    for id in tokenizer.encode(&text, true)? {
        println!("{id:>7}  {:<16} {:?}", tokenizer.token(id).unwrap_or_default(), stream.push(id)?);
    }
    println!("{:>7}  {:<16} {:?}", "", "(end)", stream.finish()?);

    if tokenizer.chat_template().is_some() {
        println!("\n{}", tokenizer.render_chat(&[Message::user(text)], &ChatOptions::default())?);
    }
    Ok(())
}
