// SPDX-License-Identifier: EUPL-1.2
//! Activations and gates, casts, and arithmetic of half precision.

use std::ffi::CStr;

use mlx_cpu::Isa;
use mlx_cpu::elementwise as kernel;

use super::view::{Flat, Matrix, elements_mut, rows_mut, with_element};
use super::{Fused, Node, enabled, is_native};
use crate::custom::{Spec, View, apply_raw};
use crate::error::{Error, Result};
use crate::fast::Activation;
use crate::ffi::{Handle, call};
use crate::{Array, Dtype, transform};

fn serves(x: &Array) -> bool {
    is_native(x.dtype()) && x.size() > 0 && enabled()
}

/// The activation of `x`, or nothing where plain ops shall see to it.
pub(crate) fn activate(activation: Activation, x: &Array) -> Option<Result<Array>> {
    serves(x).then(|| one(Activate(activation), &[x]))
}

/// `activation(gate) · up`.
pub(crate) fn gated(activation: Activation, gate: &Array, up: &Array) -> Option<Result<Array>> {
    let alike = gate.dtype() == up.dtype() && gate.shape() == up.shape() && gate.ndim() > 0;
    (alike && serves(gate)).then(|| one(Gated(activation), &[gate, up]))
}

/// An op of which the result is like its first input.
fn one<F: Fused>(op: F, inputs: &[&Array]) -> Result<Array> {
    let Some(x) = inputs.first() else { return Err(missing()) };
    apply_raw(Node(op), inputs, [Spec::new(x.shape(), x.dtype())]).map(|[result]| result)
}

fn missing() -> Error {
    Error::shape("elementwise", "an input is missing")
}

#[derive(Clone)]
struct Activate(Activation);

impl Fused for Activate {
    const NAME: &'static CStr = c"activation";

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let ([x], [out]) = (inputs, outputs) else { return Ok(()) };
        with_element!(x.dtype(), "activation", activate_all::<_>(self.0, x, out))
    }

    fn composite(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let [x] = inputs else { return Err(missing()) };
        Ok(vec![self.0.plain(x)?])
    }

    fn vjp(&self, primals: &[Array], cotangents: &[Array], argnums: &[usize]) -> Result<Vec<Array>> {
        match (primals, cotangents, argnums) {
            ([x], [y], [0]) => Ok(vec![one(Slope(self.0), &[x, y])?]),
            _ => Ok(Vec::new()),
        }
    }
}

fn activate_all<T: mlx_cpu::Element>(activation: Activation, x: &View<'_>, out: &mut View<'_>) -> Result<()> {
    let x = Flat::<T>::of(x)?;
    Ok(kernel::activate(Isa::current(), activation.kernel(), &x, elements_mut(out))?)
}

/// The derivative of an activation, times a cotangent. Inputs: `x`, `∂y`.
#[derive(Clone)]
struct Slope(Activation);

impl Fused for Slope {
    const NAME: &'static CStr = c"activation_vjp";

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let ([x, y], [out]) = (inputs, outputs) else { return Ok(()) };
        with_element!(x.dtype(), "activation_vjp", slope::<_>(self.0, x, y, out))
    }

    fn composite(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let [x, y] = inputs else { return Err(missing()) };
        let activation = self.0;
        let function = move |x: &[Array]| x.iter().map(|x| activation.plain(x)).collect::<Result<Vec<_>>>();
        Ok(transform::vjp(function, std::slice::from_ref(x), std::slice::from_ref(y))?.1)
    }
}

fn slope<T: mlx_cpu::Element>(
    activation: Activation,
    x: &View<'_>,
    y: &View<'_>,
    out: &mut View<'_>,
) -> Result<()> {
    let (x, y) = (Flat::<T>::of(x)?, Flat::<T>::of(y)?);
    Ok(kernel::activate_vjp(Isa::current(), activation.kernel(), &x, &y, elements_mut(out))?)
}

/// Inputs: gate, up.
#[derive(Clone)]
struct Gated(Activation);

