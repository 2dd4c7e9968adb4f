// SPDX-License-Identifier: EUPL-1.2
//! Arrays on Apple's MLX: lazy, typed at run time, safe.
//!
//! An [`Array`] is a reference to a node of a lazy graph. Ops extend the graph and return at once; reading a value
//! computes what it needs. Ops are methods where one operand is clearly the subject, and functions otherwise; operators
//! between arrays return a [`Result`], because shapes are only known at run time.
//!
//! ```
//! # fn main() -> mlx_core::Result<()> {
//! use mlx_core::Array;
//!
//! let x = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
//! let y = (&x.matmul(&x)? + 1.0)?;
//! assert_eq!(y.to_vec::<f32>()?, [8.0, 11.0, 16.0, 23.0]);
//! # Ok(()) }
//! ```
//!
//! Reading order: [`Array`] and [`Element`], then the ops by family, [`fast`] for the fused kernels of language models,
//! [`io`] for checkpoints and files, [`Stream`] for where things run, [`SharedArray`] for the way between threads, and
//! [`distributed`] for the way between processes. [`guide`] has the long topics.
//!
//! # Features
//! None is on by default.
//!
//! - `ndarray`: `TryFrom` between [`Array`] and the arrays and views of the `ndarray` crate, without a copy where that can be
//! - `num-complex`: `num_complex::Complex<f32>` as an [`Element`]
//! - `npz`: NumPy's archives in [`io`]

pub mod custom;
pub mod distributed;
pub mod fast;
pub mod fft;
pub mod guide;
pub mod io;
pub mod linalg;
pub mod memory;
pub mod metal;
pub mod random;
pub mod transform;

mod array;
mod closure;
mod cpu;
mod device;
mod display;
mod dtype;
mod element;
mod error;
mod eval;
mod few;
mod ffi;
#[cfg(feature = "ndarray")]
mod interchange;
#[cfg(test)]
mod leaks;
mod lease;
mod ops;
mod shared;
mod text;
mod vector;

pub use array::Array;
pub use cpu::{check_cpu_variables, has_cpu_kernels};
pub use device::{Device, DeviceKind, DeviceValue, Stream, synchronize, version};
pub use display::{DisplayOptions, Displayed};
pub use dtype::Dtype;
pub use element::{Complex64, Element};
pub use error::{Error, Result};
pub use eval::{async_eval, eval};
pub use half::{bf16, f16};
pub use ops::*;
pub use shared::SharedArray;
