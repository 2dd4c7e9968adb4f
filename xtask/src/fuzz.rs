// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask fuzz`: libFuzzer on the targets of `mlx-core/fuzz`, with the address sanitizer.

use std::fs;

use anyhow::{Context, Result, bail, ensure};

use crate::sanitizer::nightly;
use crate::workspace::{Workspace, run as run_command};

/// What rustc has to do for libFuzzer to see which branches an input takes.
const COVERAGE: &str = "-Zsanitizer=address --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Runs a target for some minutes; without one, says which there are. What it learns stays in Cargo's target directory,
/// next to the inputs that break something; those that are kept for the tests stand in `mlx-core/fuzz/corpus`.
///
/// # Errors
/// When an input breaks something, or the program cannot be built.
pub fn run(workspace: &Workspace, options: &[&str]) -> Result<()> {
    let folder = workspace.root.join("mlx-core/fuzz");
    let kept = folder.join("corpus");
    let Some((target, options)) = options.split_first() else {
        return list(&kept);
    };
    let minutes: f64 = match options {
        [] => 5.0,
        ["--minutes", minutes] => minutes.parse().context("--minutes wants a number")?,
        _ => bail!("expected TARGET [--minutes N], found {}", options.join(" ")),
    };
    let kept = kept.join(target);
    ensure!(kept.is_dir(), "there is no target {target}");
    let scratch = workspace.scratch("fuzz").join(target);
    let (learnt, broken) = (scratch.join("corpus"), scratch.join("broken"));
    for folder in [&learnt, &broken] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut command = nightly(workspace, "fuzz")?;
    command.current_dir(&folder).args(["run", "--release", "--target", &workspace.host, "--"]);
    command.arg(&learnt).arg(&kept).arg(format!("-artifact_prefix={}/", broken.display()));
    command.arg(format!("-max_total_time={:.0}", minutes * 60.0));
    command.args(["-timeout=20", "-rss_limit_mb=4096", "-max_len=512", "-print_final_stats=1"]);
    command.env("MLX_FUZZ_TARGET", target).env("RUSTFLAGS", COVERAGE);
    run_command(&mut command).with_context(|| format!("{target} broke; the input is in {}", broken.display()))
}

fn list(folder: &std::path::Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        println!("{}", entry?.file_name().display());
    }
    Ok(())
}
