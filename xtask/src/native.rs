// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask build-mlx`: what `mlx-sys/build.rs` does by itself, by hand and with progress.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

/// Builds the native library, or says where it is.
///
/// # Errors
/// What `mlx-build` gives, and an option that is none.
pub fn build(workspace: &Workspace, options: &[&str]) -> Result<()> {
    let mut backend = None;
    let mut clean = false;
    let mut rest = options;
    loop {
        rest = match rest {
            [] => break,
            ["--clean", rest @ ..] => {
                clean = true;
                rest
            }
            ["--backend", name, rest @ ..] => {
                backend = Some(*name);
                rest
            }
            _ => bail!(
                "cannot understand `{}`: build-mlx takes --backend cpu|metal|cuda and --clean",
                rest.join(" ")
            ),
        };
    }
    let mut request = workspace.request(backend)?;
    request.clean = clean;
    let start = Instant::now();
    let prefix = mlx_build::find_or_build(&request, &mut |line| eprintln!("{line}"))?;
    eprintln!("ready after {:.1} s", start.elapsed().as_secs_f64());
    println!("{}", prefix.root().display());
    Ok(())
}
