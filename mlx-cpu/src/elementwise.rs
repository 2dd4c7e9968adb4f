// SPDX-License-Identifier: EUPL-1.2
//! What is done to each element alone: sums, products, activations, gates, and other element types.

use std::ops::Range;

use crate::norm::sum;
use crate::rows::{length, same, share};
use crate::simd::{self, Kernel, Simd, dispatch, each, exp, sigmoid};
use crate::{Element, Isa, Result, Rows, RowsMut};

/// Elements that are one task: the unit in which long slices are shared out.
const BLOCK: usize = 4096;

/// A function of one number, computed in float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// `x · σ(x)`.
    Silu,
    /// `x · Φ(x)`, with the normal distribution Φ.
    Gelu,
    /// `x · (1 + tanh(√(2/π) · (x + 0.044715 · x³))) / 2`.
    GeluTanh,
    /// `x · σ(1.702 · x)`.
    QuickGelu,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)²`.
    ReluSquared,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Self; 6] =
        [Self::Silu, Self::Gelu, Self::GeluTanh, Self::QuickGelu, Self::Relu, Self::ReluSquared];
}

/// `2 · √(2/π)`: `(1 + tanh u) / 2 = σ(2 u)`, which keeps its digits for negative numbers.
const TANH_SCALE: f32 = 1.595_769;
const TANH_CUBIC: f32 = 0.044_715;

/// The normal distribution `Φ(x)`, within 2·10⁻⁷, and of itself within 10⁻⁵ in the lower tail.
///
/// `erfc z = t · exp(−z² + P(t))` with `t = 1 / (1 + z/2)`, Chebyshev's fit from Numerical Recipes, 6.2.2.
#[inline(always)]
fn normal<S: Simd>(s: S, x: S::V) -> S::V {
    let (one, zero) = (s.splat(1.0), s.splat(0.0));
    let z = s.mul(s.max(x, s.sub(zero, x)), s.splat(std::f32::consts::FRAC_1_SQRT_2));
    let t = s.div(one, s.fma(z, s.splat(0.5), one));
    let mut p = s.splat(0.170_872_77);
    p = s.fma(p, t, s.splat(-0.822_152_23));
    p = s.fma(p, t, s.splat(1.488_515_9));
    p = s.fma(p, t, s.splat(-1.135_204));
    p = s.fma(p, t, s.splat(0.278_868_07));
    p = s.fma(p, t, s.splat(-0.186_288_06));
    p = s.fma(p, t, s.splat(0.096_784_18));
    p = s.fma(p, t, s.splat(0.374_091_96));
    p = s.fma(p, t, s.splat(1.000_023_7));
    p = s.fma(p, t, s.splat(-1.265_512_2));
    let half = s.mul(s.splat(0.5), s.mul(t, exp(s, s.sub(p, s.mul(z, z)))));
    let y = s.where_lt(x, zero, half, s.sub(one, half));
    s.where_nan(x, x, y)
}

/// A function of one number.
pub(crate) trait Unary: Copy + Send + Sync {
    /// Must be `#[inline(always)]`.
    fn apply<S: Simd>(self, s: S, x: S::V) -> S::V;
    /// The derivative.
    fn slope<S: Simd>(self, s: S, x: S::V) -> S::V;
}

macro_rules! unary {
    ($($name:ident: |$s:ident, $x:ident| $value:expr, $slope:expr;)+) => {$(
        #[derive(Clone, Copy)]
        pub(crate) struct $name;
        impl Unary for $name {
            #[inline(always)]
            fn apply<S: Simd>(self, $s: S, $x: S::V) -> S::V {
                let _ = $s;
                $value
            }
            #[inline(always)]
            fn slope<S: Simd>(self, $s: S, $x: S::V) -> S::V {
                $slope
            }
        }
    )+};
}

