// SPDX-License-Identifier: EUPL-1.2
//! Tables of vectors, dense or quantised.

use mlx_core::fast::Projection;
use mlx_core::{Array, Quantization};

use crate::adapter::Adapter;
use crate::error::Result;
use crate::matrix::Matrix;
use crate::module::{Layer, LayerMut, Module, ParamPath, Visitor, VisitorMut};

/// One vector a token, and with tied weights the output projection too.
///
/// Parameters: `weight` `[vocab, dim]`; quantised: `weight` (uint32, packed), `scales`, and for affine quantisation
/// `biases`. A quantised table is never unpacked whole: looking up unpacks the rows that are asked for, and projecting
/// multiplies by the packed table.
#[derive(Clone, Debug)]
pub struct Embedding {
    matrix: Matrix,
}

impl Embedding {
    /// A table of `vocab` vectors of `dim` values, zero in float32, which take no memory:
    /// [`params::load`](crate::params::load) or [`init::initialise`](crate::init::initialise) gives them values.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) when a measure is not positive.
    pub fn new(vocab: i32, dim: i32) -> Result<Self> {
        Ok(Self { matrix: Matrix::zeros("vocab", vocab, "dim", dim)? })
    }

    /// The vectors of `ids`, integers in `0..vocab`: `[..]` → `[.., dim]`. In the dtype of the table; of an affinely
    /// quantised one that of its scales, of any other quantised one bfloat16.
    ///
    /// # Errors
    /// [`Error::Core`](crate::Error::Core) when `ids` are not integers, or one that is known already lies outside the
    /// table; one that is still to be computed is clamped to it.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_nn::Result<()> {
    /// let ids = mlx_core::Array::from_slice(&[3u32, 1], &[1, 2])?;
    /// assert_eq!(mlx_nn::Embedding::new(4, 8)?.forward(&ids)?.shape(), [1, 2, 8]);
    /// # Ok(()) }
    /// ```
    pub fn forward(&self, ids: &Array) -> Result<Array> {
        self.matrix.take(ids)
    }

    /// The dot product of `x` with every vector: `[.., dim]` → `[.., vocab]`, in the dtype of `x`.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) when the last axis is not `dim`.
    pub fn as_linear(&self, x: &Array) -> Result<Array> {
        self.matrix.project("embedding", x, |product| product)
    }

    /// As [`as_linear`](Self::as_linear), but in float32, as it was summed: logits.
    ///
    /// # Errors
    /// As [`as_linear`](Self::as_linear).
    pub fn as_linear_wide(&self, x: &Array) -> Result<Array> {
        self.matrix.project("embedding", x, |product| Projection { wide: true, ..product })
    }

    /// How many vectors there are.
    #[must_use]
    pub fn vocab(&self) -> i32 {
        self.matrix.rows()
    }

    /// Width of a vector.
    #[must_use]
    pub fn dim(&self) -> i32 {
        self.matrix.columns()
    }

    /// How the table is packed; `None` where it is dense.
    #[must_use]
    pub fn quantization(&self) -> Option<Quantization> {
        self.matrix.quantization()
    }

    /// How many numbers it has learnt, as [`params::count`](crate::params::count) counts.
    #[must_use]
    pub fn count(&self) -> usize {
        self.matrix.count()
    }

    /// What changes it, if anything does.
    #[must_use]
    pub fn adapter(&self) -> Option<&Adapter> {
        self.matrix.adapter()
    }

    pub(crate) fn matrix_mut(&mut self) -> &mut Matrix {
        &mut self.matrix
    }
}

impl Module for Embedding {
    fn visit<'a>(&'a self, path: &mut ParamPath, visitor: &mut dyn Visitor<'a>) {
        if visitor.layer(path.as_str(), Layer::Embedding(self)) {
            self.matrix.visit(path, visitor);
        }
    }

    fn visit_mut(&mut self, path: &mut ParamPath, visitor: &mut dyn VisitorMut) -> Result<()> {
        visitor.layer(path.as_str(), LayerMut::Embedding(self))?;
        self.matrix.visit_mut(path, visitor)
    }
}
