// SPDX-License-Identifier: EUPL-1.2
//! From sources and wheels to a prefix.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::fetch::hex;
use crate::pins::{self, MLX_VERSION, Platform, Wheel};
use crate::prefix::{self, Built, Expected, State, library_name};
use crate::step::{self, Step};
use crate::tools::{self, Environment};
use crate::{Backend, Error, Fetcher, Prefix, Result};

/// The calls in mlx-c 0.7.0 that hand an exception's text to `printf` as the format.
const FORMAT_SITES: usize = 652;

/// Where OpenBLAS lies once its wheel is unpacked in a prefix.
const OPENBLAS: &str = "scipy_openblas32/lib/libscipy_openblas.so";

/// What is to be found or built.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// Cargo's target directory; the prefix lies in its folder `mlx`.
    pub target_dir: PathBuf,
    /// The machine that the library is for.
    pub triple: String,
    /// The machine that builds.
    pub host: String,
    /// What MLX shall compute on.
    pub backend: Backend,
    /// Where programs and overrides come from.
    pub env: Environment,
    /// Build it even where it is there.
    pub clean: bool,
    /// The wheels to put together, instead of those pinned for the triple and the backend.
    pub wheels: Option<Vec<Wheel>>,
}

impl Request {
    /// A build on the machine that it is for, with this process's variables.
    pub fn new(target_dir: impl Into<PathBuf>, triple: impl Into<String>, backend: Backend) -> Request {
        let triple = triple.into();
        Request {
            target_dir: target_dir.into(),
            host: triple.clone(),
            triple,
            backend,
            env: Environment::from_process(),
            clean: false,
            wheels: None,
        }
    }

    /// The wheels of the prefix; with a local MLX, those that serve it as well.
    fn wheels(&self) -> Result<Vec<Wheel>> {
        let pinned = match &self.wheels {
            Some(wheels) => Ok(wheels.clone()),
            None => Platform::of_triple(&self.triple)
                .and_then(|platform| pins::wheels_for(platform, self.backend)),
        };
        if self.env.mlx_dir.is_none() {
            return pinned;
        }
        // A local MLX also serves machines that nothing is pinned for.
        let mut wheels = pinned.unwrap_or_default();
        wheels.retain(|wheel| wheel.package() == "scipy_openblas32");
        Ok(wheels)
    }

    /// The folder that everything native is kept in.
    fn folder(&self) -> Result<PathBuf> {
        let folder = self.target_dir.join("mlx");
        std::path::absolute(&folder).map_err(Error::io("find", &folder))
    }

    /// Where the prefix lies and what it has to be.
    fn place(&self) -> Result<(PathBuf, Expected)> {
        let local = match &self.env.mlx_dir {
            Some(dir) => Some(LocalMlx::at(dir, &self.triple)?),
            None => None,
        };
        let mlx = local.as_ref().map_or(MLX_VERSION, |mlx| &mlx.version).to_owned();
        let mut name = format!("{mlx}-{}-{}", self.backend, self.triple);
        if local.is_some() || self.env.mlx_c_source_dir.is_some() {
            // Apart from the pinned one, so that unsetting the variable does not mean another build.
            name.push_str("-local");
        }
        let fingerprint = self.fingerprint(local.as_ref())?;
        let expected =
            Expected { mlx, backend: self.backend.to_string(), triple: self.triple.clone(), fingerprint };
        Ok((self.folder()?.join(name), expected))
    }

    /// Changes with everything that decides what is in the prefix.
    fn fingerprint(&self, local: Option<&LocalMlx>) -> Result<String> {
        let mut hash = Sha256::new();
        // A length before each part keeps two parts from being read as another two.
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        };
        add(env!("CARGO_PKG_VERSION").as_bytes());
        for (name, text) in pins::RECIPE {
            add(name.as_bytes());
            add(text.as_bytes());
        }
        if let Some(mlx) = local {
            add(mlx.root.display().to_string().as_bytes());
            add(mlx.stamp.as_bytes());
        }
        for wheel in self.wheels()? {
            add(wheel.sha256.as_bytes());
        }
        if let Some(dir) = &self.env.mlx_c_source_dir {
            for file in source_files(dir)? {
                add(file.display().to_string().as_bytes());
                add(&fs::read(&file).map_err(Error::io("read", &file))?);
            }
        }
        Ok(hex(&hash.finalize()))
    }
}

