// SPDX-License-Identifier: EUPL-1.2
//! Gated feed-forward layers.

use mlx_core::Array;
use mlx_core::fast::{self, Operand};

use crate::activation::Activation;
use crate::error::Result;
use crate::linear::{Linear, project};
use crate::module;
use crate::norm::RmsNorm;

/// `down(activation(gate(x)) · up(x))`: SwiGLU with [`Activation::Silu`], GeGLU with a GELU.
///
/// Parameters: those of `gate_proj`, `up_proj` and `down_proj`, without biases. Source: arXiv:2002.05202.
#[derive(Clone, Debug)]
pub struct GatedMlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
    activation: Activation,
}
module!(GatedMlp { gate_proj, up_proj, down_proj });

impl GatedMlp {
    /// A layer for `dim` values with `inner` values behind the gate.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) when a width is not positive.
    pub fn new(dim: i32, inner: i32, activation: Activation) -> Result<Self> {
        Ok(Self {
            gate_proj: Linear::new(dim, inner, false)?,
            up_proj: Linear::new(dim, inner, false)?,
            down_proj: Linear::new(inner, dim, false)?,
            activation,
        })
    }

    /// `[.., dim]` → the same, in the dtype of `x`.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) when the last axis is not `dim`.
    pub fn forward(&self, x: &Array) -> Result<Array> {
        self.chain(x.into(), None, None)
    }

    /// `residual + forward(x)`, or with a norm `residual + norm(forward(x))`, as [`Linear::forward_add`] does it.
    ///
    /// # Errors
    /// As [`forward`](Self::forward); [`Error::Core`](crate::Error::Core) when a norm or `residual` does not fit.
    pub fn forward_add<'a>(
        &'a self,
        x: impl Into<Operand<'a>>,
        norm: Option<&'a RmsNorm>,
        residual: &'a Array,
    ) -> Result<Array> {
        self.chain(x.into(), norm, Some(residual))
    }

    fn chain<'a>(
        &'a self,
        x: Operand<'a>,
        norm: Option<&'a RmsNorm>,
        residual: Option<&'a Array>,
    ) -> Result<Array> {
        self.gate_proj.check(x.x)?;
        if [&self.gate_proj, &self.up_proj, &self.down_proj].into_iter().any(Linear::is_adapted) {
            let [gate, up] = project(x, [&self.gate_proj, &self.up_proj])?;
            let inner = fast::gated(self.activation.into(), &gate, &up)?;
            return match residual {
                Some(residual) => self.down_proj.forward_add(&inner, norm, residual),
                None => self.down_proj.forward(&inner),
            };
        }
        let inner = self.gate_proj.gated(self.activation.into(), &self.up_proj);
        Ok(fast::chain(x, &inner, &self.down_proj.projection(norm, residual))?)
    }
}
