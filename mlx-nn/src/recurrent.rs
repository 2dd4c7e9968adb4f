// SPDX-License-Identifier: EUPL-1.2
//! Layers that read a sequence one step after the other and carry a state along.
//!
//! Shapes: L steps, D values of the input, H values of the state; what stands before `[L, D]` is batch.

use mlx_core::random::{self, Key};
use mlx_core::{Array, Dtype, stack};

use crate::activation::{self, Elementwise};
use crate::error::{Error, Result, floating, positive};
use crate::matrix::like;
use crate::module;

/// `h = tanh(Wxh · x + Whh · h + b)`, Elman's network.
///
/// Parameters, after the names of `mlx.nn`: `Wxh` `[H, D]`, `Whh` `[H, H]` and, where there is one, `bias` `[H]`.
#[derive(Clone, Debug)]
pub struct Rnn {
    input: Array,
    hidden: Array,
    bias: Option<Array>,
    nonlinearity: Elementwise,
}
module!(Rnn { input => "Wxh", hidden => "Whh", bias });

impl Rnn {
    /// A network from `inputs` values to a state of `hidden` ones. All parameters are uniform in `±1/√H`, drawn lazily
    /// from `key` in float32.
    ///
    /// # Errors
    /// [`Error::Config`] when a width is not positive.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_nn::Result<()> {
    /// use mlx_core::{Array, Dtype, random::Key};
    /// let rnn = mlx_nn::Rnn::new(3, 5, true, &Key::new(0)?)?;
    /// let states = rnn.forward(&Array::ones(&[2, 7, 3], Dtype::Float32)?, None)?;
    /// assert_eq!(states.shape(), [2, 7, 5]);
    /// # Ok(()) }
    /// ```
    pub fn new(inputs: i32, hidden: i32, bias: bool, key: &Key) -> Result<Self> {
        let mut draw = Draw::new(inputs, hidden, key)?;
        Ok(Self {
            input: draw.uniform(&[hidden, inputs])?,
            hidden: draw.uniform(&[hidden, hidden])?,
            bias: if bias { Some(draw.uniform(&[hidden])?) } else { None },
            nonlinearity: activation::tanh,
        })
    }

    /// The same with another function in the place of tanh.
    #[must_use]
    pub fn with_nonlinearity(self, nonlinearity: Elementwise) -> Self {
        Self { nonlinearity, ..self }
    }

    /// The state after each step, in the dtype of `x`: `x` `[.., L, D]`, `hidden`, the state before the first step,
    /// `[.., H]`, zero where there is none → `[.., L, H]`.
    ///
    /// # Errors
    /// [`Error::Input`] when a shape does not fit, [`Error::Core`] when `x` is not floating.
    pub fn forward(&self, x: &Array, hidden: Option<&Array>) -> Result<Array> {
        let steps = Steps::of("rnn", x, &self.input, self.bias.as_ref(), self.hidden.dim(0)?)?;
        let hidden = steps.state("hidden", hidden)?;
        let recurrent = self.hidden.transpose()?;
        let states = steps.run(hidden, |step, hidden| {
            let sum = match hidden {
                Some(hidden) => &(step + &hidden.matmul(&recurrent)?)?,
                None => step,
            };
            (self.nonlinearity)(sum)
        })?;
        like(steps.joined(&states)?, x)
    }
}

/// Gated recurrent units. Source: arXiv:1406.1078.
///
/// - `r = σ(Wxr · x + br + Whr · h)`, `z = σ(Wxz · x + bz + Whz · h)`
/// - `n = tanh(Wxn · x + bn + r · (Whn · h + bhn))`
/// - `h = (1 − z) · n + z · h`
///
/// Parameters, after the names of `mlx.nn`: `Wx` `[3 · H, D]`, `Wh` `[3 · H, H]` in the order r, z, n, and where there
/// are biases `b` `[3 · H]` and `bhn` `[H]`.
#[derive(Clone, Debug)]
pub struct Gru {
    input: Array,
    hidden: Array,
    bias: Option<Array>,
    inner_bias: Option<Array>,
}
module!(Gru { input => "Wx", hidden => "Wh", bias => "b", inner_bias => "bhn" });

