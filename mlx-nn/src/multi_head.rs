// SPDX-License-Identifier: EUPL-1.2
//! Attention with projections of its own around it.

use mlx_core::Array;
use mlx_core::fast::Mask;

use crate::Linear;
use crate::attention::{attend, merge_heads, split_heads};
use crate::error::{Error, Result, positive};
use crate::module;

/// Attention of several heads, each over its part of projections of queries, keys and values: the layer of the first
/// transformer. Source: arXiv:1706.03762.
///
/// Parameters: those of `query_proj`, `key_proj`, `value_proj` and `out_proj`.
#[derive(Clone, Debug)]
pub struct MultiHeadAttention {
    query_proj: Linear,
    key_proj: Linear,
    value_proj: Linear,
    out_proj: Linear,
    heads: i32,
    scale: f32,
}
module!(MultiHeadAttention { query_proj, key_proj, value_proj, out_proj });

/// The widths of a [`MultiHeadAttention`] that are not that of its queries and keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MultiHeadOptions {
    /// Width of what queries are made of; `dim` by default.
    pub query_inputs: Option<i32>,
    /// Width of what keys are made of; `dim` by default.
    pub key_inputs: Option<i32>,
    /// Width of what values are made of; that of the keys' by default.
    pub value_inputs: Option<i32>,
    /// Width of the values of all heads; `dim` by default.
    pub values: Option<i32>,
    /// Width of the result; `dim` by default.
    pub outputs: Option<i32>,
    /// Whether the projections have biases; not by default.
    pub bias: bool,
}

impl MultiHeadAttention {
    /// Attention with queries and keys of `dim` values, shared by the heads.
    ///
    /// # Errors
    /// [`Error::Config`] when a width or `heads` is not positive, or `heads` divides `dim` or the values' width not.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_nn::Result<()> {
    /// use mlx_core::{Array, Dtype, fast::Mask};
    /// use mlx_nn::{MultiHeadAttention, MultiHeadOptions};
    ///
    /// let attention = MultiHeadAttention::new(8, 2, &MultiHeadOptions::default())?;
    /// let x = Array::ones(&[1, 5, 8], Dtype::Float32)?;
    /// assert_eq!(attention.forward(&x, &x, &x, Mask::Causal)?.shape(), [1, 5, 8]);
    /// # Ok(()) }
    /// ```
    pub fn new(dim: i32, heads: i32, options: &MultiHeadOptions) -> Result<Self> {
        let (dim, heads) = (positive("dim", dim)?, positive("heads", heads)?);
        let key_inputs = positive("key_inputs", options.key_inputs.unwrap_or(dim))?;
        let values = positive("values", options.values.unwrap_or(dim))?;
        for width in [dim, values] {
            if width % heads != 0 {
                return Err(Error::config("heads", format!("{heads} do not share {width} values")));
            }
        }
        let query_inputs = positive("query_inputs", options.query_inputs.unwrap_or(dim))?;
        let value_inputs = positive("value_inputs", options.value_inputs.unwrap_or(key_inputs))?;
        let outputs = positive("outputs", options.outputs.unwrap_or(dim))?;
        Ok(Self {
            query_proj: Linear::new(query_inputs, dim, options.bias)?,
            key_proj: Linear::new(key_inputs, dim, options.bias)?,
            value_proj: Linear::new(value_inputs, values, options.bias)?,
            out_proj: Linear::new(values, outputs, options.bias)?,
            heads,
            scale: ((dim / heads) as f32).sqrt().recip(),
        })
    }

    /// `queries` `[B, L, ..]`, `keys` and `values` `[B, S, ..]`, each of its width → `[B, L, outputs]`, in the dtype of
    /// `queries`.
    ///
    /// # Errors
    /// [`Error::Input`] when a shape does not fit, [`Error::Core`] when the mask does not.
    pub fn forward(&self, queries: &Array, keys: &Array, values: &Array, mask: Mask<'_>) -> Result<Array> {
        let q = split_heads(&self.query_proj.forward(queries)?, self.heads)?; // [B, H, L, E]
        let k = split_heads(&self.key_proj.forward(keys)?, self.heads)?; // [B, H, S, E]
        let v = split_heads(&self.value_proj.forward(values)?, self.heads)?;
        self.out_proj.forward(&merge_heads(&attend(&q, &k, &v, self.scale, mask)?)?)
    }
}
