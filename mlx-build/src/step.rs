// SPDX-License-Identifier: EUPL-1.2
//! Runs CMake, in a process of its own.
//!
//! The `cmake` crate is made for build scripts: it panics when CMake fails, and it writes `cargo:` lines and CMake's
//! output to standard output. A child process turns the first into an exit status and the second into a log, and
//! leaves the environment that it reads under our control. The child is the running program itself, started again
//! with a variable that [`run_step_if_asked`] looks for.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};

use serde_json::{Map, Value, json};

use crate::{Error, Result};

const VARIABLE: &str = "MLX_BUILD_STEP";

/// One run of CMake: configure, compile, install.
pub(crate) struct Step<'a> {
    /// The folder with `CMakeLists.txt`.
    pub(crate) source: &'a Path,
    /// Where CMake may write.
    pub(crate) work: &'a Path,
    pub(crate) triple: &'a str,
    pub(crate) host: &'a str,
    pub(crate) cmake: &'a Path,
    pub(crate) ninja: &'a Path,
    pub(crate) compiler: &'a Path,
    pub(crate) defines: &'a [(&'a str, String)],
    /// Becomes the standard input of all that is started, which holds the lock until the last of it has ended: a
    /// process that is killed leaves compilers behind that still write.
    pub(crate) lock: &'a File,
}

/// Does the build step that this process was started for, if any, and then ends the process.
///
/// A program that calls [`crate::find_or_build`] must call this first in `main`, because a build starts the program
/// again for the part that CMake does. Where the variable `MLX_BUILD_STEP` is not set, nothing happens.
pub fn run_step_if_asked() {
    let Some(file) = env::var_os(VARIABLE) else { return };
    process::exit(match run_here(Path::new(&file)) {
        Some(()) => 0,
        None => 1,
    });
}

/// Whether this process is a child that should be running a step and nothing else.
pub(crate) fn is_child() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// The child's half. `None` means that the file with the order is not as [`run`] writes it.
fn run_here(file: &Path) -> Option<()> {
    let order: Value = serde_json::from_str(&fs::read_to_string(file).ok()?).ok()?;
    let text = |key: &str| order.get(key).and_then(Value::as_str);
    let mut config = cmake::Config::new(text("source")?);
    config
        .target(text("triple")?)
        .host(text("host")?)
        .out_dir(text("work")?)
        .profile("Release")
        .generator("Ninja")
        .define("CMAKE_MAKE_PROGRAM", text("ninja")?);
    for (key, value) in order.get("defines")?.as_object()? {
        config.define(key, value.as_str()?);
    }
    config.build();
    Some(())
}

/// The parent's half: starts `program` again for the step and writes all that it says to `log`.
pub(crate) fn run(
    mut program: Command,
    step: &Step<'_>,
    log: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<()> {
    let path = |path: &Path| Value::from(path.display().to_string());
    let defines: Map<String, Value> =
        step.defines.iter().map(|(key, value)| ((*key).to_owned(), Value::from(value.clone()))).collect();
    let order = json!({
        "source": path(step.source), "work": path(step.work), "ninja": path(step.ninja),
        "triple": step.triple, "host": step.host, "defines": defines,
    });
    let file: PathBuf = step.work.join("step.json");
    fs::write(&file, order.to_string()).map_err(Error::target_io("write", &file))?;

    let jobs = std::thread::available_parallelism().map_or(1, |n| n.get());
    program
        .env(VARIABLE, &file)
        .env("CMAKE", step.cmake)
        .env("CXX", step.compiler)
        .env("NUM_JOBS", jobs.to_string())
        .env("RUST_BACKTRACE", "0")
        // The child asks the cc crate again, and must come to the same answer.
        .env_remove(format!("CXX_{}", step.triple))
        .env_remove(format!("CXX_{}", step.triple.replace('-', "_")))
        // These would be added to our flags, or change the kind of build, without being in the fingerprint.
        .env_remove("CFLAGS")
        .env_remove("CXXFLAGS")
        .env_remove("CMAKE_GENERATOR")
        .env_remove("CMAKE_TOOLCHAIN_FILE")
        .env_remove("CARGO_MAKEFLAGS")
        .env_remove("MAKEFLAGS")
        .stdin(step.lock.try_clone().map_err(Error::io("share the lock of", step.work))?)
        .stdout(Stdio::piped());
    if step.triple.contains("apple") {
        // The wheel's own oldest macOS; std::format is not there before 13.3.
        program.env("MACOSX_DEPLOYMENT_TARGET", "14.0");
    }
    let mut writer = File::create(log).map_err(Error::target_io("write", log))?;
    program.stderr(writer.try_clone().map_err(Error::target_io("write", log))?);
    let mut child = program.spawn().map_err(Error::io("run", Path::new(program.get_program())))?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(Error::io("read what was said for", log))?;
            let line = String::from_utf8_lossy(&line);
            writeln!(writer, "{line}").map_err(Error::target_io("write", log))?;
            if let Some((count, file)) = ninja_step(&line) {
                progress(&format!("{count} {file}"));
            }
        }
    }
    let status = child.wait().map_err(Error::io("wait for", Path::new(program.get_program())))?;
    if status.success() {
        return Ok(());
    }
    let said = fs::read(log).map_err(Error::io("read", log))?;
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n");
    Err(Error::Build { log: log.to_path_buf(), tail })
}

/// `[3/28] Building CXX object CMakeFiles/mlxc.dir/long/path/ops.cpp.o` → `[3/28]` and `ops.cpp.o`.
fn ninja_step(line: &str) -> Option<(&str, &str)> {
    let (count, what) = line.split_once("] ").filter(|(count, _)| count.starts_with('['))?;
    if !what.starts_with("Building") && !what.starts_with("Linking") {
        return None;
    }
    let file = what.rsplit([' ', '/']).next().unwrap_or(what);
    Some((line.get(..=count.len())?, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninja_steps_are_shortened() {
        let line = "[3/28] Building CXX object CMakeFiles/mlxc.dir/long/path/ops.cpp.o";
        assert_eq!(ninja_step(line), Some(("[3/28]", "ops.cpp.o")));
        assert_eq!(ninja_step("-- Configuring done"), None);
        assert_eq!(ninja_step("[0/2] Re-checking globbed directories..."), None);
        assert_eq!(ninja_step("[not a step"), None);
    }
}
