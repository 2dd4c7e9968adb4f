// SPDX-License-Identifier: EUPL-1.2
//! What is fetched, from where, and with which hash.
//!
//! The pins stand in `vendor/mlx-c/`; they are compiled in, so that the crate needs no path at run time.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// The version of MLX that everything is pinned to.
pub const MLX_VERSION: &str = "0.32.2";

/// The version of mlx-c, which pins [`MLX_VERSION`] in turn.
pub const MLX_C_VERSION: &str = "0.7.0";

/// `vendor/mlx-c` as files: (path, text). Their content is part of a prefix's fingerprint.
pub(crate) const RECIPE: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../vendor/mlx-c/Cargo.toml")),
    ("Cargo.lock", include_str!("../../vendor/mlx-c/Cargo.lock")),
    ("CMakeLists.txt", include_str!("../../vendor/mlx-c/CMakeLists.txt")),
    ("blas.cpp", include_str!("../../vendor/mlx-c/blas.cpp")),
    ("checked.cpp", include_str!("../../vendor/mlx-c/checked.cpp")),
    ("checked.h", include_str!("../../vendor/mlx-c/checked.h")),
    ("checked.hpp", include_str!("../../vendor/mlx-c/checked.hpp")),
    ("custom.cpp", include_str!("../../vendor/mlx-c/custom.cpp")),
    ("custom.h", include_str!("../../vendor/mlx-c/custom.h")),
    ("format/format", include_str!("../../vendor/mlx-c/format/format")),
];

const WHEELS: &str = include_str!("../../vendor/mlx-c/wheels.txt");

/// What MLX computes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// The processor.
    Cpu,
    /// Apple's GPU.
    Metal,
    /// An NVIDIA GPU, CUDA 13.
    Cuda,
}

impl Backend {
    /// The one that is built when nobody names one: Metal on macOS, else the processor.
    ///
    /// # Errors
    /// [`Error::UnknownPlatform`] for a triple that the pins do not cover.
    pub fn of_platform(triple: &str) -> Result<Backend> {
        Ok(match Platform::of_triple(triple)? {
            Platform::MacosAarch64 => Backend::Metal,
            Platform::LinuxX86_64 | Platform::LinuxAarch64 => Backend::Cpu,
        })
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Cpu => "cpu",
            Backend::Metal => "metal",
            Backend::Cuda => "cuda",
        })
    }
}

impl FromStr for Backend {
    type Err = Error;

    fn from_str(name: &str) -> Result<Backend> {
        match name {
            "cpu" => Ok(Backend::Cpu),
            "metal" => Ok(Backend::Metal),
            "cuda" => Ok(Backend::Cuda),
            _ => Err(Error::UnknownBackend { name: name.to_owned() }),
        }
    }
}

/// A machine that there are wheels for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Platform {
    /// `x86_64-unknown-linux-gnu`
    LinuxX86_64,
    /// `aarch64-unknown-linux-gnu`
    LinuxAarch64,
    /// `aarch64-apple-darwin`
    MacosAarch64,
}

impl Platform {
    const ALL: [Platform; 3] = [Platform::LinuxX86_64, Platform::LinuxAarch64, Platform::MacosAarch64];

    /// The platform of a Rust target triple.
    ///
    /// # Errors
    /// [`Error::UnknownPlatform`] when the pins do not cover it.
    pub fn of_triple(triple: &str) -> Result<Platform> {
        Platform::ALL.into_iter().find(|p| p.triple() == triple).ok_or_else(|| Error::UnknownPlatform {
            triple: triple.to_owned(),
            backend: "default".to_owned(),
            known: known(),
        })
    }

    /// The Rust target triple.
    #[must_use]
    pub fn triple(self) -> &'static str {
        match self {
            Platform::LinuxX86_64 => "x86_64-unknown-linux-gnu",
            Platform::LinuxAarch64 => "aarch64-unknown-linux-gnu",
            Platform::MacosAarch64 => "aarch64-apple-darwin",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Platform::LinuxX86_64 => "linux-x86_64",
            Platform::LinuxAarch64 => "linux-aarch64",
            Platform::MacosAarch64 => "macos-aarch64",
        }
    }
}