unary! {
    Identity: |s, x| x, s.where_nan(x, x, s.splat(1.0));
    Silu: |s, x| s.mul(x, sigmoid(s, x)), sigmoid_slope(s, x, sigmoid(s, x), s.splat(1.0));
    Gelu: |s, x| s.mul(x, normal(s, x)), {
        // 1 / √(2π)
        let density = exp(s, s.mul(s.mul(x, x), s.splat(-0.5)));
        s.fma(s.mul(x, s.splat(0.398_942_3)), density, normal(s, x))
    };
    GeluTanh: |s, x| s.mul(x, sigmoid(s, tanh_argument(s, x))), {
        let inner = s.fma(s.mul(x, x), s.splat(3.0 * TANH_CUBIC * TANH_SCALE), s.splat(TANH_SCALE));
        sigmoid_slope(s, x, sigmoid(s, tanh_argument(s, x)), inner)
    };
    QuickGelu: |s, x| s.mul(x, sigmoid(s, s.mul(x, s.splat(1.702)))),
        sigmoid_slope(s, x, sigmoid(s, s.mul(x, s.splat(1.702))), s.splat(1.702));
    Relu: |s, x| s.where_lt(x, s.splat(0.0), s.splat(0.0), x),
        s.where_nan(x, x, s.where_lt(s.splat(0.0), x, s.splat(1.0), s.splat(0.0)));
    ReluSquared: |s, x| {
        let y = s.where_lt(x, s.splat(0.0), s.splat(0.0), x);
        s.mul(y, y)
    }, {
        let y = s.where_lt(x, s.splat(0.0), s.splat(0.0), x);
        s.add(y, y)
    };
}

#[inline(always)]
fn tanh_argument<S: Simd>(s: S, x: S::V) -> S::V {
    s.mul(s.mul(x, s.splat(TANH_SCALE)), s.fma(s.mul(x, x), s.splat(TANH_CUBIC), s.splat(1.0)))
}

/// The derivative of `x · σ(u)` for `σ = σ(u)` and the derivative `inner` of `u`.
#[inline(always)]
fn sigmoid_slope<S: Simd>(s: S, x: S::V, sigmoid: S::V, inner: S::V) -> S::V {
    let rest = s.sub(s.splat(1.0), sigmoid);
    s.fma(s.mul(s.mul(x, inner), sigmoid), rest, sigmoid)
}

/// A function of two numbers.
trait Binary: Copy + Send + Sync {
    /// Must be `#[inline(always)]`.
    fn apply<S: Simd>(self, s: S, a: S::V, b: S::V) -> S::V;
}

#[derive(Clone, Copy)]
struct Add {
    clamped: bool,
}
impl Binary for Add {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, a: S::V, b: S::V) -> S::V {
        sum(s, a, b, self.clamped)
    }
}

#[derive(Clone, Copy)]
struct Mul;
impl Binary for Mul {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, a: S::V, b: S::V) -> S::V {
        s.mul(a, b)
    }
}

#[derive(Clone, Copy)]
struct Gate<A>(A);
impl<A: Unary> Binary for Gate<A> {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, gate: S::V, up: S::V) -> S::V {
        s.mul(self.0.apply(s, gate), up)
    }
}

/// The first operand through a function; the second is not looked at.
#[derive(Clone, Copy)]
struct First<A>(A);
impl<A: Unary> Binary for First<A> {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, a: S::V, _: S::V) -> S::V {
        self.0.apply(s, a)
    }
}

/// The derivative of a function at the first operand, times the second.
#[derive(Clone, Copy)]
struct Slope<A>(A);
impl<A: Unary> Binary for Slope<A> {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::V, dy: S::V) -> S::V {
        s.mul(dy, self.0.slope(s, x))
    }
}

/// `out = op(a, b)` over slices, or over rows.
struct Zip<'a, A, B, C, O> {
    a: Rows<'a, A>,
    b: Rows<'a, B>,
    out: &'a RowsMut<'a, C>,
    op: O,
    /// Which rows; of one row, which elements.
    part: Range<usize>,
}

