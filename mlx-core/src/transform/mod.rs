// SPDX-License-Identifier: EUPL-1.2
#![doc = include_str!("../../../docs/transforms.md")]

mod compile;
mod custom;
mod export;
mod grad;
mod graph;
mod tree;
mod vmap;

pub use compile::{CompileMode, Compiled, clear_compile_cache, compile, compile_shapeless, set_compile_mode};
pub use custom::{CustomFunction, checkpoint};
pub use export::{Exporter, ImportedFunction, export_function, export_function_named, import_function};
pub use grad::{grad, jvp, value_and_grad, value_and_grad_by, vjp};
pub use graph::{NodeNames, export_to_dot, print_graph};
pub use tree::Tree;
pub(crate) use vmap::map;
pub use vmap::{Axes, vmap};

#[cfg(test)]
mod tests;
