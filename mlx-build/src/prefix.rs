// SPDX-License-Identifier: EUPL-1.2
//! A finished native library on disk: finding it, locking it while it is made, and the manifest that ends it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::fetch::remove_folder;
use crate::pins::{MLX_C_VERSION, MLX_VERSION};
use crate::{Error, Result};

const MANIFEST: &str = "manifest.json";

/// A folder with `lib/libmlxc` and `include/mlx/c`, ready to link to.
#[derive(Clone, Debug)]
pub struct Prefix {
    root: PathBuf,
}

impl Prefix {
    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that the linker is told of.
    #[must_use]
    pub fn lib(&self) -> PathBuf {
        self.root.join("lib")
    }

    /// The folder below which `mlx/c/mlx.h` lies.
    #[must_use]
    pub fn include(&self) -> PathBuf {
        self.root.join("include")
    }

    /// The file that changes when the prefix is built anew.
    #[must_use]
    pub fn manifest(&self) -> PathBuf {
        self.root.join(MANIFEST)
    }

    /// The prefix in a folder that is known to hold one.
    pub(crate) fn at(root: PathBuf) -> Prefix {
        Prefix { root }
    }

    /// What `MLX_PREFIX` names: used as it is, but not when its manifest says that it is something else.
    pub(crate) fn named(root: &Path, triple: &str) -> Result<Prefix> {
        let wrong =
            |detail: String| Error::Override { variable: "MLX_PREFIX", path: root.to_path_buf(), detail };
        let library = Path::new("lib").join(library_name(triple));
        if !root.join(&library).is_file() {
            return Err(wrong(format!(
                "it has no {}; build one with `cargo xtask build-mlx`, or unset the variable",
                library.display()
            )));
        }
        // A prefix that somebody installed by hand has no manifest; what it holds is then their word.
        if let Some(manifest) = read_manifest(root)? {
            for (key, expected) in [("mlx", MLX_VERSION), ("mlx_c", MLX_C_VERSION), ("triple", triple)] {
                let found = text(&manifest, key);
                if found != expected {
                    return Err(wrong(format!(
                        "its manifest says {key} {found}, where {expected} is needed; build one with `cargo xtask \
                         build-mlx`, or unset the variable"
                    )));
                }
            }
        }
        let root = std::path::absolute(root).map_err(Error::io("find", root))?;
        Ok(Prefix::at(root))
    }
}

/// What a prefix has to be for a request.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) mlx: String,
    pub(crate) backend: String,
    pub(crate) triple: String,
    /// Changes with everything that goes into the build.
    pub(crate) fingerprint: String,
}

/// What a build tells the manifest: files that must be there later, and what it was made with.
#[derive(Debug, Default)]
pub(crate) struct Built {
    /// Relative to the prefix.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) made_with: Vec<(String, String)>,
}

/// Why a prefix cannot be used as it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    Missing,
    Interrupted,
    Other(String),
}

/// Looks at the folder; nothing is changed.
pub(crate) fn state(root: &Path, expected: &Expected) -> Result<State> {
    let Some(manifest) = read_manifest(root)? else {
        return Ok(if root.exists() { State::Interrupted } else { State::Missing });
    };
    let here = root.display().to_string();
    for (key, wanted) in [
        ("mlx", expected.mlx.as_str()),
        ("mlx_c", MLX_C_VERSION),
        ("backend", &expected.backend),
        ("triple", &expected.triple),
        // The library's name is an absolute path, so a prefix that was moved is a broken one.
        ("prefix", &here),
        ("fingerprint", &expected.fingerprint),
    ] {
        let found = text(&manifest, key);
        if found != wanted {
            return Ok(State::Other(format!("its {key} is {found}, not {wanted}")));
        }
    }
    for file in manifest.get("files").and_then(Value::as_array).into_iter().flatten() {
        let name = text(file, "path");
        let size = file.get("bytes").and_then(Value::as_u64);
        if root.join(&name).metadata().ok().map(|m| m.len()) != size {
            return Ok(State::Other(format!("its {name} is missing or damaged")));
        }
    }
    Ok(State::Ready)
}

/// Gives the prefix at `root`, calling `build` to make it where it is not there or not the right one.
///
/// One process builds at a time; the others wait and then find it ready. The folder is emptied before and gets its
/// manifest after the build, so that a build that was stopped at any moment is known as such. `build` is lent the lock, to
/// hand it on to the programs that it starts: these may outlive a process that is killed.
pub(crate) fn ensure(
    root: &Path,
    expected: &Expected,
    clean: bool,
    progress: &mut dyn FnMut(&str),
    build: impl FnOnce(&File, &mut dyn FnMut(&str)) -> Result<Built>,
) -> Result<Prefix> {
    let ready = Prefix::at(root.to_path_buf());
    if !clean && state(root, expected)? == State::Ready {
        return Ok(ready);
    }
    let lock = lock(root, progress)?;
    match state(root, expected)? {
        State::Ready if !clean => return Ok(ready),
        State::Ready | State::Missing => {}
        State::Interrupted => progress("an earlier build did not end well: starting again"),
        State::Other(reason) => {
            progress(&format!("building anew, since the prefix that is there will not do: {reason}"))
        }
    }
    // The manifest goes first, so that a removal which is interrupted leaves no prefix that looks whole.
    let manifest = root.join(MANIFEST);
    match fs::remove_file(&manifest) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::target_io("remove", &manifest)(e));
        }
        _ => {}
    }
    remove_folder(root)?;
    fs::create_dir_all(root).map_err(Error::target_io("create", root))?;
    let built = build(&lock, progress)?;
    write_manifest(root, expected, &built)?;
    Ok(ready)
}