/// The prefix for `request` if it is there and whole; nothing is fetched or built.
///
/// # Errors
/// [`Error::Override`] when a variable names something unusable, [`Error::UnknownPlatform`] when nothing is pinned.
pub fn find(request: &Request) -> Result<Option<Prefix>> {
    if let Some(root) = &request.env.mlx_prefix {
        return Prefix::named(root, &request.triple).map(Some);
    }
    let (root, expected) = request.place()?;
    Ok((prefix::state(&root, &expected)? == State::Ready).then(|| Prefix::at(root)))
}

/// The prefix for `request`: `MLX_PREFIX`, else the one under the target directory, else that one built.
///
/// `progress` is given a line at a time of what is being done. Any number of processes may call this at once.
///
/// # Errors
/// Every variant of [`Error`]: each says what was missing, what was tried and what helps.
pub fn find_or_build(request: &Request, progress: &mut dyn FnMut(&str)) -> Result<Prefix> {
    if step::is_child() {
        return Err(Error::Nested);
    }
    if let Some(root) = &request.env.mlx_prefix {
        return Prefix::named(root, &request.triple);
    }
    let (root, expected) = request.place()?;
    prefix::ensure(&root, &expected, request.clean, progress, |lock, progress| {
        build(request, &root, lock, progress)
    })
}

/// Makes the prefix in `root`, which is there and empty.
fn build(request: &Request, root: &Path, lock: &File, progress: &mut dyn FnMut(&str)) -> Result<Built> {
    let folder = request.folder()?;
    let env = &request.env;
    // First what no download can mend.
    let compiler = tools::compiler(env, &request.triple, &request.host)?;
    let Some((program, arguments)) = env.step.split_first() else { return Err(Error::Nested) };
    progress(&format!("building {} with {}", root.display(), compiler.version));

    let mut fetcher = Fetcher::new(&folder, env, progress);
    let cmake = tools::cmake(&mut fetcher, &request.host)?;
    let ninja = tools::ninja(&mut fetcher, &request.host)?;
    let mut made_with = vec![
        ("compiler".to_owned(), format!("{} ({})", compiler.path.display(), compiler.version)),
        ("cmake".to_owned(), cmake.version.clone()),
        ("ninja".to_owned(), ninja.version.clone()),
    ];
    // The wheels are unpacked as they are, because the libraries in them find each other, and MLX its kernels and
    // headers, by relative paths.
    let wheels = request.wheels()?;
    for (wheel, file) in wheels.iter().zip(fetcher.wheels(&wheels)?) {
        fetcher.unpack(&file, root)?;
        made_with.push((wheel.package().to_owned(), wheel.version().to_owned()));
    }
    let work = folder.join("work").join(root.file_name().unwrap_or_default());
    lay_out(&work, &fetcher.mlx_c()?, env.mlx_c_source_dir.is_none())?;

    let origin = if request.triple.contains("apple") { "@loader_path" } else { "$ORIGIN" };
    let mut rpath = vec![origin.to_owned()];
    let mut files = vec![Path::new("lib").join(library_name(&request.triple))];
    let mlx_root = match &env.mlx_dir {
        Some(dir) => {
            let mlx = LocalMlx::at(dir, &request.triple)?.root;
            rpath.push(mlx.join("lib").display().to_string());
            mlx
        }
        None => {
            rpath.push(format!("{origin}/../mlx/lib"));
            files.push(Path::new("mlx/lib").join(mlx_library(&request.triple)));
            root.join("mlx")
        }
    };
    let mut openblas = String::new();
    if root.join(OPENBLAS).is_file() {
        openblas = root.join(OPENBLAS).display().to_string();
        rpath.push(format!("{origin}/../scipy_openblas32/lib"));
        files.push(PathBuf::from(OPENBLAS));
    }
    let step = Step {
        source: &work.join("recipe"),
        work: &work,
        triple: &request.triple,
        host: &request.host,
        cmake: &cmake.path,
        ninja: &ninja.path,
        compiler: &compiler.path,
        defines: &[
            ("MLXC_SOURCE_DIR", work.join("mlx-c").display().to_string()),
            ("MLX_ROOT", mlx_root.display().to_string()),
            ("MLXC_PREFIX", root.display().to_string()),
            ("MLXC_RPATH", rpath.join(";")),
            ("OPENBLAS_LIBRARY", openblas),
        ],
        lock,
    };
    let mut child = env.command(Path::new(program));
    child.args(arguments);
    step::run(child, &step, &root.join("build.log"), progress)?;
    crate::fetch::remove_folder(&work)?;
    Ok(Built { files, made_with })
}

