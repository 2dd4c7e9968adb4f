// SPDX-License-Identifier: EUPL-1.2
//! Layers one behind the other.

use std::fmt;

use mlx_core::Array;
use mlx_core::random::Key;

use crate::error::Result;
use crate::module;
use crate::unary::{Function, Unary};

/// Layers of which each takes what the one before it gave.
///
/// Parameters: those of the layers, with their numbers: `layers.0.weight`. What has no parameters is numbered too.
///
/// # Examples
/// ```
/// # fn main() -> mlx_nn::Result<()> {
/// use mlx_core::{Array, Dtype, random::Key};
/// use mlx_nn::{Activation, Dropout, Linear, Sequential, init, params};
///
/// let mut net = Sequential::new()
///     .with(Linear::new(4, 8, true)?)
///     .with(Activation::Relu)
///     .with(Dropout::new(0.1)?)
///     .with(Linear::new(8, 2, false)?)
///     .with_function(|x| Ok(x.tanh()?));
/// init::initialise(&mut net, &Key::new(0)?, Dtype::Float32)?;
///
/// let y = net.forward(&Array::ones(&[3, 4], Dtype::Float32)?, Some(&Key::new(1)?))?;
/// assert_eq!(y.shape(), [3, 2]);
/// let names: Vec<String> = params::parameters(&net).into_iter().map(|(path, _)| path).collect();
/// assert_eq!(names, ["layers.0.weight", "layers.0.bias", "layers.3.weight"]);
/// # Ok(()) }
/// ```
#[derive(Default)]
pub struct Sequential {
    layers: Vec<Box<dyn Unary>>,
}
module!(Sequential { layers });

impl Sequential {
    /// No layers, which gives back what it is given.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// These layers, and then `layer`.
    #[must_use]
    pub fn with(mut self, layer: impl Unary + 'static) -> Self {
        self.push(layer);
        self
    }

    /// These layers, and then a function.
    #[must_use]
    pub fn with_function(self, function: impl Fn(&Array) -> Result<Array> + 'static) -> Self {
        self.with(Function(function))
    }

    /// Puts a layer behind the last.
    pub fn push(&mut self, layer: impl Unary + 'static) {
        self.layers.push(Box::new(layer));
    }

    /// How many layers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// `x` through every layer. In training dropouts draw from `key`, each its own values; without one they do nothing.
    ///
    /// # Errors
    /// That of the first layer that fails.
    pub fn forward(&self, x: &Array, key: Option<&Key>) -> Result<Array> {
        let mut x = x.clone();
        let mut rest = key.cloned();
        for layer in &self.layers {
            let key = next(&mut rest)?;
            x = layer.apply(&x, key.as_ref())?;
        }
        Ok(x)
    }
}

impl Unary for Sequential {
    fn apply(&self, x: &Array, key: Option<&Key>) -> Result<Array> {
        self.forward(x, key)
    }
}

impl FromIterator<Box<dyn Unary>> for Sequential {
    fn from_iter<I: IntoIterator<Item = Box<dyn Unary>>>(layers: I) -> Self {
        Self { layers: layers.into_iter().collect() }
    }
}

impl fmt::Debug for Sequential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequential").field("layers", &self.layers.len()).finish()
    }
}

/// A key that nothing else uses, where there is one at all.
pub(crate) fn next(rest: &mut Option<Key>) -> Result<Option<Key>> {
    let Some((left, key)) = rest.as_ref().map(Key::split).transpose()? else { return Ok(None) };
    *rest = Some(left);
    Ok(Some(key))
}
