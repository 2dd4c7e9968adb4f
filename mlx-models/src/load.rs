// SPDX-License-Identifier: EUPL-1.2
//! From a checkpoint directory to a model.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use mlx_core::io::{SafetensorsFile, load_tensors, open_sharded};
use mlx_core::random::Key;
use mlx_core::{Array, Dtype};
use mlx_nn::{init, params};
use mlx_tokenizer::Tokenizer;

use crate::architecture::{Architecture, Weights};
use crate::config::{ConfigFile, QuantizationConfig};
use crate::control::Progress;
use crate::error::{Error, Result};
use crate::model::CausalLm;

/// How to load.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// Told how many bytes of the weights are read, and of how many.
    pub progress: Option<Progress>,
}

/// A network with its weights, and what its checkpoint says about text.
///
/// Arrays belong to the thread that made them, so a model stays on its thread.
pub struct Model {
    pub(crate) config: ConfigFile,
    pub(crate) architecture: &'static Architecture,
    pub(crate) network: Box<dyn CausalLm>,
    pub(crate) quantization: Option<QuantizationConfig>,
    pub(crate) origin: Origin,
    tokenizer: Option<Tokenizer>,
    eos: Vec<u32>,
    load_s: f64,
}

/// Where a model's weights came from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// The files of this directory.
    Checkpoint(PathBuf),
    /// Nowhere: only headers were read.
    Headers,
    /// Memory.
    Memory,
}

/// Loads the checkpoint in `dir`: `config.json`, `model*.safetensors`, and a tokenizer where there is one.
///
/// Weights keep the dtype of the file. On the CPU they stay in the mapped files, so nothing is copied, and the files
/// must not be rewritten in place while the model is alive; see [`mlx_core::io`].
///
/// # Errors
/// [`Error`] with the file, and the key or the tensors, that are missing or wrong.
///
/// # Examples
/// ```
/// # fn main() -> mlx_models::Result<()> {
/// # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tiny-chat-gemma3");
/// let model = mlx_models::load(dir)?;
/// let answer = model.generate("What colour is the sky?", &Default::default())?;
/// assert_eq!(answer.text.as_deref(), Some("The sky is blue."));
/// # Ok(()) }
/// ```
pub fn load(dir: impl AsRef<Path>) -> Result<Model> {
    load_with(dir, &LoadOptions::default())
}

/// As [`load`], with options.
///
/// # Errors
/// As [`load`].
pub fn load_with(dir: impl AsRef<Path>, options: &LoadOptions) -> Result<Model> {
    open(dir.as_ref(), Origin::Checkpoint(dir.as_ref().to_path_buf()), |architecture, _| {
        let files = Files::open(dir.as_ref())?;
        let places = files.places(architecture)?;
        let tensors: Vec<_> = places.iter().map(|(_, &(file, name))| (file, name)).collect();
        let arrays = load_tensors(&tensors, |done, total| {
            if let Some(progress) = &options.progress {
                let count = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
                progress.report(count(done), count(total));
            }
        })?;
        Ok(places.into_keys().zip(arrays).collect())
    })
}

/// Everything about the checkpoint in `dir` but its weights, of which only the headers are read: shapes and dtypes
/// are those of the files, and all values are zero.
///
/// # Errors
/// As [`load`], except for what only the values' bytes can show.
pub fn inspect(dir: impl AsRef<Path>) -> Result<Model> {
    open(dir.as_ref(), Origin::Headers, |architecture, _| {
        let files = Files::open(dir.as_ref())?;
        let zeros = |(path, (file, name)): (String, (&SafetensorsFile, &str))| {
            let info = file.info(name)?;
            // Lazy, like every op: it takes no memory unless somebody computes with it.
            Ok((path, Array::zeros(&info.shape, info.dtype)?))
        };
        files.places(architecture)?.into_iter().map(zeros).collect()
    })
}