/// What a wheel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Use {
    /// Part of the prefix of this backend.
    Backend(Backend),
    /// A build tool, fetched where the machine has none.
    Tool,
    /// libclang, for making the bindings.
    Bindgen,
}

/// One pinned file of the Python package index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wheel {
    /// The machine it runs on.
    pub platform: Platform,
    /// What it is for.
    pub role: Use,
    /// Lower-case hexadecimal.
    pub sha256: String,
    /// The whole file name, `name-version-python-abi-platform.whl`.
    pub file: String,
}

impl Wheel {
    /// The package's name as the file name spells it, with underscores.
    #[must_use]
    pub fn package(&self) -> &str {
        self.file.split('-').next().unwrap_or_default()
    }

    /// The package's version.
    #[must_use]
    pub fn version(&self) -> &str {
        self.file.split('-').nth(1).unwrap_or_default()
    }

    /// The platform tags, any of which pip may be asked for.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        let stem = self.file.strip_suffix(".whl").unwrap_or(&self.file);
        stem.rsplit('-').next().unwrap_or_default().split('.')
    }

    /// The line of a pip requirements file that asks for exactly this file.
    #[must_use]
    pub fn requirement(&self) -> String {
        format!("{}=={} --hash=sha256:{}", self.package(), self.version(), self.sha256)
    }
}

/// Every pinned wheel, in the order of the table.
///
/// # Errors
/// [`Error::Pins`] names the first line of `vendor/mlx-c/wheels.txt` that is not understood.
pub fn wheels() -> Result<Vec<Wheel>> {
    parse(WHEELS)
}

/// The wheels that the prefix of `backend` on `platform` is put together from, MLX first.
///
/// # Errors
/// [`Error::UnknownPlatform`] when no wheel is pinned for the pair.
pub fn wheels_for(platform: Platform, backend: Backend) -> Result<Vec<Wheel>> {
    let mut found = wheels()?;
    found.retain(|wheel| wheel.platform == platform && wheel.role == Use::Backend(backend));
    if found.is_empty() {
        return Err(Error::UnknownPlatform {
            triple: platform.triple().to_owned(),
            backend: backend.to_string(),
            known: known(),
        });
    }
    Ok(found)
}

/// The pinned wheel of one package on one platform.
pub(crate) fn wheel_named(platform: Platform, role: Use, package: &str) -> Result<Option<Wheel>> {
    Ok(wheels()?.into_iter().find(|w| w.platform == platform && w.role == role && w.package() == package))
}

fn known() -> String {
    "x86_64-unknown-linux-gnu (cpu, cuda), aarch64-unknown-linux-gnu (cpu), aarch64-apple-darwin (metal)"
        .to_owned()
}

