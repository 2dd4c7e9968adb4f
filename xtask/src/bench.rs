// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask bench`: the benches of the crates and `mlx bench`, built with optimisation.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::{Workspace, run as run_command};

/// What is measured when nobody says otherwise: both families at their smallest real size.
const DEFAULTS: [&[&str]; 2] = [
    &["--preset", "qwen3-0.6b", "-p", "128", "-n", "16"],
    &["--preset", "gemma3-1b", "-p", "128", "-n", "16"],
];

/// With `cpu` first: the kernels of `mlx-cpu` against what the machine can do. With `ops` first: what an op costs beside the
/// same in C. With other arguments: `mlx bench` with them. Without: the crates' benches, and `mlx bench` on both presets.
///
/// # Errors
/// When one of the runs fails.
pub fn run(workspace: &Workspace, options: &[&str]) -> Result<()> {
    let program = |options: &[&str]| {
        let arguments = ["run", "--release", "--package", "mlx-cli", "--", "bench"];
        workspace.cargo(arguments.iter().chain(options))
    };
    match options {
        ["cpu", options @ ..] => {
            let arguments = ["bench", "--package", "mlx-cpu", "--bench", "kernels", "--"].map(str::to_owned);
            return workspace.cargo(arguments.into_iter().chain(kernels(options)?));
        }
        ["ops", options @ ..] => return ops(workspace, options),
        [] => {}
        options => return program(options),
    }
    workspace.cargo(["bench", "--workspace"])?;
    DEFAULTS.iter().try_for_each(|options| program(options))
}

/// Compiles the loops in C, and has the bench run them in turn with its own.
fn ops(workspace: &Workspace, options: &[&str]) -> Result<()> {
    let request = workspace.request(None)?;
    let prefix = mlx_build::find_or_build(&request, &mut |line| eprintln!("{line}"))?;
    let compiler = mlx_build::compiler(&request.env, &request.triple, &request.host)?;
    let folder = workspace.scratch("bench-ops");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let program = folder.join("ops");
    let (library, include) = (prefix.lib(), prefix.include());
    let mut command = Command::new(&compiler.path);
    command.args(["-x", "c", "-O2", "-Wall", "-Wno-unused-variable", "-I"]).arg(include);
    command.arg(workspace.root.join("mlx-core/benches/ops/ops.c")).args(["-x", "none", "-o"]).arg(&program);
    // What the library itself needs is found by its own run path.
    command.arg("-L").arg(&library).arg("-lmlxc").arg(format!("-Wl,-rpath,{}", library.display()));
    if request.triple.contains("linux") {
        command.arg("-Wl,--allow-shlib-undefined");
    }
    run_command(&mut command)?;
    let mut arguments =
        ["bench", "--package", "mlx-core", "--bench", "ops", "--", "--program"].map(str::to_owned).to_vec();
    arguments.push(program.into_os_string().into_string().ok().context("the path is not UTF-8")?);
    workspace.cargo(arguments.into_iter().chain(kernels(options)?))
}

/// The arguments of `cargo xtask bench cpu` and `ops` as the bench takes them. It runs in the folder of its crate, so a path is
/// made absolute here, where it was typed.
fn kernels(options: &[&str]) -> Result<Vec<String>> {
    let mut arguments = Vec::new();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        arguments.push((*option).to_owned());
        match *option {
            "--quick" => {}
            "--filter" | "--json" => {
                let value = options.next().with_context(|| format!("{option} wants a value"))?;
                arguments.push(if *option == "--json" {
                    let path = std::path::absolute(value)?;
                    path.into_os_string().into_string().ok().context("the path is not UTF-8")?
                } else {
                    (*value).to_owned()
                });
            }
            _ => bail!("expected --json FILE, --quick or --filter TEXT, found {option}"),
        }
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_of_the_kernels_are_checked_and_paths_made_absolute() {
        let arguments = kernels(&["--quick", "--filter", "--json", "--json", "out.json"]).unwrap();
        assert_eq!(arguments[..4], ["--quick", "--filter", "--json", "--json"]);
        let path = std::path::Path::new(&arguments[4]);
        assert!(path.is_absolute() && path.ends_with("out.json"), "{arguments:?}");
        for wrong in [&["--json"][..], &["--filter"], &["--slow"], &["quick"]] {
            assert!(kernels(wrong).is_err(), "{wrong:?}");
        }
    }
}
