// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask doctor`: what this machine has, what it lacks, and how to get it.

use std::process::Command;

use anyhow::{Result, bail};
use mlx_build::{Environment, Request};

use crate::workspace::{Workspace, cargo, output};

/// One line of the report: a name, and what was found or what helps.
struct Finding {
    name: &'static str,
    found: std::result::Result<String, String>,
}

/// Prints the report.
///
/// # Errors
/// When something is missing without which nothing can be built.
pub fn run(workspace: &Workspace) -> Result<()> {
    let findings = examine(workspace)?;
    let mut missing = 0;
    for finding in &findings {
        match &finding.found {
            Ok(text) => println!("ok       {:<14} {text}", finding.name),
            Err(help) => {
                missing += 1;
                println!("missing  {:<14} {help}", finding.name);
            }
        }
    }
    if missing > 0 {
        bail!("{missing} of {} are missing; each line says what helps", findings.len());
    }
    Ok(())
}

fn examine(workspace: &Workspace) -> Result<Vec<Finding>> {
    let env = Environment::from_process();
    let mut findings = Vec::new();
    let mut add = |name, found: std::result::Result<String, String>| findings.push(Finding { name, found });

    add(
        "rust",
        output(Command::new(cargo()).arg("--version"))
            .map(|v| v.trim().to_owned())
            .map_err(|e| e.to_string()),
    );
    add("machine", Ok(format!("{}, {}", workspace.host, processor())));

    let request = match workspace.request(None) {
        Ok(request) => request,
        Err(error) => {
            add("backend", Err(error.to_string()));
            return Ok(findings);
        }
    };
    add("backend", Ok(format!("{} (MLX_BACKEND chooses another)", request.backend)));
    let prefix = mlx_build::find(&request);
    let built = matches!(&prefix, Ok(Some(_)));
    add("native library", native(&request, prefix));
    // With a finished library none of the following is asked for again.
    let needed = |found: std::result::Result<String, String>| match found {
        Err(help) if built => Ok(format!("not there, and not needed for what is built: {help}")),
        other => other,
    };

    let compiler = mlx_build::compiler(&env, &request.triple, &request.host);
    add("c++ compiler", needed(compiler.map(|tool| tool.version).map_err(|e| e.to_string())));
    match mlx_build::python(&env) {
        Ok(python) => {
            let pip = output(Command::new(&python.path).args(["-m", "pip", "--version"]));
            add("python", Ok(format!("{} ({})", python.version, python.path.display())));
            add(
                "pip",
                needed(pip.map(|text| text.trim().to_owned()).map_err(|_| {
                    format!("`apt install python3-pip`, or `{} -m ensurepip`", python.path.display())
                })),
            );
        }
        Err(error) => add("python", needed(Err(error.to_string()))),
    }
    for (name, wheel) in [("cmake", "cmake 4.4.4"), ("ninja", "ninja 1.13.2")] {
        let found = Command::new(name).arg("--version").output().ok().filter(|o| o.status.success());
        let first =
            found.map(|o| String::from_utf8_lossy(&o.stdout).lines().next().unwrap_or_default().to_owned());
        add(
            name,
            Ok(first.unwrap_or_else(|| format!("not on the PATH; the pinned wheel of {wheel} is used"))),
        );
    }
    add("instructions", Ok(instructions()));
    Ok(findings)
}

fn native(
    request: &Request,
    prefix: mlx_build::Result<Option<mlx_build::Prefix>>,
) -> std::result::Result<String, String> {
    match prefix {
        Ok(Some(prefix)) if request.env.mlx_prefix.is_some() => {
            Ok(format!("{}, which MLX_PREFIX names", prefix.root().display()))
        }
        Ok(Some(prefix)) => Ok(prefix.root().display().to_string()),
        // Not an error: the first command that needs it builds it.
        Ok(None) => {
            Ok("not built yet; `cargo xtask build-mlx` builds it, and so does any command that needs it"
                .into())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn processor() -> String {
    let count = std::thread::available_parallelism().map_or(1, |n| n.get());
    format!("{count} processors usable")
}

/// The instruction sets that matter for arithmetic on this machine.
fn instructions() -> String {
    let found = instruction_sets();
    if found.is_empty() { "nothing beyond the platform's baseline".to_owned() } else { found.join(", ") }
}

#[cfg(target_arch = "x86_64")]
fn instruction_sets() -> Vec<&'static str> {
    let all = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("f16c", is_x86_feature_detected!("f16c")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
    ];
    all.into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
}

#[cfg(target_arch = "aarch64")]
fn instruction_sets() -> Vec<&'static str> {
    use std::arch::is_aarch64_feature_detected;
    let all = [
        ("neon", is_aarch64_feature_detected!("neon")),
        ("dotprod", is_aarch64_feature_detected!("dotprod")),
        ("fp16", is_aarch64_feature_detected!("fp16")),
        ("bf16", is_aarch64_feature_detected!("bf16")),
        ("i8mm", is_aarch64_feature_detected!("i8mm")),
    ];
    all.into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn instruction_sets() -> Vec<&'static str> {
    Vec::new()
}
