// SPDX-License-Identifier: EUPL-1.2
//! Walks over the parameters of a module: list, count, load, cast, quantise.

use std::collections::BTreeMap;

use mlx_core::{Array, Dtype, Quantization};

use crate::error::{Error, Misfit, Result, WeightErrors};
use crate::module::{Layer, LayerMut, Module, ParamPath, Visitor, VisitorMut};

/// Every parameter with its path, in the order of the fields: what a checkpoint holds.
#[must_use]
pub fn parameters<M: Module + ?Sized>(module: &M) -> Vec<(String, &Array)> {
    struct List<'a>(Vec<(String, &'a Array)>);
    impl<'a> Visitor<'a> for List<'a> {
        fn parameter(&mut self, path: &str, value: &'a Array) {
            self.0.push((path.to_owned(), value));
        }
    }
    let mut list = List(Vec::new());
    module.visit(&mut ParamPath::new(), &mut list);
    list.0
}

/// How many numbers the module has learnt. A quantised matrix counts as many as it stands for, whatever it is packed
/// into.
#[must_use]
pub fn count<M: Module + ?Sized>(module: &M) -> usize {
    struct Count(usize);
    impl<'a> Visitor<'a> for Count {
        fn parameter(&mut self, _path: &str, value: &'a Array) {
            self.0 += value.size();
        }
        fn layer(&mut self, _path: &str, layer: Layer<'a>) -> bool {
            self.0 += match layer {
                Layer::Linear(linear) => linear.count(),
                Layer::Embedding(embedding) => embedding.count(),
            };
            false
        }
    }
    let mut count = Count(0);
    module.visit(&mut ParamPath::new(), &mut count);
    count.0
}

/// The bytes that the parameters take, packed as they are.
#[must_use]
pub fn nbytes<M: Module + ?Sized>(module: &M) -> usize {
    parameters(module).into_iter().map(|(_, value)| value.nbytes()).sum()
}

/// Puts `weights` in the place of the parameters, by path. They keep their dtype.
///
/// Strict: every parameter is given, nothing else is, each has the shape of the one that it replaces and a dtype of
/// its kind (floating for floating, else the same). Values are not read, so this costs nothing.
///
/// # Errors
/// [`Error::Weights`] with every culprit; the module is then as it was.
pub fn load<M: Module + ?Sized>(module: &mut M, weights: BTreeMap<String, Array>) -> Result<()> {
    let errors = differences(module, &weights);
    if !errors.is_empty() {
        return Err(Error::Weights(errors));
    }
    put(module, weights)
}

/// Puts weights that fit in the place of parameters.
fn put<M: Module + ?Sized>(module: &mut M, mut weights: BTreeMap<String, Array>) -> Result<()> {
    struct Swap<'w>(&'w mut BTreeMap<String, Array>);
    impl VisitorMut for Swap<'_> {
        fn parameter(&mut self, path: &str, value: &mut Array) -> Result<()> {
            if let Some(weight) = self.0.remove(path) {
                *value = weight;
            }
            Ok(())
        }
    }
    module.visit_mut(&mut ParamPath::new(), &mut Swap(&mut weights))
}

/// Puts `weights` in the place of some of the parameters, by path, as [`load`] does; all others stay as they are.
///
/// # Errors
/// [`Error::Weights`] with every weight that has no place or does not fit; the module is then as it was.
///
/// # Examples
/// ```
/// # fn main() -> mlx_nn::Result<()> {
/// use std::collections::BTreeMap;
///
/// use mlx_core::{Array, Dtype};
/// use mlx_nn::{Linear, params};
///
/// let mut layer = Linear::new(2, 1, true)?;
/// let bias = Array::ones(&[1], Dtype::Float32)?;
/// params::load_some(&mut layer, BTreeMap::from([("bias".to_owned(), bias)]))?;
/// assert_eq!(layer.forward(&Array::ones(&[1, 2], Dtype::Float32)?)?.item::<f32>()?, 1.0);
/// # Ok(()) }
/// ```
pub fn load_some<M: Module + ?Sized>(module: &mut M, weights: BTreeMap<String, Array>) -> Result<()> {
    let mut errors = differences(module, &weights);
    errors.missing.clear();
    if !errors.is_empty() {
        return Err(Error::Weights(errors));
    }
    put(module, weights)
}

