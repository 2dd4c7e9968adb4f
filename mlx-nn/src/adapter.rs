// SPDX-License-Identifier: EUPL-1.2
//! Low-rank adapters: LoRA and DoRA on projections and tables, dense or quantised.
//!
//! An adapter is a part of the layer that it changes, so a model with adapters runs, trains, loads and saves by the same
//! code as one without. Its parameters stand beside the layer's: `lora_a`, `lora_b`, and for DoRA `m`, by the names and in
//! the layout of mlx-lm's `adapters.safetensors`.
//!
//! Sources: arXiv:2106.09685 (LoRA), arXiv:2402.09353 (DoRA).
//!
//! ```
//! use mlx_core::{Array, Dtype, random::Key};
//! use mlx_nn::{Linear, adapter, init, params};
//!
//! # fn main() -> mlx_nn::Result<()> {
//! let mut layer = Linear::new(8, 4, false)?;
//! init::initialise(&mut layer, &Key::new(1)?, Dtype::Float32)?;
//! let x = Array::ones(&[1, 8], Dtype::Float32)?;
//! let before = layer.forward(&x)?.to_vec::<f32>()?;
//!
//! let settings = adapter::Settings { rank: 2, ..Default::default() };
//! adapter::attach(&mut layer, |_| Some(settings), &Key::new(2)?)?;
//! let names: Vec<String> = params::parameters(&layer).into_iter().map(|(path, _)| path).collect();
//! assert_eq!(names, ["weight", "lora_a", "lora_b"]);
//! // A new adapter changes nothing: `lora_b` is zero.
//! assert_eq!(layer.forward(&x)?.to_vec::<f32>()?, before);
//! # Ok(()) }
//! ```

use mlx_core::random::{self, Key};
use mlx_core::{Array, Dtype};

use crate::constant::Constant;
use crate::dropout::Dropout;
use crate::error::{Error, Result, positive};
use crate::matrix::{Matrix, like};
use crate::module::{Layer, LayerMut, Module, ParamPath, Visitor, VisitorMut};

/// What an adapter is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Width of the bottleneck, r; 8 by default.
    pub rank: i32,
    /// What the change is multiplied by; 20 by default. The α of the paper is this times the rank.
    pub scale: f32,
    /// The share of the input that is dropped while training, from 0, the default, to below 1.
    pub dropout: f32,
    /// Whether rows are normed and have a length of their own: DoRA. Not by default.
    pub magnitude: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { rank: 8, scale: 20.0, dropout: 0.0, magnitude: false }
    }
}

impl Settings {
    /// Checks that an adapter can be so.
    ///
    /// # Errors
    /// [`Error::Config`] with the setting outside its domain.
    pub fn check(&self) -> Result<()> {
        positive("rank", self.rank)?;
        if !self.scale.is_finite() {
            return Err(Error::config("scale", format!("expected a finite number, found {}", self.scale)));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            let message = format!("expected a number from 0 and below 1, found {}", self.dropout);
            return Err(Error::config("dropout", message));
        }
        Ok(())
    }
}

/// Which of an adapter's factors meets the input of a projection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// `lora_a` `[columns, r]`, `lora_b` `[r, rows]`: the weight changes by `scale · (lora_a · lora_b)ᵀ`.
    Projection,
    /// `lora_a` `[rows, r]`, `lora_b` `[r, columns]`: the table changes by `scale · lora_a · lora_b`.
    Table,
}

/// A low-rank change of a matrix `W`, `[rows, columns]`.
///
/// Of a projection: `y = x · Wᵀ + scale · (x · lora_a) · lora_b`; of a table, `lora_a` is looked up as the table is. With
/// a magnitude `m` `[rows]`, the changed matrix has rows of the lengths `m`; gradients do not flow through the lengths
/// that it had.
///
/// Parameters: `lora_a`, `lora_b` and, for DoRA, `m`, in float32.
#[derive(Clone, Debug)]
pub struct Adapter {
    lora_a: Array,
    lora_b: Array,
    m: Option<Array>,
    settings: Settings,
    side: Side,
    /// While training: what the next pass drops by.
    key: Option<Key>,
}

impl Module for Adapter {
    fn visit<'a>(&'a self, path: &mut ParamPath, visitor: &mut dyn Visitor<'a>) {
        path.within("lora_a", |path| self.lora_a.visit(path, visitor));
        path.within("lora_b", |path| self.lora_b.visit(path, visitor));
        path.within("m", |path| self.m.visit(path, visitor));
    }

    fn visit_mut(&mut self, path: &mut ParamPath, visitor: &mut dyn VisitorMut) -> Result<()> {
        path.within("lora_a", |path| self.lora_a.visit_mut(path, visitor))?;
        path.within("lora_b", |path| self.lora_b.visit_mut(path, visitor))?;
        path.within("m", |path| self.m.visit_mut(path, visitor))
    }
}