impl Fused for Gated {
    const NAME: &'static CStr = c"gated";

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let ([gate, up], [out]) = (inputs, outputs) else { return Ok(()) };
        with_element!(gate.dtype(), "gated", gate_all::<_>(self.0, gate, up, out))
    }

    fn composite(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let [gate, up] = inputs else { return Err(missing()) };
        Ok(vec![(&self.0.plain(gate)? * up)?])
    }

    fn vjp(&self, primals: &[Array], cotangents: &[Array], argnums: &[usize]) -> Result<Vec<Array>> {
        let ([gate, up], [y]) = (primals, cotangents) else { return Err(missing()) };
        let spec = Spec::new(gate.shape(), gate.dtype());
        let gradients = apply_raw(Node(GatedVjp(self.0)), &[gate, up, y], [spec, spec])?;
        argnums.iter().map(|&i| gradients.get(i).cloned().ok_or_else(missing)).collect()
    }
}

fn gate_all<T: mlx_cpu::Element>(
    activation: Activation,
    gate: &View<'_>,
    up: &View<'_>,
    out: &mut View<'_>,
) -> Result<()> {
    let (gate, up) = (Matrix::<T>::of(gate)?, Matrix::<T>::of(up)?);
    Ok(kernel::gated(Isa::current(), activation.kernel(), gate.rows()?, up.rows()?, &mut rows_mut(out)?)?)
}

/// The gradients of a gate. Inputs: gate, up, `∂y`; outputs: `∂gate`, `∂up`.
#[derive(Clone)]
struct GatedVjp(Activation);

impl Fused for GatedVjp {
    const NAME: &'static CStr = c"gated_vjp";

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let [gate, ..] = inputs else { return Ok(()) };
        with_element!(gate.dtype(), "gated_vjp", gate_vjp::<_>(self.0, inputs, outputs))
    }

    fn composite(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let [gate, up, y] = inputs else { return Err(missing()) };
        let op = Gated(self.0);
        let function = move |inputs: &[Array]| op.composite(inputs);
        Ok(transform::vjp(function, &[gate.clone(), up.clone()], std::slice::from_ref(y))?.1)
    }
}

fn gate_vjp<T: mlx_cpu::Element>(
    activation: Activation,
    inputs: &[View<'_>],
    outputs: &mut [View<'_>],
) -> Result<()> {
    let ([gate, up, y], [dgate, dup]) = (inputs, outputs) else { return Ok(()) };
    let (gate, up, y) = (Matrix::<T>::of(gate)?, Matrix::<T>::of(up)?, Matrix::<T>::of(y)?);
    let (gate, up, y) = (gate.rows()?, up.rows()?, y.rows()?);
    let (mut dgate, mut dup) = (rows_mut(dgate)?, rows_mut(dup)?);
    Ok(kernel::gated_vjp(Isa::current(), activation.kernel(), gate, up, y, &mut dgate, &mut dup)?)
}

/// Elements from which on a node of ours is worth it for one step of arithmetic: MLX goes through float16 a number at a
/// time, and through bfloat16 a little slower than the kernels do.
fn many(dtype: Dtype) -> usize {
    if dtype == Dtype::Float16 { 256 } else { 2048 }
}

/// `x` in another floating dtype. Only from bfloat16 to float32 is MLX the faster one.
pub(crate) fn cast(x: &Array, to: Dtype) -> Option<Result<Array>> {
    let from = x.dtype();
    let slow = match (from, to) {
        (Dtype::Float16, Dtype::Float32 | Dtype::Bfloat16)
        | (Dtype::Float32 | Dtype::Bfloat16, Dtype::Float16) => many(Dtype::Float16),
        (Dtype::Float32, Dtype::Bfloat16) => many(from),
        _ => return None,
    };
    (x.size() >= slow && serves(x))
        .then(|| apply_raw(Node(Cast(to)), &[x], [Spec::new(x.shape(), to)]).map(|[cast]| cast))
}

#[derive(Clone)]
struct Cast(Dtype);

impl Fused for Cast {
    const NAME: &'static CStr = c"cast";

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let ([x], [out]) = (inputs, outputs) else { return Ok(()) };
        with_element!(x.dtype(), "cast", cast_from::<_>(x, out))
    }

    fn composite(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let [x] = inputs else { return Err(missing()) };
        Ok(vec![x.plain_astype(self.0)?])
    }

    fn vjp(&self, primals: &[Array], cotangents: &[Array], argnums: &[usize]) -> Result<Vec<Array>> {
        match (primals, cotangents, argnums) {
            ([x], [y], [0]) => Ok(vec![y.astype(x.dtype())?]),
            _ => Ok(Vec::new()),
        }
    }
}

fn cast_from<T: mlx_cpu::Element>(x: &View<'_>, out: &mut View<'_>) -> Result<()> {
    fn to<A: mlx_cpu::Element, B: mlx_cpu::Element>(x: &[A], out: &mut View<'_>) -> Result<()> {
        Ok(kernel::cast::<A, B>(Isa::current(), x, elements_mut(out))?)
    }
    let x = Flat::<T>::of(x)?;
    match out.dtype() {
        Dtype::Float32 => to::<T, f32>(&x, out),
        Dtype::Bfloat16 => to::<T, half::bf16>(&x, out),
        Dtype::Float16 => to::<T, half::f16>(&x, out),
        other => Err(Error::argument("cast", "dtype", format!("no kernel for {other}"))),
    }
}

/// The two ops that a residual stream and a gate are made of.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Arithmetic {
    Add,
    Multiply,
}

