// SPDX-License-Identifier: EUPL-1.2
//! Where the workspace is, what it holds, and how its commands are run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use mlx_build::{Backend, Request};
use serde_json::Value;

/// The workspace that this program was built from.
#[derive(Debug)]
pub struct Workspace {
    /// The folder with the root `Cargo.toml`.
    pub root: PathBuf,
    /// Cargo's target directory.
    pub target_dir: PathBuf,
    /// The answer of `cargo metadata --no-deps`.
    pub metadata: Value,
    /// The triple that rustc builds for when nobody names one.
    pub host: String,
}

impl Workspace {
    /// Asks Cargo and rustc.
    ///
    /// # Errors
    /// When either cannot be run or answers otherwise than expected.
    pub fn load() -> Result<Workspace> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let answer = output(
            Command::new(cargo())
                .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
                .arg(&manifest),
        )?;
        let metadata: Value =
            serde_json::from_str(&answer).context("cargo metadata did not answer in JSON")?;
        let path = |key: &str| {
            metadata
                .get(key)
                .and_then(Value::as_str)
                .map(PathBuf::from)
                .with_context(|| format!("cargo metadata: no {key}"))
        };
        let host =
            output(Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())).arg("-vV"))?
                .lines()
                .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
                .context("rustc -vV names no host")?;
        Ok(Workspace { root: path("workspace_root")?, target_dir: path("target_directory")?, host, metadata })
    }

    /// What `mlx-build` is asked for on this machine: the backend named, else `MLX_BACKEND`, else the platform's own.
    ///
    /// # Errors
    /// When the name is none, or nothing is pinned for this machine.
    pub fn request(&self, backend: Option<&str>) -> Result<Request> {
        let named = backend
            .map(str::to_owned)
            .or_else(|| std::env::var("MLX_BACKEND").ok().filter(|b| !b.is_empty()));
        let backend = match named {
            Some(name) => name.parse()?,
            None => Backend::of_platform(&self.host)?,
        };
        Ok(Request::new(&self.target_dir, &self.host, backend))
    }

    /// The folder for what xtask itself keeps.
    #[must_use]
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.target_dir.join("xtask").join(name)
    }

    /// Runs `cargo` with `arguments` in the root, its output going to the terminal.
    ///
    /// # Errors
    /// When it fails.
    pub fn cargo<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<()> {
        run(Command::new(cargo()).args(arguments).current_dir(&self.root))
    }
}

/// The cargo that runs us, so that a chosen toolchain stays chosen.
#[must_use]
pub fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Runs a command with its output on the terminal, after saying what it is.
///
/// # Errors
/// When it cannot be started or fails.
pub fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", shown(command));
    let status =
        command.status().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(status.success(), "`{}` failed ({status})", shown(command));
    Ok(())
}

/// Runs a command and gives its standard output.
///
/// # Errors
/// When it cannot be started or fails; the end of its standard error is in the message.
pub fn output(command: &mut Command) -> Result<String> {
    let output =
        command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.trim().lines().collect();
        let tail = lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join("\n");
        bail!("`{}` failed ({}):\n{tail}", shown(command), output.status);
    }
    String::from_utf8(output.stdout).context("the output is not UTF-8")
}

/// The command as somebody would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(command.get_program()).to_string_lossy().into_owned();
    std::iter::once(name)
        .chain(command.get_args().map(|argument| argument.to_string_lossy().into_owned()))
        .collect::<Vec<_>>()
        .join(" ")
}
