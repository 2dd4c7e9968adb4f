// SPDX-License-Identifier: EUPL-1.2
//! What a training run is: the keys of its configuration file.
//!
//! Keys have the names that are used here, and those of mlx-lm beside them, so that a file for its `lora` command serves as
//! it is where it asks for nothing else.

use std::path::{Path, PathBuf};

use mlx_core::Dtype;
use mlx_nn::adapter::Settings;
use mlx_nn::optim::{Adafactor, Adagrad, Adam, AdamW, Adamax, Lion, Muon, Optimizer, RmsProp, Schedule, Sgd};
use serde::{Deserialize, Serialize};

use crate::data::{BatchOptions, EncodeOptions, LossOn};
use crate::error::{Error, Result};

/// What is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Low-rank adapters, over dense or quantised weights.
    #[default]
    Lora,
    /// Low-rank adapters with a magnitude for each row.
    Dora,
    /// Every weight.
    Full,
}

/// The low-rank adapters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdapterConfig {
    /// Width of the bottleneck.
    pub rank: i32,
    /// What the change is multiplied by: α of the paper is this times the rank.
    pub scale: f32,
    /// The share of inputs that is dropped while training.
    pub dropout: f32,
    /// The layers that get one, by the ends of their paths, such as `self_attn.q_proj`; every projection of a block where this
    /// is absent.
    pub keys: Option<Vec<String>>,
}

impl Default for AdapterConfig {
    fn default() -> Self {
        let Settings { rank, scale, dropout, .. } = Settings::default();
        Self { rank, scale, dropout, keys: None }
    }
}

/// How gradients move weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is the rule of that name in `mlx_nn::optim`")]
pub enum OptimizerName {
    Sgd,
    Adam,
    #[default]
    AdamW,
    Adamax,
    Adagrad,
    RmsProp,
    Lion,
    Adafactor,
    Muon,
}

/// Further settings of the optimiser. What a rule does not have is refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// β₁ and β₂ of Adam, AdamW, Adamax and Lion.
    pub betas: Option<[f64; 2]>,
    /// ε, against division by zero.
    pub eps: Option<f64>,
    /// How much of a weight decays in a step, as a multiple of the learning rate; norms and biases never do.
    pub weight_decay: Option<f64>,
    /// Momentum of SGD and Muon.
    pub momentum: Option<f64>,
    /// Whether the means of Adam and AdamW are corrected for starting at 0.
    pub bias_correction: Option<bool>,
}

/// How the learning rate changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleName {
    /// It stays.
    #[default]
    Constant,
    /// In a straight line to `final_rate` at the last step.
    Linear,
    /// Along half a cosine to `final_rate` at the last step.
    Cosine,
    /// By the same factor each step, to `final_rate` at the last.
    Exponential,
    /// By `decay` after each `decay_every` steps.
    Stairs,
}

