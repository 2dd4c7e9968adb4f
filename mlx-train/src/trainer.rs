// SPDX-License-Identifier: EUPL-1.2
//! The loop: batches in, better weights out.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use mlx_core::distributed::Group;
use mlx_core::random::Key;
use mlx_core::{Array, Dtype, eval};
use mlx_models::adapter::{AdapterFormat, save_adapter};
use mlx_models::{CausalLm, Model, SaveOptions};
use mlx_nn::optim::{Optimizer, clip_global_norm};
use mlx_nn::{adapter, params, value_and_grad};
use serde_json::Map;

use crate::checkpoint::{Checkpoint, Checkpoints, Progress};
use crate::config::{Method, TrainConfig};
use crate::data::Batches;
use crate::error::{Error, Result};
use crate::objective::{Objective, Texts};

/// A training run.
pub struct Trainer {
    model: Model,
    config: TrainConfig,
    train: Batches,
    valid: Option<Batches>,
    objective: Objective,
    optimizer: Optimizer,
    steps: u64,
    progress: Progress,
    group: Option<Group>,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Its number, from 1.
    pub step: u64,
    /// How many there will be.
    pub steps: u64,
    /// How often the data was gone through by then.
    pub epoch: f64,
    /// The mean loss of its tokens.
    pub loss: f32,
    /// The learning rate.
    pub rate: f64,
    /// The norm of the gradient before it was clipped.
    pub norm: f32,
    /// Tokens that counted.
    pub tokens: usize,
    /// Tokens that were computed, padding included.
    pub computed: usize,
    /// Seconds that it took.
    pub seconds: f64,
}