/// What [`load`] would complain about.
#[must_use]
pub fn differences<M: Module + ?Sized>(module: &M, weights: &BTreeMap<String, Array>) -> WeightErrors {
    let expected: BTreeMap<String, &Array> = parameters(module).into_iter().collect();
    let mut errors = WeightErrors::default();
    for (path, parameter) in &expected {
        let Some(weight) = weights.get(path) else {
            errors.missing.push(path.clone());
            continue;
        };
        let wanted = parameter.dtype();
        let kind = if wanted.is_float() { weight.dtype().is_float() } else { weight.dtype() == wanted };
        if weight.shape() != parameter.shape() || !kind {
            errors.misfit.push(Misfit {
                path: path.clone(),
                expected: match wanted.is_float() {
                    true => format!("{:?} of floating dtype", parameter.shape()),
                    false => format!("{:?} of {wanted}", parameter.shape()),
                },
                found: format!("{:?} of {}", weight.shape(), weight.dtype()),
            });
        }
    }
    errors.surplus.extend(weights.keys().filter(|&path| !expected.contains_key(path)).cloned());
    errors
}

/// Turns every floating parameter into `dtype`. Packed weights stay as they are. Lazy.
///
/// # Errors
/// [`Error::Config`] when `dtype` is not floating.
pub fn cast<M: Module + ?Sized>(module: &mut M, dtype: Dtype) -> Result<()> {
    if !dtype.is_float() {
        return Err(Error::config("dtype", format!("expected a floating dtype, found {dtype}")));
    }
    struct Cast(Dtype);
    impl VisitorMut for Cast {
        fn parameter(&mut self, _path: &str, value: &mut Array) -> Result<()> {
            let found = value.dtype();
            if found.is_float() && found != self.0 {
                *value = value.astype(self.0)?;
            }
            Ok(())
        }
    }
    module.visit_mut(&mut ParamPath::new(), &mut Cast(dtype))
}

/// Makes room for a quantised checkpoint: every [`Linear`](crate::Linear) and [`Embedding`](crate::Embedding) for
/// whose path `choose` returns settings gets packed parameters of the right shapes, with no values, to be filled by
/// [`load`].
///
/// Checkpoints that mlx-lm wrote have settings for all layers and exceptions by path; a layer without `scales` in the
/// file is dense:
///
/// ```
/// # use std::collections::BTreeMap;
/// # use mlx_core::{Array, Quantization, QuantMode};
/// # use mlx_nn::{Linear, params};
/// # fn main() -> mlx_nn::Result<()> {
/// # let mut model = Linear::new(64, 8, false)?;
/// # let weights: BTreeMap<String, Array> = BTreeMap::new();
/// let settings = Quantization { group_size: 64, bits: 4, mode: QuantMode::Affine };
/// params::quantize_for_load(&mut model, |path| weights.contains_key(&format!("{path}.scales")).then_some(settings))?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`Error::Layer`] with the path of a layer whose width cannot be grouped that way.
pub fn quantize_for_load<M, F>(module: &mut M, choose: F) -> Result<()>
where
    M: Module + ?Sized,
    F: FnMut(&str) -> Option<Quantization>,
{
    module.visit_mut(&mut ParamPath::new(), &mut Quantise { choose, values: false })
}

/// Quantises every dense [`Linear`](crate::Linear) and [`Embedding`](crate::Embedding) for whose path `choose`
/// returns settings. Lazy: the dense weight is needed until the packed one is evaluated.
///
/// # Errors
/// [`Error::Layer`] with the path of a layer whose width cannot be grouped that way.
pub fn quantize<M, F>(module: &mut M, choose: F) -> Result<()>
where
    M: Module + ?Sized,
    F: FnMut(&str) -> Option<Quantization>,
{
    module.visit_mut(&mut ParamPath::new(), &mut Quantise { choose, values: true })
}

struct Quantise<F> {
    choose: F,
    values: bool,
}

impl<F: FnMut(&str) -> Option<Quantization>> VisitorMut for Quantise<F> {
    fn layer(&mut self, path: &str, layer: LayerMut<'_>) -> Result<()> {
        let Some(settings) = (self.choose)(path) else { return Ok(()) };
        let matrix = match layer {
            LayerMut::Linear(linear) => linear.matrix_mut(),
            LayerMut::Embedding(embedding) => embedding.matrix_mut(),
        };
        let done = match self.values {
            true => matrix.quantize(settings),
            false => matrix.pack_empty(settings),
        };
        done.map_err(|error| error.in_layer(path))
    }
}