/// A training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// The checkpoint to begin with.
    pub model: Option<PathBuf>,
    /// `train.jsonl` and perhaps `valid.jsonl` are in this directory; or one file.
    pub data: Option<PathBuf>,
    /// Where everything that comes of it goes.
    #[serde(alias = "adapter_path")]
    pub output: Option<PathBuf>,
    /// What is trained.
    #[serde(alias = "fine_tune_type")]
    pub method: Method,
    /// Whether training begins with new weights, drawn from `seed`, and not with those of the checkpoint; for `full` alone.
    pub from_scratch: bool,
    /// Everything random follows from it.
    pub seed: u64,

    /// How many of the last blocks are trained; all where this is absent or negative.
    #[serde(alias = "num_layers")]
    pub layers: Option<i64>,
    /// The adapters of LoRA and DoRA.
    #[serde(alias = "lora_parameters")]
    pub adapter: AdapterConfig,
    /// The dtype that dense weights are trained in: `float32`, `bfloat16` or `float16`; that of the checkpoint where this is
    /// absent.
    pub dtype: Option<String>,
    /// The dtype that a fully trained checkpoint is written in; the one it was trained in where this is absent.
    pub save_dtype: Option<String>,
    /// Whether blocks are computed again for the gradient, for far less memory.
    #[serde(alias = "grad_checkpoint")]
    pub recompute: bool,

    /// How many steps there are; where this is absent, `epochs` says it.
    #[serde(alias = "iters")]
    pub steps: Option<u64>,
    /// How often the training data is gone through, where there is no `steps`.
    pub epochs: f64,
    /// Rows of a micro-batch.
    pub batch_size: usize,
    /// Micro-batches of a step.
    #[serde(alias = "grad_accumulation_steps")]
    pub accumulate: usize,
    /// The most tokens of a row; longer examples are cut off.
    #[serde(alias = "max_seq_length")]
    pub max_length: usize,
    /// Whether several short examples share a row, without seeing each other.
    pub pack: bool,
    /// Which tokens the loss is of.
    pub loss_on: LossOn,
    /// mlx-lm's word for `loss_on = "answers"` or `"all"`.
    pub mask_prompt: Option<bool>,

    /// The optimiser.
    pub optimizer: OptimizerName,
    /// Its further settings.
    pub optimizer_config: OptimizerConfig,
    /// The learning rate, at its highest.
    pub learning_rate: f64,
    /// How it changes.
    pub schedule: ScheduleName,
    /// Steps in which it rises from 0 first.
    pub warmup: u64,
    /// The rate at the last step, of schedules that have one.
    pub final_rate: f64,
    /// The factor of `stairs`.
    pub decay: f64,
    /// The steps between two stairs.
    pub decay_every: u64,
    /// The most that the norm of all gradients may be; no bound for 0.
    pub clip: f64,
    /// How much of the wanted probability is spread over all tokens.
    pub label_smoothing: f64,

    /// Steps between two lines of the log.
    #[serde(alias = "steps_per_report")]
    pub log_every: u64,
    /// Steps between two validations; none for 0.
    #[serde(alias = "steps_per_eval")]
    pub eval_every: u64,
    /// The most batches of a validation; all for 0 or below.
    #[serde(alias = "val_batches")]
    pub eval_batches: i64,
    /// Validations without a better loss after which the run ends; never for 0.
    pub patience: u64,
    /// Steps between two checkpoints, from which the run can go on; only one at the end for 0.
    #[serde(alias = "steps_per_save")]
    pub save_every: u64,
    /// Checkpoints that are kept, besides the best.
    pub keep: usize,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            model: None,
            data: None,
            output: None,
            method: Method::Lora,
            from_scratch: false,
            seed: 0,
            layers: None,
            adapter: AdapterConfig::default(),
            dtype: None,
            save_dtype: None,
            recompute: false,
            steps: None,
            epochs: 1.0,
            batch_size: 4,
            accumulate: 1,
            max_length: 2048,
            pack: false,
            loss_on: LossOn::default(),
            mask_prompt: None,
            optimizer: OptimizerName::AdamW,
            optimizer_config: OptimizerConfig::default(),
            learning_rate: 1e-4,
            schedule: ScheduleName::Constant,
            warmup: 0,
            final_rate: 0.0,
            decay: 0.5,
            decay_every: 1000,
            clip: 1.0,
            label_smoothing: 0.0,
            log_every: 10,
            eval_every: 100,
            eval_batches: 25,
            patience: 0,
            save_every: 100,
            keep: 2,
        }
    }
}

