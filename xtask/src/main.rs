// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask COMMAND`: the repository's own commands.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::process::ExitCode;

use anyhow::{Result, bail};
use xtask::{bench, bindings, ci, doctor, fuzz, golden, native, pins, tidy, workspace::Workspace};

const USAGE: &str = "\
usage: cargo xtask COMMAND

  build-mlx [--backend cpu|metal|cuda] [--clean]   build the native library, or say where it is
  test [ARGUMENTS]                                 all tests and doc tests
  test --sanitizer address [ARGUMENTS]             the tests of mlx-core, which must not touch foreign memory or leak
  fuzz [TARGET] [--minutes N]                      inputs nobody thought of, against mlx-core; without a target, which there are
  lint                                             rustfmt and clippy, warnings as errors
  tidy                                             the repository's rules
  bindings [--check]                               write mlx-sys/src/bindings.rs, or compare with it
  pins --check                                     ask the package index about every pinned wheel
  golden                                           compute the reference values of the tests anew
  bench [ARGUMENTS]                                build with optimisation and run `mlx bench`
  bench cpu [--json FILE] [--quick] [--filter TEXT]
                                                   the kernels of mlx-cpu against what the machine can do
  bench ops [--json FILE] [--quick] [--filter TEXT]
                                                   what mlx-core adds to an op, against the same loop in C
  doc                                              the documentation, warnings as errors
  ci                                               everything that has to pass before a change is merged
  doctor                                           what this machine has, what it lacks, and how to get it
";

fn main() -> ExitCode {
    mlx_build::run_step_if_asked();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some((command, rest)) = words.split_first() else {
        print!("{USAGE}");
        return Ok(());
    };
    let workspace = Workspace::load()?;
    match (*command, rest) {
        ("build-mlx", options) => native::build(&workspace, options),
        ("test", options) => ci::test(&workspace, options),
        ("fuzz", options) => fuzz::run(&workspace, options),
        ("lint", []) => ci::lint(&workspace),
        ("tidy", []) => tidy::run(&workspace),
        ("bindings", []) => bindings::write(&workspace),
        ("bindings", ["--check"]) => bindings::check(&workspace),
        ("pins", ["--check"]) => pins::check(&workspace),
        ("golden", []) => golden::run_all(&workspace),
        ("bench", options) => bench::run(&workspace, options),
        ("doc", []) => ci::doc(&workspace),
        ("ci", []) => ci::run_all(&workspace),
        ("doctor", []) => doctor::run(&workspace),
        ("help" | "-h" | "--help", _) => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("cannot understand `{}`\n\n{USAGE}", arguments.join(" ")),
    }
}
