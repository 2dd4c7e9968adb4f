// SPDX-License-Identifier: EUPL-1.2
//! Several products with the same activations.

use super::{Activation, Norm};
use crate::error::{Error, Result};
use crate::ops::addmm;
use crate::{Array, Dtype, Quantization, cpu};

/// A matrix of weights, `[N, K]` as checkpoints have it.
#[derive(Clone, Copy, Debug)]
pub enum Weight<'a> {
    /// N rows of K numbers.
    Dense(&'a Array),
    /// N rows of K numbers in few bits, as [`crate::Quantized`] has them.
    Packed {
        /// uint32, `[N, words]`.
        weight: &'a Array,
        /// `[N, K / group_size]`.
        scales: &'a Array,
        /// Like the scales; for affine quantisation only.
        biases: Option<&'a Array>,
        /// How they are packed.
        format: Quantization,
    },
}

impl Weight<'_> {
    /// N.
    pub(crate) fn rows(&self) -> i32 {
        match self {
            Self::Dense(weight) | Self::Packed { weight, .. } => weight.shape().first().copied().unwrap_or(0),
        }
    }

    fn check(&self, inputs: i32) -> Result<()> {
        const OP: &str = "project";
        match self {
            Self::Dense(weight) => match weight.shape() {
                [_, width] if *width == inputs => Ok(()),
                found => {
                    Err(Error::argument(OP, "weight", format!("expected [N, {inputs}], found {found:?}")))
                }
            },
            Self::Packed { weight, scales, biases, format } => {
                let width = crate::ops::packed_width(OP, weight, scales, *biases, *format)?;
                match (width, weight.ndim()) {
                    (width, 2) if width == inputs => Ok(()),
                    _ => Err(Error::argument(
                        OP,
                        "weight",
                        format!("expected [N, {inputs}] once unpacked, found rows of {width}"),
                    )),
                }
            }
        }
    }

    /// `x · Wᵀ` in plain ops.
    fn product(&self, x: &Array) -> Result<Array> {
        match *self {
            Self::Dense(weight) => x.matmul(&weight.transpose()?),
            Self::Packed { weight, scales, biases, format } => {
                x.quantized_matmul(weight, scales, biases, true, format)
            }
        }
    }
}

/// What projections multiply: an array, or the norm of one.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    /// `[.., K]`.
    pub x: &'a Array,
    /// The norm that is taken of it first.
    pub norm: Option<Norm<'a>>,
}

impl<'a> From<&'a Array> for Operand<'a> {
    fn from(x: &'a Array) -> Self {
        Self { x, norm: None }
    }
}

impl Operand<'_> {
    fn check(&self) -> Result<()> {
        const OP: &str = "project";
        match &self.norm {
            Some(norm) => {
                super::check_float(OP, "x", Some(self.x))?;
                norm.check(OP, self.x.shape().last())
            }
            None => Ok(()),
        }
    }

    /// What is multiplied, as an array of its own.
    ///
    /// # Errors
    /// As [`norm`](super::norm).
    pub fn to_array(&self) -> Result<Array> {
        match &self.norm {
            Some(norm) => super::norm(self.x, norm),
            None => Ok(self.x.clone()),
        }
    }
}

/// One product of [`project`], and what becomes of it before it is rounded.
#[derive(Clone, Copy, Debug)]
pub struct Projection<'a> {
    /// `[N, K]`.
    pub weight: Weight<'a>,
    /// Added to the product, `[N]`.
    pub bias: Option<&'a Array>,
    /// With a gate the result is `activation(x · weightᵀ + bias) · (x · upᵀ)`: the heart of SwiGLU and GeGLU.
    pub gate: Option<(Activation, Weight<'a>)>,
    /// The norm of all that, which is rounded before it is taken and after: the norm behind a layer, as Gemma has it.
    pub norm: Option<Norm<'a>>,
    /// Added at last, `[.., N]`: a residual stream.
    pub add: Option<&'a Array>,
    /// Whether the result is in float32 instead of the dtype of `x`; not with a norm.
    pub wide: bool,
}

impl<'a> Projection<'a> {
    /// `x · Wᵀ` and nothing else.
    #[must_use]
    pub fn new(weight: Weight<'a>) -> Self {
        Self { weight, bias: None, gate: None, norm: None, add: None, wide: false }
    }

