// SPDX-License-Identifier: EUPL-1.2
//! Rates of a tokenizer: loading, encoding, decoding, streaming, rendering a conversation.
//!
//! `cargo bench -p mlx-tokenizer` measures the small fixtures; `cargo bench -p mlx-tokenizer -- DIR..` measures
//! checkpoint directories. Each figure is the best of several runs.
#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use mlx_tokenizer::{ChatOptions, Message, Result, Tokenizer};

const TEXT: &str = include_str!("../src/decode.rs");

/// The best time of `runs` runs, in seconds.
fn best(runs: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..runs {
        let start = Instant::now();
        work()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn measure(dir: &Path) -> Result<()> {
    let load = best(3, || {
        black_box(Tokenizer::from_dir(dir)?);
        Ok(())
    })?;
    let tokenizer = Tokenizer::from_dir(dir)?;
    println!("{}: {} ids", dir.display(), tokenizer.vocab_size());
    println!("  load             {:8.1} ms", load * 1e3);

    let short: String = TEXT.chars().take(2000).collect();
    for (name, text) in [("2 kB", short.as_str()), ("all of a file", TEXT)] {
        let seconds = best(5, || {
            black_box(tokenizer.encode(text, false)?);
            Ok(())
        })?;
        println!(
            "  encode           {:8.2} MB/s  ({name}, {} bytes)",
            text.len() as f64 / seconds / 1e6,
            text.len()
        );
    }

    let ids = tokenizer.encode(TEXT, false)?;
    let decode = best(5, || {
        black_box(tokenizer.decode(&ids, true)?);
        Ok(())
    })?;
    let rate = |seconds: f64, count: usize| count as f64 / seconds / 1e6;
    println!("  decode           {:8.2} million ids/s", rate(decode, ids.len()));
    // The same cost for each id, however long the stream: both rates are about the same.
    for times in [1, 16] {
        let stream = best(3, || {
            let mut stream = tokenizer.stream(true);
            for _ in 0..times {
                for &id in &ids {
                    black_box(stream.push(id)?);
                }
            }
            black_box(stream.finish()?);
            Ok(())
        })?;
        println!(
            "  stream           {:8.2} million ids/s  ({} ids)",
            rate(stream, ids.len() * times),
            ids.len() * times
        );
    }

    if tokenizer.chat_template().is_some() {
        let messages = [Message::system("Be brief."), Message::user("Hello!")];
        let options = ChatOptions::default();
        let render = best(5, || {
            black_box(tokenizer.render_chat(&messages, &options)?);
            Ok(())
        })?;
        println!("  render           {:8.1} µs", render * 1e6);
    }
    Ok(())
}

fn main() -> Result<()> {
    // Cargo itself passes `--bench`.
    let mut dirs: Vec<PathBuf> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).map(PathBuf::from).collect();
    if dirs.is_empty() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        dirs = ["qwen", "gemma-json", "gemma"].map(|name| golden.join(name)).into();
    }
    dirs.iter().try_for_each(|dir| measure(dir))
}