impl TrainConfig {
    /// Checks what can be checked without a model or data.
    ///
    /// # Errors
    /// [`Error::Config`] with the key outside its domain.
    pub fn check(&self) -> Result<()> {
        let some = |key: &'static str, value: usize| match value {
            0 => Err(Error::config(key, "expected at least 1, found 0")),
            _ => Ok(()),
        };
        some("batch_size", self.batch_size)?;
        some("accumulate", self.accumulate)?;
        some("keep", self.keep)?;
        if self.from_scratch && self.method != Method::Full {
            return Err(Error::config(
                "from_scratch",
                "adapters of weights that nobody trained teach nothing: method is to be full",
            ));
        }
        if self.max_length < 2 {
            return Err(Error::config(
                "max_length",
                format!("expected at least 2, found {}", self.max_length),
            ));
        }
        if self.steps == Some(0) {
            return Err(Error::config("steps", "expected at least 1, found 0"));
        }
        if self.log_every == 0 {
            return Err(Error::config("log_every", "expected at least 1, found 0"));
        }
        for (key, value) in [
            ("learning_rate", self.learning_rate),
            ("final_rate", self.final_rate),
            ("decay", self.decay),
            ("clip", self.clip),
            ("epochs", self.epochs),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                let message = format!("expected a number that is not negative, found {value}");
                return Err(Error::config(key, message));
            }
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            let message = format!("expected a number from 0 and below 1, found {}", self.label_smoothing);
            return Err(Error::config("label_smoothing", message));
        }
        self.settings().check().map_err(|error| Error::config("adapter", error.to_string()))?;
        self.dtype()?;
        self.save_dtype()?;
        self.optimizer(1)?;
        Ok(())
    }

    /// Which tokens the loss is of, in either way to say it.
    #[must_use]
    pub fn loss_on(&self) -> LossOn {
        match self.mask_prompt {
            Some(true) => LossOn::Answers,
            Some(false) => LossOn::All,
            None => self.loss_on,
        }
    }

    /// How records become examples.
    #[must_use]
    pub fn encode_options(&self) -> EncodeOptions {
        EncodeOptions { loss_on: self.loss_on(), max_length: self.max_length, ..Default::default() }
    }

    /// How examples become batches of training data, in one of `ranks` processes.
    #[must_use]
    pub fn batch_options(&self, rank: usize, ranks: usize) -> BatchOptions {
        let pack = self.pack.then_some(self.max_length);
        BatchOptions { rows: self.batch_size, pack, rank, ranks, ..Default::default() }
    }

    /// The adapters' settings.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let &AdapterConfig { rank, scale, dropout, .. } = &self.adapter;
        Settings { rank, scale, dropout, magnitude: self.method == Method::Dora }
    }

    /// The dtype that dense weights are trained in, where it is another one than the checkpoint's.
    ///
    /// # Errors
    /// [`Error::Config`] when it is not floating.
    pub fn dtype(&self) -> Result<Option<Dtype>> {
        floating("dtype", self.dtype.as_deref())
    }

    /// The dtype that a checkpoint is written in, where it is another one than it was trained in.
    ///
    /// # Errors
    /// As [`dtype`](Self::dtype).
    pub fn save_dtype(&self) -> Result<Option<Dtype>> {
        floating("save_dtype", self.save_dtype.as_deref())
    }

    /// The learning rate of a run of `steps` steps.
    ///
    /// # Errors
    /// [`Error::Config`] when a key is outside its domain.
    pub fn rates(&self, steps: u64) -> Result<Schedule> {
        let (first, last) = (self.learning_rate, self.final_rate);
        let rest = steps.saturating_sub(self.warmup).max(1);
        let schedule = match self.schedule {
            ScheduleName::Constant => Ok(Schedule::constant(first)),
            ScheduleName::Linear => Schedule::linear(first, last, rest),
            ScheduleName::Cosine => Schedule::cosine(first, last, rest),
            ScheduleName::Exponential => {
                if first <= 0.0 || last <= 0.0 {
                    let message =
                        "expected learning_rate and final_rate above 0 with an exponential schedule";
                    return Err(Error::config("final_rate", message));
                }
                #[expect(clippy::cast_precision_loss, reason = "no run has that many steps")]
                Schedule::exponential(first, (last / first).powf(1.0 / rest as f64))
            }
            ScheduleName::Stairs => Schedule::stairs(first, self.decay, self.decay_every),
        };
        let schedule = schedule.and_then(|schedule| match self.warmup {
            0 => Ok(schedule),
            warmup => Schedule::warmup(warmup, schedule),
        });
        schedule.map_err(|error| Error::config("schedule", error.to_string()))
    }

    /// The optimiser of a run of `steps` steps, under which norms and biases do not decay.
    ///
    /// # Errors
    /// [`Error::Config`] when a key is outside its domain, or not one of this optimiser's.
    pub fn optimizer(&self, steps: u64) -> Result<Optimizer> {
        let rates = self.rates(steps)?;
        let OptimizerConfig { betas, eps, weight_decay, momentum, bias_correction } = self.optimizer_config;
        let name = self.optimizer;
        use OptimizerName as Name;
        let has = |names: &[Name]| names.contains(&name);
        for (key, given, known) in [
            ("betas", betas.is_some(), has(&[Name::Adam, Name::AdamW, Name::Adamax, Name::Lion])),
            ("momentum", momentum.is_some(), has(&[Name::Sgd, Name::Muon])),
            ("bias_correction", bias_correction.is_some(), has(&[Name::Adam, Name::AdamW])),
            (
                "weight_decay",
                weight_decay.is_some(),
                has(&[Name::Sgd, Name::AdamW, Name::Lion, Name::Adafactor, Name::Muon]),
            ),
            (
                "eps",
                eps.is_some(),
                has(&[Name::Adam, Name::AdamW, Name::Adamax, Name::Adagrad, Name::RmsProp]),
            ),
        ] {
            if given && !known {
                let message = format!("{key}: {name:?} has no such setting");
                return Err(Error::config("optimizer_config", message));
            }
        }
        let flat = |_: &str, parameter: &mlx_core::Array| parameter.ndim() < 2;
        macro_rules! decaying {
            ($rule:expr) => {{
                let rule = $rule;
                let mut still = rule;
                still.weight_decay = 0.0;
                Optimizer::new(rule, rates).group(flat, still)
            }};
        }
        Ok(match name {
            Name::Sgd => {
                let base = Sgd::default();
                decaying!(Sgd {
                    momentum: momentum.unwrap_or(base.momentum),
                    weight_decay: weight_decay.unwrap_or(base.weight_decay),
                    ..base
                })
            }
            Name::Adam => {
                let base = Adam::default();
                let rule = Adam {
                    betas: betas.unwrap_or(base.betas),
                    eps: eps.unwrap_or(base.eps),
                    bias_correction: bias_correction.unwrap_or(base.bias_correction),
                };
                Optimizer::new(rule, rates)
            }
            Name::AdamW => {
                let base = AdamW::default();
                decaying!(AdamW {
                    betas: betas.unwrap_or(base.betas),
                    eps: eps.unwrap_or(base.eps),
                    weight_decay: weight_decay.unwrap_or(base.weight_decay),
                    bias_correction: bias_correction.unwrap_or(base.bias_correction),
                })
            }
            Name::Adamax => {
                let base = Adamax::default();
                let rule = Adamax { betas: betas.unwrap_or(base.betas), eps: eps.unwrap_or(base.eps) };
                Optimizer::new(rule, rates)
            }
            Name::Adagrad => Optimizer::new(Adagrad { eps: eps.unwrap_or(Adagrad::default().eps) }, rates),
            Name::RmsProp => {
                let base = RmsProp::default();
                Optimizer::new(RmsProp { eps: eps.unwrap_or(base.eps), ..base }, rates)
            }
            Name::Lion => {
                let base = Lion::default();
                decaying!(Lion {
                    betas: betas.unwrap_or(base.betas),
                    weight_decay: weight_decay.unwrap_or(base.weight_decay),
                })
            }
            Name::Adafactor => {
                let base = Adafactor::default();
                decaying!(Adafactor { weight_decay: weight_decay.unwrap_or(base.weight_decay), ..base })
            }
            Name::Muon => {
                let base = Muon::default();
                decaying!(Muon {
                    momentum: momentum.unwrap_or(base.momentum),
                    weight_decay: weight_decay.unwrap_or(base.weight_decay),
                    ..base
                })
            }
        })
    }

    /// Where a path that a configuration file names lies: beside the file, unless it says otherwise.
    pub fn relative_to(&mut self, dir: &Path) {
        for path in [&mut self.model, &mut self.data, &mut self.output].into_iter().flatten() {
            if path.is_relative() {
                *path = dir.join(&*path);
            }
        }
    }
}

/// The floating dtype of this name.
fn floating(key: &'static str, name: Option<&str>) -> Result<Option<Dtype>> {
    let Some(name) = name else { return Ok(None) };
    match name {
        "float32" => Ok(Some(Dtype::Float32)),
        "bfloat16" => Ok(Some(Dtype::Bfloat16)),
        "float16" => Ok(Some(Dtype::Float16)),
        _ => Err(Error::config(key, format!("expected float32, bfloat16 or float16, found {name:?}"))),
    }
}
