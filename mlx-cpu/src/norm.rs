// SPDX-License-Identifier: EUPL-1.2
//! RMS and layer norms over rows, what goes with them in a model, and their gradients.
//!
//! A kernel that stands for two rounds to the element type between them, so that it gives their bits.

use std::ops::Range;

use half::{bf16, f16};

use crate::rows::{length, same, share};
use crate::simd::{self, Kernel, Simd, dispatch, each, total};
use crate::{Element, Isa, Result, Rows, RowsMut, scratch};

/// A weight or bias in any element type, whatever the type of what it is applied to.
#[derive(Clone, Copy, Debug)]
pub enum Weight<'a> {
    /// In float32.
    F32(&'a [f32]),
    /// In bfloat16.
    Bf16(&'a [bf16]),
    /// In float16.
    F16(&'a [f16]),
}

impl Weight<'_> {
    /// How many elements there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::F32(w) => w.len(),
            Self::Bf16(w) => w.len(),
            Self::F16(w) => w.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> From<&'a [f32]> for Weight<'a> {
    fn from(w: &'a [f32]) -> Self {
        Self::F32(w)
    }
}

impl<'a> From<&'a [bf16]> for Weight<'a> {
    fn from(w: &'a [bf16]) -> Self {
        Self::Bf16(w)
    }
}

impl<'a> From<&'a [f16]> for Weight<'a> {
    fn from(w: &'a [f16]) -> Self {
        Self::F16(w)
    }
}

/// What an RMS norm is, besides its operand: `x · (mean x² + eps)^−½ · (weight + offset)`.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm<'a> {
    /// One factor for each element of a row; `None` for 1, whatever the offset.
    pub weight: Option<Weight<'a>>,
    /// Added to the weight in float32: 1 for Gemma, else 0.
    pub offset: f32,
    /// Added to the mean of the squares.
    pub eps: f32,
}

impl RmsNorm<'_> {
    fn check(&self, kernel: &'static str, width: usize) -> Result<()> {
        self.weight.map_or(Ok(()), |weight| length(kernel, "weight", width, weight.len()))
    }
}

/// Lends `body` the weight plus `offset` in float32.
pub(crate) fn with_weight<R>(
    isa: Isa,
    weight: Option<Weight<'_>>,
    offset: f32,
    body: impl FnOnce(Option<&[f32]>) -> R,
) -> R {
    struct Widen<'a, T>(&'a [T], f32, &'a mut [f32]);
    impl<T: Element> Kernel for Widen<'_, T> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let Self(w, offset, out) = self;
            let offset = s.splat(offset);
            each!(S, w.len().min(out.len()), |i, m| {
                // SAFETY: both slices have `i + m` elements.
                unsafe {
                    let v = s.add(simd::load(s, w.as_ptr().add(i), m), offset);
                    simd::store(s, out.as_mut_ptr().add(i), v, m);
                }
            });
        }
    }
    match weight {
        None => body(None),
        Some(Weight::F32(w)) if offset == 0.0 => body(Some(w)),
        Some(weight) => scratch::with(weight.len(), |wide| {
            match weight {
                Weight::F32(w) => dispatch(isa, Widen(w, offset, wide)),
                Weight::Bf16(w) => dispatch(isa, Widen(w, offset, wide)),
                Weight::F16(w) => dispatch(isa, Widen(w, offset, wide)),
            }
            body(Some(wide))
        }),
    }
}

/// `(mean x² + eps)^−½` of a row.
///
/// # Safety
/// `x` has `n` elements.
#[inline(always)]
pub(crate) unsafe fn inverse_rms<S: Simd, T: Element>(s: S, x: *const T, n: usize, eps: f32) -> f32 {
    let squares = total!(s: S, n, |i, m, sum| {
        // SAFETY: the caller's row has `i + m` elements.
        let v = unsafe { simd::load(s, x.add(i), m) };
        s.fma(v, v, sum)
    });
    1.0 / (squares / n as f32 + eps).sqrt()
}

/// The RMS norm of a row.
///
/// # Safety
/// `x`, `w` and `out` have `n` elements.
#[inline(always)]
unsafe fn rms_row<S: Simd, T: Element>(
    s: S,
    x: *const T,
    w: Option<*const f32>,
    eps: f32,
    out: *mut T,
    n: usize,
) {
    // SAFETY: the caller's.
    unsafe { scale_row(s, x, inverse_rms(s, x, n, eps), w, out, n) }
}

