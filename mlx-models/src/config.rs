// SPDX-License-Identifier: EUPL-1.2
//! `config.json`: which architecture it is for, and typed access that names the file and the key of whatever is
//! wrong.
//!
//! Two generations of keys are read. Older files have `rope_theta`, `rope_scaling`, `rope_local_base_freq` and
//! `sliding_window_pattern`; transformers 5 writes `rope_parameters`, nested by layer type where a model has
//! several, and `layer_types`. A key whose value is `null` counts as absent.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mlx_core::{Dtype, QuantMode, Quantization};
use mlx_nn::Activation;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::sizes::name;

/// A `config.json` before it is known which architecture reads it.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    path: PathBuf,
    /// What is read: without the keys that are `null`.
    root: Map<String, Value>,
    /// What is written: all of it.
    whole: Map<String, Value>,
}

impl ConfigFile {
    /// Reads `config.json` in a checkpoint directory.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::File`] when there is none or it is not a JSON object.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let text = fs::read(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        match serde_json::from_slice(&text) {
            Ok(value) => Self::new(path, value),
            Err(error) => Err(Error::File { path, message: format!("not valid JSON: {error}") }),
        }
    }

    /// A config that was made in memory; `path` is what errors call it.
    ///
    /// # Errors
    /// [`Error::File`] when `value` is not an object.
    pub fn new(path: impl Into<PathBuf>, value: Value) -> Result<Self> {
        match value {
            Value::Object(whole) => Ok(Self { path: path.into(), root: without_nulls(whole.clone()), whole }),
            other => {
                let message = format!("expected a JSON object, found {}", kind(&other));
                Err(Error::File { path: path.into(), message })
            }
        }
    }

    /// All keys, those that are `null` included.
    #[must_use]
    pub fn as_json(&self) -> &Map<String, Value> {
        &self.whole
    }

    /// This config with some of its keys changed.
    pub(crate) fn edited(self, edit: impl FnOnce(&mut Map<String, Value>)) -> Self {
        let mut whole = self.whole;
        edit(&mut whole);
        Self { path: self.path, root: without_nulls(whole.clone()), whole }
    }

    /// This config for weights that are packed like this, under both names that tools look for.
    pub(crate) fn with_quantization(self, quantization: Option<&QuantizationConfig>) -> Self {
        self.edited(|whole| {
            for key in ["quantization", "quantization_config"] {
                match quantization {
                    Some(quantization) => whole.insert(key.into(), quantization.to_json()),
                    None => whole.remove(key),
                };
            }
        })
    }

    /// This config for weights of `dtype`, wherever it says of which they are.
    pub(crate) fn with_dtype(self, dtype: Dtype) -> Self {
        fn set(section: &mut Map<String, Value>, dtype: Dtype) {
            for key in ["dtype", "torch_dtype"] {
                if let Some(value) = section.get_mut(key) {
                    *value = dtype.to_string().into();
                }
            }
        }
        self.edited(|whole| {
            set(whole, dtype);
            if let Some(Value::Object(section)) = whole.get_mut("text_config") {
                set(section, dtype);
            }
        })
    }

    /// Where the config came from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The `model_type` at the top, by which the architecture is chosen.
    ///
    /// # Errors
    /// [`Error::Config`] when it is missing or not a string.
    pub fn model_type(&self) -> Result<&str> {
        match self.root.get("model_type") {
            Some(Value::String(name)) => Ok(name),
            Some(other) => {
                Err(self.invalid("model_type", format!("expected a string, found {}", kind(other))))
            }
            None => Err(self.invalid("model_type", "missing; it says which architecture this is")),
        }
    }

    /// Whether there is a section of this name, such as `text_config`.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.root.contains_key(key)
    }

    /// The whole file as `T`, or only the section of that name.
    ///
    /// # Errors
    /// [`Error::Config`] with the key whose value is missing or of the wrong type.
    pub fn parse<T: DeserializeOwned>(&self, section: Option<&str>) -> Result<T> {
        let value = match section {
            None => Value::Object(self.root.clone()),
            Some(key) => match self.root.get(key) {
                Some(value @ Value::Object(_)) => value.clone(),
                Some(other) => {
                    return Err(self.invalid(key, format!("expected an object, found {}", kind(other))));
                }
                None => return Err(self.invalid(key, "missing")),
            },
        };
        serde_path_to_error::deserialize(value).map_err(|error| {
            let path = error.path().to_string();
            let inner = error.inner().to_string();
            // A missing key has no path of its own; serde says which one it is.
            let (path, message) =
                match inner.strip_prefix("missing field `").and_then(|rest| rest.split_once('`')) {
                    Some((field, _)) if path == "." => (field.to_owned(), "missing".to_owned()),
                    Some((field, _)) => (format!("{path}.{field}"), "missing".to_owned()),
                    None => (path, inner),
                };
            let key = match section {
                Some(section) if path == "." => section.to_owned(),
                Some(section) => format!("{section}.{path}"),
                None => path,
            };
            self.invalid(&key, message)
        })
    }

    /// An error about a key of this file.
    pub(crate) fn invalid(&self, key: &str, message: impl Into<String>) -> Error {
        Error::Config { path: self.path.clone(), key: key.to_owned(), message: message.into() }
    }

    /// How the weights are quantised, by `quantization` or its other name `quantization_config`.
    ///
    /// # Errors
    /// [`Error::Config`] for a scheme that MLX does not have.
    pub fn quantization(&self) -> Result<Option<QuantizationConfig>> {
        let (key, value) = match (self.root.get("quantization"), self.root.get("quantization_config")) {
            (Some(value), _) => ("quantization", value),
            (None, Some(value)) => ("quantization_config", value),
            (None, None) => return Ok(None),
        };
        let Value::Object(map) = value else {
            return Err(self.invalid(key, format!("expected an object, found {}", kind(value))));
        };
        if let Some(method) = map.get("quant_method") {
            let message = format!("{method} is not supported, only the formats of MLX are");
            return Err(self.invalid(&format!("{key}.quant_method"), message));
        }
        let default = self.quantization_entry(key, map)?;
        let mut layers = BTreeMap::new();
        for (path, value) in map {
            let key = format!("{key}.{path}");
            let setting = match value {
                Value::Bool(false) => None,
                Value::Bool(true) => Some(default),
                Value::Object(entry) => Some(self.quantization_entry(&key, entry)?),
                // `group_size`, `bits`, `mode` and whatever a tool noted beside them.
                _ => continue,
            };
            layers.insert(path.clone(), setting);
        }
        Ok(Some(QuantizationConfig { default, layers }))
    }

    fn quantization_entry(&self, key: &str, map: &Map<String, Value>) -> Result<Quantization> {
        let mode = match map.get("mode") {
            None => QuantMode::Affine,
            Some(Value::String(name)) => name
                .parse()
                .map_err(|_| self.invalid(&format!("{key}.mode"), format!("unknown mode {name:?}")))?,
            Some(other) => {
                return Err(
                    self.invalid(&format!("{key}.mode"), format!("expected a string, found {}", kind(other)))
                );
            }
        };
        // What mlx takes when a file leaves them out.
        let Quantization { group_size, bits, .. } = Quantization::of(mode);
        let number = |name: &str, default: i32, allowed: &[i32]| -> Result<i32> {
            let Some(value) = map.get(name) else { return Ok(default) };
            let found = value.as_i64().and_then(|n| i32::try_from(n).ok()).filter(|n| allowed.contains(n));
            found.ok_or_else(|| {
                self.invalid(&format!("{key}.{name}"), format!("expected one of {allowed:?}, found {value}"))
            })
        };
        Ok(Quantization {
            group_size: number("group_size", group_size, mode.group_sizes())?,
            bits: number("bits", bits, mode.bits())?,
            mode,
        })
    }
}

