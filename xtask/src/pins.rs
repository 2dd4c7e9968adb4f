// SPDX-License-Identifier: EUPL-1.2
//! `cargo xtask pins --check`: does the package index serve what is pinned, and is it what we take it for?

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use mlx_build::{Environment, Fetcher, Platform, Use, Wheel};
use serde_json::Value;

use crate::workspace::{Workspace, output};

/// Asks about every line of the table.
///
/// The wheels that a prefix is made of are fetched, once, and looked into. NVIDIA's hold 1.5 GB, and the tools of other
/// platforms are of no use here: of those only the hash that the index gives is compared.
///
/// # Errors
/// Names every wheel that the index does not serve with that hash, and every file that is missing.
pub fn check(workspace: &Workspace) -> Result<()> {
    let env = Environment::from_process();
    let wheels = mlx_build::wheels()?;
    let mut wrong = Vec::new();

    for platform in platforms(&wheels) {
        let listed: Vec<Wheel> =
            distinct(wheels.iter().filter(|wheel| wheel.platform == platform && !looked_into(wheel)));
        eprintln!("asking the index about {} wheels of {}", listed.len(), platform.triple());
        match hashes_in_index(&env, &listed) {
            Ok(found) => wrong.extend(differences(&listed, &found)),
            Err(error) => wrong.push(format!("{}: {error:#}", platform.triple())),
        }
    }

    let mut say = |line: &str| eprintln!("{line}");
    let mut fetcher = Fetcher::new(workspace.target_dir.join("mlx"), &env, &mut say);
    let python = mlx_build::python(&env)?;
    for wheel in distinct(wheels.iter().filter(|wheel| looked_into(wheel))) {
        // pip and then mlx-build compare the hash, so a file that comes back is the pinned one.
        match fetcher.wheels(std::slice::from_ref(&wheel)) {
            Ok(files) => {
                for file in files {
                    wrong.extend(missing_files(&wheel, &content(&python.path, &file)?));
                }
            }
            Err(error) => wrong.push(format!("{}: {error}", wheel.file)),
        }
    }

    ensure!(wrong.is_empty(), "the pins do not hold:\n{}", wrong.join("\n"));
    eprintln!("the index serves all {} pinned wheels", distinct(wheels.iter()).len());
    Ok(())
}

/// Whether a wheel is fetched to see what it holds: MLX itself and OpenBLAS.
fn looked_into(wheel: &Wheel) -> bool {
    matches!(wheel.role, Use::Backend(_)) && !wheel.package().starts_with("nvidia_")
}

fn platforms(wheels: &[Wheel]) -> Vec<Platform> {
    let mut found = Vec::new();
    for wheel in wheels {
        if !found.contains(&wheel.platform) {
            found.push(wheel.platform);
        }
    }
    found
}

/// A wheel that two backends share is asked about once.
fn distinct<'a>(wheels: impl Iterator<Item = &'a Wheel>) -> Vec<Wheel> {
    let mut found: Vec<Wheel> = Vec::new();
    for wheel in wheels {
        if !found.iter().any(|other| other.file == wheel.file) {
            found.push(wheel.clone());
        }
    }
    found
}

/// File name → sha256, as the index gives them. pip is asked what it would install; with an index that serves metadata
/// apart from the wheels it fetches nothing else, and `fast-deps` reads the end of a wheel alone where it does not.
fn hashes_in_index(env: &Environment, wheels: &[Wheel]) -> Result<BTreeMap<String, String>> {
    if wheels.is_empty() {
        return Ok(BTreeMap::new());
    }
    let python = mlx_build::python(env)?;
    let mut command = Command::new(&python.path);
    command.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--dry-run",
        "--ignore-installed",
    ]);
    command.args(["--no-deps", "--only-binary=:all:", "--python-version", "3.12", "--use-feature=fast-deps"]);
    // pip wants a target for foreign platforms, and writes nothing there on a dry run.
    command.args(["--target", "unused", "--report", "-"]);
    for tag in wheels.iter().flat_map(Wheel::tags) {
        command.args(["--platform", tag]);
    }
    command.args(wheels.iter().map(|wheel| format!("{}=={}", wheel.package(), wheel.version())));
    let report: Value = serde_json::from_str(&output(&mut command)?).context("pip's report is not JSON")?;
    let installs =
        report.get("install").and_then(Value::as_array).context("pip's report names nothing to install")?;
    let mut found = BTreeMap::new();
    for install in installs {
        let url = install.pointer("/download_info/url").and_then(Value::as_str);
        let hash = install.pointer("/download_info/archive_info/hashes/sha256").and_then(Value::as_str);
        let (Some(url), Some(hash)) = (url, hash) else {
            bail!("pip's report gives a file without a sha256")
        };
        let file = url.rsplit('/').next().unwrap_or(url);
        found.insert(file.split('#').next().unwrap_or(file).to_owned(), hash.to_owned());
    }
    Ok(found)
}

