// SPDX-License-Identifier: EUPL-1.2
//! Initial values: of all layers of a model, and of single arrays by the usual distributions.
//!
//! Nothing is drawn but from a key, and nothing takes memory before it is evaluated.

mod distribution;

use mlx_core::random::{self, Key};
use mlx_core::{Array, Dtype};

use crate::error::Result;
use crate::module::{LayerMut, Module, ParamPath, VisitorMut};
use crate::params;

pub use distribution::{
    Fan, constant, glorot_normal, glorot_uniform, he_normal, he_uniform, identity, normal, orthogonal,
    sparse, uniform,
};

/// Draws the values of every projection and embedding of `module` from `key`, and turns every floating parameter into
/// `dtype`. Lazy: nothing takes memory before it is evaluated.
///
/// - [`Linear`](crate::Linear): weight and bias uniform in `±1/√in`
/// - [`Embedding`](crate::Embedding): normal with standard deviation `1/√dim`
/// - all else (norms, convolutions, recurrent layers, parameters of a model's own): kept as `new` made it
///
/// A layer that is quantised draws dense values and packs them. The values depend on `key`, `dtype` and the order of
/// the fields alone.
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) when `dtype` is not floating.
pub fn initialise<M: Module + ?Sized>(module: &mut M, key: &Key, dtype: Dtype) -> Result<()> {
    params::cast(module, dtype)?;
    module.visit_mut(&mut ParamPath::new(), &mut Draw { rest: key.clone(), dtype })
}

struct Draw {
    rest: Key,
    dtype: Dtype,
}

impl Draw {
    /// A key that nothing else uses.
    fn key(&mut self) -> Result<Key> {
        let (rest, key) = self.rest.split()?;
        self.rest = rest;
        Ok(key)
    }

    fn uniform(&mut self, bound: f32, shape: &[i32]) -> Result<Array> {
        Ok(random::uniform(-bound, bound, shape, self.dtype, &self.key()?)?)
    }
}

impl VisitorMut for Draw {
    fn layer(&mut self, path: &str, layer: LayerMut<'_>) -> Result<()> {
        let deviation = |width: i32| (width as f32).sqrt().recip();
        let drawn = match layer {
            LayerMut::Linear(linear) => {
                let bound = deviation(linear.inputs());
                let weight = self.uniform(bound, &[linear.outputs(), linear.inputs()])?;
                if let Some(bias) = linear.bias_mut() {
                    *bias = self.uniform(bound, bias.shape())?;
                }
                linear.matrix_mut().replace(weight)
            }
            LayerMut::Embedding(embedding) => {
                let shape = [embedding.vocab(), embedding.dim()];
                let key = self.key()?;
                let table = random::normal(&shape, self.dtype, 0.0, deviation(embedding.dim()), &key)?;
                embedding.matrix_mut().replace(table)
            }
        };
        drawn.map_err(|error| error.in_layer(path))
    }
}