/// `x · scale · w`, rounded once.
///
/// # Safety
/// `x`, `w` and `out` have `n` elements.
#[inline(always)]
pub(crate) unsafe fn scale_row<S: Simd, T: Element>(
    s: S,
    x: *const T,
    scale: f32,
    w: Option<*const f32>,
    out: *mut T,
    n: usize,
) {
    let scale = s.splat(scale);
    // SAFETY: the caller's rows have `n` elements, of which `each!` gives the indices.
    unsafe {
        match w {
            Some(w) => each!(S, n, |i, m| {
                let v = s.mul(simd::load(s, x.add(i), m), scale);
                simd::store(s, out.add(i), s.mul(v, simd::load(s, w.add(i), m)), m);
            }),
            None => each!(S, n, |i, m| {
                simd::store(s, out.add(i), s.mul(simd::load(s, x.add(i), m), scale), m);
            }),
        }
    }
}

/// `a + b`, within the range of float16 where `clamped`, which leaves a NaN one.
#[inline(always)]
pub(crate) fn sum<S: Simd>(s: S, a: S::V, b: S::V, clamped: bool) -> S::V {
    let sum = s.add(a, b);
    if !clamped {
        return sum;
    }
    let most = f32::from(f16::MAX);
    s.where_nan(sum, sum, s.max(s.min(sum, s.splat(most)), s.splat(-most)))
}

/// `x · (mean x² + eps)^−½ · (weight + offset)`, row by row.
///
/// Where `x²` overflows float32 the factor is 0, as it is in the formula.
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the operands do not fit each other.
pub fn rms_norm<T: Element>(
    isa: Isa,
    x: Rows<'_, T>,
    norm: &RmsNorm<'_>,
    out: &mut RowsMut<'_, T>,
) -> Result<()> {
    const KERNEL: &str = "rms_norm";
    norm.check(KERNEL, x.width())?;
    same(KERNEL, "out", (x.rows(), x.width()), (out.rows(), out.width()))?;
    let out = &*out;
    with_weight(isa, norm.weight, norm.offset, |w| {
        share(x.rows(), x.width(), &|rows| dispatch(isa, Rms { x, w, eps: norm.eps, out, rows }));
    });
    Ok(())
}

struct Rms<'a, T> {
    x: Rows<'a, T>,
    w: Option<&'a [f32]>,
    eps: f32,
    out: &'a RowsMut<'a, T>,
    rows: Range<usize>,
}

impl<T: Element> Kernel for Rms<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, w, eps, out, rows } = self;
        for row in rows {
            // SAFETY: the caller checked that all have the same rows and width, and has no other task write to this one.
            unsafe { rms_row(s, x.at(row), w.map(<[f32]>::as_ptr), eps, out.at(row), x.width()) }
        }
    }
}

/// `sum = x + residual`, and `out` the RMS norm of the sum as it was rounded.
///
/// `clamped` keeps the sum within the range of float16, for models whose residuals leave it.
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the operands do not fit each other.
pub fn add_rms_norm<T: Element>(
    isa: Isa,
    x: Rows<'_, T>,
    residual: Rows<'_, T>,
    norm: &RmsNorm<'_>,
    clamped: bool,
    total: &mut RowsMut<'_, T>,
    out: &mut RowsMut<'_, T>,
) -> Result<()> {
    const KERNEL: &str = "add_rms_norm";
    let shape = (x.rows(), x.width());
    norm.check(KERNEL, x.width())?;
    same(KERNEL, "residual", shape, (residual.rows(), residual.width()))?;
    same(KERNEL, "total", shape, (total.rows(), total.width()))?;
    same(KERNEL, "out", shape, (out.rows(), out.width()))?;
    let (total, out, eps) = (&*total, &*out, norm.eps);
    with_weight(isa, norm.weight, norm.offset, |w| {
        share(x.rows(), 2 * x.width(), &|rows| {
            dispatch(isa, AddRms { x, residual, w, eps, clamped, total, out, rows });
        });
    });
    Ok(())
}

struct AddRms<'a, T> {
    x: Rows<'a, T>,
    residual: Rows<'a, T>,
    w: Option<&'a [f32]>,
    eps: f32,
    clamped: bool,
    total: &'a RowsMut<'a, T>,
    out: &'a RowsMut<'a, T>,
    rows: Range<usize>,
}