impl Gru {
    /// Units from `inputs` values to a state of `hidden` ones, with initial values like those of [`Rnn::new`].
    ///
    /// # Errors
    /// [`Error::Config`] when a width is not positive, or 3 · H too large.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_nn::Result<()> {
    /// use mlx_core::{Array, Dtype, random::Key};
    /// let gru = mlx_nn::Gru::new(3, 5, true, &Key::new(0)?)?;
    /// let text = gru.forward(&Array::ones(&[7, 3], Dtype::Float32)?, None)?;
    /// // One more step, from the last state.
    /// let last = text.slice_axis(0, 6, 7)?.squeeze_axis(0)?;
    /// assert_eq!(gru.forward(&Array::ones(&[1, 3], Dtype::Float32)?, Some(&last))?.shape(), [1, 5]);
    /// # Ok(()) }
    /// ```
    pub fn new(inputs: i32, hidden: i32, bias: bool, key: &Key) -> Result<Self> {
        let mut draw = Draw::new(inputs, hidden, key)?;
        let rows = rows(hidden, 3)?;
        Ok(Self {
            input: draw.uniform(&[rows, inputs])?,
            hidden: draw.uniform(&[rows, hidden])?,
            bias: if bias { Some(draw.uniform(&[rows])?) } else { None },
            inner_bias: if bias { Some(draw.uniform(&[hidden])?) } else { None },
        })
    }

    /// The state after each step, as [`Rnn::forward`].
    ///
    /// # Errors
    /// As [`Rnn::forward`].
    pub fn forward(&self, x: &Array, hidden: Option<&Array>) -> Result<Array> {
        let width = self.hidden.dim(1)?;
        let steps = Steps::of("gru", x, &self.input, self.bias.as_ref(), width)?;
        let hidden = steps.state("hidden", hidden)?;
        let recurrent = self.hidden.transpose()?;
        let both = width.saturating_mul(2);
        let states = steps.run(hidden, |step, hidden| {
            let mut gates = step.slice_axis(-1, 0, both)?;
            let mut inner = self.inner_bias.clone();
            if let Some(hidden) = hidden {
                let product = hidden.matmul(&recurrent)?;
                gates = (&gates + &product.slice_axis(-1, 0, both)?)?;
                let product = product.slice_axis(-1, both, both + width)?;
                inner = Some(match inner {
                    Some(bias) => (&product + &bias)?,
                    None => product,
                });
            }
            let gates = gates.sigmoid()?;
            let mut new = step.slice_axis(-1, both, both + width)?;
            if let Some(inner) = inner {
                new = (&new + &(&gates.slice_axis(-1, 0, width)? * &inner)?)?;
            }
            let (new, keep) = (new.tanh()?, gates.slice_axis(-1, width, both)?);
            let changed = (&(1.0 - &keep)? * &new)?;
            match hidden {
                Some(hidden) => Ok((&changed + &(&keep * hidden)?)?),
                None => Ok(changed),
            }
        })?;
        like(steps.joined(&states)?, x)
    }
}

/// Long short-term memory.
///
/// - `i = σ(..)`, `f = σ(..)`, `g = tanh(..)`, `o = σ(..)`, each of its rows of `Wx · x + Wh · h + b`
/// - `c = f · c + i · g`, `h = o · tanh(c)`
///
/// Parameters, after the names of `mlx.nn`: `Wx` `[4 · H, D]`, `Wh` `[4 · H, H]` in the order i, f, g, o, and where there
/// is one `bias` `[4 · H]`. Source: Gers, Schmidhuber and Cummins, Learning to Forget, 2000.
#[derive(Clone, Debug)]
pub struct Lstm {
    input: Array,
    hidden: Array,
    bias: Option<Array>,
}
module!(Lstm { input => "Wx", hidden => "Wh", bias });

impl Lstm {
    /// Cells from `inputs` values to a state of `hidden` ones, with initial values like those of [`Rnn::new`].
    ///
    /// # Errors
    /// [`Error::Config`] when a width is not positive, or 4 · H too large.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_nn::Result<()> {
    /// use mlx_core::{Array, Dtype, random::Key};
    /// let lstm = mlx_nn::Lstm::new(3, 5, true, &Key::new(0)?)?;
    /// let (states, cells) = lstm.forward(&Array::ones(&[2, 7, 3], Dtype::Float32)?, None, None)?;
    /// assert_eq!((states.shape(), cells.shape()), (&[2, 7, 5][..], &[2, 7, 5][..]));
    /// # Ok(()) }
    /// ```
    pub fn new(inputs: i32, hidden: i32, bias: bool, key: &Key) -> Result<Self> {
        let mut draw = Draw::new(inputs, hidden, key)?;
        let rows = rows(hidden, 4)?;
        Ok(Self {
            input: draw.uniform(&[rows, inputs])?,
            hidden: draw.uniform(&[rows, hidden])?,
            bias: if bias { Some(draw.uniform(&[rows])?) } else { None },
        })
    }

