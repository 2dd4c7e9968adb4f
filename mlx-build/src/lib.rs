// SPDX-License-Identifier: EUPL-1.2
//! Knows how the native library is fetched, built and found; used by `mlx-sys/build.rs` and by `xtask`.
//!
//! The native library is `libmlxc`, the C interface of MLX, with MLX itself. Both end in a **prefix**,
//! `target/mlx/<mlx version>-<backend>-<triple>/`:
//!
//! ```text
//! lib/libmlxc.so       built here, with an absolute soname
//! include/mlx/c/       the C headers, which the bindings are made from
//! mlx/  mlx_cpu.libs/  the wheels of MLX and of OpenBLAS, unpacked as they are
//! scipy_openblas32/
//! build.log            what CMake and the compiler said
//! manifest.json        written last: a folder without it is an interrupted build
//! ```
//!
//! A program that builds calls [`run_step_if_asked`] first and then [`find_or_build`]:
//!
//! ```no_run
//! # fn main() -> Result<(), mlx_build::Error> {
//! mlx_build::run_step_if_asked();
//! let triple = "x86_64-unknown-linux-gnu";
//! let backend = mlx_build::Backend::of_platform(triple)?;
//! let request = mlx_build::Request::new("target", triple, backend);
//! let prefix = mlx_build::find_or_build(&request, &mut |line| eprintln!("{line}"))?;
//! println!("{}", prefix.lib().display());
//! # Ok(()) }
//! ```
//!
//! What is fetched, with which hashes, stands in `vendor/mlx-c/`; `docs/native-build.md` is the long story.
#![forbid(unsafe_code)]

mod error;
mod fetch;
mod native;
mod pins;
mod prefix;
mod step;
mod tools;

pub use error::{Error, Result};
pub use fetch::{Fetcher, sha256_of};
pub use native::{Request, find, find_or_build};
pub use pins::{Backend, MLX_C_VERSION, MLX_VERSION, Platform, Use, Wheel, wheels, wheels_for};
pub use prefix::{Prefix, target_dir_of_out_dir};
pub use step::run_step_if_asked;
pub use tools::{Environment, Tool, cmake, compiler, ninja, python};