impl<T: Element> Kernel for AddRms<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, residual, w, eps, clamped, total, out, rows } = self;
        let n = x.width();
        for row in rows {
            let (x, residual, total) = (x.at(row), residual.at(row), total.at(row));
            // SAFETY: the caller checked that all have the same rows and width, and has no other task write to this one.
            unsafe {
                each!(S, n, |i, m| {
                    let v = sum(s, simd::load(s, x.add(i), m), simd::load(s, residual.add(i), m), clamped);
                    simd::store(s, total.add(i), v, m);
                });
                rms_row(s, total, w.map(<[f32]>::as_ptr), eps, out.at(row), n);
            }
        }
    }
}

/// `residual + rms_norm(x)`: the norm after a layer, as Gemma has it.
///
/// The norm is rounded before it is added. `clamped` keeps the sum within the range of float16.
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the operands do not fit each other.
pub fn norm_add<T: Element>(
    isa: Isa,
    x: Rows<'_, T>,
    residual: Rows<'_, T>,
    norm: &RmsNorm<'_>,
    clamped: bool,
    out: &mut RowsMut<'_, T>,
) -> Result<()> {
    const KERNEL: &str = "norm_add";
    let shape = (x.rows(), x.width());
    norm.check(KERNEL, x.width())?;
    same(KERNEL, "residual", shape, (residual.rows(), residual.width()))?;
    same(KERNEL, "out", shape, (out.rows(), out.width()))?;
    let (out, eps) = (&*out, norm.eps);
    with_weight(isa, norm.weight, norm.offset, |w| {
        share(x.rows(), 2 * x.width(), &|rows| {
            dispatch(isa, RmsAdd { x, residual, w, eps, clamped, out, rows });
        });
    });
    Ok(())
}

struct RmsAdd<'a, T> {
    x: Rows<'a, T>,
    residual: Rows<'a, T>,
    w: Option<&'a [f32]>,
    eps: f32,
    clamped: bool,
    out: &'a RowsMut<'a, T>,
    rows: Range<usize>,
}

impl<T: Element> Kernel for RmsAdd<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, residual, w, eps, clamped, out, rows } = self;
        let n = x.width();
        for row in rows {
            let (x, residual, out) = (x.at(row), residual.at(row), out.at(row));
            // SAFETY: the caller checked that all have the same rows and width, and has no other task write to this one.
            unsafe {
                rms_row(s, x, w.map(<[f32]>::as_ptr), eps, out, n);
                each!(S, n, |i, m| {
                    let y = simd::load(s, out.add(i), m);
                    simd::store(s, out.add(i), sum(s, y, simd::load(s, residual.add(i), m), clamped), m);
                });
            }
        }
    }
}

/// What a layer norm is, besides its operand: `(x − mean x) · (var x + eps)^−½ · weight + bias`.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    /// One factor for each element of a row; `None` for 1.
    pub weight: Option<Weight<'a>>,
    /// One addend for each element of a row; `None` for 0.
    pub bias: Option<Weight<'a>>,
    /// Added to the variance.
    pub eps: f32,
}

impl LayerNorm<'_> {
    fn check(&self, kernel: &'static str, width: usize) -> Result<()> {
        for (operand, weight) in [("weight", self.weight), ("bias", self.bias)] {
            weight.map_or(Ok(()), |weight| length(kernel, operand, width, weight.len()))?;
        }
        Ok(())
    }
}

/// The mean of a row, and `(var x + eps)^−½`.
///
/// # Safety
/// `x` has `n` elements.
#[inline(always)]
unsafe fn moments<S: Simd, T: Element>(s: S, x: *const T, n: usize, eps: f32) -> (f32, f32) {
    // SAFETY: the caller's row has `n` elements, of which `total!` gives the indices.
    unsafe {
        let mean = total!(s: S, n, |i, m, sum| s.add(simd::load(s, x.add(i), m), sum)) / n as f32;
        // Elements past the end count as the mean.
        let means = [mean; 16];
        let squares = total!(s: S, n, |i, m, sum| {
            let d = s.sub(simd::load(s, x.add(i), m), simd::load(s, means.as_ptr(), m));
            s.fma(d, d, sum)
        });
        (mean, 1.0 / (squares / n as f32 + eps).sqrt())
    }
}

