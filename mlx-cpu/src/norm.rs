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
mod tests;
