// SPDX-License-Identifier: EUPL-1.2
//! Which op takes which kernel of `mlx-cpu`.
//!
//! On a CPU stream an op that has a kernel becomes a node of ours, a [`RawOp`](crate::custom::RawOp); everything else is left to MLX.
//! Each such node knows its *composite*: the same result made of plain ops. Derivatives are those of the composite,
//! whose products are nodes of ours again.
//!
//! `MLX_CPU_KERNELS=0` turns all of it off. With `MLX_CPU_KERNELS=none` nodes are made and run, and compute nothing: what
//! is left is the cost of everything else.

pub(crate) mod attention;
pub(crate) mod elementwise;
pub(crate) mod gather;
pub(crate) mod norm;
pub(crate) mod product;
pub(crate) mod project;
pub(crate) mod quantized;
pub(crate) mod reduce;
pub(crate) mod rope;
mod view;

use std::cell::Cell;
use std::ffi::CStr;
use std::sync::OnceLock;

use crate::custom::{RawOp, View};
use crate::error::{Error, Result};
use crate::{Array, Dtype, transform};

/// What `MLX_CPU_KERNELS` says.
#[derive(Clone, Copy, PartialEq)]
enum Kernels {
    On,
    Off,
    Hollow,
}

fn kernels() -> Kernels {
    static KERNELS: OnceLock<Kernels> = OnceLock::new();
    *KERNELS.get_or_init(|| match std::env::var_os("MLX_CPU_KERNELS") {
        Some(value) if value == "0" => Kernels::Off,
        Some(value) if value == "none" => Kernels::Hollow,
        _ => Kernels::On,
    })
}

/// Checks the environment variables that steer the kernels: `MLX_CPU_KERNELS` (`0` or `none`), `MLX_CPU_ISA` and
/// `MLX_CPU_THREADS`. One that cannot be obeyed counts as absent elsewhere; a program says so first.
///
/// # Errors
/// [`Error::Argument`] with the variable, and what it may be.
pub fn check_cpu_variables() -> Result<()> {
    const VARIABLE: &str = "MLX_CPU_KERNELS";
    if let Some(value) = std::env::var_os(VARIABLE)
        && !["", "0", "1", "none"].iter().any(|known| value == *known)
    {
        let message = format!("expected 0, 1 or none, found {:?}", value.to_string_lossy());
        return Err(Error::argument("environment", VARIABLE, message));
    }
    mlx_cpu::check().map_err(|error| match error {
        mlx_cpu::Error::Variable { name, message } => Error::argument("environment", name, message),
        other => other.into(),
    })
}

/// Whether nodes shall compute nothing.
pub(crate) fn is_hollow() -> bool {
    kernels() == Kernels::Hollow
}

thread_local! {
    /// How many scopes without kernels this thread is in.
    static WITHOUT: Cell<u32> = const { Cell::new(0) };
}

/// Whether ops of this thread go to our kernels.
pub(crate) fn enabled() -> bool {
    kernels() != Kernels::Off
        && WITHOUT.try_with(Cell::get).is_ok_and(|depth| depth == 0)
        && crate::device::on_cpu()
}

/// Runs `body` with MLX's own ops alone, as graphs that leave this process need it.
pub(crate) fn without_kernels<R>(body: impl FnOnce() -> R) -> R {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            let _ = WITHOUT.try_with(|depth| depth.set(depth.get().saturating_sub(1)));
        }
    }
    let _ = WITHOUT.try_with(|depth| depth.set(depth.get() + 1));
    let _leave = Leave;
    body()
}

/// Whether ops on the thread's current stream go to the kernels of `mlx-cpu`, as they do on the processor unless
/// `MLX_CPU_KERNELS=0` says otherwise.
///
/// Whoever has a [`CpuOp`](crate::custom::CpuOp) beside plain ops for the same asks this to choose between them.
#[must_use]
pub fn has_cpu_kernels() -> bool {
    enabled()
}

/// Whether kernels compute with the dtype.
pub(crate) fn is_native(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::Float16 | Dtype::Bfloat16 | Dtype::Float32)
}

/// An error of a kernel, which only comes of a mistake in this crate, or of a variable that cannot be obeyed.
impl From<mlx_cpu::Error> for Error {
    fn from(error: mlx_cpu::Error) -> Self {
        Self::Mlx { op: "cpu", message: error.to_string() }
    }
}

/// A node of ours that can say the same in plain ops.
pub(crate) trait Fused: Clone + Send + Sync + 'static {
    /// The op's name in errors and graphs.
    const NAME: &'static CStr;

    /// Computes the outputs.
    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()>;

    /// The same results in plain ops.
    fn composite(&self, inputs: &[Array]) -> Result<Vec<Array>>;

    /// Cotangents pulled back to the inputs that `argnums` names; by default through the composite.
    fn vjp(&self, primals: &[Array], cotangents: &[Array], argnums: &[usize]) -> Result<Vec<Array>> {
        let (function, chosen) = self.function_of(primals, argnums);
        Ok(transform::vjp(function, &chosen, cotangents)?.1)
    }

    /// The results for every example along the mapped axis of each input, and that axis in the results; by default
    /// through the composite.
    fn vmap(&self, inputs: &[Array], axes: &[Option<usize>]) -> Result<(Vec<Array>, usize)> {
        let mapped = transform::map(|inputs| self.composite(inputs), inputs, axes, &0.into())?;
        Ok((mapped, 0))
    }

    /// The composite as a function of some of its inputs, and the values of these. What is packed has no derivative at
    /// all, so it must not be a variable.
    #[expect(clippy::type_complexity, reason = "a closure and its arguments")]
    fn function_of(
        &self,
        primals: &[Array],
        argnums: &[usize],
    ) -> (Box<dyn Fn(&[Array]) -> Result<Vec<Array>>>, Vec<Array>) {
        let chosen = argnums.iter().filter_map(|&i| primals.get(i).cloned()).collect();
        let (op, fixed, variables) = (self.clone(), primals.to_vec(), argnums.to_vec());
        let function = move |values: &[Array]| {
            let mut inputs = fixed.clone();
            for (&i, value) in variables.iter().zip(values) {
                if let Some(input) = inputs.get_mut(i) {
                    *input = value.clone();
                }
            }
            op.composite(&inputs)
        };
        (Box::new(function), chosen)
    }
}

/// A [`Fused`] op as the graph takes it.
pub(crate) struct Node<F>(pub(crate) F);

impl<F: Fused> RawOp for Node<F> {
    fn name(&self) -> &'static CStr {
        F::NAME
    }

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        if is_hollow() { Ok(()) } else { self.0.eval(inputs, outputs) }
    }

    fn vjp(
        &self,
        primals: &[Array],
        cotangents: &[Array],
        argnums: &[usize],
        _outputs: &[Array],
    ) -> Result<Vec<Array>> {
        self.0.vjp(primals, cotangents, argnums)
    }

    fn jvp(&self, primals: &[Array], tangents: &[Array], argnums: &[usize]) -> Result<Vec<Array>> {
        let (function, chosen) = self.0.function_of(primals, argnums);
        Ok(transform::jvp(function, &chosen, tangents)?.1)
    }

    fn vmap(&self, inputs: &[Array], axes: &[Option<usize>]) -> Result<(Vec<Array>, usize)> {
        self.0.vmap(inputs, axes)
    }

    fn output_shapes(&self, inputs: &[&Array]) -> Result<Vec<Vec<i32>>> {
        let inputs: Vec<Array> = inputs.iter().map(|&input| input.clone()).collect();
        Ok(self.0.composite(&inputs)?.iter().map(|result| result.shape().to_vec()).collect())
    }
}