/// `(x − mean x) · (var x + eps)^−½ · weight + bias`, row by row, with the variance of the whole population.
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the operands do not fit each other.
pub fn layer_norm<T: Element>(
    isa: Isa,
    x: Rows<'_, T>,
    norm: &LayerNorm<'_>,
    out: &mut RowsMut<'_, T>,
) -> Result<()> {
    const KERNEL: &str = "layer_norm";
    norm.check(KERNEL, x.width())?;
    same(KERNEL, "out", (x.rows(), x.width()), (out.rows(), out.width()))?;
    let (out, eps) = (&*out, norm.eps);
    with_weight(isa, norm.weight, 0.0, |w| {
        with_weight(isa, norm.bias, 0.0, |b| {
            share(x.rows(), 2 * x.width(), &|rows| dispatch(isa, Layer { x, w, b, eps, out, rows }));
        });
    });
    Ok(())
}

struct Layer<'a, T> {
    x: Rows<'a, T>,
    w: Option<&'a [f32]>,
    b: Option<&'a [f32]>,
    eps: f32,
    out: &'a RowsMut<'a, T>,
    rows: Range<usize>,
}

impl<T: Element> Kernel for Layer<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, w, b, eps, out, rows } = self;
        let n = x.width();
        let (one, zero) = (s.splat(1.0), s.splat(0.0));
        for row in rows {
            let (x, out) = (x.at(row), out.at(row));
            // SAFETY: the caller checked that all have the same rows and width, and has no other task write to this one.
            unsafe {
                let (mean, scale) = moments(s, x, n, eps);
                let (mean, scale) = (s.splat(mean), s.splat(scale));
                each!(S, n, |i, m| {
                    let v = s.mul(s.sub(simd::load(s, x.add(i), m), mean), scale);
                    let w = match w {
                        Some(w) => simd::load(s, w.as_ptr().add(i), m),
                        None => one,
                    };
                    let b = match b {
                        Some(b) => simd::load(s, b.as_ptr().add(i), m),
                        None => zero,
                    };
                    simd::store(s, out.add(i), s.fma(v, w, b), m);
                });
            }
        }
    }
}

/// How many rows give a part of a weight's gradient, and how many parts there are. It depends on the rows alone, so that
/// the sum does not depend on the threads.
fn blocks(rows: usize) -> (usize, usize) {
    let each = rows.div_ceil(32).max(8);
    (each, rows.div_ceil(each))
}

/// `out = Σ parts`, in their order.
fn sum_parts(parts: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    if out.is_empty() {
        return;
    }
    for part in parts.chunks_exact(out.len()) {
        for (out, part) in out.iter_mut().zip(part) {
            *out += part;
        }
    }
}

/// The gradients of [`rms_norm`] for that of its result, `dy`: of `x`, and if wanted of the weight, summed over the rows in
/// float32.
///
/// With `r = (mean x² + eps)^−½` and `g = dy · (weight + offset)`: `dx = r · g − x · r³ · mean(g · x)`,
/// `dw = Σ dy · x · r`.
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the operands do not fit each other.
pub fn rms_norm_vjp<T: Element>(
    isa: Isa,
    x: Rows<'_, T>,
    norm: &RmsNorm<'_>,
    dy: Rows<'_, T>,
    dx: &mut RowsMut<'_, T>,
    dw: Option<&mut [f32]>,
) -> Result<()> {
    const KERNEL: &str = "rms_norm_vjp";
    norm.check(KERNEL, x.width())?;
    let gradient =
        Gradient { x, dy, dx, w: None, eps: norm.eps, layer: false, dw: None, db: None, rows: 0..0 };
    gradient.start(isa, KERNEL, norm.weight, norm.offset, dw, None)
}

/// The gradients of [`layer_norm`] for that of its result, `dy`: of `x`, and if wanted of the weight and the bias, summed
/// over the rows in float32.
///
/// With `r = (var x + eps)^−½`, `z = (x − mean x) · r` and `g = dy · weight`: `dx = r · (g − mean g − z · mean(g · z))`,
/// `dw = Σ dy · z`, `db = Σ dy`.
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the operands do not fit each other.
pub fn layer_norm_vjp<T: Element>(
    isa: Isa,
    x: Rows<'_, T>,
    norm: &LayerNorm<'_>,
    dy: Rows<'_, T>,
    dx: &mut RowsMut<'_, T>,
    dw: Option<&mut [f32]>,
    db: Option<&mut [f32]>,
) -> Result<()> {
    const KERNEL: &str = "layer_norm_vjp";
    norm.check(KERNEL, x.width())?;
    let gradient =
        Gradient { x, dy, dx, w: None, eps: norm.eps, layer: true, dw: None, db: None, rows: 0..0 };
    gradient.start(isa, KERNEL, norm.weight, 0.0, dw, db)
}

