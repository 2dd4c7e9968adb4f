// SPDX-License-Identifier: EUPL-1.2
//! The programs that a build needs: where they are, and what to say when they are not there.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::pins::{self, Platform, Use};
use crate::{Error, Fetcher, Result};

/// What a build takes from its surroundings, so that a test can put something else in its place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Environment {
    /// The folders that programs are looked for in, as in `PATH`.
    pub path: OsString,
    /// `CXX`: the C++ compiler, instead of the one that the `cc` crate would take.
    pub cxx: Option<PathBuf>,
    /// `MLX_PYTHON`: the interpreter whose pip fetches wheels, instead of `python3`.
    pub python: Option<PathBuf>,
    /// `CARGO`: the cargo that fetches mlx-c.
    pub cargo: PathBuf,
    /// `MLX_PREFIX`: a finished prefix, used as it is.
    pub mlx_prefix: Option<PathBuf>,
    /// `MLX_DIR`: a local MLX installation instead of the wheel.
    pub mlx_dir: Option<PathBuf>,
    /// `MLX_C_SOURCE_DIR`: local mlx-c sources instead of the package.
    pub mlx_c_source_dir: Option<PathBuf>,
    /// The program, with its first arguments, that calls [`crate::run_step_if_asked`]: this program itself.
    pub step: Vec<OsString>,
}

impl Environment {
    /// Reads the variables of this process. An empty variable counts as not set.
    #[must_use]
    pub fn from_process() -> Environment {
        let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let path_of = |name: &str| variable(name).map(PathBuf::from);
        Environment {
            path: variable("PATH").unwrap_or_default(),
            cxx: path_of("CXX"),
            python: path_of("MLX_PYTHON"),
            cargo: path_of("CARGO").unwrap_or_else(|| PathBuf::from("cargo")),
            mlx_prefix: path_of("MLX_PREFIX"),
            mlx_dir: path_of("MLX_DIR"),
            mlx_c_source_dir: path_of("MLX_C_SOURCE_DIR"),
            step: env::current_exe().map(|exe| vec![exe.into_os_string()]).unwrap_or_default(),
        }
    }

    /// A command that sees [`Environment::path`] as its `PATH`.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("PATH", &self.path);
        command
    }

    /// The full path of a program, or nothing. A name with a slash is taken as it is.
    pub(crate) fn which(&self, program: &OsStr) -> Option<PathBuf> {
        let direct = Path::new(program);
        if direct.components().count() > 1 {
            return direct.is_file().then(|| direct.to_path_buf());
        }
        env::split_paths(&self.path)
            .filter(|folder| !folder.as_os_str().is_empty())
            .map(|folder| folder.join(format!("{}{}", direct.display(), env::consts::EXE_SUFFIX)))
            .find(|candidate| is_executable(candidate))
    }
}

#[cfg(unix)]
fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &Path) -> bool {
    file.is_file()
}

/// A program that was found and answers.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Where it is.
    pub path: PathBuf,
    /// The first line of what it says about its version.
    pub version: String,
}

/// The Python interpreter.
///
/// # Errors
/// [`Error::NoPython`] when none answers.
pub fn python(env: &Environment) -> Result<Tool> {
    let names: Vec<OsString> = match &env.python {
        Some(python) => vec![python.clone().into_os_string()],
        None => vec!["python3".into(), "python".into()],
    };
    names
        .iter()
        .filter_map(|name| env.which(name))
        .find_map(|path| version_of(env, path).ok())
        .ok_or_else(|| Error::NoPython { tried: list(&names) })
}

/// The C++ compiler for `triple`, as the `cc` crate finds it (`CXX`, `CXX_<triple>`, else the platform's).
///
/// # Errors
/// [`Error::NoCompiler`] when there is none that answers.
pub fn compiler(env: &Environment, triple: &str, host: &str) -> Result<Tool> {
    let program = match &env.cxx {
        Some(cxx) => cxx.clone(),
        None => cc::Build::new()
            .cpp(true)
            .target(triple)
            .host(host)
            .opt_level(0)
            .cargo_metadata(false)
            .cargo_warnings(false)
            .try_get_compiler()
            .map_err(|e| Error::NoCompiler { tried: e.to_string() })?
            .path()
            .to_path_buf(),
    };
    let Some(path) = env.which(program.as_os_str()) else {
        return Err(Error::NoCompiler { tried: format!("`{}`, which is not there", program.display()) });
    };
    version_of(env, path).map_err(|detail| Error::NoCompiler {
        tried: format!("`{} --version`, which failed: {detail}", program.display()),
    })
}