    /// The states and the cells after each step, in the dtype of `x`: `x` `[.., L, D]`, `hidden` and `cell`, those before
    /// the first step, `[.., H]`, zero where there are none → `[.., L, H]` twice.
    ///
    /// # Errors
    /// As [`Rnn::forward`].
    pub fn forward(&self, x: &Array, hidden: Option<&Array>, cell: Option<&Array>) -> Result<(Array, Array)> {
        let width = self.hidden.dim(1)?;
        let steps = Steps::of("lstm", x, &self.input, self.bias.as_ref(), width)?;
        let (hidden, mut cell) = (steps.state("hidden", hidden)?, steps.state("cell", cell)?);
        let recurrent = self.hidden.transpose()?;
        let mut cells = Vec::new();
        let states = steps.run(hidden, |step, hidden| {
            let sum = match hidden {
                Some(hidden) => &(step + &hidden.matmul(&recurrent)?)?,
                None => step,
            };
            let part = |n: i32| sum.slice_axis(-1, n * width, (n + 1) * width);
            let input = (&part(0)?.sigmoid()? * &part(2)?.tanh()?)?;
            let next = match &cell {
                Some(cell) => (&(&part(1)?.sigmoid()? * cell)? + &input)?,
                None => input,
            };
            let hidden = (&part(3)?.sigmoid()? * &next.tanh()?)?;
            cells.push(next.clone());
            cell = Some(next);
            Ok(hidden)
        })?;
        Ok((like(steps.joined(&states)?, x)?, like(steps.joined(&cells)?, x)?))
    }
}

/// What the parameters of a layer are drawn from.
struct Draw {
    bound: f32,
    rest: Key,
}

impl Draw {
    fn new(inputs: i32, hidden: i32, key: &Key) -> Result<Self> {
        positive("inputs", inputs)?;
        let bound = (positive("hidden", hidden)? as f32).sqrt().recip();
        Ok(Self { bound, rest: key.clone() })
    }

    fn uniform(&mut self, shape: &[i32]) -> Result<Array> {
        let (rest, key) = self.rest.split()?;
        self.rest = rest;
        Ok(random::uniform(-self.bound, self.bound, shape, Dtype::Float32, &key)?)
    }
}

fn rows(hidden: i32, gates: i32) -> Result<i32> {
    let message = || format!("expected fewer than {}, found {hidden}", i32::MAX / gates);
    hidden.checked_mul(gates).ok_or_else(|| Error::config("hidden", message()))
}

/// A sequence, multiplied by the weight of the input all at once.
struct Steps {
    layer: &'static str,
    /// `[.., L, gates · H]`.
    projected: Array,
    /// `[.., H]`.
    state: Vec<i32>,
}

impl Steps {
    fn of(layer: &'static str, x: &Array, weight: &Array, bias: Option<&Array>, hidden: i32) -> Result<Self> {
        floating(layer, "x", x)?;
        let inputs = weight.dim(1)?;
        let [batch @ .., _, found] = x.shape() else {
            return Err(Error::input(layer, format!("[.., L, {inputs}]"), x.shape()));
        };
        if *found != inputs {
            return Err(Error::input(layer, format!("[.., L, {inputs}]"), x.shape()));
        }
        let mut projected = x.matmul(&weight.transpose()?)?;
        if let Some(bias) = bias {
            projected = (&projected + bias)?;
        }
        Ok(Self { layer, projected, state: [batch, &[hidden]].concat() })
    }

    /// Checks a state that was given.
    fn state(&self, name: &str, state: Option<&Array>) -> Result<Option<Array>> {
        match state {
            Some(state) if state.shape() != self.state => {
                Err(Error::input(self.layer, format!("{name} {:?}", self.state), state.shape()))
            }
            state => Ok(state.cloned()),
        }
    }

    /// The states that `next` makes of each step and the state before it.
    fn run(
        &self,
        mut state: Option<Array>,
        mut next: impl FnMut(&Array, Option<&Array>) -> Result<Array>,
    ) -> Result<Vec<Array>> {
        let mut states = Vec::new();
        for i in 0..self.projected.dim(-2)? {
            let step = self.projected.slice_axis(-2, i, i + 1)?.squeeze_axis(-2)?;
            let after = next(&step, state.as_ref())?;
            states.push(after.clone());
            state = Some(after);
        }
        Ok(states)
    }

    /// `[.., H]` for each step → `[.., L, H]`.
    fn joined(&self, states: &[Array]) -> Result<Array> {
        if states.is_empty() {
            let mut shape = self.state.clone();
            shape.insert(shape.len().saturating_sub(1), 0);
            return Ok(Array::zeros(&shape, self.projected.dtype())?);
        }
        Ok(stack(&states.iter().collect::<Vec<_>>(), -2)?)
    }
}