impl<A: Element, B: Element, C: Element, O: Binary> Kernel for Zip<'_, A, B, C, O> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { a, b, out, op, part } = self;
        let (rows, from, n) = match a.rows() {
            1 => (0..1, part.start, part.len()),
            _ => (part, 0, a.width()),
        };
        for row in rows {
            let (a, b, out) = (a.at(row), b.at(row), out.at(row));
            // SAFETY: the caller checked that all have the same rows and width, `part` lies within, and no other task
            // writes to it.
            unsafe {
                let (a, b, out) = (a.add(from), b.add(from), out.add(from));
                each!(S, n, |i, m| {
                    let v = op.apply(s, simd::load(s, a.add(i), m), simd::load(s, b.add(i), m));
                    simd::store(s, out.add(i), v, m);
                });
            }
        }
    }
}

/// `cost` is the work of an element, compared with a load and a store.
fn zip<A: Element, B: Element, C: Element, O: Binary>(
    isa: Isa,
    a: Rows<'_, A>,
    b: Rows<'_, B>,
    out: &RowsMut<'_, C>,
    op: O,
    cost: usize,
) {
    if a.rows() == 1 {
        let n = a.width();
        share(n.div_ceil(BLOCK), cost * BLOCK.min(n), &|blocks| {
            let part = blocks.start * BLOCK..n.min(blocks.end * BLOCK);
            dispatch(isa, Zip { a, b, out, op, part });
        });
    } else {
        share(a.rows(), cost * a.width(), &|part| dispatch(isa, Zip { a, b, out, op, part }));
    }
}

/// The same for slices.
fn zip_slices<A: Element, B: Element, C: Element, O: Binary>(
    isa: Isa,
    kernel: &'static str,
    (a, b): (&[A], &[B]),
    out: &mut [C],
    op: O,
    cost: usize,
) -> Result<()> {
    length(kernel, "the second operand", a.len(), b.len())?;
    length(kernel, "out", a.len(), out.len())?;
    zip(isa, Rows::one(a), Rows::one(b), &RowsMut::one(out), op, cost);
    Ok(())
}

/// `a + b`.
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the lengths differ.
pub fn add<T: Element>(isa: Isa, a: &[T], b: &[T], out: &mut [T]) -> Result<()> {
    zip_slices(isa, "add", (a, b), out, Add { clamped: false }, 1)
}

/// `a + b` in float32, kept within ±65504, the range of float16; NaN stays NaN.
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the lengths differ.
pub fn add_clamped<T: Element>(isa: Isa, a: &[T], b: &[T], out: &mut [T]) -> Result<()> {
    zip_slices(isa, "add_clamped", (a, b), out, Add { clamped: true }, 1)
}

/// `a · b`.
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the lengths differ.
pub fn mul<T: Element>(isa: Isa, a: &[T], b: &[T], out: &mut [T]) -> Result<()> {
    zip_slices(isa, "mul", (a, b), out, Mul, 1)
}

/// `x` in another element type, rounded to nearest even; a NaN stays one.
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the lengths differ.
pub fn cast<A: Element, B: Element>(isa: Isa, x: &[A], out: &mut [B]) -> Result<()> {
    zip_slices(isa, "cast", (x, x), out, First(Identity), 1)
}

/// Calls the function with the activation as a type, so that its loops have no branch.
macro_rules! with_activation {
    ($activation:expr, |$a:ident| $body:expr) => {
        match $activation {
            $crate::elementwise::Activation::Silu => {
                let $a = $crate::elementwise::Silu;
                $body
            }
            $crate::elementwise::Activation::Gelu => {
                let $a = $crate::elementwise::Gelu;
                $body
            }
            $crate::elementwise::Activation::GeluTanh => {
                let $a = $crate::elementwise::GeluTanh;
                $body
            }
            $crate::elementwise::Activation::QuickGelu => {
                let $a = $crate::elementwise::QuickGelu;
                $body
            }
            $crate::elementwise::Activation::Relu => {
                let $a = $crate::elementwise::Relu;
                $body
            }
            $crate::elementwise::Activation::ReluSquared => {
                let $a = $crate::elementwise::ReluSquared;
                $body
            }
        }
    };
}

pub(crate) use with_activation;

/// How much more an activation is than a load and a store.
const COST: usize = 3;

