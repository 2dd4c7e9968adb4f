// SPDX-License-Identifier: EUPL-1.2
//! Every kernel of the crate at the shapes of real models, against what the machine can do at most.
//!
//! `cargo bench -p mlx-cpu --bench kernels -- [--quick] [--filter TEXT] [--json FILE]`, or `cargo xtask bench cpu`.
//! `docs/performance.md` has the method and says how to read the table.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench reports what it measured")]

mod arena;
mod attention;
mod bench;
mod ceilings;
mod machine;
mod products;
mod summary;
mod vector;

use std::path::PathBuf;
use std::time::Duration;

use bench::Bench;

/// What was asked for.
#[derive(Debug, Default)]
struct Options {
    quick: bool,
    filter: String,
    json: Option<PathBuf>,
    /// What `cargo bench` says and `cargo test --all-targets` does not.
    measure: bool,
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--filter" => options.filter = value()?,
                "--json" => options.json = Some(value()?.into()),
                "--bench" => options.measure = true,
                _ => return Err(format!("expected --quick, --filter TEXT or --json FILE, found {argument}")),
            }
        }
        Ok(options)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    if !options.measure {
        println!("kernels: measures under `cargo bench` alone");
        return Ok(());
    }
    mlx_cpu::check()?;
    let budget = Duration::from_millis(if options.quick { 50 } else { 300 });
    let mut bench = Bench::new(budget, options.filter);
    println!("{}", bench.machine().line());
    bench.measure_ceilings(3);
    println!("{}", bench.ceilings_table());

    vector::pool(&mut bench)?;
    products::dense(&mut bench)?;
    products::quantised(&mut bench)?;
    attention::all(&mut bench)?;
    vector::all(&mut bench)?;

    println!("{}", bench.rows_table());
    println!("The ceilings, over the whole run:\n{}", bench.ceilings_table());
    if let Some(path) = options.json {
        std::fs::write(&path, format!("{:#}\n", bench.json(options.quick)))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}
