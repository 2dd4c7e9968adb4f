// SPDX-License-Identifier: EUPL-1.2
//! Asks `mlx-build` for the native library, which builds it where it is not there yet, and tells rustc where it is.
#![forbid(unsafe_code)]
#![expect(clippy::print_stderr, reason = "this is how a build script tells Cargo why it failed")]

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use mlx_build::{Backend, Environment, Prefix, Request};

fn main() -> ExitCode {
    mlx_build::run_step_if_asked();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    for name in ["MLX_PREFIX", "MLX_BACKEND", "MLX_DIR", "MLX_C_SOURCE_DIR"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let request = request()?;
    let prefix =
        mlx_build::find_or_build(&request, &mut |line| eprintln!("{line}")).map_err(|e| e.to_string())?;
    watch(&request.env, &prefix);

    println!("cargo::rustc-link-search=native={}", prefix.lib().display());
    println!("cargo::rustc-link-lib=dylib=mlxc");
    // For build scripts of crates that depend on this one, as DEP_MLXC_PREFIX and DEP_MLXC_INCLUDE.
    println!("cargo::metadata=prefix={}", prefix.root().display());
    println!("cargo::metadata=include={}", prefix.include().display());
    Ok(())
}

fn request() -> Result<Request, String> {
    let variable = |name: &str| env::var(name).map_err(|e| format!("{name}: {e}; run this through Cargo"));
    let (triple, host) = (variable("TARGET")?, variable("HOST")?);
    let out_dir = PathBuf::from(variable("OUT_DIR")?);
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let lasting =
        cargo_home.or_else(|| Some(env::home_dir()?.join(".cargo"))).unwrap_or_else(|| out_dir.clone());
    let target_dir = mlx_build::target_dir_of_out_dir(&out_dir, &triple, &env::temp_dir(), &lasting)
        .ok_or_else(|| {
            format!("cannot tell the target directory from OUT_DIR={}; set MLX_PREFIX", out_dir.display())
        })?;
    let backend = match env::var("MLX_BACKEND") {
        Ok(name) if !name.is_empty() => name.parse(),
        _ => Backend::of_platform(&triple),
    }
    // A prefix or an MLX that somebody names may be for a machine that nothing is pinned for.
    .or_else(|error| {
        let named =
            ["MLX_PREFIX", "MLX_DIR"].iter().any(|name| env::var_os(name).is_some_and(|v| !v.is_empty()));
        if named { Ok(Backend::Cpu) } else { Err(error.to_string()) }
    })?;
    let mut request = Request::new(target_dir, triple, backend);
    request.host = host;
    Ok(request)
}

/// Has Cargo run this script again when the library changes, or goes away.
fn watch(env: &Environment, prefix: &Prefix) {
    let library = prefix.lib();
    // A prefix that was made by hand has no manifest, and Cargo takes a file that is not there for one that changed.
    let manifest = Some(prefix.manifest()).filter(|manifest| manifest.is_file());
    println!("cargo::rerun-if-changed={}", manifest.unwrap_or(library).display());
    for local in [&env.mlx_dir, &env.mlx_c_source_dir].into_iter().flatten() {
        println!("cargo::rerun-if-changed={}", local.display());
    }
}
