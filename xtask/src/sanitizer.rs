// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask test --sanitizer address`: the tests of `mlx-core` with every access to memory watched.
//!
//! The Rust code is instrumented, the native library is not. Its allocations are watched all the same, since the
//! sanitizer's allocator takes the place of the system's: what it frees twice, frees and gives us to read, or leaks is
//! found; what it alone reads out of bounds is not.

use std::process::Command;

use anyhow::{Result, bail};

use crate::workspace::{Workspace, run};

/// Freed memory is kept back to find its use, but not so much that a bound on memory means nothing.
const WATCH: &str = "quarantine_size_mb=32:allocator_may_return_null=1";

/// Runs the unit tests and the tests of public behaviour; `options` go to `cargo test`.
///
/// # Errors
/// When one fails, or there is no nightly compiler.
pub fn test(workspace: &Workspace, name: &str, options: &[&str]) -> Result<()> {
    if name != "address" {
        bail!("expected --sanitizer address, found {name}");
    }
    let mut command = nightly(workspace, "asan")?;
    command.args(["test", "--package", "mlx-core", "--lib", "--test", "main", "--target", &workspace.host]);
    // Through the native library, which has no frame pointers, only the slow way finds who allocated what leaked.
    command.env("ASAN_OPTIONS", format!("{WATCH}:detect_leaks=1:fast_unwind_on_malloc=0"));
    let suppressions = workspace.root.join("mlx-core/fuzz/leaks.txt");
    command.env("LSAN_OPTIONS", format!("suppressions={}:print_suppressions=0", suppressions.display()));
    run(command.args(options).env("RUSTFLAGS", "-Zsanitizer=address"))
}

/// Cargo of the nightly compiler, which alone has sanitizers, building in a folder of its own against the library that is
/// there already.
///
/// # Errors
/// When there is no native library and it cannot be built.
pub(crate) fn nightly(workspace: &Workspace, folder: &str) -> Result<Command> {
    let prefix = mlx_build::find_or_build(&workspace.request(None)?, &mut |line| eprintln!("{line}"))?;
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]).current_dir(&workspace.root);
    command.env("CARGO_TARGET_DIR", workspace.target_dir.join(folder)).env("MLX_PREFIX", prefix.root());
    command.env("ASAN_OPTIONS", format!("{WATCH}:detect_leaks=0"));
    for variable in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "RUSTDOC"] {
        command.env_remove(variable);
    }
    Ok(command)
}
