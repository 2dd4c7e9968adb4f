// SPDX-License-Identifier: EUPL-1.2
//! Adapters on disk: what mlx-lm and PEFT write and read.
//!
//! | | mlx-lm | PEFT |
//! |---|---|---|
//! | weights | `adapters.safetensors` | `adapter_model.safetensors` |
//! | settings | `adapter_config.json`: `lora_parameters` with `rank`, `scale`, `dropout`, `keys` | `adapter_config.json`: `r`, `lora_alpha`, `lora_dropout`, `target_modules` |
//! | factors | `<layer>.lora_a` `[in, r]`, `<layer>.lora_b` `[r, out]` | `base_model.model.<layer>.lora_A.weight` `[r, in]`, `.lora_B.weight` `[out, r]` |
//! | DoRA | `<layer>.m` | `.lora_magnitude_vector` |
//! | scale | as it is | `lora_alpha / r`, or `lora_alpha / √r` with `use_rslora` |
//!
//! Which layers have an adapter is read from the names of the tensors.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use mlx_core::io::{self, load_safetensors};
use mlx_core::{Array, Dtype, random::Key};
use mlx_nn::adapter::{self, Adapter, Settings};
use mlx_nn::params;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::architecture::Architecture;
use crate::error::{Error, Result};
use crate::load::Model;
use crate::model::CausalLm;

/// Who can read an adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdapterFormat {
    /// mlx-lm, and this crate.
    #[default]
    MlxLm,
    /// PEFT with transformers, and this crate.
    Peft,
}

const CONFIG: &str = "adapter_config.json";
const MLX_LM_WEIGHTS: &str = "adapters.safetensors";
const PEFT_WEIGHTS: &str = "adapter_model.safetensors";
const PEFT_PREFIX: &str = "base_model.model.";

impl Model {
    /// Adds the adapter in `dir`, as mlx-lm or PEFT wrote it, to the network. An adapter of mlx-lm's type `full` replaces
    /// weights instead.
    ///
    /// # Errors
    /// [`Error`] with the file, and the key or the tensors, that are missing or wrong, or belong to another model; the model
    /// is then as it was.
    pub fn load_adapter(&mut self, dir: impl AsRef<Path>) -> Result<()> {
        let file = AdapterFiles::read(dir.as_ref(), self.architecture_entry())?;
        file.add_to(self.network_mut())
    }

    /// Writes the adapters of the network into `dir`, which is made if need be.
    ///
    /// # Errors
    /// [`Error::Argument`] when there is none, [`Error::Core`] or [`Error::Io`] when the disk refuses. Each file appears
    /// whole or not at all.
    pub fn save_adapter(&self, dir: impl AsRef<Path>, format: AdapterFormat) -> Result<()> {
        save_adapter(self.network(), dir.as_ref(), format, &Map::new())
    }

    /// Writes what its adapters change into the weights for good. Layers that are packed are packed again, or become dense
    /// with `dequantize`, which loses nothing. Evaluates.
    ///
    /// # Errors
    /// [`Error::Core`] when an op fails.
    pub fn fuse(&mut self, dequantize: bool) -> Result<()> {
        let adapted: Vec<String> =
            adapter::adapters(self.network()).into_iter().map(|(path, _)| path).collect();
        adapter::fuse(self.network_mut(), dequantize)?;
        // One at a time, so that a weight as it was goes before the next is made.
        for (_, array) in params::parameters(self.network()) {
            array.eval()?;
        }
        if dequantize {
            self.mark_dense(adapted);
        }
        Ok(())
    }
}

