// SPDX-License-Identifier: EUPL-1.2
//! Optimisers: how gradients move parameters.
//!
//! A [`Rule`] says how one parameter moves; there is one for each method ([`AdamW`], [`Sgd`], [`Muon`], ..), step for
//! step as in Python's MLX. An [`Optimizer`] applies rules to the parameters of a module, keeps what they remember from
//! step to step, and counts the steps, by which a [`Schedule`] gives the learning rate.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use mlx_core::{Array, Dtype};
//! use mlx_nn::Linear;
//! use mlx_nn::optim::{AdamW, Optimizer, Schedule};
//!
//! # fn main() -> mlx_nn::Result<()> {
//! let mut model = Linear::new(4, 2, true)?;
//! // Weights decay, biases and norms do not.
//! let mut optimizer = Optimizer::new(AdamW::default(), Schedule::constant(1e-2))
//!     .group(|_, parameter| parameter.ndim() < 2, AdamW { weight_decay: 0.0, ..Default::default() });
//!
//! let gradients = BTreeMap::from([
//!     ("weight".to_owned(), Array::ones(&[2, 4], Dtype::Float32)?),
//!     ("bias".to_owned(), Array::ones(&[2], Dtype::Float32)?),
//! ]);
//! optimizer.update(&mut model, &gradients)?;
//! mlx_core::eval(&optimizer.arrays())?;
//! assert_eq!(optimizer.steps(), 1);
//! # Ok(()) }
//! ```

mod adafactor;
mod adam;
mod adaptive;
mod clip;
mod lion;
mod muon;
mod schedule;
mod sgd;

use std::collections::BTreeMap;
use std::fmt;

use mlx_core::{Array, Dtype};

pub use adafactor::Adafactor;
pub use adam::{Adam, AdamW, Adamax};
pub use adaptive::{AdaDelta, Adagrad, RmsProp};
pub use clip::clip_global_norm;
pub use lion::Lion;
pub use muon::Muon;
pub use schedule::Schedule;
pub use sgd::Sgd;

use crate::constant::Constant;
use crate::error::{Error, Result, WeightErrors};
use crate::matrix::like;
use crate::{Misfit, Module, ParamPath, VisitorMut};

/// How one parameter moves.
pub trait Rule: fmt::Debug {
    /// Checks the hyper-parameters.
    ///
    /// # Errors
    /// [`Error::Config`] with the first that is outside its domain.
    fn check(&self) -> Result<()>;

    /// What is remembered of a parameter from step to step, by name, before the first step. Lazy.
    ///
    /// # Errors
    /// [`Error::Core`] when an op fails.
    fn state(&self, parameter: &Array) -> Result<Vec<(&'static str, Array)>>;

    /// The parameter after a step. `state` is what [`state`](Self::state) listed, in its order, to be replaced by what
    /// is to be remembered. Lazy.
    ///
    /// # Errors
    /// [`Error::Core`] when an op fails.
    fn apply(&self, step: Step, parameter: &Array, gradient: &Array, state: &mut [Array]) -> Result<Array>;
}

/// Where a training run stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The number of the step, from 1.
    pub number: u64,
    /// The learning rate.
    pub rate: f64,
}

/// Applies [`Rule`]s to the parameters of a module.
pub struct Optimizer {
    /// The last is that of every parameter that no other takes.
    groups: Vec<Group>,
    schedule: Schedule,
    steps: u64,
    /// What rules remember, by the parameter's path.
    states: BTreeMap<String, State>,
}

/// Whether a group takes a parameter, by path and value.
type Choice = Box<dyn Fn(&str, &Array) -> bool>;