/// Held until the value and all its clones are closed, at the latest when the processes that have them end.
fn lock(root: &Path, progress: &mut dyn FnMut(&str)) -> Result<File> {
    if let Some(parent) = root.parent() {
        fs::create_dir_all(parent).map_err(Error::target_io("create", parent))?;
    }
    let path = root.with_added_extension("lock");
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(Error::target_io("create", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            progress("waiting for another process that builds the native library");
            file.lock().map_err(Error::target_io("lock", &path))?;
        }
        Err(TryLockError::Error(e)) => return Err(Error::target_io("lock", &path)(e)),
    }
    Ok(file)
}

fn write_manifest(root: &Path, expected: &Expected, built: &Built) -> Result<()> {
    let mut files = Vec::new();
    for file in &built.files {
        let path = root.join(file);
        let bytes = path.metadata().map_err(Error::io("read", &path))?.len();
        files.push(json!({ "path": file.display().to_string(), "bytes": bytes }));
    }
    let made_with: serde_json::Map<String, Value> =
        built.made_with.iter().map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect();
    let manifest = json!({
        "mlx": expected.mlx,
        "mlx_c": MLX_C_VERSION,
        "backend": expected.backend,
        "triple": expected.triple,
        "prefix": root.display().to_string(),
        "fingerprint": expected.fingerprint,
        "files": files,
        "made_with": made_with,
    });
    let scratch = root.join(".manifest.json");
    fs::write(&scratch, format!("{manifest:#}\n")).map_err(Error::target_io("write", &scratch))?;
    let place = root.join(MANIFEST);
    fs::rename(&scratch, &place).map_err(Error::target_io("write", &place))
}

/// `None` where there is no manifest, or one that is not JSON and so no manifest of ours.
fn read_manifest(root: &Path) -> Result<Option<Value>> {
    let path = root.join(MANIFEST);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(serde_json::from_str(&text).ok()),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(e) => Err(Error::io("read", &path)(e)),
    }
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or("(not said)").to_owned()
}

/// The file that programs link to.
pub(crate) fn library_name(triple: &str) -> &'static str {
    if triple.contains("apple") { "libmlxc.dylib" } else { "libmlxc.so" }
}