/// What a run tells while it goes on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A step was made.
    Step(&'a StepReport),
    /// The validation data was gone through after so many steps.
    Valid {
        /// Steps by then.
        step: u64,
        /// The mean loss of its tokens.
        loss: f32,
        /// Whether it is the best so far.
        best: bool,
    },
    /// A checkpoint was written.
    Saved {
        /// Steps by then.
        step: u64,
        /// Its folder.
        path: &'a Path,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Where it stood.
    pub progress: Progress,
    /// Why it ended.
    pub end: End,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All steps were made.
    Finished,
    /// Validations no longer got better.
    Stopped,
    /// Whoever was told of an event asked for it.
    Interrupted,
}

impl Trainer {
    /// A run that trains `model` on `train`, and looks at `valid` from time to time.
    ///
    /// # Errors
    /// [`Error::Config`] when a key is outside its domain or does not fit the model or the data.
    pub fn new(
        mut model: Model,
        config: TrainConfig,
        train: Batches,
        valid: Option<Batches>,
    ) -> Result<Self> {
        config.check()?;
        if train.is_empty() {
            return Err(Error::config("data", "no training example has a token that counts"));
        }
        let trained = prepare(&mut model, &config)?;
        let micro = u64::try_from(train.len()).unwrap_or(u64::MAX);
        let accumulate = config.accumulate as u64;
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            clippy::cast_possible_truncation,
            reason = "far below 2^53"
        )]
        let by_epochs = (config.epochs * micro as f64 / accumulate as f64).ceil() as u64;
        let steps = config.steps.unwrap_or(by_epochs).max(1);
        let objective = Objective {
            label_smoothing: config.label_smoothing,
            trained: Rc::new(trained),
            recompute: config.recompute,
        };
        let optimizer = config.optimizer(steps)?;
        let progress = Progress::default();
        Ok(Self { model, config, train, valid, objective, optimizer, steps, progress, group: None })
    }

    /// The same run in several processes, each with batches of its own: their gradients are put together in every step.
    #[must_use]
    pub fn with_group(mut self, group: Group) -> Self {
        self.group = (group.size() > 1).then_some(group);
        self
    }

    /// Goes on from the last checkpoint in the run's folder; returns its step, or nothing where there is none.
    ///
    /// From there the run is the one that was not interrupted, bit for bit.
    ///
    /// # Errors
    /// [`Error::Resume`] when it is of another run, and the file that cannot be read.
    pub fn resume(&mut self, output: &Path) -> Result<Option<u64>> {
        let checkpoints = Checkpoints::open(output)?;
        let Some(&step) = checkpoints.steps()?.last() else { return Ok(None) };
        let checkpoint = checkpoints.read(step)?;
        let path = checkpoints.path(step);
        if checkpoint.fingerprint != self.fingerprint() {
            let message = format!(
                "it belongs to another run: expected {}, found {}",
                self.fingerprint(),
                checkpoint.fingerprint
            );
            return Err(Error::Resume { path, message });
        }
        let unfit = |error: mlx_nn::Error| Error::Resume { path: path.clone(), message: error.to_string() };
        params::load_some(self.model.network_mut(), checkpoint.weights).map_err(unfit)?;
        self.optimizer.load_state(self.model.network(), checkpoint.optimizer).map_err(unfit)?;
        self.progress = checkpoint.progress;
        Ok(Some(step))
    }

    /// Runs to the end, telling `observer` what happens, and writes checkpoints into `output`.
    ///
    /// At the end the network has the weights of the best validation, where there was one, else the last.
    ///
    /// # Errors
    /// [`Error`]: an op that failed, a loss or gradient that is not finite, a disk that refuses. The last checkpoint is whole.
    pub fn run(
        &mut self,
        output: &Path,
        observer: &mut dyn FnMut(&Event<'_>) -> ControlFlow<()>,
    ) -> Result<Outcome> {
        let checkpoints = match self.is_first() {
            true => Some(Checkpoints::open(output)?),
            false => None,
        };
        let stale = |progress: &Progress, patience: u64| patience > 0 && progress.stale >= patience;
        let mut end = match stale(&self.progress, self.config.patience) {
            true => End::Stopped,
            false => End::Finished,
        };
        if self.progress.step == 0
            && self.config.eval_every > 0
            && let Some(loss) = self.validate()?
            && observer(&Event::Valid { step: 0, loss, best: false }).is_break()
        {
            end = End::Interrupted;
        }
        while self.progress.step < self.steps && end == End::Finished {
            let report = self.step()?;
            if observer(&Event::Step(&report)).is_break() {
                end = End::Interrupted;
            }
            let step = self.progress.step;
            let due = |every: u64| every > 0 && (step.is_multiple_of(every) || step == self.steps);
            let mut save = due(self.config.save_every) || end == End::Interrupted || step == self.steps;
            if due(self.config.eval_every)
                && let Some(loss) = self.validate()?
            {
                let best = self.progress.best.is_none_or(|best| loss < best);
                if best {
                    (self.progress.best, self.progress.best_step, self.progress.stale) =
                        (Some(loss), Some(step), 0);
                } else {
                    self.progress.stale += 1;
                }
                save |= best;
                if observer(&Event::Valid { step, loss, best }).is_break() {
                    (end, save) = (End::Interrupted, true);
                } else if stale(&self.progress, self.config.patience) {
                    (end, save) = (End::Stopped, true);
                }
            }
            if save && let Some(checkpoints) = &checkpoints {
                checkpoints.write(&self.checkpoint()?)?;
                checkpoints.prune(self.config.keep, self.progress.best_step)?;
                if observer(&Event::Saved { step, path: &checkpoints.path(step) }).is_break() {
                    end = End::Interrupted;
                }
            }
        }
        if end != End::Interrupted
            && let (Some(best), Some(checkpoints)) = (self.progress.best_step, &checkpoints)
            && best != self.progress.step
        {
            let weights = checkpoints.read(best)?.weights;
            params::load_some(self.model.network_mut(), weights)?;
        }
        Ok(Outcome { progress: self.progress.clone(), end })
    }

    /// Makes one step.
    ///
    /// # Errors
    /// [`Error::Nn`] with the parameters whose gradients are not finite; nothing has moved then.
    pub fn step(&mut self) -> Result<StepReport> {
        let began = Instant::now();
        let rate = self.optimizer.rate();
        let accumulate = self.config.accumulate as u64;
        let all = u64::try_from(self.train.len()).unwrap_or(u64::MAX).max(1);
        let (mut loss, mut tokens, mut computed) = (0.0f64, 0usize, 0usize);
        let mut gradients: BTreeMap<String, Array> = BTreeMap::new();
        for part in 0..accumulate {
            let number = self.progress.step * accumulate + part;
            let batch = self.train.batch(number / all, usize::try_from(number % all).unwrap_or(0))?;
            computed += batch.rows * batch.len;
            if batch.tokens == 0 {
                // The other processes have what there is.
                continue;
            }
            let texts = Texts::new(&batch, self.model.vocab_size())?;
            let key = self.dropout_key(number)?;
            adapter::set_dropout_key(self.model.network_mut(), key.as_ref())?;
            let (value, found) = self.gradients(&texts)?;
            for (path, gradient) in found {
                // Summed in float32 whatever the dtype, so that many small ones are not lost.
                let gradient = gradient.astype(Dtype::Float32)?;
                let sum = match gradients.remove(&path) {
                    Some(sum) => (&sum + &gradient)?,
                    None => gradient,
                };
                gradients.insert(path, sum);
            }
            eval(gradients.values().chain([&value]))?;
            loss += f64::from(value.item::<f32>()?);
            tokens += texts.tokens();
        }
        adapter::set_dropout_key(self.model.network_mut(), None)?;
        (loss, tokens) = self.together(loss, tokens, &mut gradients)?;
        #[expect(clippy::cast_precision_loss, reason = "no step has that many tokens")]
        let count = tokens as f64;
        if !loss.is_finite() {
            return Err(Error::Loss { step: self.progress.step + 1, found: loss });
        }
        for gradient in gradients.values_mut() {
            *gradient = (&*gradient * &gradient.scalar_like(count.recip())?)?;
        }
        let clip = if self.config.clip > 0.0 { self.config.clip } else { f64::INFINITY };
        let norm = clip_global_norm(&mut gradients, clip)?;
        self.optimizer.update(self.model.network_mut(), &gradients)?;
        drop(gradients);
        let state = self.optimizer.arrays();
        eval(params::parameters(self.model.network()).into_iter().map(|(_, value)| value).chain(&state))?;
        let seconds = began.elapsed().as_secs_f64();
        self.progress.step += 1;
        self.progress.tokens += tokens as u64;
        self.progress.seconds += seconds;
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let epoch = (self.progress.step * accumulate) as f64 / all as f64;
        #[expect(clippy::cast_possible_truncation, reason = "it was summed from float32")]
        let loss = (loss / count) as f32;
        let (step, steps) = (self.progress.step, self.steps);
        Ok(StepReport { step, steps, epoch, loss, rate, norm, tokens, computed, seconds })
    }

    /// The sum of the losses of a micro-batch, and its gradients.
    fn gradients(&mut self, texts: &Texts) -> Result<(Array, BTreeMap<String, Array>)> {
        let objective = &self.objective;
        value_and_grad(
            self.model.network_mut(),
            |path, _| objective.trained.contains(path),
            |network: &(dyn CausalLm + 'static)| objective.loss(network, texts),
        )
    }

    /// The sums over all processes.
    fn together(
        &self,
        loss: f64,
        tokens: usize,
        gradients: &mut BTreeMap<String, Array>,
    ) -> Result<(f64, usize)> {
        let Some(group) = &self.group else { return Ok((loss, tokens)) };
        if gradients.is_empty() {
            for (path, value) in self.trained() {
                gradients.insert(path, Array::zeros(value.shape(), Dtype::Float32)?);
            }
        }
        for gradient in gradients.values_mut() {
            *gradient = group.all_sum(gradient)?;
            gradient.eval()?;
        }
        self.sums(loss, tokens)
    }

    fn sums(&self, loss: f64, tokens: usize) -> Result<(f64, usize)> {
        let Some(group) = &self.group else { return Ok((loss, tokens)) };
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a sum of float32")]
        let told = Array::from_slice(&[loss as f32, tokens as f32], &[2])?;
        let told = group.all_sum(&told)?.to_vec::<f32>()?;
        match told.as_slice() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
            &[loss, tokens] => Ok((f64::from(loss), tokens as usize)),
            _ => Err(Error::Batch { message: "the other processes told nothing".into() }),
        }
    }

    /// The mean loss of the validation data; nothing where there is none.
    ///
    /// # Errors
    /// [`Error::Models`] when an op fails.
    pub fn validate(&mut self) -> Result<Option<f32>> {
        let Some(valid) = &self.valid else { return Ok(None) };
        let most = usize::try_from(self.config.eval_batches).ok().filter(|&most| most > 0);
        let count = most.map_or(valid.len(), |most| most.min(valid.len()));
        let (mut loss, mut tokens) = (0.0f64, 0usize);
        for index in 0..count {
            let batch = valid.batch(0, index)?;
            if batch.tokens == 0 {
                continue;
            }
            let texts = Texts::new(&batch, self.model.vocab_size())?;
            loss += f64::from(self.objective.loss(self.model.network(), &texts)?.item::<f32>()?);
            tokens += texts.tokens();
        }
        (loss, tokens) = self.sums(loss, tokens)?;
        if tokens == 0 {
            return Ok(None);
        }
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a mean of float32")]
        Ok(Some((loss / tokens as f64) as f32))
    }

    /// Where the run stands, to be written.
    ///
    /// # Errors
    /// [`Error::Core`] when memory is exhausted.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        Ok(Checkpoint {
            progress: self.progress.clone(),
            weights: self.trained(),
            optimizer: self.optimizer.state()?,
            fingerprint: self.fingerprint(),
        })
    }

    /// The trained parameters, by path.
    #[must_use]
    pub fn trained(&self) -> BTreeMap<String, Array> {
        params::parameters(self.model.network())
            .into_iter()
            .filter(|(path, _)| self.objective.trained.contains(path))
            .map(|(path, value)| (path, value.clone()))
            .collect()
    }

    /// How many numbers are trained, of how many.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.trained().values().map(Array::size).sum(), self.model.parameters())
    }

    /// The model as it is now.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Writes what was learnt into `output`: the adapters there, or the whole checkpoint in `output/model`; returns the path.
    ///
    /// # Errors
    /// [`Error::Models`] when the disk refuses.
    pub fn export(mut self, output: &Path) -> Result<PathBuf> {
        if self.config.method != Method::Full {
            save_adapter(self.model.network(), output, AdapterFormat::MlxLm, &Map::new())?;
            return Ok(output.to_path_buf());
        }
        if let Some(dtype) = self.config.save_dtype()? {
            self.model.cast(dtype)?;
        }
        let options = SaveOptions { overwrite: true, ..SaveOptions::default() };
        Ok(self.model.save_into(output.join("model"), &options)?.dir)
    }

    /// How many steps the run has.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Where the run stands.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether this process is the one that writes.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.group.as_ref().is_none_or(|group| group.rank() == 0)
    }

    /// What a run has to have in common with one that it goes on from.
    fn fingerprint(&self) -> String {
        let c = &self.config;
        format!(
            "{:?} seed {} layers {:?} {:?} dtype {:?} batch {}x{} length {} pack {} loss {:?} {:?} {:?} \
             rate {} {:?} warmup {} clip {} smoothing {} batches {}",
            c.method,
            c.seed,
            c.layers.filter(|&layers| layers >= 0),
            c.adapter,
            c.dtype,
            c.batch_size,
            c.accumulate,
            c.max_length,
            c.pack,
            c.loss_on(),
            c.optimizer,
            c.optimizer_config,
            c.learning_rate,
            c.schedule,
            c.warmup,
            c.clip,
            c.label_smoothing,
            self.train.len(),
        )
    }

    /// What a micro-batch drops by: the same whenever it is computed.
    fn dropout_key(&self, number: u64) -> Result<Option<Key>> {
        if self.config.adapter.dropout == 0.0 || self.config.method == Method::Full {
            return Ok(None);
        }
        let rank = self.group.as_ref().map_or(0, |group| u64::from(group.rank().unsigned_abs()));
        Ok(Some(Key::new(mix(mix(self.config.seed) ^ mix(number + 1) ^ mix(rank).rotate_left(32)))?))
    }
}

