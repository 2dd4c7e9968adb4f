// SPDX-License-Identifier: EUPL-1.2
//! What the crate adds to the library's own cost of an op: graphs of small ops are built and never evaluated, in Rust
//! and by the same loop in C.
//!
//! `cargo xtask bench ops [--quick] [--filter TEXT] [--json FILE]`, which compiles `ops.c`. Three processes take turns, one
//! round each: C, Rust, and Rust with `MLX_CPU_KERNELS=0` ("plain"), in which an op makes the same graph as in C. Rust/C
//! compares these two; "routing" is what it costs more to make a node of our own instead, or to ask whether to. A figure
//! is the median of its rounds; a ratio or difference is the median of the rounds' own.
//!
//! Fails when a plain op allocates on the heap, or when fewer than 600,000 small ops are made in a second.

#![expect(clippy::print_stdout, reason = "a bench reports what it measured")]

mod ops;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ops::{BATCH, OPS};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Ops a second that the mean over all ops must reach.
const AT_LEAST: f64 = 600_000.0;

/// What was asked for.
#[derive(Debug, Default)]
struct Options {
    program: Option<PathBuf>,
    quick: bool,
    filter: String,
    json: Option<PathBuf>,
    measure: bool,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self::default();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
            match argument.as_str() {
                "--program" => options.program = Some(value()?.into()),
                "--quick" => options.quick = true,
                "--filter" => options.filter = value()?,
                "--json" => options.json = Some(value()?.into()),
                "--bench" => options.measure = true,
                _ => {
                    let known = "--program FILE, --quick, --filter TEXT or --json FILE";
                    return Err(format!("expected {known}, found {argument}").into());
                }
            }
        }
        Ok(options)
    }
}

/// A process that runs the loops, and waits while the others run theirs.
struct Contestant {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Contestant {
    fn start(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let to = child.stdin.take().ok_or("no pipe to the process")?;
        let from = BufReader::new(child.stdout.take().ok_or("no pipe from the process")?);
        Ok(Self { child, to, from })
    }

    /// Nanoseconds and allocations for each op.
    fn round(&mut self, op: &str, batches: u64) -> Result<(f64, f64)> {
        writeln!(self.to, "{op} {batches}")?;
        self.to.flush()?;
        let mut line = String::new();
        self.from.read_line(&mut line)?;
        let (time, count) = line.trim().split_once(' ').ok_or("the process gave no answer")?;
        let ops = (batches * BATCH as u64) as f64;
        Ok((time.parse::<f64>()? / ops, count.parse::<f64>()? / ops))
    }
}

impl Drop for Contestant {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What was measured of an op, in nanoseconds.
struct Row {
    name: &'static str,
    c: f64,
    rust: f64,
    plain: f64,
    ratio: f64,
    routing: f64,
    /// On the heap, by this crate, for one op: plain, and with kernels of ours.
    allocations: f64,
    routed_allocations: f64,
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() -> Result<()> {
    if std::env::args().nth(1).is_some_and(|argument| argument == "--serve") {
        return ops::serve();
    }
    let options = Options::parse(std::env::args().skip(1))?;
    let Some(program) = options.program.as_ref().filter(|_| options.measure) else {
        println!("ops: measures under `cargo xtask bench ops` alone");
        return Ok(());
    };
    let rust = std::env::current_exe()?;
    let mut c = Contestant::start(&mut Command::new(program))?;
    let mut routed = Contestant::start(Command::new(&rust).arg("--serve"))?;
    let mut plain = Contestant::start(Command::new(&rust).arg("--serve").env("MLX_CPU_KERNELS", "0"))?;
    // Short rounds, so that what else the machine does falls into few of them.
    let (rounds, batches) = if options.quick { (25, 20) } else { (151, 40) };

    println!("nanoseconds an op; {rounds} rounds of {} ops", batches * BATCH as u64);
    println!(
        "{:<14}{:>8}{:>8}{:>8}{:>9}{:>9}{:>9}",
        "op", "C", "Rust", "plain", "Rust/C", "routing", "allocs"
    );
    let mut rows = Vec::new();
    for (name, _) in OPS.into_iter().filter(|op| op.0.contains(&options.filter)) {
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        let (mut ratios, mut routing) = (Vec::new(), Vec::new());
        let (mut allocations, mut routed_allocations) = (0.0f64, 0.0f64);
        for contestant in [&mut c, &mut routed, &mut plain] {
            contestant.round(name, 2 * batches)?; // to be warm
        }
        for _ in 0..rounds {
            let of_c = c.round(name, batches)?.0;
            let (of_rust, count) = routed.round(name, batches)?;
            let (of_plain, plain_count) = plain.round(name, batches)?;
            for (times, time) in times.iter_mut().zip([of_c, of_rust, of_plain]) {
                times.push(time);
            }
            ratios.push(of_plain / of_c);
            routing.push(of_rust - of_plain);
            routed_allocations = routed_allocations.max(count);
            allocations = allocations.max(plain_count);
        }
        let [c, rust, plain] = times.map(|mut times| median(&mut times));
        let (ratio, routing) = (median(&mut ratios), median(&mut routing));
        let row = Row { name, c, rust, plain, ratio, routing, allocations, routed_allocations };
        println!(
            "{name:<14}{c:>8.0}{rust:>8.0}{plain:>8.0}{ratio:>9.3}{routing:>9.0}{allocations:>9.2}{routed_allocations:>9.2}"
        );
        rows.push(row);
    }
    if let Some(path) = &options.json {
        std::fs::write(path, json(&rows))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    verdict(&rows)
}

fn json(rows: &[Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            serde_json::json!({
                "op": row.name, "c_ns": row.c, "rust_ns": row.rust, "plain_ns": row.plain,
                "rust_to_c": row.ratio, "routing_ns": row.routing, "allocations": row.allocations,
                "routed_allocations": row.routed_allocations,
            })
        })
        .collect();
    format!("{:#}\n", serde_json::json!({ "ops": rows }))
}

/// What must hold on any machine; how near to C the ops come is for the reader.
fn verdict(rows: &[Row]) -> Result<()> {
    let mean = rows.iter().map(|row| row.rust).sum::<f64>() / rows.len().max(1) as f64;
    let ratio = rows.iter().map(|row| row.ratio.ln()).sum::<f64>() / rows.len().max(1) as f64;
    println!("{:.0} ops a second; Rust/C {:.3} in the geometric mean", 1e9 / mean, ratio.exp());
    for row in rows {
        if row.allocations > 0.01 {
            return Err(format!("{} allocates {:.2} times", row.name, row.allocations).into());
        }
    }
    if 1e9 / mean < AT_LEAST {
        return Err(format!("fewer than {AT_LEAST} ops a second").into());
    }
    Ok(())
}