/// A new network, as the `config.json` in `dir` describes it, with the tokenizer that is there and weights drawn from
/// `seed`: where training begins that begins with nothing. What [`init::initialise`] draws, in `dtype`.
///
/// # Errors
/// As [`load`], but for weights, which need not be there; [`Error::Argument`] when the config asks for quantised ones.
pub fn create(dir: impl AsRef<Path>, seed: u64, dtype: Dtype) -> Result<Model> {
    let dir = dir.as_ref();
    let mut model = open(dir, Origin::Checkpoint(dir.to_path_buf()), |architecture, config| {
        architecture.parameters(config, None)
    })?;
    if model.quantization.is_some() {
        let message = format!("{} asks for quantised weights", model.config.path().display());
        return Err(Error::Argument { argument: "dir", message });
    }
    init::initialise(model.network.as_mut(), &Key::new(seed)?, dtype)?;
    model.cast(dtype)?;
    Ok(model)
}

/// Loads everything but the weights, and these with `weights`.
fn open(
    dir: &Path,
    origin: Origin,
    weights: impl FnOnce(&Architecture, &ConfigFile) -> Result<Weights>,
) -> Result<Model> {
    let started = Instant::now();
    check_directory(dir)?;
    let config = ConfigFile::read(dir)?;
    let architecture = Architecture::of(&config)?;
    let quantization = config.quantization()?;
    let build = || {
        let weights = weights(architecture, &config)?;
        architecture.build(&config, weights, quantization.as_ref()).map_err(|error| match error {
            Error::Nn(source) => Error::Weights { path: dir.to_path_buf(), source },
            other => other,
        })
    };
    // A large vocabulary takes as long to read as the weights, and neither needs the other.
    let (network, tokenizer) = thread::scope(|scope| {
        let reader = thread::Builder::new().spawn_scoped(scope, || read_tokenizer(dir));
        let network = build();
        let tokenizer = match reader {
            Ok(reader) => reader.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => read_tokenizer(dir),
        };
        (network, tokenizer)
    });
    let (network, tokenizer) = (network?, tokenizer?);
    if let Some(tokenizer) = &tokenizer {
        check_tokenizer(dir, tokenizer, network.spec().vocab_size)?;
    }
    let eos = match &tokenizer {
        Some(tokenizer) => tokenizer.eos().to_vec(),
        None => mlx_tokenizer::eos_ids(dir)?,
    };
    let load_s = started.elapsed().as_secs_f64();
    Ok(Model { config, architecture, network, quantization, origin, tokenizer, eos, load_s })
}

fn check_directory(dir: &Path) -> Result<()> {
    let metadata = std::fs::metadata(dir).map_err(|source| Error::Io { path: dir.to_path_buf(), source })?;
    if metadata.is_dir() {
        return Ok(());
    }
    Err(Error::File {
        path: dir.to_path_buf(),
        message: "expected a checkpoint directory, found a file".into(),
    })
}

/// The weight files of a checkpoint, with their headers read.
struct Files(Vec<SafetensorsFile>);

impl Files {
    fn open(dir: &Path) -> Result<Self> {
        Ok(Self(open_sharded(dir)?))
    }

    /// The tensors that the architecture has a place for: their place, file, and name in it.
    fn places(&self, architecture: &Architecture) -> Result<BTreeMap<String, (&SafetensorsFile, &str)>> {
        let mut places = BTreeMap::new();
        for file in &self.0 {
            for name in file.names() {
                let Some(place) = architecture.weight_path(name) else { continue };
                if places.insert(place, (file, name)).is_some() {
                    let (path, name) = (file.path().to_path_buf(), name.to_owned());
                    let message = "it is in the checkpoint more than once".into();
                    return Err(mlx_core::Error::Tensor { path, name, message }.into());
                }
            }
        }
        Ok(places)
    }
}

/// The tokenizer, where the directory has one.
fn read_tokenizer(dir: &Path) -> Result<Option<Tokenizer>> {
    Ok(if Tokenizer::exists_in(dir) { Some(Tokenizer::from_dir(dir)?) } else { None })
}