/// Writes the adapters of `network` into `dir`, with further keys for `adapter_config.json`.
///
/// # Errors
/// As [`Model::save_adapter`].
pub fn save_adapter(
    network: &dyn CausalLm,
    dir: &Path,
    format: AdapterFormat,
    extra: &Map<String, Value>,
) -> Result<()> {
    let layers = adapter::adapters(network);
    if layers.is_empty() {
        let message = "the network has none".into();
        return Err(Error::Argument { argument: "adapter", message });
    }
    let (name, tensors, mut config) = match format {
        AdapterFormat::MlxLm => mlx_lm(network, &layers)?,
        AdapterFormat::Peft => peft(network, &layers)?,
    };
    for (key, value) in extra {
        config.entry(key).or_insert_with(|| value.clone());
    }
    fs::create_dir_all(dir).map_err(|source| Error::Io { path: dir.to_path_buf(), source })?;
    let metadata = BTreeMap::from([("format".to_owned(), "mlx".to_owned())]);
    io::save_safetensors(dir.join(name), &tensors, &metadata)?;
    write_json(&dir.join(CONFIG), &Value::Object(config))
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text = format!("{value:#}\n");
    Ok(io::atomically(path, |file| {
        let path = file.path().to_path_buf();
        std::io::Write::write_all(file, text.as_bytes())
            .map_err(|source| mlx_core::Error::Io { path, source })
    })?)
}

type Written = (&'static str, BTreeMap<String, Array>, Map<String, Value>);

/// The parameters of the adapters, by path.
fn factors(network: &dyn CausalLm, layers: &[(String, &Adapter)]) -> BTreeMap<String, Array> {
    let layers: BTreeSet<&str> = layers.iter().map(|(path, _)| path.as_str()).collect();
    let factor = |path: &str| {
        let (layer, part) = path.rsplit_once('.')?;
        (layers.contains(layer) && ["lora_a", "lora_b", "m"].contains(&part)).then_some(())
    };
    let parameters = params::parameters(network).into_iter();
    parameters.filter(|(path, _)| factor(path).is_some()).map(|(path, array)| (path, array.clone())).collect()
}

/// As mlx-lm has it: one rank and one scale for all. Smaller ranks are filled up with zeros, and where scales differ they go
/// into the second factor.
fn mlx_lm(network: &dyn CausalLm, layers: &[(String, &Adapter)]) -> Result<Written> {
    let settings: Vec<Settings> = layers.iter().map(|(_, adapter)| adapter.settings()).collect();
    let magnitude = same(&settings, |settings| settings.magnitude).ok_or_else(|| Error::Argument {
        argument: "format",
        message: "mlx-lm has LoRA or DoRA for all layers, and these have both".into(),
    })?;
    let rank = settings.iter().map(|settings| settings.rank).max().unwrap_or(0);
    let scale = same(&settings, |settings| settings.scale);
    let dropout = settings.iter().fold(0.0f32, |most, settings| most.max(settings.dropout));
    let mut tensors = factors(network, layers);
    for (path, adapter) in layers {
        let own = adapter.settings();
        if let Some(b) = tensors.get_mut(&format!("{path}.lora_b")) {
            if scale.is_none() {
                *b = (&*b * own.scale)?;
            }
            *b = filled(b, 0, rank)?;
        }
        if let Some(a) = tensors.get_mut(&format!("{path}.lora_a")) {
            *a = filled(a, 1, rank)?;
        }
    }
    let (blocks, keys) = keys(layers, network.spec().layers);
    let parameters = json!({
        "rank": rank,
        "scale": scale.unwrap_or(1.0),
        "dropout": dropout,
        "keys": keys,
    });
    let mut config = Map::new();
    config.insert("fine_tune_type".into(), if magnitude { "dora" } else { "lora" }.into());
    config.insert("num_layers".into(), blocks.into());
    config.insert("lora_parameters".into(), parameters);
    Ok((MLX_LM_WEIGHTS, tensors, config))
}

/// How many of the last blocks have adapters, and on which of their layers; whole paths where blocks differ.
fn keys(layers: &[(String, &Adapter)], blocks: usize) -> (usize, Vec<String>) {
    let mut by_block: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
    let mut outside = Vec::new();
    for (path, _) in layers {
        let inner = path.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
        match inner.and_then(|(number, key)| Some((number.parse().ok()?, key))) {
            Some((number, key)) => {
                by_block.entry(number).or_default().insert(key);
            }
            None => outside.push(path.clone()),
        }
    }
    let first = by_block.values().next();
    let last_ones = by_block.keys().copied().eq(blocks.saturating_sub(by_block.len())..blocks);
    match first {
        Some(keys) if last_ones && by_block.values().all(|other| other == keys) => {
            let keys = keys.iter().map(|&key| key.to_owned()).chain(outside);
            (by_block.len(), keys.collect())
        }
        _ => (blocks, layers.iter().map(|(path, _)| path.clone()).collect()),
    }
}

/// As PEFT has it.
fn peft(network: &dyn CausalLm, layers: &[(String, &Adapter)]) -> Result<Written> {
    let tables = table_paths(network);
    let mut tensors = BTreeMap::new();
    for (path, array) in factors(network, layers) {
        let (layer, part) = path.rsplit_once('.').unwrap_or(("", &path));
        let name = match (part, tables.contains(layer)) {
            ("lora_a", false) => "lora_A.weight",
            ("lora_b", false) => "lora_B.weight",
            ("lora_a", true) => "lora_embedding_A",
            ("lora_b", true) => "lora_embedding_B",
            _ => "lora_magnitude_vector",
        };
        let array = if array.ndim() == 2 { array.transpose()? } else { array };
        tensors.insert(format!("{PEFT_PREFIX}{layer}.{name}"), array);
    }
    let settings: Vec<Settings> = layers.iter().map(|(_, adapter)| adapter.settings()).collect();
    let rank = same(&settings, |settings| settings.rank);
    let alpha = |settings: &Settings| settings.scale * settings.rank as f32;
    let alphas = same(&settings, alpha);
    let pattern = |value: &dyn Fn(&Settings) -> Value| -> Map<String, Value> {
        layers.iter().map(|(path, adapter)| (path.clone(), value(&adapter.settings()))).collect()
    };
    let first = settings.first().copied().unwrap_or_default();
    let config = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": null,
        "inference_mode": true,
        "bias": "none",
        "fan_in_fan_out": false,
        "init_lora_weights": true,
        "use_rslora": false,
        "use_dora": settings.iter().any(|settings| settings.magnitude),
        "r": rank.unwrap_or(first.rank),
        "lora_alpha": alphas.unwrap_or(alpha(&first)),
        "lora_dropout": settings.iter().fold(0.0f32, |most, settings| most.max(settings.dropout)),
        "rank_pattern": if rank.is_none() { pattern(&|s| s.rank.into()) } else { Map::new() },
        "alpha_pattern": if alphas.is_none() { pattern(&|s| alpha(s).into()) } else { Map::new() },
        "target_modules": layers.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
    });
    let Value::Object(config) = config else { return Ok((PEFT_WEIGHTS, tensors, Map::new())) };
    Ok((PEFT_WEIGHTS, tensors, config))
}

