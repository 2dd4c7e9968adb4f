// SPDX-License-Identifier: EUPL-1.2
//! Fetches what the pins name: mlx-c through Cargo, wheels through pip. A second run fetches nothing.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::pins::{self, Wheel};
use crate::tools::{self, tail};
use crate::{Environment, Error, Result};

/// Fetches into one folder, `target/mlx`.
pub struct Fetcher<'a> {
    root: PathBuf,
    env: &'a Environment,
    progress: &'a mut dyn FnMut(&str),
}

impl<'a> Fetcher<'a> {
    /// Keeps what it fetches under `root`; says what it does to `progress`, one line at a time.
    pub fn new(
        root: impl Into<PathBuf>,
        env: &'a Environment,
        progress: &'a mut dyn FnMut(&str),
    ) -> Fetcher<'a> {
        Fetcher { root: root.into(), env, progress }
    }

    pub(crate) fn env(&self) -> &'a Environment {
        self.env
    }

    pub(crate) fn say(&mut self, line: &str) {
        (self.progress)(line);
    }

    /// The files of `wheels`, fetched where they are not there yet, each with the hash that is pinned.
    ///
    /// # Errors
    /// [`Error::NoPython`] and [`Error::NoPip`] when something has to be fetched and cannot be,
    /// [`Error::Fetch`] when pip fails, [`Error::WrongHash`] when a file is not the pinned one.
    pub fn wheels(&mut self, wheels: &[Wheel]) -> Result<Vec<PathBuf>> {
        let folder = self.root.join("downloads");
        fs::create_dir_all(&folder).map_err(Error::target_io("create", &folder))?;
        let missing: Vec<&Wheel> =
            wheels.iter().filter(|wheel| !folder.join(&wheel.file).is_file()).collect();
        if !missing.is_empty() {
            self.download(&missing, &folder)?;
        }
        wheels
            .iter()
            .map(|wheel| {
                let file = folder.join(&wheel.file);
                check_hash(&file, wheel).map(|()| file)
            })
            .collect()
    }

    /// The folder of one wheel, unpacked.
    ///
    /// # Errors
    /// As [`Fetcher::wheels`], and when the archive cannot be unpacked.
    pub fn unpacked(&mut self, wheel: &Wheel) -> Result<PathBuf> {
        let stem = wheel.file.strip_suffix(".whl").unwrap_or(&wheel.file);
        let folder = self.root.join("tools").join(stem);
        if folder.is_dir() {
            return Ok(folder);
        }
        let files = self.wheels(std::slice::from_ref(wheel))?;
        // Unpacked beside its place and moved there, so that a folder of that name is always whole.
        let scratch = self.root.join("tools").join(format!(".{stem}.{}", std::process::id()));
        remove_folder(&scratch)?;
        for file in &files {
            self.unpack(file, &scratch)?;
        }
        match fs::rename(&scratch, &folder) {
            Err(_) if folder.is_dir() => remove_folder(&scratch)?, // Another process was faster.
            other => other.map_err(Error::target_io("create", &folder))?,
        }
        Ok(folder)
    }

    /// Unpacks a wheel into `folder`, which is made if need be.
    pub(crate) fn unpack(&mut self, wheel: &Path, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).map_err(Error::target_io("create", folder))?;
        let python = tools::python(self.env)?;
        // A wheel is a zip archive, and whoever has pip has Python's zipfile.
        let mut command = self.env.command(&python.path);
        command.args(["-m", "zipfile", "-e"]).arg(wheel).arg(folder);
        let output = command.output().map_err(Error::io("run", &python.path))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Error::Fetch {
            what: format!("the content of {}", wheel.display()),
            command: format!("{command:?}"),
            detail: tail(&output, 3),
            help: "delete that file and try again".to_owned(),
        })
    }

    /// The folder with the mlx-c sources: `MLX_C_SOURCE_DIR`, or the package that Cargo fetches.
    pub(crate) fn mlx_c(&mut self) -> Result<PathBuf> {
        if let Some(local) = &self.env.mlx_c_source_dir {
            return Ok(local.clone());
        }
        let folder = self.root.join("pin");
        fs::create_dir_all(&folder).map_err(Error::target_io("create", &folder))?;
        for (name, text) in pins::RECIPE.iter().filter(|(name, _)| name.starts_with("Cargo")) {
            let file = folder.join(name);
            fs::write(&file, text).map_err(Error::target_io("write", &file))?;
        }
        let library = folder.join("lib.rs");
        fs::write(&library, "").map_err(Error::target_io("write", &library))?;

        let mut command = self.env.command(&self.env.cargo);
        command.args(["metadata", "--locked", "--format-version", "1"]).current_dir(&folder);
        let failed = |detail: String| Error::Fetch {
            what: format!("the sources of mlx-c {}", pins::MLX_C_VERSION),
            command: "cargo metadata --locked".to_owned(),
            detail,
            help: "name a folder with them in MLX_C_SOURCE_DIR".to_owned(),
        };
        let output = command.output().map_err(|e| failed(e.to_string()))?;
        if !output.status.success() {
            return Err(failed(tail(&output, 5)));
        }
        let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|e| failed(e.to_string()))?;
        package_folder(&metadata)
            .map(|package| package.join("src").join("mlx-c"))
            .ok_or_else(|| failed("its answer names no package mlx-sys".to_owned()))
    }

    fn download(&mut self, wheels: &[&Wheel], folder: &Path) -> Result<()> {
        let wanted =
            wheels.iter().map(|w| format!("{} {}", w.package(), w.version())).collect::<Vec<_>>().join(", ");
        self.say(&format!("fetching {wanted}"));
        let python = tools::python(self.env)?;
        // A process that is stopped here leaves a folder that nobody looks at, and never half a wheel.
        let scratch = folder.join(format!(".{}", std::process::id()));
        remove_folder(&scratch)?;
        fs::create_dir_all(&scratch).map_err(Error::target_io("create", &scratch))?;
        let requirements = scratch.join("requirements.txt");
        let lines: String = wheels.iter().map(|wheel| wheel.requirement() + "\n").collect();
        fs::write(&requirements, lines).map_err(Error::target_io("write", &requirements))?;

        let mut command = self.env.command(&python.path);
        command.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        // The wheels serve any Python, but pip compares the version that it runs with what they declare.
        command.args(["--only-binary=:all:", "--python-version", "3.12", "--require-hashes"]);
        let mut tags: Vec<&str> = wheels.iter().flat_map(|wheel| wheel.tags()).collect();
        tags.sort_unstable();
        tags.dedup();
        for tag in tags {
            command.args(["--platform", tag]);
        }
        command.arg("--dest").arg(&scratch).arg("--requirement").arg(&requirements);
        let output = command.output().map_err(Error::io("run", &python.path))?;
        let result = if output.status.success() {
            wheels.iter().try_for_each(|wheel| take(wheel, &scratch, folder, &python.path))
        } else {
            Err(self.explain(&python.path, wanted, tail(&output, 3)))
        };
        remove_folder(&scratch)?;
        result
    }

    /// pip failed: because it is not there, or for a reason of its own.
    fn explain(&self, python: &Path, wanted: String, detail: String) -> Error {
        let has_pip = self.env.command(python).args(["-m", "pip", "--version"]).output();
        if has_pip.is_ok_and(|output| output.status.success()) {
            download_failed(python, wanted, detail)
        } else {
            Error::NoPip { python: python.to_path_buf(), detail, wanted }
        }
    }
}