/// Checks that every piece of the tokenizer has an embedding. Fewer pieces than embeddings are usual, since tables
/// are padded; and special tokens may be more: the tokenizer of Gemma 3 has one for images in checkpoints for text.
fn check_tokenizer(dir: &Path, tokenizer: &Tokenizer, vocab_size: usize) -> Result<()> {
    let ids = u32::try_from(vocab_size).unwrap_or(u32::MAX)
        ..u32::try_from(tokenizer.vocab_size()).unwrap_or(u32::MAX);
    match ids.rev().find(|&id| tokenizer.token(id).is_some() && !tokenizer.is_special(id)) {
        Some(largest) => Err(Error::TokenizerMismatch { path: dir.to_path_buf(), largest, vocab_size }),
        None => Ok(()),
    }
}

impl Model {
    /// A model of weights that are in memory already, without a tokenizer.
    pub(crate) fn in_memory(config: ConfigFile, weights: Weights) -> Result<Self> {
        let started = Instant::now();
        let architecture = Architecture::of(&config)?;
        let quantization = config.quantization()?;
        let network = architecture.build(&config, weights, quantization.as_ref())?;
        let load_s = started.elapsed().as_secs_f64();
        let (origin, tokenizer, eos) = (Origin::Memory, None, Vec::new());
        Ok(Self { config, architecture, network, quantization, origin, tokenizer, eos, load_s })
    }

    /// The family's name, such as `Qwen 3`.
    #[must_use]
    pub fn architecture(&self) -> &'static str {
        self.architecture.name()
    }

    /// The config, as it was read.
    #[must_use]
    pub fn config(&self) -> &ConfigFile {
        &self.config
    }

    /// The network, for calling it directly.
    #[must_use]
    pub fn network(&self) -> &dyn CausalLm {
        self.network.as_ref()
    }

    /// The network, for changing its parameters.
    pub fn network_mut(&mut self) -> &mut (dyn CausalLm + 'static) {
        self.network.as_mut()
    }

    pub(crate) fn architecture_entry(&self) -> &'static Architecture {
        self.architecture
    }

    /// Notes that these layers are no longer packed.
    pub(crate) fn mark_dense(&mut self, layers: Vec<String>) {
        if let Some(mut quantization) = self.quantization.clone() {
            quantization.layers.extend(layers.into_iter().map(|layer| (layer, None)));
            self.set_quantization(Some(quantization));
        }
    }

    /// The tokenizer, where the checkpoint has one.
    #[must_use]
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// The tokens that end a text.
    #[must_use]
    pub fn eos(&self) -> &[u32] {
        &self.eos
    }

    /// How the weights are packed, where they are.
    #[must_use]
    pub fn quantization(&self) -> Option<&QuantizationConfig> {
        self.quantization.as_ref()
    }

    /// How many tokens have an embedding.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.network.spec().vocab_size
    }

    /// How many positions the network was made for.
    #[must_use]
    pub fn context_length(&self) -> usize {
        self.network.spec().context_length
    }

    /// Seconds that loading took.
    #[must_use]
    pub fn load_seconds(&self) -> f64 {
        self.load_s
    }

    /// How many parameters the network has; packed ones count as what they stand for.
    #[must_use]
    pub fn parameters(&self) -> usize {
        params::count(self.network())
    }

    /// Bytes that the weights take, by dtype.
    #[must_use]
    pub fn nbytes_by_dtype(&self) -> BTreeMap<Dtype, usize> {
        let mut bytes = BTreeMap::new();
        for (_, array) in params::parameters(self.network()) {
            *bytes.entry(array.dtype()).or_default() += array.nbytes();
        }
        bytes
    }

    /// Bits that the weights take, divided by how many parameters there are.
    #[must_use]
    pub fn bits_per_weight(&self) -> f64 {
        8.0 * self.nbytes() as f64 / self.parameters() as f64
    }

    /// Bytes that the weights take.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.nbytes_by_dtype().values().sum()
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("config", &self.config.path())
            .field("architecture", &self.architecture.name())
            .field("spec", self.network.spec())
            .finish_non_exhaustive()
    }
}
