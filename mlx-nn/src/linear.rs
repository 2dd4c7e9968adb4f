// SPDX-License-Identifier: EUPL-1.2
//! Affine maps of the last axis, dense or quantised.

use mlx_core::fast::{self, Activation, Operand, Projection};
use mlx_core::{Array, Dtype, Quantization};

use crate::adapter::Adapter;
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::module::{Layer, LayerMut, Module, ParamPath, Visitor, VisitorMut};
use crate::norm::RmsNorm;

/// `y = x · Wᵀ + b`.
///
/// Parameters: `weight` `[out, in]` and, where there is one, `bias` `[out]`. Quantised: `weight` (uint32, packed),
/// `scales`, and for affine quantisation `biases`, each `[out, ..]`; a `bias` is never packed.
#[derive(Clone, Debug)]
pub struct Linear {
    matrix: Matrix,
    bias: Option<Array>,
}

impl Linear {
    /// A projection from `inputs` to `outputs` values whose parameters are zero in float32 and take no memory:
    /// [`params::load`](crate::params::load) or [`init::initialise`](crate::init::initialise) gives them values.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) when a width is not positive.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_nn::Result<()> {
    /// use mlx_core::{Array, Dtype};
    /// let y = mlx_nn::Linear::new(3, 2, true)?.forward(&Array::ones(&[5, 3], Dtype::Float32)?)?;
    /// assert_eq!(y.shape(), [5, 2]);
    /// # Ok(()) }
    /// ```
    pub fn new(inputs: i32, outputs: i32, bias: bool) -> Result<Self> {
        let matrix = Matrix::zeros("outputs", outputs, "inputs", inputs)?;
        let bias = if bias { Some(Array::zeros(&[outputs], Dtype::Float32)?) } else { None };
        Ok(Self { matrix, bias })
    }

    /// `[.., in]` → `[.., out]`, in the dtype of `x`.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) when the last axis is not `in`.
    pub fn forward(&self, x: &Array) -> Result<Array> {
        self.matrix.project("linear", x, |product| Projection { bias: self.bias.as_ref(), ..product })
    }

    /// `residual + y`, or with a norm `residual + norm(y)`: `[.., in]` and `[.., out]` → `[.., out]`, in the dtype of
    /// `x`. Without a norm the sum is taken before it is rounded.
    ///
    /// # Errors
    /// As [`forward`](Self::forward); [`Error::Core`](crate::Error::Core) when a norm or `residual` does not fit.
    pub fn forward_add<'a>(
        &'a self,
        x: impl Into<Operand<'a>>,
        norm: Option<&'a RmsNorm>,
        residual: &'a Array,
    ) -> Result<Array> {
        self.matrix.project("linear", x, |_| self.projection(norm, Some(residual)))
    }

    /// The projection as ops take it, with a norm and a residual stream behind it.
    pub(crate) fn projection<'a>(
        &'a self,
        norm: Option<&'a RmsNorm>,
        residual: Option<&'a Array>,
    ) -> Projection<'a> {
        Projection {
            bias: self.bias.as_ref(),
            norm: norm.map(RmsNorm::as_norm),
            add: residual,
            ..Projection::new(self.matrix.weight())
        }
    }

    /// As [`forward`](Self::forward), but in float32, as it was summed: logits.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_wide(&self, x: &Array) -> Result<Array> {
        self.matrix.project("linear", x, |product| Projection {
            bias: self.bias.as_ref(),
            wide: true,
            ..product
        })
    }

    /// `activation(y) · up(x)`, the heart of SwiGLU and GeGLU, where neither projection has a bias.
    pub(crate) fn gated<'a>(&'a self, activation: Activation, up: &'a Self) -> Projection<'a> {
        Projection { gate: Some((activation, up.matrix.weight())), ..Projection::new(self.matrix.weight()) }
    }

    /// Checks that `x` is `[.., in]`.
    pub(crate) fn check(&self, x: &Array) -> Result<()> {
        self.matrix.check("linear", x)
    }

    /// Width of the input.
    #[must_use]
    pub fn inputs(&self) -> i32 {
        self.matrix.columns()
    }

    /// Width of the output.
    #[must_use]
    pub fn outputs(&self) -> i32 {
        self.matrix.rows()
    }

    /// Whether something is added.
    #[must_use]
    pub fn has_bias(&self) -> bool {
        self.bias.is_some()
    }

    /// How the weight is packed; `None` where it is dense.
    #[must_use]
    pub fn quantization(&self) -> Option<Quantization> {
        self.matrix.quantization()
    }

    /// How many numbers it has learnt, as [`params::count`](crate::params::count) counts.
    #[must_use]
    pub fn count(&self) -> usize {
        self.matrix.count() + self.bias.as_ref().map_or(0, Array::size)
    }

    /// What changes it, if anything does.
    #[must_use]
    pub fn adapter(&self) -> Option<&Adapter> {
        self.matrix.adapter()
    }

    /// Whether a pass has to see to an adapter.
    pub(crate) fn is_adapted(&self) -> bool {
        self.matrix.active().is_some()
    }

    pub(crate) fn matrix_mut(&mut self) -> &mut Matrix {
        &mut self.matrix
    }

    pub(crate) fn bias_mut(&mut self) -> Option<&mut Array> {
        self.bias.as_mut()
    }
}

/// Several projections of the same `x` in one pass over it, such as queries, keys and values.
///
/// `[.., in]` → for each `[.., out]`, in the dtype of `x`.
///
/// # Errors
/// [`Error::Input`] when the last axis is not `in`.
pub fn project<'a, const N: usize>(x: impl Into<Operand<'a>>, layers: [&'a Linear; N]) -> Result<[Array; N]> {
    let x = x.into();
    for layer in layers {
        layer.matrix.check("linear", x.x)?;
    }
    let projections = layers.map(|layer| layer.projection(None, None));
    if layers.iter().any(|layer| layer.is_adapted()) {
        // Those without an adapter still share a pass.
        let x = x.to_array()?;
        let plain: Vec<_> =
            layers.iter().zip(projections).filter(|(layer, _)| !layer.is_adapted()).map(|(_, p)| p).collect();
        let mut plain = fast::project(&x, &plain)?.into_iter();
        let missing = || Error::config("project", "a result is missing");
        let results = layers.iter().zip(projections).map(|(layer, projection)| match layer.matrix.active() {
            Some(adapter) => layer.matrix.adapted(adapter, &x, projection),
            None => plain.next().ok_or_else(missing),
        });
        let results: Vec<Array> = results.collect::<Result<_>>()?;
        return <[Array; N]>::try_from(results).map_err(|_| missing());
    }
    let results = fast::project(x, &projections)?;
    <[Array; N]>::try_from(results).map_err(|_| Error::config("project", "a result is missing"))
}

impl Module for Linear {
    fn visit<'a>(&'a self, path: &mut ParamPath, visitor: &mut dyn Visitor<'a>) {
        if visitor.layer(path.as_str(), Layer::Linear(self)) {
            self.matrix.visit(path, visitor);
            path.within("bias", |path| self.bias.visit(path, visitor));
        }
    }

    fn visit_mut(&mut self, path: &mut ParamPath, visitor: &mut dyn VisitorMut) -> Result<()> {
        visitor.layer(path.as_str(), LayerMut::Linear(self))?;
        self.matrix.visit_mut(path, visitor)?;
        path.within("bias", |path| self.bias.visit_mut(path, visitor))
    }
}