/// Fills the work folder: the fixed sources in `mlx-c`, our CMake file and what it needs in `recipe`.
fn lay_out(work: &Path, sources: &Path, pinned: bool) -> Result<()> {
    crate::fetch::remove_folder(work)?;
    copy_sources(sources, &work.join("mlx-c"), pinned)?;
    for (name, text) in pins::RECIPE {
        let file = work.join("recipe").join(name);
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).map_err(Error::target_io("create", parent))?;
        }
        fs::write(&file, text).map_err(Error::target_io("write", &file))?;
    }
    Ok(())
}

/// An MLX installation that `MLX_DIR` names.
struct LocalMlx {
    root: PathBuf,
    version: String,
    /// Size and time of its library: changes when somebody builds it again.
    stamp: String,
}

impl LocalMlx {
    /// `dir` is the installation, or the folder `share/cmake/MLX` in it, which is what CMake calls `MLX_DIR`.
    fn at(dir: &Path, triple: &str) -> Result<LocalMlx> {
        let wrong = |detail: String| Error::Override { variable: "MLX_DIR", path: dir.to_path_buf(), detail };
        let library = Path::new("lib").join(mlx_library(triple));
        let absolute = std::path::absolute(dir).map_err(Error::io("find", dir))?;
        let root = absolute
            .ancestors()
            .take(4)
            .find(|root| root.join(&library).is_file() && root.join("include/mlx/version.h").is_file())
            .ok_or_else(|| {
                wrong(format!(
                    "neither it nor a folder above holds {} and include/mlx/version.h",
                    library.display()
                ))
            })?;
        let header = root.join("include/mlx/version.h");
        let text = fs::read_to_string(&header).map_err(Error::io("read", &header))?;
        let number = |name: &str| {
            text.lines()
                .filter_map(|line| line.strip_prefix("#define MLX_VERSION_")?.strip_prefix(name))
                .find_map(|rest| rest.trim().parse::<u32>().ok())
        };
        let (Some(major), Some(minor), Some(patch)) = (number("MAJOR"), number("MINOR"), number("PATCH"))
        else {
            return Err(wrong("its include/mlx/version.h names no version".to_owned()));
        };
        let found = root.join(&library);
        let data = found.metadata().map_err(Error::io("read", &found))?;
        Ok(LocalMlx {
            version: format!("{major}.{minor}.{patch}"),
            stamp: format!("{} {:?}", data.len(), data.modified().ok()),
            root: root.to_path_buf(),
        })
    }
}

fn mlx_library(triple: &str) -> &'static str {
    if triple.contains("apple") { "libmlx.dylib" } else { "libmlx.so" }
}

/// The sources and headers of mlx-c in `dir`, in a fixed order.
fn source_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in [dir.join("mlx/c"), dir.join("mlx/c/private")] {
        let entries = fs::read_dir(&folder).map_err(|e| Error::Sources {
            dir: dir.to_path_buf(),
            detail: format!(
                "cannot read {}: {e}; MLX_C_SOURCE_DIR names the folder that holds mlx/c",
                folder.display()
            ),
        })?;
        for entry in entries {
            let path = entry.map_err(Error::io("read", &folder))?.path();
            if path.extension().is_some_and(|e| e == "cpp" || e == "h") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Copies the sources from `from` to `to` with the fix for format strings; `pinned` knows how many there must be.
fn copy_sources(from: &Path, to: &Path, pinned: bool) -> Result<()> {
    let wrong = |detail: String| Error::Sources { dir: from.to_path_buf(), detail };
    let mut sites = 0;
    for file in source_files(from)? {
        let text = fs::read_to_string(&file).map_err(Error::io("read", &file))?;
        let (text, count) = fix_format_strings(&text);
        sites += count;
        if let Some(line) = text.lines().find(|line| is_unsafe_call(line)) {
            return Err(wrong(format!(
                "{} still has a call without a fixed format: `{}`",
                file.display(),
                line.trim()
            )));
        }
        let place = to.join(file.strip_prefix(from).unwrap_or(&file));
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent).map_err(Error::target_io("create", parent))?;
        }
        fs::write(&place, text).map_err(Error::target_io("write", &place))?;
    }
    if pinned && sites != FORMAT_SITES {
        return Err(wrong(format!(
            "{sites} calls of mlx_error(e.what()) where {FORMAT_SITES} were expected; the pin and FORMAT_SITES in \
             mlx-build/src/native.rs have to move together"
        )));
    }
    Ok(())
}