/// The state of one parameter: names and arrays, in the rule's order.
type State = Vec<(&'static str, Array)>;

struct Group {
    takes: Choice,
    rule: Box<dyn Rule>,
    scale: f64,
}

impl Optimizer {
    /// An optimiser that moves every parameter by `rule`.
    pub fn new(rule: impl Rule + 'static, schedule: Schedule) -> Self {
        let all = Group { takes: Box::new(|_, _| true), rule: Box::new(rule), scale: 1.0 };
        Self { groups: vec![all], schedule, steps: 0, states: BTreeMap::new() }
    }

    /// Moves the parameters that `takes` chooses, by path and value, by a rule of their own. Of several groups the one
    /// that was added first decides.
    #[must_use]
    pub fn group(self, takes: impl Fn(&str, &Array) -> bool + 'static, rule: impl Rule + 'static) -> Self {
        self.scaled_group(takes, rule, 1.0)
    }

    /// [`group`](Self::group) with a learning rate that is `scale` times that of the schedule.
    #[must_use]
    pub fn scaled_group(
        mut self,
        takes: impl Fn(&str, &Array) -> bool + 'static,
        rule: impl Rule + 'static,
        scale: f64,
    ) -> Self {
        let place = self.groups.len().saturating_sub(1);
        self.groups.insert(place, Group { takes: Box::new(takes), rule: Box::new(rule), scale });
        self
    }

    /// How many steps were made.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The learning rate of the next step.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.schedule.rate(self.steps)
    }

    /// One step: moves every parameter of `module` that has a gradient, by path. Lazy: evaluate the module's parameters
    /// together with [`arrays`](Self::arrays).
    ///
    /// Parameters keep their dtype.
    ///
    /// # Errors
    /// [`Error::Weights`] when a gradient names no parameter or has another shape, [`Error::Config`] when a rule's
    /// hyper-parameter is outside its domain; nothing has moved then.
    pub fn update<M: Module + ?Sized>(
        &mut self,
        module: &mut M,
        gradients: &BTreeMap<String, Array>,
    ) -> Result<()> {
        self.groups.iter().try_for_each(|group| group.rule.check())?;
        check(module, gradients)?;
        let step = Step { number: self.steps + 1, rate: self.rate() };
        let mut moved = BTreeMap::new();
        for (path, parameter) in crate::params::parameters(module) {
            let Some(gradient) = gradients.get(&path) else { continue };
            let Some(group) = self.groups.iter().find(|group| (group.takes)(&path, parameter)) else {
                continue;
            };
            let mut state = match self.states.get(&path) {
                Some(state) => state.clone(),
                None => group.rule.state(parameter)?,
            };
            let mut arrays: Vec<Array> = state.iter().map(|(_, array)| array.clone()).collect();
            let step = Step { rate: step.rate * group.scale, ..step };
            let value = group.rule.apply(step, parameter, gradient, &mut arrays)?;
            for ((_, kept), array) in state.iter_mut().zip(arrays) {
                let dtype = kept.dtype();
                *kept = if array.dtype() == dtype { array } else { array.astype(dtype)? };
            }
            moved.insert(path, (like(value, parameter)?, state));
        }
        // Everything is built: from here on nothing can fail.
        struct Replace<'a>(&'a BTreeMap<String, (Array, State)>);
        impl VisitorMut for Replace<'_> {
            fn parameter(&mut self, path: &str, value: &mut Array) -> Result<()> {
                if let Some((moved, _)) = self.0.get(path) {
                    *value = moved.clone();
                }
                Ok(())
            }
        }
        module.visit_mut(&mut ParamPath::new(), &mut Replace(&moved))?;
        self.states.extend(moved.into_iter().map(|(path, (_, state))| (path, state)));
        self.steps += 1;
        Ok(())
    }

    /// Everything that is remembered, to be evaluated after a step.
    #[must_use]
    pub fn arrays(&self) -> Vec<Array> {
        self.states.values().flatten().map(|(_, array)| array.clone()).collect()
    }

    /// What has to be saved to go on later: `<path>.<name>` for each parameter that has moved, and `steps`.
    ///
    /// # Errors
    /// [`Error::Core`] when memory is exhausted.
    pub fn state(&self) -> Result<BTreeMap<String, Array>> {
        let mut all = BTreeMap::from([(STEPS.to_owned(), Array::scalar(self.steps)?)]);
        for (path, state) in &self.states {
            all.extend(state.iter().map(|(name, array)| (format!("{path}.{name}"), array.clone())));
        }
        Ok(all)
    }

    /// Goes on from a saved [`state`](Self::state), for the parameters of `module`.
    ///
    /// # Errors
    /// [`Error::Weights`] when it does not fit the rules and parameters, with every culprit; nothing is changed then.
    pub fn load_state<M: Module + ?Sized>(
        &mut self,
        module: &M,
        mut state: BTreeMap<String, Array>,
    ) -> Result<()> {
        let mut errors = WeightErrors::default();
        let steps = match state.remove(STEPS) {
            Some(steps) if steps.dtype() == Dtype::Uint64 && steps.size() == 1 => steps.item::<u64>()?,
            Some(found) => {
                errors.misfit.push(misfit(STEPS, &[], Dtype::Uint64, &found));
                0
            }
            None => {
                errors.missing.push(STEPS.to_owned());
                0
            }
        };
        let mut states = BTreeMap::new();
        for (path, parameter) in crate::params::parameters(module) {
            let Some(group) = self.groups.iter().find(|group| (group.takes)(&path, parameter)) else {
                continue;
            };
            let wanted = group.rule.state(parameter)?;
            // A parameter that never had a gradient has no state.
            if !wanted.iter().any(|(name, _)| state.contains_key(&format!("{path}.{name}"))) {
                continue;
            }
            let mut found = Vec::with_capacity(wanted.len());
            for (name, first) in wanted {
                let key = format!("{path}.{name}");
                match state.remove(&key) {
                    Some(array) if array.shape() == first.shape() && array.dtype() == first.dtype() => {
                        found.push((name, array));
                    }
                    Some(array) => errors.misfit.push(misfit(&key, first.shape(), first.dtype(), &array)),
                    None => errors.missing.push(key),
                }
            }
            states.insert(path, found);
        }
        errors.surplus.extend(state.into_keys());
        if !errors.is_empty() {
            return Err(Error::Weights(errors));
        }
        (self.steps, self.states) = (steps, states);
        Ok(())
    }
}