impl std::fmt::Debug for Trainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer")
            .field("model", &self.model)
            .field("steps", &self.steps)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

/// SplitMix64's finaliser: neighbours become strangers.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Makes a model ready for a method, and says what is trained.
fn prepare(model: &mut Model, config: &TrainConfig) -> Result<BTreeSet<String>> {
    let blocks = model.network().spec().layers;
    let last = match config.layers.map(usize::try_from) {
        None | Some(Err(_)) => blocks,
        Some(Ok(0)) => return Err(Error::config("layers", "expected at least 1, or -1 for all; found 0")),
        Some(Ok(last)) if last > blocks => {
            let message = format!("the model has {blocks} blocks, found {last}");
            return Err(Error::config("layers", message));
        }
        Some(Ok(last)) => last,
    };
    if let Some(dtype) = config.dtype()? {
        model.cast(dtype)?;
    }
    // The number of the block that a path leads into.
    let block =
        |path: &str| -> Option<usize> { path.strip_prefix("model.layers.")?.split_once('.')?.0.parse().ok() };
    let in_last = |path: &str| block(path).is_some_and(|number| number >= blocks - last);
    let trained: BTreeSet<String> = match config.method {
        Method::Full => {
            if model.quantization().is_some() {
                let message = "full training needs dense weights: this checkpoint is quantised, so train \
                               adapters or dequantise it first";
                return Err(Error::config("method", message));
            }
            let chosen = |path: &str| last == blocks || in_last(path);
            let parameters = params::parameters(model.network()).into_iter();
            parameters.map(|(path, _)| path).filter(|path| chosen(path)).collect()
        }
        Method::Lora | Method::Dora => {
            let settings = config.settings();
            let keys = config.adapter.keys.as_deref();
            let mut unused: BTreeSet<&str> = keys.into_iter().flatten().map(String::as_str).collect();
            let mut choose = |path: &str| {
                let Some(keys) = keys else { return in_last(path).then_some(settings) };
                let key = keys.iter().find(|key| path == *key || path.ends_with(&format!(".{key}")))?;
                unused.remove(key.as_str());
                (block(path).is_none() || in_last(path)).then_some(settings)
            };
            // A model that comes with adapters goes on with them.
            let begun = !adapter::adapters(model.network()).is_empty();
            if begun {
                unused.clear();
            } else {
                adapter::attach(model.network_mut(), &mut choose, &Key::new(mix(config.seed))?)?;
            }
            if !unused.is_empty() {
                let unused: Vec<&str> = unused.into_iter().collect();
                let message = format!("keys: no layer's path ends in {}", unused.join(", "));
                return Err(Error::config("adapter", message));
            }
            let layers: BTreeSet<String> =
                adapter::adapters(model.network()).into_iter().map(|(path, _)| path).collect();
            let factor = |path: &str| {
                let (layer, name) = path.rsplit_once('.')?;
                (layers.contains(layer) && ["lora_a", "lora_b", "m"].contains(&name)).then_some(())
            };
            let parameters = params::parameters(model.network()).into_iter();
            parameters.map(|(path, _)| path).filter(|path| factor(path).is_some()).collect()
        }
    };
    if trained.is_empty() {
        return Err(Error::config("method", "nothing would be trained"));
    }
    Ok(trained)
}