/// `activation(x)`.
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the lengths differ.
pub fn activate<T: Element>(isa: Isa, activation: Activation, x: &[T], out: &mut [T]) -> Result<()> {
    with_activation!(activation, |a| zip_slices(isa, "activate", (x, x), out, First(a), COST))
}

/// The gradient of [`activate`] for that of its result, `dy`: `dy · activation′(x)`.
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the lengths differ.
pub fn activate_vjp<T: Element>(
    isa: Isa,
    activation: Activation,
    x: &[T],
    dy: &[T],
    out: &mut [T],
) -> Result<()> {
    with_activation!(activation, |a| zip_slices(isa, "activate_vjp", (x, dy), out, Slope(a), 2 * COST))
}

/// `x · σ(x)`: [`activate`] with [`Activation::Silu`].
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the lengths differ.
pub fn silu<T: Element>(isa: Isa, x: &[T], out: &mut [T]) -> Result<()> {
    activate(isa, Activation::Silu, x, out)
}

/// `x · Φ(x)`: [`activate`] with [`Activation::Gelu`].
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the lengths differ.
pub fn gelu<T: Element>(isa: Isa, x: &[T], out: &mut [T]) -> Result<()> {
    activate(isa, Activation::Gelu, x, out)
}

/// GELU by its hyperbolic tangent: [`activate`] with [`Activation::GeluTanh`].
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the lengths differ.
pub fn gelu_tanh<T: Element>(isa: Isa, x: &[T], out: &mut [T]) -> Result<()> {
    activate(isa, Activation::GeluTanh, x, out)
}

/// `activation(gate) · up`, rounded once; the operands may be two halves of the same rows.
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the shapes differ.
pub fn gated<T: Element>(
    isa: Isa,
    activation: Activation,
    gate: Rows<'_, T>,
    up: Rows<'_, T>,
    out: &mut RowsMut<'_, T>,
) -> Result<()> {
    const KERNEL: &str = "gated";
    let shape = (gate.rows(), gate.width());
    same(KERNEL, "up", shape, (up.rows(), up.width()))?;
    same(KERNEL, "out", shape, (out.rows(), out.width()))?;
    with_activation!(activation, |a| zip(isa, gate, up, out, Gate(a), COST));
    Ok(())
}

/// The gradient of [`gated`] for that of its result: `dgate = dy · up · activation'(gate)`, `dup = dy · activation(gate)`.
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the shapes differ.
pub fn gated_vjp<T: Element>(
    isa: Isa,
    activation: Activation,
    gate: Rows<'_, T>,
    up: Rows<'_, T>,
    dy: Rows<'_, T>,
    dgate: &mut RowsMut<'_, T>,
    dup: &mut RowsMut<'_, T>,
) -> Result<()> {
    const KERNEL: &str = "gated_vjp";
    let shape = (gate.rows(), gate.width());
    same(KERNEL, "up", shape, (up.rows(), up.width()))?;
    same(KERNEL, "dy", shape, (dy.rows(), dy.width()))?;
    same(KERNEL, "dgate", shape, (dgate.rows(), dgate.width()))?;
    same(KERNEL, "dup", shape, (dup.rows(), dup.width()))?;
    let (dgate, dup) = (&*dgate, &*dup);
    with_activation!(activation, |a| {
        share(gate.rows(), 2 * COST * gate.width(), &|rows| {
            dispatch(isa, GateVjp { gate, up, dy, dgate, dup, a, rows });
        });
    });
    Ok(())
}

struct GateVjp<'a, T, A> {
    gate: Rows<'a, T>,
    up: Rows<'a, T>,
    dy: Rows<'a, T>,
    dgate: &'a RowsMut<'a, T>,
    dup: &'a RowsMut<'a, T>,
    a: A,
    rows: Range<usize>,
}