fn differences(wheels: &[Wheel], found: &BTreeMap<String, String>) -> Vec<String> {
    wheels
        .iter()
        .filter_map(|wheel| match found.get(&wheel.file) {
            Some(hash) if *hash == wheel.sha256 => None,
            Some(hash) => {
                Some(format!("{}: the index gives sha256 {hash}, pinned is {}", wheel.file, wheel.sha256))
            }
            None => Some(format!("{}: the index serves no such file", wheel.file)),
        })
        .collect()
}

/// The names in a wheel.
fn content(python: &Path, file: &Path) -> Result<Vec<String>> {
    let listing = output(Command::new(python).args(["-m", "zipfile", "-l"]).arg(file))?;
    Ok(listing.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// What a build takes from a wheel and does not find there.
fn missing_files(wheel: &Wheel, content: &[String]) -> Vec<String> {
    let expected: &[&str] = match (wheel.package(), wheel.platform) {
        ("scipy_openblas32", _) => &["scipy_openblas32/lib/libscipy_openblas.so"],
        (_, Platform::MacosAarch64) => &["mlx/lib/libmlx.dylib", "mlx/lib/mlx.metallib"],
        _ => &["mlx/lib/libmlx.so"],
    };
    let common: &[&str] = match wheel.package() {
        "scipy_openblas32" => &[],
        _ => &["mlx/include/mlx/mlx.h", "mlx/include/mlx/version.h", "mlx/share/cmake/MLX/MLXConfig.cmake"],
    };
    expected
        .iter()
        .chain(common)
        .filter(|name| !content.iter().any(|found| found == *name))
        .map(|name| format!("{}: holds no {name}", wheel.file))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheel_with_another_hash_or_none_is_named() {
        let wheels = distinct(mlx_build::wheels().unwrap().iter().take(3));
        let mut index: BTreeMap<String, String> =
            wheels.iter().map(|wheel| (wheel.file.clone(), wheel.sha256.clone())).collect();
        assert!(differences(&wheels, &index).is_empty());
        index.insert(wheels[0].file.clone(), "0".repeat(64));
        index.remove(&wheels[1].file);
        let wrong = differences(&wheels, &index);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].contains(&wheels[0].file) && wrong[0].contains(&"0".repeat(64)), "{wrong:?}");
        assert!(wrong[1].contains("no such file"), "{wrong:?}");
    }

    #[test]
    fn a_wheel_without_its_library_is_named() {
        let wheels = mlx_build::wheels().unwrap();
        let metal = wheels.iter().find(|wheel| wheel.package() == "mlx_metal").unwrap();
        let mut content: Vec<String> =
            ["mlx/lib/libmlx.dylib", "mlx/lib/mlx.metallib", "mlx/include/mlx/mlx.h"]
                .into_iter()
                .chain(["mlx/include/mlx/version.h", "mlx/share/cmake/MLX/MLXConfig.cmake"])
                .map(str::to_owned)
                .collect();
        assert!(missing_files(metal, &content).is_empty());
        content.remove(1);
        assert_eq!(
            missing_files(metal, &content),
            [format!("{}: holds no mlx/lib/mlx.metallib", metal.file)]
        );
    }
}