/// The directory that Cargo's `OUT_DIR` lies in, where the prefix is kept: `<dir>/[<triple>/]<profile>/build/..`.
///
/// `cargo install --git` works in a temporary directory and deletes it afterwards, while the installed program still
/// needs the library; for one of those the answer is `lasting`, a folder that stays.
#[must_use]
pub fn target_dir_of_out_dir(
    out_dir: &Path,
    triple: &str,
    temporary: &Path,
    lasting: &Path,
) -> Option<PathBuf> {
    let build = out_dir.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "build"))?;
    let above = build.parent()?.parent()?;
    let target = if above.file_name().is_some_and(|name| name == triple) { above.parent()? } else { above };
    let doomed = target.starts_with(temporary)
        && target.file_name().is_some_and(|name| name.to_string_lossy().starts_with("cargo-install"));
    Some(if doomed { lasting.to_path_buf() } else { target.to_path_buf() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn expected() -> Expected {
        Expected {
            mlx: MLX_VERSION.to_owned(),
            backend: "cpu".to_owned(),
            triple: "x86_64-unknown-linux-gnu".to_owned(),
            fingerprint: "f".to_owned(),
        }
    }

    /// A build that writes one library.
    fn make(root: &Path) -> Result<Built> {
        fs::create_dir_all(root.join("lib")).unwrap();
        fs::write(root.join("lib/libmlxc.so"), "library").unwrap();
        Ok(Built { files: vec!["lib/libmlxc.so".into()], made_with: Vec::new() })
    }

    /// Calls `ensure` and says whether it built.
    fn builds(root: &Path, expected: &Expected, clean: bool) -> bool {
        let mut built = false;
        ensure(root, expected, clean, &mut |_| {}, |_, _| {
            built = true;
            make(root)
        })
        .unwrap();
        built
    }

    #[test]
    fn a_second_build_does_nothing_and_a_clean_one_builds() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("p");
        assert!(builds(&root, &expected(), false));
        assert!(!builds(&root, &expected(), false));
        assert!(builds(&root, &expected(), true));
        assert_eq!(state(&root, &expected()).unwrap(), State::Ready);
    }

    #[test]
    fn an_interrupted_build_is_started_again_from_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("p");
        let stopped = ensure(&root, &expected(), false, &mut |_| {}, |_, _| {
            make(&root)?;
            fs::write(root.join("left over"), "").unwrap();
            Err(Error::Nested)
        });
        assert!(matches!(stopped, Err(Error::Nested)));
        assert_eq!(state(&root, &expected()).unwrap(), State::Interrupted);
        let mut said = Vec::new();
        ensure(&root, &expected(), false, &mut |line| said.push(line.to_owned()), |_, _| make(&root))
            .unwrap();
        assert!(said.iter().any(|line| line.contains("did not end well")), "{said:?}");
        assert!(!root.join("left over").exists());
        assert_eq!(state(&root, &expected()).unwrap(), State::Ready);
    }

    #[test]
    fn a_prefix_of_another_version_place_or_recipe_is_built_anew() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("p");
        builds(&root, &expected(), false);
        for other in [
            Expected { mlx: "0.1.0".to_owned(), ..expected() },
            Expected { backend: "cuda".to_owned(), ..expected() },
            Expected { triple: "aarch64-unknown-linux-gnu".to_owned(), ..expected() },
            Expected { fingerprint: "g".to_owned(), ..expected() },
        ] {
            assert!(builds(&root, &other, false), "{other:?}");
        }
        builds(&root, &expected(), false);
        let moved = folder.path().join("q");
        fs::rename(&root, &moved).unwrap();
        assert!(
            matches!(state(&moved, &expected()).unwrap(), State::Other(reason) if reason.contains("prefix"))
        );
    }

    #[test]
    fn a_library_that_was_removed_or_cut_short_is_built_anew() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("p");
        builds(&root, &expected(), false);
        fs::write(root.join("lib/libmlxc.so"), "lib").unwrap();
        assert!(builds(&root, &expected(), false));
        fs::remove_file(root.join("lib/libmlxc.so")).unwrap();
        assert!(builds(&root, &expected(), false));
        fs::write(root.join(MANIFEST), "{ half a mani").unwrap();
        assert!(builds(&root, &expected(), false));
    }

    #[test]
    fn of_two_builds_at_once_one_builds_and_both_get_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("p");
        let (count, start) = (AtomicUsize::new(0), Barrier::new(2));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    start.wait();
                    let prefix = ensure(&root, &expected(), false, &mut |_| {}, |_, _| {
                        count.fetch_add(1, Ordering::SeqCst);
                        // Long enough for the other one to arrive at the lock.
                        std::thread::sleep(std::time::Duration::from_millis(50));
                        make(&root)
                    })
                    .unwrap();
                    assert!(prefix.lib().join("libmlxc.so").is_file());
                });
            }
        });
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_target_directory_that_cannot_be_written_is_named_with_what_helps() {
        let folder = tempfile::tempdir().unwrap();
        // A file where a folder should be stops the superuser too, whom permissions do not.
        let blocked = folder.path().join("mlx");
        fs::write(&blocked, "").unwrap();
        let error =
            ensure(&blocked.join("p"), &expected(), false, &mut |_| {}, |_, _| make(&blocked)).unwrap_err();
        let message = error.to_string();
        for part in [&blocked.display().to_string(), "CARGO_TARGET_DIR", "MLX_PREFIX"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn mlx_prefix_is_taken_as_it_is_unless_its_manifest_disagrees() {
        let folder = tempfile::tempdir().unwrap();
        let (root, triple) = (folder.path(), "x86_64-unknown-linux-gnu");
        let message = Prefix::named(root, triple).unwrap_err().to_string();
        assert!(message.contains("MLX_PREFIX") && message.contains("lib/libmlxc.so"), "{message}");
        make(root).unwrap();
        assert_eq!(Prefix::named(root, triple).unwrap().root(), root);
        write_manifest(root, &expected(), &Built::default()).unwrap();
        assert_eq!(Prefix::named(root, triple).unwrap().root(), root);
        write_manifest(root, &Expected { mlx: "0.29.1".to_owned(), ..expected() }, &Built::default())
            .unwrap();
        let message = Prefix::named(root, triple).unwrap_err().to_string();
        assert!(message.contains("0.29.1") && message.contains(MLX_VERSION), "{message}");
    }

    #[test]
    fn the_target_directory_is_found_above_out_dir() {
        let triple = "x86_64-unknown-linux-gnu";
        let of = |out: &str| {
            target_dir_of_out_dir(Path::new(out), triple, Path::new("/tmp"), Path::new("/lasting"))
        };
        let target = Some(PathBuf::from("/w/target"));
        assert_eq!(of("/w/target/debug/build/mlx-sys-0a1b/out"), target);
        assert_eq!(of("/w/target/release/build/mlx-sys/0a1b/out"), target);
        assert_eq!(of("/w/target/x86_64-unknown-linux-gnu/debug/build/mlx-sys-0a1b/out"), target);
        assert_eq!(of("/build/t/debug/build/mlx-sys-0a1b/out"), Some(PathBuf::from("/build/t")));
        assert_eq!(of("/tmp/t/target/debug/build/mlx-sys-0a1b/out"), Some(PathBuf::from("/tmp/t/target")));
        assert_eq!(of("/tmp/cargo-installAb1/release/build/x-0/out"), Some(PathBuf::from("/lasting")));
        assert_eq!(of("/w/target/debug/out"), None);
    }
}