impl<T: Element, A: Unary> Kernel for GateVjp<'_, T, A> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { gate, up, dy, dgate, dup, a, rows } = self;
        let n = gate.width();
        for row in rows {
            let (gate, up, dy, dgate, dup) =
                (gate.at(row), up.at(row), dy.at(row), dgate.at(row), dup.at(row));
            // SAFETY: the caller checked that all have the same rows and width, and has no other task write to this one.
            unsafe {
                each!(S, n, |i, m| {
                    let (x, dy) = (simd::load(s, gate.add(i), m), simd::load(s, dy.add(i), m));
                    let up = simd::load(s, up.add(i), m);
                    simd::store(s, dgate.add(i), s.mul(s.mul(dy, up), a.slope(s, x)), m);
                    simd::store(s, dup.add(i), s.mul(dy, a.apply(s, x)), m);
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;
    use crate::testing::{Random, SIZES, bits, close, everywhere};

    /// `erf`, by its series or the continued fraction of `erfc`.
    fn erfc(x: f64) -> f64 {
        if x.abs() < 2.5 {
            let (mut term, mut sum) = (x, x);
            for n in 1..100 {
                term *= -x * x / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            return 1.0 - sum * std::f64::consts::FRAC_2_SQRT_PI;
        }
        if x < 0.0 {
            return 2.0 - erfc(-x);
        }
        let fraction = (1..200).rev().fold(x, |f, n| x + f64::from(n) / 2.0 / f);
        (-x * x).exp() / fraction * std::f64::consts::FRAC_2_SQRT_PI / 2.0
    }

    fn reference(activation: Activation, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        match activation {
            Activation::Silu => x * sigmoid(x),
            Activation::Gelu => x * erfc(-x * std::f64::consts::FRAC_1_SQRT_2) / 2.0,
            Activation::GeluTanh => {
                let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                x * sigmoid(2.0 * u)
            }
            Activation::QuickGelu => x * sigmoid(1.702 * x),
            Activation::Relu => x.max(0.0),
            Activation::ReluSquared => x.max(0.0) * x.max(0.0),
        }
    }

    fn slope(activation: Activation, x: f64) -> f64 {
        let h = 1e-5;
        (reference(activation, x + h) - reference(activation, x - h)) / (2.0 * h)
    }

    fn values<T: Element>(isa: Isa) {
        let random = &mut Random(7);
        for n in SIZES.into_iter().chain([70_000]) {
            let (a, b): (Vec<T>, Vec<T>) = (random.vec(n + 1, 6.0), random.vec(n + 2, 3.0));
            let (a, b) = (&a[1..], &b[2..]);
            let wide = |x: T| f64::from(x.to_f32());
            let mut out = vec![T::ZERO; n];
            add(isa, a, b, &mut out).unwrap();
            for i in 0..n {
                close(out[i], wide(a[i]) + wide(b[i]), 1e-7, 0.0, "add");
            }
            mul(isa, a, b, &mut out).unwrap();
            for i in 0..n {
                close(out[i], wide(a[i]) * wide(b[i]), 1e-7, 1e-7, "mul");
            }
            for activation in Activation::ALL {
                activate(isa, activation, a, &mut out).unwrap();
                for i in 0..n {
                    let expected = reference(activation, wide(a[i]));
                    close(out[i], expected, 2e-6, 3e-7, &format!("{isa} {activation:?} of {}", wide(a[i])));
                }
            }
        }
    }

    #[test]
    fn elementwise_kernels_are_their_formulas() {
        everywhere!(values);
    }

    fn gates<T: Element>(isa: Isa) {
        let random = &mut Random(8);
        for (rows, n) in [(1, 3072), (3, 33), (0, 5), (40, 1000), (2, 1)] {
            // Both halves of the same rows.
            let x: Vec<T> = random.vec(rows * 2 * n + 1, 4.0);
            let dy: Vec<T> = random.vec(rows * n, 1.0);
            let gate = Rows::new(&x[1..], rows, n, 2 * n).unwrap();
            let up = Rows::new(&x[1.min(x.len())..][n.min(rows * 2 * n)..], rows, n, 2 * n).unwrap();
            let dy = Rows::new(&dy, rows, n, n).unwrap();
            let wide = |x: T| f64::from(x.to_f32());
            for activation in Activation::ALL {
                let mut out = vec![T::ZERO; rows * n];
                gated(isa, activation, gate, up, &mut RowsMut::new(&mut out, rows, n, n).unwrap()).unwrap();
                let (mut dgate, mut dup) = (vec![T::ZERO; rows * n], vec![T::ZERO; rows * n]);
                let (to_gate, to_up) = (
                    &mut RowsMut::new(&mut dgate, rows, n, n).unwrap(),
                    &mut RowsMut::new(&mut dup, rows, n, n).unwrap(),
                );
                gated_vjp(isa, activation, gate, up, dy, to_gate, to_up).unwrap();
                for (row, i) in (0..rows * n).map(|i| (i / n, i % n)) {
                    let (x, u, d) = (wide(gate.row(row)[i]), wide(up.row(row)[i]), wide(dy.row(row)[i]));
                    let at = row * n + i;
                    let place = format!("{isa} {activation:?} of {x}, {u}, {d}");
                    let y = reference(activation, x);
                    close(out[at], y * u, 2e-6, 3e-7 * u.abs(), &place);
                    close(dup[at], y * d, 2e-6, 3e-7, &place);
                    if x.abs() > 1e-4 {
                        close(dgate[at], d * u * slope(activation, x), 2e-6, 1e-6 * u.abs(), &place);
                    }
                }
            }
        }
    }

    #[test]
    fn gates_and_their_gradients_are_their_formulas() {
        everywhere!(gates);
    }

    fn special<T: Element>(isa: Isa) {
        let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-40, -1e-40, 3e38, -100.0]
            .map(T::from_f32);
        for activation in Activation::ALL {
            let mut out = x;
            activate(isa, activation, &x, &mut out).unwrap();
            assert!(out[0].to_f32().is_nan());
            assert_eq!(out[1].to_f32(), f32::INFINITY);
            for i in 3..x.len() {
                let expected = reference(activation, f64::from(x[i].to_f32()));
                close(out[i], expected, 1e-4, 1e-35, &format!("{isa} {activation:?} {}", x[i].to_f32()));
            }
        }
        let most = f16::MAX.to_f32();
        let a = [most, -most, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1.0, 1.0].map(T::from_f32);
        let b = [most, -most, 1.0, 1.0, 1.0, f32::NAN, 2.0].map(T::from_f32);
        let mut out = a;
        add_clamped(isa, &a, &b, &mut out).unwrap();
        for (found, expected) in out.iter().zip([most, -most, most, -most, f32::NAN, f32::NAN, 3.0]) {
            close(*found, f64::from(expected), 0.0, 0.0, "add_clamped");
        }
    }

    #[test]
    fn odd_numbers_are_kept() {
        everywhere!(special);
    }

    #[test]
    fn casts_round_as_half_does() {
        let random = &mut Random(9);
        let wide: Vec<f32> = (0..100_003).map(|_| f32::from_bits(random.bits() as u32)).collect();
        let number = |x: f32| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() };
        for isa in Isa::available() {
            let (mut b, mut h) = (vec![bf16::ZERO; wide.len()], vec![f16::ZERO; wide.len()]);
            cast(isa, &wide, &mut b).unwrap();
            cast(isa, &wide, &mut h).unwrap();
            for (i, &x) in wide.iter().enumerate() {
                assert_eq!(number(b[i].to_f32()), number(bf16::from_f32(x).to_f32()), "{isa} {x:e}");
                assert_eq!(number(h[i].to_f32()), number(f16::from_f32(x).to_f32()), "{isa} {x:e}");
            }
            let (mut back, mut across) = (vec![0f32; wide.len()], vec![f16::ZERO; wide.len()]);
            cast(isa, &b, &mut back).unwrap();
            cast(isa, &b, &mut across).unwrap();
            for (i, x) in b.iter().enumerate() {
                assert_eq!(number(back[i]), number(x.to_f32()));
                assert_eq!(number(across[i].to_f32()), number(f16::from_f32(x.to_f32()).to_f32()));
            }
            let mut again = vec![0f32; wide.len()];
            cast(isa, &wide, &mut again).unwrap();
            assert_eq!(bits(&again), bits(&wide));
        }
    }
}