/// `a + b` or `a · b` in half precision, where neither is broadcast.
pub(crate) fn arithmetic(op: Arithmetic, a: &Array, b: &Array) -> Option<Result<Array>> {
    let dtype = a.dtype();
    let wanted = matches!(dtype, Dtype::Bfloat16 | Dtype::Float16)
        && b.dtype() == dtype
        && a.size() >= many(dtype)
        && a.shape() == b.shape()
        && serves(a);
    wanted.then(|| one(Half(op), &[a, b]))
}

#[derive(Clone)]
struct Half(Arithmetic);

impl Fused for Half {
    const NAME: &'static CStr = c"arithmetic";

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let ([a, b], [out]) = (inputs, outputs) else { return Ok(()) };
        with_element!(a.dtype(), "arithmetic", combine::<_>(self.0, a, b, out))
    }

    fn composite(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let [a, b] = inputs else { return Err(missing()) };
        // SAFETY: op contract.
        let result = unsafe {
            match self.0 {
                Arithmetic::Add => call!(Array = mlx_add(a.as_raw(), b.as_raw(), crate::device::stream())),
                Arithmetic::Multiply => {
                    call!(Array = mlx_multiply(a.as_raw(), b.as_raw(), crate::device::stream()))
                }
            }
        };
        Ok(vec![result?])
    }

    fn vjp(&self, primals: &[Array], cotangents: &[Array], argnums: &[usize]) -> Result<Vec<Array>> {
        let ([a, b], [y]) = (primals, cotangents) else { return Err(missing()) };
        argnums
            .iter()
            .map(|&i| match (self.0, i) {
                (Arithmetic::Add, _) => Ok(y.clone()),
                (Arithmetic::Multiply, 0) => y * b,
                (Arithmetic::Multiply, _) => y * a,
            })
            .collect()
    }
}

fn combine<T: mlx_cpu::Element>(
    op: Arithmetic,
    a: &View<'_>,
    b: &View<'_>,
    out: &mut View<'_>,
) -> Result<()> {
    let (a, b, out) = (Flat::<T>::of(a)?, Flat::<T>::of(b)?, elements_mut::<T>(out));
    match op {
        Arithmetic::Add => kernel::add(Isa::current(), &a, &b, out)?,
        Arithmetic::Multiply => kernel::mul(Isa::current(), &a, &b, out)?,
    }
    Ok(())
}