/// `mlx_error` takes a printf format, and mlx-c gives it the text of an exception, in which a path or a tensor's name
/// may hold a `%s` or a `%n`. Returns the text with a fixed format and the number of places.
fn fix_format_strings(text: &str) -> (String, usize) {
    const CALL: &str = "mlx_error(e.what())";
    (text.replace(CALL, "mlx_error(\"%s\", e.what())"), text.matches(CALL).count())
}

/// Whether a line calls `mlx_error` with anything but a literal for its format.
fn is_unsafe_call(line: &str) -> bool {
    line.match_indices("mlx_error(").any(|(at, name)| {
        let own_name = line.get(..at).is_some_and(|before| before.ends_with('_'));
        let format = line.get(at + name.len()..).unwrap_or_default().trim_start();
        // `_mlx_error(` is the function behind the macro, and `mlx_error(...)` the macro's own definition.
        !own_name && !format.starts_with(['"', '.']) && !format.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("mlx/c/private")).unwrap();
        fs::write(folder.path().join("mlx/c/ops.cpp"), text).unwrap();
        folder
    }

    #[test]
    fn the_text_of_an_exception_is_never_the_format() {
        let (fixed, count) =
            fix_format_strings("catch (e) { mlx_error(e.what()); }\n{ mlx_error(e.what()); }");
        assert_eq!(count, 2);
        assert_eq!(fixed, "catch (e) { mlx_error(\"%s\", e.what()); }\n{ mlx_error(\"%s\", e.what()); }");
        assert!(!fixed.lines().any(is_unsafe_call));
        for line in ["mlx_error(error.what());", "mlx_error(message);", "mlx_error( text );"] {
            assert!(is_unsafe_call(line), "{line}");
        }
        for line in ["#define mlx_error(...) _mlx_error(__FILE__, __VA_ARGS__)", "mlx_error(\"plain\");"] {
            assert!(!is_unsafe_call(line), "{line}");
        }
    }

    #[test]
    fn sources_with_another_number_of_sites_are_refused_when_pinned() {
        let from = sources("mlx_error(e.what());\n");
        let to = tempfile::tempdir().unwrap();
        copy_sources(from.path(), to.path(), false).unwrap();
        let copied = fs::read_to_string(to.path().join("mlx/c/ops.cpp")).unwrap();
        assert_eq!(copied, "mlx_error(\"%s\", e.what());\n");
        let message = copy_sources(from.path(), to.path(), true).unwrap_err().to_string();
        assert!(message.contains("1 calls") && message.contains("652"), "{message}");
    }

    #[test]
    fn sources_with_a_call_that_the_fix_does_not_know_are_refused() {
        let from = sources("mlx_error(error.what());\n");
        let to = tempfile::tempdir().unwrap();
        let message = copy_sources(from.path(), to.path(), false).unwrap_err().to_string();
        assert!(message.contains("ops.cpp") && message.contains("error.what()"), "{message}");
    }

    #[test]
    fn a_source_folder_without_sources_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let message = source_files(folder.path()).unwrap_err().to_string();
        assert!(message.contains("MLX_C_SOURCE_DIR"), "{message}");
    }

    #[test]
    fn mlx_dir_may_name_the_installation_or_its_cmake_folder() {
        let folder = tempfile::tempdir().unwrap();
        let triple = "x86_64-unknown-linux-gnu";
        let root = folder.path();
        let cmake = root.join("share/cmake/MLX");
        for dir in [&cmake, &root.join("lib"), &root.join("include/mlx")] {
            fs::create_dir_all(dir).unwrap();
        }
        let message = LocalMlx::at(root, triple).err().unwrap().to_string();
        assert!(message.contains("MLX_DIR") && message.contains("lib/libmlx.so"), "{message}");
        fs::write(root.join("lib/libmlx.so"), "").unwrap();
        let header =
            "#define MLX_VERSION_MAJOR 0\n#define MLX_VERSION_MINOR 33\n#define MLX_VERSION_PATCH 1\n";
        fs::write(root.join("include/mlx/version.h"), header).unwrap();
        for dir in [root, &cmake] {
            let mlx = LocalMlx::at(dir, triple).ok().unwrap();
            assert_eq!((mlx.root.as_path(), mlx.version.as_str()), (root, "0.33.1"));
        }
        fs::write(root.join("include/mlx/version.h"), "").unwrap();
        assert!(LocalMlx::at(root, triple).is_err());
    }
}