/// How the layers of a checkpoint are quantised.
#[derive(Clone, Debug)]
pub struct QuantizationConfig {
    /// For every layer that has scales in the file and no entry of its own.
    pub default: Quantization,
    /// By the layer's path in the file: its own settings, or none where it is dense.
    pub layers: BTreeMap<String, Option<Quantization>>,
}

impl QuantizationConfig {
    /// As mlx-lm writes it: the settings for all, and by path those of single layers, or `false`.
    fn to_json(&self) -> Value {
        let settings = |q: &Quantization| {
            Map::from_iter([
                ("group_size".to_owned(), q.group_size.into()),
                ("bits".to_owned(), q.bits.into()),
                ("mode".to_owned(), q.mode.name().into()),
            ])
        };
        let mut map = settings(&self.default);
        for (path, own) in &self.layers {
            map.insert(path.clone(), own.as_ref().map_or(Value::Bool(false), |q| settings(q).into()));
        }
        Value::Object(map)
    }
}

/// What one layer sees of the text before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerKind {
    /// All of it.
    FullAttention,
    /// As much as the window holds.
    SlidingAttention,
}

/// The activation that `found`, the value of `key`, names.
pub(crate) fn activation(
    file: &ConfigFile,
    section: Option<&str>,
    key: &str,
    found: &str,
) -> Result<Activation> {
    found.parse().map_err(|error: mlx_nn::Error| match error {
        mlx_nn::Error::Config { message, .. } => file.invalid(&name(section, key), message),
        other => Error::Nn(other),
    })
}

/// `map` without the keys that are `null`, on every level.
fn without_nulls(map: Map<String, Value>) -> Map<String, Value> {
    let kept = map.into_iter().filter(|(_, value)| !value.is_null());
    kept.map(|(key, value)| match value {
        Value::Object(inner) => (key, without_nulls(inner).into()),
        other => (key, other),
    })
    .collect()
}

/// What kind of value this is, for messages.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
