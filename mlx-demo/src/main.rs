// SPDX-License-Identifier: EUPL-1.2
//! `cargo run -p mlx-demo -- write --output DIR`: what the small models are trained from.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes text, tokenizers and configs.
    Write {
        /// The folder to write to; it is made where it is missing, and files in it are replaced.
        #[arg(long)]
        output: PathBuf,
        /// What is drawn.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Write { output, seed } => mlx_demo::write(&output, seed),
    }
}