fn parse(table: &str) -> Result<Vec<Wheel>> {
    let mut wheels = Vec::new();
    for (index, line) in table.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |detail: String| Error::Pins { line: index + 1, detail };
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [platform, role, sha256, file] = columns[..] else {
            return Err(wrong(format!("expected 4 columns, found {}", columns.len())));
        };
        let platform = Platform::ALL
            .into_iter()
            .find(|p| p.name() == platform)
            .ok_or_else(|| wrong(format!("unknown platform `{platform}`")))?;
        let role = match role {
            "tool" => Use::Tool,
            "bindgen" => Use::Bindgen,
            other => Use::Backend(other.parse().map_err(|_| wrong(format!("unknown use `{other}`")))?),
        };
        if sha256.len() != 64 || !sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong(format!("`{sha256}` is not a sha256 in lower-case hexadecimal")));
        }
        if !file.ends_with(".whl") || file.split('-').count() < 5 || file.contains(['/', '\\']) {
            return Err(wrong(format!("`{file}` is not the file name of a wheel")));
        }
        wheels.push(Wheel { platform, role, sha256: sha256.to_owned(), file: file.to_owned() });
    }
    Ok(wheels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_platform_gets_its_own_wheels() {
        let cases = [
            ("x86_64-unknown-linux-gnu", "cpu", "mlx_cpu", "x86_64"),
            ("aarch64-unknown-linux-gnu", "cpu", "mlx_cpu", "aarch64"),
            ("aarch64-apple-darwin", "metal", "mlx_metal", "arm64"),
            ("x86_64-unknown-linux-gnu", "cuda", "mlx_cuda_13", "x86_64"),
        ];
        for (triple, backend, package, machine) in cases {
            let platform = Platform::of_triple(triple).unwrap();
            let found = wheels_for(platform, backend.parse().unwrap()).unwrap();
            assert_eq!(found[0].package(), package, "{triple}");
            assert_eq!(found[0].version(), MLX_VERSION, "{triple}");
            assert!(found.iter().all(|w| w.tags().all(|tag| tag.ends_with(machine))), "{triple}");
            let openblas = found.iter().any(|w| w.package() == "scipy_openblas32");
            assert_eq!(openblas, backend != "metal", "OpenBLAS belongs to Linux alone: {triple}");
        }
    }

    #[test]
    fn cuda_brings_the_libraries_that_mlx_names() {
        let found = wheels_for(Platform::LinuxX86_64, Backend::Cuda).unwrap();
        for package in
            ["cublas", "cuda_nvrtc", "cuda_runtime", "cudnn_cu13", "cufft", "nccl_cu13", "nvjitlink"]
        {
            let name = format!("nvidia_{package}");
            assert!(found.iter().any(|w| w.package() == name), "{name}");
        }
    }

    #[test]
    fn every_platform_has_its_tools() {
        for platform in Platform::ALL {
            for (role, package) in [(Use::Tool, "cmake"), (Use::Tool, "ninja"), (Use::Bindgen, "libclang")] {
                assert!(wheel_named(platform, role, package).unwrap().is_some(), "{platform:?} {package}");
            }
        }
    }

    #[test]
    fn platforms_without_wheels_are_refused_by_name() {
        for triple in ["x86_64-pc-windows-msvc", "x86_64-apple-darwin", "x86_64-unknown-linux-musl"] {
            let message = Backend::of_platform(triple).unwrap_err().to_string();
            assert!(message.contains(triple) && message.contains("MLX_PREFIX"), "{message}");
        }
        let message = wheels_for(Platform::LinuxAarch64, Backend::Metal).unwrap_err().to_string();
        assert!(message.contains("aarch64-unknown-linux-gnu with the metal backend"), "{message}");
    }

    #[test]
    fn wheel_names_are_taken_apart() {
        let table = "linux-x86_64 tool \
             00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff \
             ninja-1.13.2-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl";
        let [wheel] = &parse(table).unwrap()[..] else { panic!("one line is one wheel") };
        assert_eq!((wheel.package(), wheel.version()), ("ninja", "1.13.2"));
        assert_eq!(wheel.tags().collect::<Vec<_>>(), ["manylinux2014_x86_64", "manylinux_2_17_x86_64"]);
        assert!(wheel.requirement().starts_with("ninja==1.13.2 --hash=sha256:0011"));
    }

    #[test]
    fn broken_tables_are_refused_with_their_line() {
        let hash = "0".repeat(64);
        let cases = [
            ("linux-x86_64 cpu".to_owned(), "4 columns"),
            (format!("plan9 cpu {hash} a-1-py3-none-any.whl"), "plan9"),
            (format!("linux-x86_64 gpu {hash} a-1-py3-none-any.whl"), "gpu"),
            ("linux-x86_64 cpu ABC a-1-py3-none-any.whl".to_owned(), "ABC"),
            (format!("linux-x86_64 cpu {hash} ../a-1-py3-none-any.whl"), "../a"),
        ];
        for (line, culprit) in cases {
            let message = parse(&format!("# a comment\n{line}")).unwrap_err().to_string();
            assert!(message.contains("line 2") && message.contains(culprit), "{message}");
        }
    }
}
