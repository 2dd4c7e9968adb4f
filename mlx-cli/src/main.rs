// SPDX-License-Identifier: EUPL-1.2
//! The `mlx` program.
//!
//! `args.rs` is what was typed, `plan.rs` what it means, `cmd/` does it, `report.rs` says it.

#![forbid(unsafe_code)]

mod args;
mod cmd;
mod failure;
mod interrupt;
mod plan;
mod report;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::{Cli, Command};
use crate::failure::Failure;
use crate::interrupt::Interrupt;

/// In place of the system's allocator, for the native library as well: nodes of a graph are many small allocations that
/// another thread frees, and results of a prompt are large ones that come again and again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(message) = failure.message() {
                report::error(&message);
            }
            ExitCode::from(failure.code())
        }
    }
}

fn run() -> Result<(), Failure> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_a_command(&error),
    };
    mlx_core::check_cpu_variables().map_err(|error| Failure::Usage(error.to_string()))?;
    let interrupt = Interrupt::install()?;
    match cli.command {
        Command::Generate(args) => cmd::generate::run(plan::Generate::new(args)?, &interrupt),
        Command::Chat(args) => cmd::chat::run(plan::Chat::new(args)?, &interrupt),
        Command::Tokenize(args) => cmd::tokenize::run(plan::Tokenize::new(args)?),
        Command::Logits(args) => cmd::logits::run(plan::Logits::new(args)?, &interrupt),
        Command::Info(args) => cmd::info::run(plan::Info::new(args)?),
        Command::Train(args) => cmd::train::run(plan::train::Train::new(*args)?, &interrupt),
        Command::Fuse(args) => cmd::fuse::run(plan::train::Fuse::new(args)?),
        Command::Bench(args) => cmd::bench::run(plan::Bench::new(args)?),
        Command::Quantize(args) => cmd::quantize::run(plan::Quantize::new(args)?, &interrupt),
        Command::Perplexity(args) => cmd::perplexity::run(plan::Perplexity::new(args)?),
    }
}

/// Help, the version, or what is wrong with the arguments: on one line, as all errors are.
fn not_a_command(error: &clap::Error) -> Result<(), Failure> {
    let rendered = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => report::text(&rendered),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            report::note(rendered.trim_end());
            Err(Failure::Usage("no command: expected one of those above".into()))
        }
        _ => {
            let paragraphs = rendered.split("\n\n").map(str::trim);
            let told: Vec<&str> = paragraphs
                .filter(|p| !p.starts_with("Usage:") && !p.starts_with("For more information"))
                .collect();
            let message = told.join("\n");
            Err(Failure::Usage(message.trim_start_matches("error: ").to_owned()))
        }
    }
}