/// The paths of layers that are tables.
fn table_paths(network: &dyn CausalLm) -> BTreeSet<String> {
    struct Tables(BTreeSet<String>);
    impl<'a> mlx_nn::Visitor<'a> for Tables {
        fn parameter(&mut self, _path: &str, _value: &'a Array) {}
        fn layer(&mut self, path: &str, layer: mlx_nn::Layer<'a>) -> bool {
            if let mlx_nn::Layer::Embedding(_) = layer {
                self.0.insert(path.to_owned());
            }
            false
        }
    }
    let mut tables = Tables(BTreeSet::new());
    network.visit(&mut mlx_nn::ParamPath::new(), &mut tables);
    tables.0
}

/// What all have in common.
fn same<T: PartialEq>(settings: &[Settings], value: impl Fn(&Settings) -> T) -> Option<T> {
    let mut values = settings.iter().map(value);
    let first = values.next()?;
    values.all(|other| other == first).then_some(first)
}

/// `array` with zeros behind it along `axis`, up to a length.
fn filled(array: &Array, axis: i32, length: i32) -> Result<Array> {
    let missing = length - array.dim(axis)?;
    if missing <= 0 {
        return Ok(array.clone());
    }
    let mut shape = array.shape().to_vec();
    if let Some(dim) = usize::try_from(axis).ok().and_then(|axis| shape.get_mut(axis)) {
        *dim = missing;
    }
    Ok(mlx_core::concatenate(&[array, &Array::zeros(&shape, array.dtype())?], axis)?)
}

/// One layer's adapter as it was read, in mlx-lm's layout.
#[derive(Debug, Default)]
struct Part {
    a: Option<Array>,
    b: Option<Array>,
    m: Option<Array>,
    /// The names in the file, for errors.
    names: Vec<String>,
}

/// An adapter that was read.
#[derive(Debug)]
struct AdapterFiles {
    path: PathBuf,
    parts: BTreeMap<String, Part>,
    settings: BTreeMap<String, Settings>,
    /// Weights that are replaced.
    full: BTreeMap<String, Array>,
}

/// The keys of `adapter_config.json`, whoever wrote it.
#[derive(Debug, Deserialize)]
struct Config {
    peft_type: Option<String>,
    fine_tune_type: Option<String>,
    lora_parameters: Option<LoraParameters>,
    r: Option<i32>,
    lora_alpha: Option<f32>,
    #[serde(default)]
    lora_dropout: f32,
    #[serde(default)]
    use_rslora: bool,
    rank_pattern: Option<BTreeMap<String, i32>>,
    alpha_pattern: Option<BTreeMap<String, f32>>,
    modules_to_save: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct LoraParameters {
    scale: Option<f32>,
    #[serde(default)]
    dropout: f32,
}

impl AdapterFiles {
    fn read(dir: &Path, architecture: &Architecture) -> Result<Self> {
        let config_path = dir.join(CONFIG);
        let text =
            fs::read(&config_path).map_err(|source| Error::Io { path: config_path.clone(), source })?;
        let wrong = |message: String| Error::File { path: config_path.clone(), message };
        let config: Config = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        let is_peft = config.peft_type.is_some();
        if let Some(kind) = config.peft_type.as_deref().filter(|&kind| kind != "LORA") {
            return Err(wrong(format!("key peft_type: expected \"LORA\", found {kind:?}")));
        }
        if config.modules_to_save.as_ref().is_some_and(|modules| !modules.is_empty()) {
            return Err(wrong(
                "key modules_to_save: whole layers beside the adapter are not supported".into(),
            ));
        }
        let path = dir.join(if is_peft { PEFT_WEIGHTS } else { MLX_LM_WEIGHTS });
        let tensors = load_safetensors(&path)?.tensors;
        let mut file =
            Self { path, parts: BTreeMap::new(), settings: BTreeMap::new(), full: BTreeMap::new() };
        let kind = config.fine_tune_type.as_deref().unwrap_or("lora");
        if !is_peft && kind == "full" {
            file.full = tensors
                .into_iter()
                .filter_map(|(name, array)| Some((architecture.weight_path(&name)?, array)))
                .collect();
            return Ok(file);
        }
        if !is_peft && !["lora", "dora"].contains(&kind) {
            return Err(wrong(format!(
                "key fine_tune_type: expected \"lora\", \"dora\" or \"full\", found {kind:?}"
            )));
        }
        for (name, array) in tensors {
            file.take(name, array, is_peft, architecture)?;
        }
        if file.parts.is_empty() {
            return Err(Error::File { path: file.path, message: "there is no adapter in it".into() });
        }
        for (layer, part) in &file.parts {
            let rank = file.rank(layer, part)?;
            let (scale, dropout) = match &config.lora_parameters {
                Some(parameters) if !is_peft => {
                    let scale = parameters.scale;
                    (
                        scale.ok_or_else(|| wrong("key lora_parameters.scale: missing".into()))?,
                        parameters.dropout,
                    )
                }
                None if !is_peft => return Err(wrong("key lora_parameters: missing".into())),
                _ => {
                    let named = |pattern: &Option<BTreeMap<String, f32>>| {
                        let mut entries = pattern.iter().flatten();
                        entries
                            .find(|(key, _)| layer == *key || layer.ends_with(&format!(".{key}")))
                            .map(|(_, v)| *v)
                    };
                    let alpha = named(&config.alpha_pattern).or(config.lora_alpha);
                    let alpha = alpha.ok_or_else(|| wrong("key lora_alpha: missing".into()))?;
                    if config.r.is_none() && config.rank_pattern.is_none() {
                        return Err(wrong("key r: missing".into()));
                    }
                    let rank = rank as f32;
                    (alpha / if config.use_rslora { rank.sqrt() } else { rank }, config.lora_dropout)
                }
            };
            let settings = Settings { rank, scale, dropout, magnitude: part.m.is_some() };
            settings.check().map_err(|error| wrong(error.to_string()))?;
            file.settings.insert(layer.clone(), settings);
        }
        Ok(file)
    }

    /// Sorts one tensor in.
    fn take(&mut self, name: String, array: Array, is_peft: bool, architecture: &Architecture) -> Result<()> {
        let inner = if is_peft { name.strip_prefix(PEFT_PREFIX).unwrap_or(&name) } else { &name };
        let ends = match is_peft {
            false => [(".lora_a", 'a'), (".lora_b", 'b'), (".m", 'm')].as_slice(),
            true => [
                (".lora_A.weight", 'a'),
                (".lora_B.weight", 'b'),
                (".lora_embedding_A", 'a'),
                (".lora_embedding_B", 'b'),
                (".lora_magnitude_vector", 'm'),
                (".lora_magnitude_vector.weight", 'm'),
            ]
            .as_slice(),
        };
        let found = ends.iter().find_map(|(end, part)| Some((inner.strip_suffix(end)?, *part)));
        let Some((layer, part)) = found else {
            return Err(self.tensor(&name, "not a parameter of an adapter"));
        };
        if !array.dtype().is_float() {
            return Err(self.tensor(&name, format!("expected a floating dtype, found {}", array.dtype())));
        }
        // Weights have places, layers have not: by the place of the layer's weight.
        let place = architecture.weight_path(&format!("{layer}.weight"));
        let place =
            place.as_deref().and_then(|place| place.strip_suffix(".weight")).unwrap_or(layer).to_owned();
        let array = if is_peft && part != 'm' { array.transpose()? } else { array };
        let entry = self.parts.entry(place).or_default();
        entry.names.push(name);
        match part {
            'a' => entry.a = Some(array),
            'b' => entry.b = Some(array),
            _ => entry.m = Some(array),
        }
        Ok(())
    }

    /// The rank, by the shapes of both factors.
    fn rank(&self, layer: &str, part: &Part) -> Result<i32> {
        let (Some(a), Some(b)) = (&part.a, &part.b) else {
            return Err(self.tensor(layer, "one of its two factors is missing"));
        };
        match (a.shape(), b.shape()) {
            (&[_, rank], &[other, _]) if rank == other && rank > 0 => Ok(rank),
            (a, b) => Err(self.tensor(layer, format!("factors of {a:?} and {b:?} have no rank in common"))),
        }
    }

    fn tensor(&self, name: &str, message: impl Into<String>) -> Error {
        let (path, name) = (self.path.clone(), name.to_owned());
        mlx_core::Error::Tensor { path, name, message: message.into() }.into()
    }

    /// Puts everything in its place, or nothing.
    fn add_to(self, network: &mut dyn CausalLm) -> Result<()> {
        let path = self.path.clone();
        let unfit = |error: mlx_nn::Error| match error {
            mlx_nn::Error::Weights(_) | mlx_nn::Error::Layer { .. } => {
                Error::Weights { path: path.clone(), source: error }
            }
            other => other.into(),
        };
        if !self.full.is_empty() {
            return params::load_some(network, self.full).map_err(unfit);
        }
        if let Some((layer, _)) = adapter::adapters(network).first() {
            let message = format!("{layer} has an adapter already");
            return Err(Error::Argument { argument: "adapter", message });
        }
        adapter::attach(network, |layer| self.settings.get(layer).copied(), &Key::new(0)?).map_err(&unfit)?;
        let mut weights = BTreeMap::new();
        for (layer, part) in self.parts {
            for (name, array) in [("lora_a", part.a), ("lora_b", part.b), ("m", part.m)] {
                if let Some(array) = array {
                    weights.insert(format!("{layer}.{name}"), array.astype(Dtype::Float32)?);
                }
            }
        }
        params::load_some(network, weights).map_err(|error| {
            // Nothing else is there to be taken away.
            let _ = adapter::detach(network);
            unfit(error)
        })
    }
}