fn download_failed(python: &Path, what: String, detail: String) -> Error {
    Error::Fetch {
        what,
        command: format!("{} -m pip download", python.display()),
        detail,
        help: "put the files named in vendor/mlx-c/wheels.txt into the folder mlx/downloads of the target directory, \
               or name a finished prefix with MLX_PREFIX"
            .to_owned(),
    }
}

/// Moves a fetched wheel into `folder` once its hash is known to be right.
fn take(wheel: &Wheel, scratch: &Path, folder: &Path, python: &Path) -> Result<()> {
    let fetched = scratch.join(&wheel.file);
    if !fetched.is_file() {
        return Err(download_failed(python, wheel.file.clone(), "pip gave no file of that name".to_owned()));
    }
    check_hash(&fetched, wheel)?;
    let place = folder.join(&wheel.file);
    fs::rename(&fetched, &place).map_err(Error::target_io("write", &place))
}

fn check_hash(file: &Path, wheel: &Wheel) -> Result<()> {
    let found = sha256_of(file)?;
    if found == wheel.sha256 {
        return Ok(());
    }
    // A second try would only find the same file again.
    fs::remove_file(file).map_err(Error::target_io("remove", file))?;
    Err(Error::WrongHash { file: file.to_path_buf(), expected: wheel.sha256.clone(), found })
}

/// The sha256 of a file in lower-case hexadecimal.
///
/// # Errors
/// [`Error::Io`] when it cannot be read.
pub fn sha256_of(file: &Path) -> Result<String> {
    let mut reader = File::open(file).map_err(Error::io("read", file))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = reader.read(&mut buffer).map_err(Error::io("read", file))?;
        match buffer.get(..count) {
            Some(chunk) if count > 0 => hash.update(chunk),
            _ => return Ok(hex(&hash.finalize())),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::target_io("remove", folder)(e)),
        _ => Ok(()),
    }
}

/// The folder of the package `mlx-sys` in the answer of `cargo metadata`.
fn package_folder(metadata: &Value) -> Option<PathBuf> {
    let packages = metadata.get("packages")?.as_array()?;
    let package = packages.iter().find(|p| p.get("name").and_then(Value::as_str) == Some("mlx-sys"))?;
    Path::new(package.get("manifest_path")?.as_str()?).parent().map(Path::to_path_buf)
}