/// The gradient of either norm.
struct Gradient<'a, T> {
    x: Rows<'a, T>,
    dy: Rows<'a, T>,
    dx: &'a RowsMut<'a, T>,
    w: Option<&'a [f32]>,
    eps: f32,
    layer: bool,
    /// Where the rows add their part of the gradients of weight and bias.
    dw: Option<*mut f32>,
    db: Option<*mut f32>,
    rows: Range<usize>,
}

impl<T: Element> Gradient<'_, T> {
    fn start(
        self,
        isa: Isa,
        kernel: &'static str,
        weight: Option<Weight<'_>>,
        offset: f32,
        dw: Option<&mut [f32]>,
        db: Option<&mut [f32]>,
    ) -> Result<()> {
        let Self { x, dy, dx, eps, layer, .. } = self;
        let (rows, width) = (x.rows(), x.width());
        same(kernel, "dy", (rows, width), (dy.rows(), dy.width()))?;
        same(kernel, "dx", (rows, width), (dx.rows(), dx.width()))?;
        for (operand, out) in [("dw", &dw), ("db", &db)] {
            out.as_ref().map_or(Ok(()), |out| length(kernel, operand, width, out.len()))?;
        }
        let (each, count) = blocks(rows);
        let part = |wanted: bool| vec![0f32; if wanted { count * width } else { 0 }];
        let (mut dw_parts, mut db_parts) = (part(dw.is_some()), part(db.is_some()));
        {
            let (wants_dw, wants_db) = (dw.is_some() && width > 0, db.is_some() && width > 0);
            let dw_rows = RowsMut::new(&mut dw_parts, if wants_dw { count } else { 0 }, width, width)?;
            let db_rows = RowsMut::new(&mut db_parts, if wants_db { count } else { 0 }, width, width)?;
            with_weight(isa, weight, offset, |w| {
                share(count, 3 * each * width, &|blocks| {
                    for block in blocks {
                        let rows = block * each..rows.min((block + 1) * each);
                        let dw = wants_dw.then(|| dw_rows.at(block));
                        let db = wants_db.then(|| db_rows.at(block));
                        dispatch(isa, Gradient { x, dy, dx, w, eps, layer, dw, db, rows });
                    }
                });
            });
        }
        if let Some(dw) = dw {
            sum_parts(&dw_parts, dw);
        }
        if let Some(db) = db {
            sum_parts(&db_parts, db);
        }
        Ok(())
    }
}

