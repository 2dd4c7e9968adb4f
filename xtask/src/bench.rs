// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask bench`: the benches of the crates and `mlx bench`, built with optimisation.

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// What is measured when nobody says otherwise: both families at their smallest real size.
const DEFAULTS: [&[&str]; 2] = [
    &["--preset", "qwen3-0.6b", "-p", "128", "-n", "16"],
    &["--preset", "gemma3-1b", "-p", "128", "-n", "16"],
];

/// With `cpu` first: the kernels of `mlx-cpu` against what the machine can do. With other arguments: `mlx bench` with them.
/// Without: the crates' benches, and `mlx bench` on both presets.
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
        [] => {}
        options => return program(options),
    }
    workspace.cargo(["bench", "--workspace"])?;
    DEFAULTS.iter().try_for_each(|options| program(options))
}

/// The arguments of `cargo xtask bench cpu` as the bench takes them. It runs in the folder of its crate, so a path is
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