impl Adapter {
    /// An adapter that changes nothing yet: `lora_a` uniform in `±1/√n` for n rows of it, `lora_b` zero, `m` the lengths
    /// of the rows of `matrix`.
    pub(crate) fn draw(matrix: &Matrix, side: Side, settings: Settings, key: &Key) -> Result<Self> {
        settings.check()?;
        let (inputs, outputs) = match side {
            Side::Projection => (matrix.columns(), matrix.rows()),
            Side::Table => (matrix.rows(), matrix.columns()),
        };
        let bound = (inputs as f32).sqrt().recip();
        let rank = settings.rank;
        Ok(Self {
            lora_a: random::uniform(-bound, bound, &[inputs, rank], Dtype::Float32, key)?,
            lora_b: Array::zeros(&[rank, outputs], Dtype::Float32)?,
            m: match settings.magnitude {
                true => Some(lengths(&matrix.dense()?.astype(Dtype::Float32)?)?),
                false => None,
            },
            settings,
            side,
            key: None,
        })
    }

    /// What it is.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// How many numbers it has learnt.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lora_a.size() + self.lora_b.size() + self.m.as_ref().map_or(0, Array::size)
    }

    /// What is added to `x · Wᵀ`: `[.., columns]` → `[.., rows]`, in the common dtype of `x` and the factors.
    pub(crate) fn update(&self, x: &Array) -> Result<Array> {
        let x = self.drop(x)?;
        let y = match self.side {
            Side::Projection => x.matmul(&self.lora_a)?.matmul(&self.lora_b)?,
            Side::Table => x.matmul(&self.lora_b.transpose()?)?.matmul(&self.lora_a.transpose()?)?,
        };
        y.times(f64::from(self.settings.scale))
    }

    /// The vectors of `ids` as they are now, where the table gives `rows` for them.
    pub(crate) fn lookup(&self, ids: &Array, rows: Array) -> Result<Array> {
        let change = self.lora_a.take(ids, 0)?.matmul(&self.lora_b)?.times(f64::from(self.settings.scale))?;
        let sum = (&rows + &like(self.drop(&change)?, &rows)?)?;
        let Some(m) = &self.m else { return Ok(sum) };
        let found = lengths(&(&rows.astype(Dtype::Float32)? + &change)?)?;
        let factor = (&m.take(ids, 0)? / &found.stop_gradient()?)?.expand_dims(-1)?;
        Ok((&sum * &like(factor, &rows)?)?)
    }

    /// What the rows of the changed matrix are multiplied by, float32 `[rows]`; nothing where there is no magnitude.
    pub(crate) fn factor(&self, matrix: &Matrix) -> Result<Option<Array>> {
        let Some(m) = &self.m else { return Ok(None) };
        let adapted = (&matrix.dense()?.astype(Dtype::Float32)? + &self.change()?)?;
        Ok(Some((m / &lengths(&adapted)?.stop_gradient()?)?))
    }

    /// The matrix as this makes it, dense, in the dtype of `matrix`.
    pub(crate) fn apply(&self, matrix: &Matrix) -> Result<Array> {
        let dense = matrix.dense()?;
        let mut adapted = (&dense.astype(Dtype::Float32)? + &self.change()?)?;
        if let Some(factor) = self.factor(matrix)? {
            adapted = (&adapted * &factor.expand_dims(1)?)?;
        }
        Ok(adapted.astype(dense.dtype())?)
    }

    /// What is added to the matrix, float32 `[rows, columns]`.
    fn change(&self) -> Result<Array> {
        let product = match self.side {
            Side::Projection => self.lora_b.transpose()?.matmul(&self.lora_a.transpose()?)?,
            Side::Table => self.lora_a.matmul(&self.lora_b)?,
        };
        product.astype(Dtype::Float32)?.times(f64::from(self.settings.scale))
    }

    /// `x` with a share of its values dropped and the rest raised accordingly, while training.
    fn drop(&self, x: &Array) -> Result<Array> {
        Dropout::new(self.settings.dropout)?.forward(x, self.key.as_ref())
    }
}

/// The lengths of the vectors along the last axis.
fn lengths(x: &Array) -> Result<Array> {
    Ok(x.square()?.sum(-1, false)?.sqrt()?)
}