    /// Checks that it fits activations of the shape.
    fn check(&self, shape: &[i32]) -> Result<()> {
        const OP: &str = "project";
        let Some((&inputs, outer)) = shape.split_last() else {
            return Err(Error::shape(OP, "expected an axis or more, found a scalar"));
        };
        self.weight.check(inputs)?;
        let rows = self.weight.rows();
        if let Some((_, up)) = &self.gate {
            up.check(inputs)?;
            if up.rows() != rows {
                return Err(Error::argument(
                    OP,
                    "gate",
                    format!("expected {rows} rows, found {}", up.rows()),
                ));
            }
        }
        if let Some(bias) = self.bias.filter(|bias| bias.shape() != [rows]) {
            return Err(Error::argument(OP, "bias", format!("expected [{rows}], found {:?}", bias.shape())));
        }
        if let Some(norm) = &self.norm {
            norm.check(OP, Some(&rows))?;
            if self.wide {
                return Err(Error::argument(OP, "wide", "the norm of a product has the dtype of x"));
            }
        }
        let shape = [outer, &[rows]].concat();
        if let Some(add) = self.add.filter(|add| add.shape() != shape) {
            return Err(Error::argument(OP, "add", format!("expected {shape:?}, found {:?}", add.shape())));
        }
        Ok(())
    }

    /// The result in plain ops.
    pub(crate) fn composite(&self, x: &Array) -> Result<Array> {
        let mut y = match (self.bias, &self.weight) {
            (Some(bias), Weight::Dense(weight)) => addmm(bias, x, &weight.transpose()?, 1.0, 1.0)?,
            (Some(bias), weight) => (&weight.product(x)? + bias)?,
            (None, weight) => weight.product(x)?,
        };
        if let Some((activation, up)) = &self.gate {
            y = (&activation.apply(&y)? * &up.product(x)?)?;
        }
        y = match (&self.norm, self.add) {
            (None, None) => y,
            (None, Some(add)) => (&y + add)?,
            (Some(norm), None) => super::norm(&y, norm)?,
            (Some(norm), Some(add)) => super::norm_add(add, &y, norm)?,
        };
        let dtype = if self.wide { Dtype::Float32 } else { x.dtype() };
        if y.dtype() == dtype { Ok(y) } else { y.astype(dtype) }
    }
}

/// Multiplies `x`, or its norm, with every weight in one pass over it.
///
/// Sums are in float32 on the CPU, and what a [`Projection`] adds on top is done before they are rounded.
///
/// - shape: operand `x` `[.., K]`, weights `[N, K]` → one `[.., N]` for each
/// - dtype: floating, that of `x`, or float32 where a projection is `wide`
///
/// # Errors
/// [`Error::Argument`] when a weight, bias, norm or addend does not fit, [`Error::Shape`] when `x` is a scalar.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::fast::{Projection, Weight, project};
/// use mlx_core::{Array, Dtype};
/// let (w, x) = (Array::ones(&[3, 2], Dtype::Float32)?, Array::ones(&[5, 2], Dtype::Float32)?);
/// let y = project(&x, &[Projection::new(Weight::Dense(&w))])?;
/// assert_eq!((y.len(), y[0].shape()), (1, &[5, 3][..]));
/// # Ok(()) }
/// ```
pub fn project<'a>(operand: impl Into<Operand<'a>>, projections: &[Projection<'a>]) -> Result<Vec<Array>> {
    let operand = operand.into();
    operand.check()?;
    for projection in projections {
        projection.check(operand.x.shape())?;
    }
    if projections.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(results) = cpu::project::project(&operand, projections) {
        return results;
    }
    let x = operand.to_array()?;
    projections.iter().map(|projection| projection.composite(&x)).collect()
}

/// The second projection of the first one's result: a feed-forward layer in one op.
///
/// - shape: operand `x` `[.., K]`, weights `[M, K]` and `[N, M]` → `[.., N]`
/// - dtype: floating, that of `x`, or float32 where the second is `wide`
///
/// # Errors
/// As [`project`]; [`Error::Argument`] when the first is `wide`.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::fast::{Activation, Projection, Weight, chain};
/// use mlx_core::{Array, Dtype};
/// let (up, down) = (Array::ones(&[6, 2], Dtype::Float32)?, Array::ones(&[2, 6], Dtype::Float32)?);
/// let x = Array::ones(&[5, 2], Dtype::Float32)?;
/// let gate = Some((Activation::Silu, Weight::Dense(&up)));
/// let first = Projection { gate, ..Projection::new(Weight::Dense(&up)) };
/// let second = Projection { add: Some(&x), ..Projection::new(Weight::Dense(&down)) };
/// assert_eq!(chain(&x, &first, &second)?.shape(), [5, 2]);
/// # Ok(()) }
/// ```
pub fn chain<'a>(
    operand: impl Into<Operand<'a>>,
    first: &Projection<'a>,
    second: &Projection<'a>,
) -> Result<Array> {
    const OP: &str = "project";
    let operand = operand.into();
    operand.check()?;
    first.check(operand.x.shape())?;
    let outer = operand.x.shape().split_last().map_or(&[][..], |(_, outer)| outer);
    second.check(&[outer, &[first.weight.rows()]].concat())?;
    if first.wide {
        return Err(Error::argument(OP, "wide", "the first of two projections has the dtype of x"));
    }
    if let Some(result) = cpu::project::chain(&operand, [first, second]) {
        return result;
    }
    second.composite(&first.composite(&operand.to_array()?)?)
}
