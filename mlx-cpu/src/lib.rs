// SPDX-License-Identifier: EUPL-1.2
//! The kernels of language models for the processor.
//!
//! Matrix products in bfloat16, float16, float32 and with quantised weights, norms, rotary embeddings, attention,
//! activations: each over plain slices and strides, in the best instructions that this processor has
//! ([`Isa::current`]), on one pool of threads ([`pool`]). No arrays and no graph: that is `mlx-core`.
//!
//! Two environment variables steer it. `MLX_CPU_ISA` names an instruction set, for tests; `MLX_CPU_THREADS` sets how many
//! threads there are, by default one for each physical core that the process may use.
//!
//! Every kernel gives the same bits on every run with the same instruction set, whatever the number of threads.

pub mod attention;
pub mod elementwise;
pub mod gemm;
pub mod norm;
pub mod pool;
pub mod quant;
pub mod reduce;
pub mod rope;
pub mod scratch;
pub mod softmax;

mod error;
mod isa;
mod rows;
mod simd;
#[cfg(test)]
mod testing;

pub use error::{Error, Result};
pub use isa::{Isa, check};
pub use rows::{Rows, RowsMut};
pub use simd::Element;