/// CMake, from the machine where it is new enough, else from its wheel.
///
/// # Errors
/// What [`Fetcher::wheels`] gives when the wheel cannot be fetched.
pub fn cmake(fetcher: &mut Fetcher<'_>, host: &str) -> Result<Tool> {
    const OLDEST: (u32, u32) = (3, 20);
    if let Some(path) = fetcher.env().which(OsStr::new("cmake"))
        && let Ok(tool) = version_of(fetcher.env(), path)
        && version_number(&tool.version).is_some_and(|version| version >= OLDEST)
    {
        return Ok(tool);
    }
    from_wheel(fetcher, host, "cmake", "cmake/data/bin/cmake")
}

/// Ninja, from the machine or from its wheel.
///
/// # Errors
/// What [`Fetcher::wheels`] gives when the wheel cannot be fetched.
pub fn ninja(fetcher: &mut Fetcher<'_>, host: &str) -> Result<Tool> {
    if let Some(path) = fetcher.env().which(OsStr::new("ninja"))
        && let Ok(tool) = version_of(fetcher.env(), path)
    {
        return Ok(tool);
    }
    from_wheel(fetcher, host, "ninja", "ninja-1.13.2.data/scripts/ninja")
}

fn from_wheel(fetcher: &mut Fetcher<'_>, host: &str, package: &str, program: &str) -> Result<Tool> {
    let platform = Platform::of_triple(host)?;
    let wheel = pins::wheel_named(platform, Use::Tool, package)?.ok_or_else(|| Error::Fetch {
        what: package.to_owned(),
        command: "looking into vendor/mlx-c/wheels.txt".to_owned(),
        detail: format!("no {package} is pinned for {host}"),
        help: format!("install {package} so that it is found on the PATH"),
    })?;
    let path = fetcher.unpacked(&wheel)?.join(program);
    make_executable(&path)?;
    version_of(fetcher.env(), path.clone()).map_err(|detail| Error::Fetch {
        what: package.to_owned(),
        command: format!("{} --version", path.display()),
        detail,
        help: format!("install {package} so that it is found on the PATH"),
    })
}

/// Zip archives keep the permission bits, but Python's unpacker does not put them back.
fn make_executable(file: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mut permissions = file.metadata().map_err(Error::io("read", file))?.permissions();
        permissions.set_mode(permissions.mode() | 0o755);
        std::fs::set_permissions(file, permissions).map_err(Error::io("make executable", file))?;
    }
    Ok(())
}

fn version_of(env: &Environment, path: PathBuf) -> std::result::Result<Tool, String> {
    let output = env.command(&path).arg("--version").output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(tail(&output, 3));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(Tool { path, version: text.lines().next().unwrap_or_default().trim().to_owned() })
}

/// `cmake version 3.25.1` → `(3, 25)`.
fn version_number(line: &str) -> Option<(u32, u32)> {
    let mut numbers =
        line.split_whitespace().find(|w| w.starts_with(|c: char| c.is_ascii_digit()))?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The last lines of what a program wrote, standard error first choice.
pub(crate) fn tail(output: &Output, lines: usize) -> String {
    let text = match String::from_utf8_lossy(&output.stderr).trim() {
        "" => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        stderr => stderr.to_owned(),
    };
    let all: Vec<&str> = text.lines().collect();
    let end = all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("; ");
    if end.is_empty() { format!("{}, without a message", output.status) } else { end }
}

fn list(names: &[OsString]) -> String {
    names.iter().map(|name| format!("`{}`", name.display())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_tools_say() {
        assert_eq!(version_number("cmake version 3.25.1"), Some((3, 25)));
        assert_eq!(version_number("1.13.2.git.kitware"), Some((1, 13)));
        assert_eq!(version_number("no number here"), None);
    }
}