impl fmt::Debug for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<_> = self.groups.iter().map(|group| &group.rule).collect();
        f.debug_struct("Optimizer").field("rules", &rules).field("steps", &self.steps).finish_non_exhaustive()
    }
}

/// The key of the number of steps in a saved state.
const STEPS: &str = "steps";

/// Whether every gradient is that of a parameter.
fn check<M: Module + ?Sized>(module: &M, gradients: &BTreeMap<String, Array>) -> Result<()> {
    let parameters: BTreeMap<String, &Array> = crate::params::parameters(module).into_iter().collect();
    let mut errors = WeightErrors::default();
    for (path, gradient) in gradients {
        match parameters.get(path) {
            None => errors.surplus.push(path.clone()),
            Some(parameter) if parameter.shape() != gradient.shape() || !gradient.dtype().is_float() => {
                errors.misfit.push(misfit(path, parameter.shape(), parameter.dtype(), gradient));
            }
            Some(_) => {}
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::Weights(errors)) }
}

fn misfit(path: &str, shape: &[i32], dtype: Dtype, found: &Array) -> Misfit {
    Misfit {
        path: path.to_owned(),
        expected: format!("{shape:?} of {dtype}"),
        found: format!("{:?} of {}", found.shape(), found.dtype()),
    }
}

/// Checks that a hyper-parameter lies in `0..below`.
fn fraction(key: &'static str, value: f64, below: f64) -> Result<()> {
    match (0.0..below).contains(&value) {
        true => Ok(()),
        false => {
            Err(Error::config(key, format!("expected a number from 0 and below {below}, found {value}")))
        }
    }
}

/// Checks that a hyper-parameter is a number that is not negative.
fn at_least_zero(key: &'static str, value: f64) -> Result<()> {
    fraction(key, value, f64::INFINITY)
}

/// `decay · old + (1 − decay) · new`.
fn average(decay: f64, old: &Array, new: &Array) -> Result<Array> {
    Ok((&old.times(decay)? + &new.times(1.0 - decay)?)?)
}