impl<T: Element> Kernel for Gradient<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, dy, dx, w, eps, layer, dw, db, rows } = self;
        let n = x.width();
        let one = s.splat(1.0);
        for row in rows {
            let (x, dy, dx) = (x.at(row), dy.at(row), dx.at(row));
            // SAFETY: the caller checked that all have the same rows and width, the parts have as many elements, and no
            // other task writes to this row or these parts.
            unsafe {
                let (mean, scale) = match layer {
                    true => moments(s, x, n, eps),
                    false => (0.0, inverse_rms(s, x, n, eps)),
                };
                let (mean, r) = (s.splat(mean), s.splat(scale));
                // Past the end `dy` is 0, and with it all that is summed.
                let dot = total!(s: S, n, |i, m, sum| {
                    let z = s.mul(s.sub(simd::load(s, x.add(i), m), mean), r);
                    let w = match w {
                        Some(w) => simd::load(s, w.as_ptr().add(i), m),
                        None => one,
                    };
                    s.fma(s.mul(simd::load(s, dy.add(i), m), w), z, sum)
                });
                let average = match layer {
                    false => 0.0,
                    true => total!(s: S, n, |i, m, sum| {
                        let w = match w {
                            Some(w) => simd::load(s, w.as_ptr().add(i), m),
                            None => one,
                        };
                        s.fma(simd::load(s, dy.add(i), m), w, sum)
                    }),
                };
                let (dot, average) = (s.splat(dot / n as f32), s.splat(average / n as f32));
                each!(S, n, |i, m| {
                    let z = s.mul(s.sub(simd::load(s, x.add(i), m), mean), r);
                    let dy = simd::load(s, dy.add(i), m);
                    let g = match w {
                        Some(w) => s.mul(dy, simd::load(s, w.as_ptr().add(i), m)),
                        None => dy,
                    };
                    let inner = s.sub(s.sub(g, average), s.mul(z, dot));
                    simd::store(s, dx.add(i), s.mul(r, inner), m);
                    if let Some(dw) = dw {
                        let dw = dw.add(i);
                        simd::store(s, dw, s.fma(dy, z, simd::load(s, dw, m)), m);
                    }
                    if let Some(db) = db {
                        let db = db.add(i);
                        simd::store(s, db, s.add(dy, simd::load(s, db, m)), m);
                    }
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, SIZES, bits, close, everywhere};

    fn reference<T: Element>(x: &[T], w: Option<&[f32]>, offset: f32, eps: f32) -> Vec<f64> {
        let x: Vec<f64> = x.iter().map(|x| f64::from(x.to_f32())).collect();
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (mean + f64::from(eps)).sqrt();
        let w = |i| w.map_or(1.0, |w: &[f32]| f64::from(w[i] + offset));
        x.iter().enumerate().map(|(i, x)| x * scale * w(i)).collect()
    }

    fn values<T: Element>(isa: Isa) {
        let random = &mut Random(1);
        for n in SIZES {
            // One element in, so that rows are unaligned, and a stride that is not the width.
            let (rows, stride) = (3, n + 5);
            let x: Vec<T> = random.vec(1 + rows * stride, 3.0);
            let w: Vec<f32> = random.vec(n, 1.0);
            let halves: Vec<bf16> = w.iter().map(|&w| bf16::from_f32(w)).collect();
            let short: Vec<f16> = w.iter().map(|&w| f16::from_f32(w)).collect();
            let wide = |w: &[bf16]| w.iter().map(|w| w.to_f32()).collect::<Vec<f32>>();
            let wide16 = |w: &[f16]| w.iter().map(|w| w.to_f32()).collect::<Vec<f32>>();
            let x = Rows::new(&x[1..], rows, n, stride).unwrap();
            for (weight, plain) in [
                (None, None),
                (Some(Weight::from(&w[..])), Some(w.clone())),
                (Some(Weight::from(&halves[..])), Some(wide(&halves))),
                (Some(Weight::from(&short[..])), Some(wide16(&short))),
            ] {
                for offset in [0.0, 1.0] {
                    let norm = RmsNorm { weight, offset, eps: 1e-6 };
                    let mut out = vec![T::from_f32(7.0); 1 + rows * stride];
                    let mut rows_out = RowsMut::new(&mut out[1..], rows, n, stride).unwrap();
                    rms_norm(isa, x, &norm, &mut rows_out).unwrap();
                    for row in 0..rows {
                        let expected = reference(x.row(row), plain.as_deref(), offset, 1e-6);
                        for (i, expected) in expected.into_iter().enumerate() {
                            let found = out[1 + row * stride + i];
                            close(found, expected, 1e-6, 1e-38, &format!("{isa} {n} [{row}, {i}]"));
                        }
                        // What lies between rows is left alone.
                        assert!(out[1 + row * stride + n..][..5].iter().all(|x| x.to_f32() == 7.0));
                    }
                }
            }
        }
    }

    #[test]
    fn rms_norm_is_its_formula() {
        everywhere!(values);
    }

    fn special<T: Element>(isa: Isa) {
        for n in [3usize, 16, 40] {
            for (odd, eps) in
                [(f32::NAN, 1e-6), (f32::INFINITY, 1e-6), (3e38, 1e-6), (1e-40, 1e-6), (0.0, 0.0)]
            {
                let mut x = vec![T::from_f32(if odd == 0.0 || odd == 1e-40 { odd } else { 1.0 }); n];
                x[n - 1] = T::from_f32(odd);
                let norm = RmsNorm { weight: None, offset: 0.0, eps };
                let mut out = vec![T::ZERO; n];
                rms_norm(isa, Rows::one(&x), &norm, &mut RowsMut::one(&mut out)).unwrap();
                let plain: f32 = x.iter().map(|x| x.to_f32() * x.to_f32()).sum::<f32>() / n as f32;
                let scale = 1.0 / (plain + eps).sqrt();
                for (i, x) in x.iter().enumerate() {
                    close(
                        out[i],
                        f64::from(x.to_f32() * scale),
                        1e-6,
                        1e-44,
                        &format!("{isa} {odd} {n} {i}"),
                    );
                }
            }
        }
    }

    #[test]
    fn rms_norm_of_odd_numbers_is_that_of_the_formula_in_float32() {
        everywhere!(special);
    }

    fn fused<T: Element>(isa: Isa) {
        let random = &mut Random(2);
        for (rows, n) in [(1, 1024), (3, 33), (70, 1152), (2, 1)] {
            let (x, residual): (Vec<T>, Vec<T>) =
                (random.vec(rows * n, 60_000.0), random.vec(rows * n, 60_000.0));
            let w: Vec<bf16> = random.vec(n, 1.0);
            let norm = RmsNorm { weight: Some(Weight::from(&w[..])), offset: 1.0, eps: 1e-6 };
            let (x_rows, residual_rows) = (Rows::packed(&x, n).unwrap(), Rows::packed(&residual, n).unwrap());
            for clamped in [false, true] {
                let add = |a: &[T], b: &[T]| {
                    let mut out = vec![T::ZERO; a.len()];
                    match clamped {
                        false => crate::elementwise::add(isa, a, b, &mut out).unwrap(),
                        true => crate::elementwise::add_clamped(isa, a, b, &mut out).unwrap(),
                    }
                    out
                };
                let normed = |x: &[T]| {
                    let mut out = vec![T::ZERO; x.len()];
                    rms_norm(
                        isa,
                        Rows::packed(x, n).unwrap(),
                        &norm,
                        &mut RowsMut::packed(&mut out, n).unwrap(),
                    )
                    .unwrap();
                    out
                };
                let (mut total, mut out) = (vec![T::ZERO; rows * n], vec![T::ZERO; rows * n]);
                let (into, after) = (
                    &mut RowsMut::packed(&mut total, n).unwrap(),
                    &mut RowsMut::packed(&mut out, n).unwrap(),
                );
                add_rms_norm(isa, x_rows, residual_rows, &norm, clamped, into, after).unwrap();
                assert_eq!(bits(&total), bits(&add(&x, &residual)));
                assert_eq!(bits(&out), bits(&normed(&total)));
                norm_add(
                    isa,
                    x_rows,
                    residual_rows,
                    &norm,
                    clamped,
                    &mut RowsMut::packed(&mut out, n).unwrap(),
                )
                .unwrap();
                assert_eq!(bits(&out), bits(&add(&normed(&x), &residual)));
            }
        }
    }

    #[test]
    fn fused_norms_have_the_bits_of_the_separate_ones() {
        everywhere!(fused);
    }

    fn layer<T: Element>(isa: Isa) {
        let random = &mut Random(3);
        for n in SIZES {
            let x: Vec<T> = (0..2 * n).map(|_| T::from_f32(4.0 + random.number())).collect();
            let (w, b): (Vec<f32>, Vec<f16>) = (random.vec(n, 1.0), random.vec(n, 1.0));
            for (weight, bias) in [(None, None), (Some(Weight::from(&w[..])), Some(Weight::from(&b[..])))] {
                let norm = LayerNorm { weight, bias, eps: 1e-5 };
                let mut out = vec![T::ZERO; 2 * n];
                let x = Rows::new(&x, 2, n, n).unwrap();
                layer_norm(isa, x, &norm, &mut RowsMut::new(&mut out, 2, n, n).unwrap()).unwrap();
                for row in 0..2 {
                    let x: Vec<f64> = x.row(row).iter().map(|x| f64::from(x.to_f32())).collect();
                    let mean = x.iter().sum::<f64>() / n as f64;
                    let var = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n as f64;
                    for (i, x) in x.iter().enumerate() {
                        let mut y = (x - mean) / (var + 1e-5f32 as f64).sqrt();
                        if weight.is_some() {
                            y = y * f64::from(w[i]) + f64::from(b[i].to_f32());
                        }
                        close(out[row * n + i], y, 1e-5, 5e-6, &format!("{isa} {n} [{row}, {i}]"));
                    }
                }
            }
        }
    }

    #[test]
    fn layer_norm_is_its_formula() {
        everywhere!(layer);
    }

    fn gradients<T: Element>(isa: Isa) {
        let random = &mut Random(11);
        for (rows, n) in [(1, 1), (3, 2), (5, 17), (2, 1000), (100, 65), (300, 33)] {
            let (x, dy): (Vec<T>, Vec<T>) = (random.vec(rows * n, 2.0), random.vec(rows * n, 1.0));
            let w: Vec<f32> = random.vec(n, 1.0);
            let (x, dy) = (Rows::packed(&x, n).unwrap(), Rows::packed(&dy, n).unwrap());
            for (layer, weight) in [(false, None), (false, Some(&w)), (true, None), (true, Some(&w))] {
                let (mut dx, mut dw, mut db) = (vec![T::ZERO; rows * n], vec![9f32; n], vec![9f32; n]);
                let weights = weight.map(|w| Weight::from(&w[..]));
                let (eps, offset) = (1e-3, if layer { 0.0 } else { 1.0 });
                let out = &mut RowsMut::packed(&mut dx, n).unwrap();
                if layer {
                    let norm = LayerNorm { weight: weights, bias: None, eps };
                    layer_norm_vjp(isa, x, &norm, dy, out, Some(&mut dw), Some(&mut db)).unwrap();
                } else {
                    let norm = RmsNorm { weight: weights, offset, eps };
                    rms_norm_vjp(isa, x, &norm, dy, out, Some(&mut dw)).unwrap();
                }
                let (mut dw_sum, mut db_sum) = (vec![0f64; n], vec![0f64; n]);
                for row in 0..rows {
                    let wide = |x: &[T]| x.iter().map(|x| f64::from(x.to_f32())).collect::<Vec<f64>>();
                    let (x, dy) = (wide(x.row(row)), wide(dy.row(row)));
                    let average = |v: &[f64]| v.iter().sum::<f64>() / n as f64;
                    let mean = if layer { average(&x) } else { 0.0 };
                    let squares: Vec<f64> = x.iter().map(|x| (x - mean) * (x - mean)).collect();
                    let r = 1.0 / (average(&squares) + f64::from(eps)).sqrt();
                    let z: Vec<f64> = x.iter().map(|x| (x - mean) * r).collect();
                    let w = |i: usize| weight.map_or(1.0, |w| f64::from(w[i] + offset));
                    let g: Vec<f64> = dy.iter().enumerate().map(|(i, dy)| dy * w(i)).collect();
                    let dot = average(&g.iter().zip(&z).map(|(g, z)| g * z).collect::<Vec<_>>());
                    let lost = if layer { average(&g) } else { 0.0 };
                    for i in 0..n {
                        let expected = r * (g[i] - lost - z[i] * dot);
                        let place = format!("{isa} {layer} {n} [{row}, {i}]");
                        close(dx[row * n + i], expected, 1e-5, 2e-5 * r, &place);
                        dw_sum[i] += dy[i] * z[i];
                        db_sum[i] += dy[i];
                    }
                }
                for i in 0..n {
                    close(dw[i], dw_sum[i], 1e-5, 1e-4, &format!("{isa} dw {layer} {n} {i}"));
                    if layer {
                        close(db[i], db_sum[i], 1e-5, 1e-5, &format!("{isa} db {n} {i}"));
                    }
                }
            }
        }
    }

    #[test]
    fn gradients_are_their_formulas() {
        everywhere!(gradients);
    }

    #[test]
    fn gradients_of_no_rows_are_zero() {
        let (mut dw, norm) = ([7f32; 4], RmsNorm { weight: None, offset: 0.0, eps: 0.0 });
        let none = Rows::<f32>::new(&[], 0, 4, 4).unwrap();
        let out = &mut RowsMut::new(&mut [], 0, 4, 4).unwrap();
        rms_norm_vjp(Isa::Portable, none, &norm, none, out, Some(&mut dw)).unwrap();
        assert_eq!(dw, [0.0; 4]);
    }

    #[test]
    fn operands_that_do_not_fit_are_refused() {
        let (x, w) = ([1f32; 12], [1f32; 3]);
        let norm = RmsNorm { weight: Some(Weight::from(&w[..])), offset: 0.0, eps: 0.0 };
        let (x, mut out) = (Rows::packed(&x, 4).unwrap(), [0f32; 12]);
        let message =
            rms_norm(Isa::Portable, x, &norm, &mut RowsMut::packed(&mut out, 4).unwrap()).unwrap_err();
        assert_eq!(message.to_string(), "rms_norm: expected 4 elements in weight, found 3");
        assert!(Rows::new(&out, 3, 4, 5).is_err() && Rows::new(&out, usize::MAX, 4, usize::MAX).is_err());
        assert!(RowsMut::new(&mut out, 3, 4, 2).is_err());
    }
}