/// Gives every projection and table for whose path `choose` returns settings a new adapter, drawn from `key`.
///
/// # Errors
/// [`Error::Layer`] with the path of a layer whose settings are outside their domain, or that has an adapter already.
pub fn attach<M, F>(module: &mut M, choose: F, key: &Key) -> Result<()>
where
    M: Module + ?Sized,
    F: FnMut(&str) -> Option<Settings>,
{
    let mut choose = choose;
    let mut rest = key.clone();
    each(module, |path, side, matrix| {
        let Some(settings) = choose(path) else { return Ok(()) };
        let (next, key) = rest.split()?;
        rest = next;
        matrix.attach(Adapter::draw(matrix, side, settings, &key)?)
    })
}

/// The adapters of a module with the paths of their layers, in the order of the fields.
#[must_use]
pub fn adapters<M: Module + ?Sized>(module: &M) -> Vec<(String, &Adapter)> {
    struct List<'a>(Vec<(String, &'a Adapter)>);
    impl<'a> Visitor<'a> for List<'a> {
        fn parameter(&mut self, _path: &str, _value: &'a Array) {}
        fn layer(&mut self, path: &str, layer: Layer<'a>) -> bool {
            let adapter = match layer {
                Layer::Linear(linear) => linear.adapter(),
                Layer::Embedding(embedding) => embedding.adapter(),
            };
            self.0.extend(adapter.map(|adapter| (path.to_owned(), adapter)));
            false
        }
    }
    let mut list = List(Vec::new());
    module.visit(&mut ParamPath::new(), &mut list);
    list.0
}

/// Writes what the adapters change into the matrices themselves, which are packed again where they were packed: passes
/// cost then what they cost without adapters. Lazy. The matrices as they were are kept for [`unmerge`].
///
/// # Errors
/// [`Error::Core`] when an op fails.
pub fn merge<M: Module + ?Sized>(module: &mut M) -> Result<()> {
    each(module, |_, _, matrix| matrix.merge())
}

/// Puts the matrices back as they were before [`merge`], exactly, with the adapters beside them.
///
/// # Errors
/// None as of now.
pub fn unmerge<M: Module + ?Sized>(module: &mut M) -> Result<()> {
    each(module, |_, _, matrix| {
        matrix.unmerge();
        Ok(())
    })
}

/// [`merge`]s for good: the adapters are gone, and so are the matrices as they were. With `dequantize`, packed matrices
/// with an adapter become dense, which loses nothing.
///
/// # Errors
/// As [`merge`].
pub fn fuse<M: Module + ?Sized>(module: &mut M, dequantize: bool) -> Result<()> {
    each(module, |_, _, matrix| matrix.fuse(dequantize))
}

/// Takes all adapters away; what they had learnt is lost.
///
/// # Errors
/// None as of now.
pub fn detach<M: Module + ?Sized>(module: &mut M) -> Result<()> {
    each(module, |_, _, matrix| {
        matrix.detach();
        Ok(())
    })
}

/// Says how the next passes drop: by draws from `key`, or not at all, which is how a module begins.
///
/// The same key drops the same values, so give a new one for each step of training.
///
/// # Errors
/// [`Error::Core`] when memory is exhausted.
pub fn set_dropout_key<M: Module + ?Sized>(module: &mut M, key: Option<&Key>) -> Result<()> {
    let mut rest = key.cloned();
    each(module, |_, _, matrix| {
        let Some(adapter) = matrix.adapter_mut() else { return Ok(()) };
        adapter.key = match &rest {
            Some(key) if adapter.settings.dropout > 0.0 => {
                let (next, key) = key.split()?;
                rest = Some(next);
                Some(key)
            }
            _ => None,
        };
        Ok(())
    })
}

/// Runs `body` for every matrix that can have an adapter.
fn each<M, F>(module: &mut M, body: F) -> Result<()>
where
    M: Module + ?Sized,
    F: FnMut(&str, Side, &mut Matrix) -> Result<()>,
{
    struct Each<F>(F);
    impl<F: FnMut(&str, Side, &mut Matrix) -> Result<()>> VisitorMut for Each<F> {
        fn layer(&mut self, path: &str, layer: LayerMut<'_>) -> Result<()> {
            let (side, matrix) = match layer {
                LayerMut::Linear(linear) => (Side::Projection, linear.matrix_mut()),
                LayerMut::Embedding(embedding) => (Side::Table, embedding.matrix_mut()),
            };
            (self.0)(path, side, matrix).map_err(|error| error.in_layer(path))
        }
    }
    module.visit_mut(&mut ParamPath::new(), &mut Each(body))
}
