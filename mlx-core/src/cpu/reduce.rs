// SPDX-License-Identifier: EUPL-1.2
//! Softmax and reductions along the last axis.

use std::ffi::CStr;

use mlx_cpu::{Isa, reduce, softmax};

use super::view::{Matrix, elements_mut, rows_mut, with_element};
use super::{Fused, Node, enabled, is_native};
use crate::custom::{Spec, View, apply_raw};
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::{Array, Dtype};

/// What becomes of each row.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Over {
    /// A row again.
    Softmax,
    /// `ln Σ eˣ`.
    LogSumExp,
    /// The place of the largest.
    Argmax,
}

/// The op along the last axis, or nothing where it is another one, or MLX shall see to it.
pub(crate) fn along(over: Over, x: &Array, axis: i32, keepdims: bool) -> Option<Result<Array>> {
    let last = i32::try_from(x.ndim()).ok()? - 1;
    if !is_native(x.dtype()) || x.size() == 0 || (axis != -1 && axis != last) || last < 0 || !enabled() {
        return None;
    }
    let (_, outer) = x.shape().split_last()?;
    let with_one = [outer, &[1]].concat();
    let (shape, dtype) = match over {
        Over::Softmax => (x.shape(), x.dtype()),
        Over::LogSumExp if keepdims => (&with_one[..], x.dtype()),
        Over::LogSumExp => (outer, x.dtype()),
        Over::Argmax if keepdims => (&with_one[..], Dtype::Uint32),
        Over::Argmax => (outer, Dtype::Uint32),
    };
    let node = Node(Along { over, keepdims });
    Some(apply_raw(node, &[x], [Spec::new(shape, dtype)]).map(|[result]| result))
}

#[derive(Clone)]
struct Along {
    over: Over,
    keepdims: bool,
}

impl Fused for Along {
    const NAME: &'static CStr = c"along_last_axis";

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let ([x], [out]) = (inputs, outputs) else { return Ok(()) };
        with_element!(x.dtype(), "reduce", compute::<_>(self.over, x, out))
    }

    fn composite(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let [x] = inputs else { return Err(missing()) };
        let stream = crate::device::stream();
        // SAFETY: op contract.
        let result = unsafe {
            match self.over {
                Over::Softmax => call!(Array = mlx_softmax_axis(x.as_raw(), -1, true, stream)),
                Over::LogSumExp => call!(Array = mlx_logsumexp_axis(x.as_raw(), -1, self.keepdims, stream)),
                Over::Argmax => call!(Array = mlx_argmax_axis(x.as_raw(), -1, self.keepdims, stream)),
            }
        };
        Ok(vec![result?])
    }

    fn vjp(&self, primals: &[Array], cotangents: &[Array], argnums: &[usize]) -> Result<Vec<Array>> {
        let ([x], [y], [0]) = (primals, cotangents, argnums) else { return Err(missing()) };
        Ok(vec![match self.over {
            // `∂x = p · (∂y − Σ p ∂y)`.
            Over::Softmax => {
                let p = x.softmax(-1)?;
                let weighted = (&p * y)?;
                (&weighted - &(&p * &weighted.sum(-1, true)?)?)?
            }
            Over::LogSumExp => {
                let y = if self.keepdims { y.clone() } else { y.expand_dims(-1)? };
                (&x.softmax(-1)? * &y)?
            }
            Over::Argmax => Array::zeros(x.shape(), x.dtype())?,
        }])
    }
}

fn missing() -> Error {
    Error::shape("reduce", "an input is missing")
}

fn compute<T: mlx_cpu::Element>(over: Over, x: &View<'_>, out: &mut View<'_>) -> Result<()> {
    let x = Matrix::<T>::of(x)?;
    let (isa, x) = (Isa::current(), x.rows()?);
    match over {
        Over::Softmax => softmax::softmax(isa, x, 1.0, None, &mut rows_mut(out)?)?,
        Over::LogSumExp => reduce::logsumexp(isa, x, elements_mut::<T>(out))?,
        Over::Argmax => reduce::argmax(isa, x, elements_mut::<u32>(out))?,
    }
    Ok(())
}
