// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask bench`: the benches of the crates and `mlx bench`, built with optimisation.

use anyhow::Result;

use crate::workspace::Workspace;

/// What is measured when nobody says otherwise: both families at their smallest real size.
const DEFAULTS: [&[&str]; 2] = [
    &["--preset", "qwen3-0.6b", "-p", "128", "-n", "16"],
    &["--preset", "gemma3-1b", "-p", "128", "-n", "16"],
];

/// With arguments: `mlx bench` with them. Without: the crates' benches, and `mlx bench` on both presets.
///
/// # Errors
/// When one of the runs fails.
pub fn run(workspace: &Workspace, options: &[&str]) -> Result<()> {
    let program = |options: &[&str]| {
        let arguments = ["run", "--release", "--package", "mlx-cli", "--", "bench"];
        workspace.cargo(arguments.iter().chain(options))
    };
    if !options.is_empty() {
        return program(options);
    }
    workspace.cargo(["bench", "--workspace"])?;
    DEFAULTS.iter().try_for_each(|options| program(options))
}
