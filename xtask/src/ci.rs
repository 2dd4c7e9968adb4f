// SPDX-License-Identifier: EUPL-1.2
//! What has to pass before a change is merged: `test`, `lint`, `doc`, and `ci`, which runs them and all the rest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use mlx_build::Environment;

use crate::workspace::{Workspace, cargo, output, run};
use crate::{bindings, pins, sanitizer, tidy};

/// All tests and doc tests; `options` go to `cargo test`, where `-p` chooses a crate instead of the whole workspace.
/// `--sanitizer` in front of them runs the tests of `mlx-core` under one.
///
/// # Errors
/// When one fails.
pub fn test(workspace: &Workspace, options: &[&str]) -> Result<()> {
    if let ["--sanitizer", name, options @ ..] = options {
        return sanitizer::test(workspace, name, options);
    }
    let chosen = options.iter().any(|option| option.starts_with("-p") || option.starts_with("--package"));
    let all: &[&str] = if chosen { &["test"] } else { &["test", "--workspace"] };
    workspace.cargo(all.iter().chain(options))
}

/// Formatting and clippy, warnings as errors.
///
/// # Errors
/// When either finds something.
pub fn lint(workspace: &Workspace) -> Result<()> {
    workspace.cargo(["fmt", "--all", "--check"])?;
    workspace.cargo(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

/// The documentation, warnings as errors.
///
/// # Errors
/// When rustdoc finds something.
pub fn doc(workspace: &Workspace) -> Result<()> {
    let mut command = Command::new(cargo());
    command.args(["doc", "--workspace", "--no-deps"]).current_dir(&workspace.root);
    run(command.env("RUSTDOCFLAGS", "-D warnings"))
}

/// Everything.
///
/// # Errors
/// At the first step that fails.
pub fn run_all(workspace: &Workspace) -> Result<()> {
    step("lint", || lint(workspace))?;
    step("tidy", || tidy::run(workspace))?;
    step("bindings", || bindings::check(workspace))?;
    step("pins", || pins::check(workspace))?;
    let test = readme_command(workspace, "cargo xtask test")?;
    step("tests, with the README's command", || shell(&workspace.root, &test))?;
    for (name, variable, value) in KERNELS {
        step(name, || test_with(workspace, variable, value))?;
    }
    step("checkpoints in mlx-lm", || checkpoints_in_mlx_lm(workspace))?;
    step("kernels of the other processor", || foreign_kernels(workspace))?;
    step("documentation", || doc(workspace))?;
    step("packages downstream", || downstream(workspace))?;
    let first = readme_command(workspace, "cargo run --release")?;
    step("the README's first command", || shell(&workspace.root, &first))
}

/// The ways to compute on a processor that one machine can be made to try.
const KERNELS: [(&str, &str, &str); 3] = [
    ("tests on MLX's own kernels", "MLX_CPU_KERNELS", "0"),
    ("tests on the kernels for AVX2", "MLX_CPU_ISA", "avx2"),
    ("tests on portable kernels", "MLX_CPU_ISA", "portable"),
];

/// The tests of the crates that compute, with one variable set. Where the machine lacks what it names, it is ignored.
fn test_with(workspace: &Workspace, variable: &str, value: &str) -> Result<()> {
    let mut command = Command::new(cargo());
    command.args(["test", "--lib", "--tests"]).current_dir(&workspace.root);
    for package in ["mlx-core", "mlx-nn", "mlx-sampler", "mlx-models"] {
        command.args(["--package", package]);
    }
    run(command.env(variable, value))
}

/// The tests that compare with mlx-lm, with the mlx-lm that `requirements.txt` pins. Elsewhere they run with whatever
/// `MLX_PYTHON` has, or not at all.
fn checkpoints_in_mlx_lm(workspace: &Workspace) -> Result<()> {
    if workspace.host != "x86_64-unknown-linux-gnu" {
        eprintln!("left out: the packages are pinned for Linux on x86-64 alone");
        return Ok(());
    }
    let requirements = workspace.root.join("mlx-models/tests/mlx_lm/requirements.txt");
    let pinned = fs::read_to_string(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let folder = workspace.scratch("mlx-lm");
    let (python, complete) = (folder.join("bin/python"), folder.join("complete"));
    if !fs::read_to_string(&complete).is_ok_and(|installed| installed == pinned) {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let base = mlx_build::python(&Environment::from_process())?;
        run(Command::new(base.path).args(["-m", "venv"]).arg(&folder))?;
        let mut install = Command::new(&python);
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]);
        run(install.args(["--only-binary=:all:", "--requirement"]).arg(&requirements))?;
        fs::write(&complete, pinned)?;
    }
    let mut command = Command::new(cargo());
    command.args(["test", "--package", "mlx-models", "--test", "main", "--", "mlx_lm"]);
    run(command.current_dir(&workspace.root).env("MLX_PYTHON", python))
}

/// Compiles the kernels for the processor that this machine is not, tests included, where Rust's library for it is
/// installed (`rustup target add`). CONTRIBUTING.md says how to run them under an emulator.
fn foreign_kernels(workspace: &Workspace) -> Result<()> {
    let target = if workspace.host.starts_with("aarch64") {
        "x86_64-unknown-linux-gnu"
    } else {
        "aarch64-unknown-linux-gnu"
    };
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = output(Command::new(rustc).args(["--print", "sysroot"]).current_dir(&workspace.root))?;
    if !Path::new(sysroot.trim()).join("lib/rustlib").join(target).is_dir() {
        eprintln!("left out: Rust's library for {target} is not installed");
        return Ok(());
    }
    workspace.cargo([
        "clippy",
        "--package",
        "mlx-cpu",
        "--lib",
        "--tests",
        "--target",
        target,
        "--",
        "-D",
        "warnings",
    ])
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("== {name}");
    let start = Instant::now();
    work().with_context(|| format!("{name} failed"))?;
    eprintln!("== {name}: passed after {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Runs each package below tests/downstream from its own folder, as somebody else's program would be: without any of
/// our variables.
fn downstream(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root.join("tests/downstream");
    let mut packages: Vec<PathBuf> = fs::read_dir(&folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .collect::<std::io::Result<Vec<_>>>()?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.join("Cargo.toml").is_file())
        .collect();
    packages.sort();
    ensure!(!packages.is_empty(), "{} holds no package", folder.display());
    for package in packages {
        eprintln!("in {}:", package.strip_prefix(&workspace.root).unwrap_or(&package).display());
        run(clean(Command::new(cargo()).arg("run")).current_dir(package))?;
    }
    Ok(())
}

/// The first command in a code block of the README that begins like this, so that what CI runs is what readers type.
fn readme_command(workspace: &Workspace, beginning: &str) -> Result<String> {
    let readme = workspace.root.join("README.md");
    let text = fs::read_to_string(&readme).with_context(|| format!("cannot read {}", readme.display()))?;
    first_command(&text, beginning)
        .map(str::to_owned)
        .with_context(|| format!("the README has no command that begins with `{beginning}`"))
}

fn first_command<'a>(text: &'a str, beginning: &str) -> Option<&'a str> {
    let mut in_block = false;
    text.lines().find(|line| {
        if line.starts_with("```") {
            in_block = !in_block;
        }
        in_block && line.starts_with(beginning)
    })
}

fn shell(folder: &Path, line: &str) -> Result<()> {
    run(clean(Command::new("sh").args(["-c", line])).current_dir(folder))
}

/// Takes away the variables that steer us, and those that `cargo run` gave to this program.
fn clean(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let ours = name.starts_with("MLX_") && name != "MLX_PYTHON";
        if ours || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name.as_ref());
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_taken_from_code_blocks_alone() {
        let text = "cargo test in prose\n```sh\ncargo run one\ncargo run two\n```\ncargo xtask prose\n```sh\ncargo xtask test\n```\n";
        assert_eq!(first_command(text, "cargo run"), Some("cargo run one"));
        assert_eq!(first_command(text, "cargo xtask"), Some("cargo xtask test"));
        assert_eq!(first_command(text, "cargo test"), None);
    }
}
