// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask bindings`: mlx-sys/src/bindings.rs from the C headers.
//!
//! The file has to come out the same on every machine, so libclang is the pinned wheel and not the one that may be
//! installed, the text is laid out by a library that Cargo.lock pins, and what depends on the C compiler or the C
//! library is left out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use mlx_build::{Fetcher, Platform, Use};

use crate::workspace::{Workspace, output, run};

const FILE: &str = "mlx-sys/src/bindings.rs";

/// Where bindgen looks for libclang.
const LIBCLANG: &str = "LIBCLANG_PATH";

/// Writes the bindings.
///
/// # Errors
/// When the prefix cannot be built, libclang cannot be had, or a header is not understood.
pub fn write(workspace: &Workspace) -> Result<()> {
    let Some(new) = generate(workspace, "bindings", &[])? else { return Ok(()) };
    let path = workspace.root.join(FILE);
    if fs::read_to_string(&path).is_ok_and(|old| old == new) {
        eprintln!("{FILE} was fresh");
        return Ok(());
    }
    fs::write(&path, new).with_context(|| format!("cannot write {}", path.display()))?;
    eprintln!("{FILE} written");
    Ok(())
}

/// Compares the bindings with those that would be written.
///
/// # Errors
/// As [`write()`], and when they differ.
pub fn check(workspace: &Workspace) -> Result<()> {
    let Some(new) = generate(workspace, "bindings", &["--check"])? else { return Ok(()) };
    let path = workspace.root.join(FILE);
    let old = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if old == new {
        eprintln!("{FILE} is fresh");
        return Ok(());
    }
    let line = old.lines().zip(new.lines()).take_while(|(a, b)| a == b).count() + 1;
    bail!("{FILE} is not what the headers give, from line {line} on: run `cargo xtask bindings`")
}

/// The text of the bindings, or `None` where a second process with libclang's place in its environment did the work.
fn generate(workspace: &Workspace, command: &str, options: &[&str]) -> Result<Option<String>> {
    let request = workspace.request(None)?;
    let mut say = |line: &str| eprintln!("{line}");
    let prefix = mlx_build::find_or_build(&request, &mut say)?;
    if std::env::var_os(LIBCLANG).is_none() {
        let mut fetcher = Fetcher::new(workspace.target_dir.join("mlx"), &request.env, &mut say);
        let folder = libclang(&mut fetcher, &workspace.host)?;
        // bindgen reads the variable, and a process cannot safely set one for itself.
        run(Command::new(std::env::current_exe()?).arg(command).args(options).env(LIBCLANG, folder))?;
        return Ok(None);
    }
    let compiler = mlx_build::compiler(&request.env, &request.triple, &request.host)?;
    let mut builder = bindgen::Builder::default()
        .header(workspace.root.join("mlx-sys/wrapper.h").display().to_string())
        .raw_line("// SPDX-License-Identifier: EUPL-1.2")
        .disable_header_comment()
        .clang_arg(format!("-I{}", prefix.include().display()))
        .allowlist_function("_?mlx_.*")
        .allowlist_type("mlx_.*")
        .allowlist_var("MLX_.*")
        // These are there only where the C compiler has half types. mlx_array_data_uint16 gives the same pointer.
        .blocklist_function("mlx_array_(item|data)_b?float16")
        // The C library's own, different on each platform, and only ever passed on by pointer.
        .blocklist_type("FILE|_IO_.*|__sFILE.*|__sbuf|__off.*|fpos_t")
        .raw_line("#[repr(C)]\n#[derive(Debug)]\npub struct FILE {\n    _opaque: [u8; 0],\n}")
        .generate_comments(false)
        .layout_tests(true)
        .prepend_enum_name(false)
        .merge_extern_blocks(true)
        // Not what the compiler of this machine happens to be.
        .rust_target(rust_target()?)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .formatter(bindgen::Formatter::Prettyplease);
    for folder in header_folders(&compiler.path)? {
        builder = builder.clang_arg(format!("-isystem{}", folder.display()));
    }
    let text = builder.generate().context("bindgen failed")?.to_string();
    ensure!(
        !text.contains("/*") && !text.contains("#[doc"),
        "the bindings hold comments, which may be nobody's here"
    );
    Ok(Some(text))
}

/// The oldest Rust that the 2024 edition exists in.
fn rust_target() -> Result<bindgen::RustTarget> {
    bindgen::RustTarget::stable(85, 0).map_err(|_| anyhow::anyhow!("bindgen does not know Rust 1.85"))
}

/// The folder of the pinned libclang.
fn libclang(fetcher: &mut Fetcher<'_>, host: &str) -> Result<PathBuf> {
    let platform = Platform::of_triple(host)?;
    let wheel = mlx_build::wheels()?
        .into_iter()
        .find(|wheel| wheel.platform == platform && wheel.role == Use::Bindgen)
        .with_context(|| format!("no libclang is pinned for {host}; name a folder with one in {LIBCLANG}"))?;
    let folder = fetcher.unpacked(&wheel)?;
    folder_with_libclang(&folder)?.with_context(|| format!("{} holds no libclang", folder.display()))
}

fn folder_with_libclang(folder: &Path) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if let Some(found) = folder_with_libclang(&path)? {
                return Ok(Some(found));
            }
        } else if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libclang.")) {
            return Ok(Some(folder.to_path_buf()));
        }
    }
    Ok(None)
}

/// The compiler's own headers (`stddef.h`, `stdbool.h`, ..), which the wheel of libclang lacks.
fn header_folders(compiler: &Path) -> Result<Vec<PathBuf>> {
    let folder = output(Command::new(compiler).arg("-print-file-name=include"))?;
    let mut folders = vec![PathBuf::from(folder.trim())];
    if cfg!(target_os = "macos") {
        let sdk = output(Command::new("xcrun").arg("--show-sdk-path"))?;
        folders.push(Path::new(sdk.trim()).join("usr/include"));
    }
    Ok(folders)
}
