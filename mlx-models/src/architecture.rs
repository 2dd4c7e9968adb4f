// SPDX-License-Identifier: EUPL-1.2
//! From `model_type` to a network with its weights.

use std::collections::BTreeMap;

use mlx_core::{Array, Quantization};
use mlx_nn::params;

use crate::config::{ConfigFile, QuantizationConfig};
use crate::error::{Error, Result};
use crate::gemma3::{self, Gemma3};
use crate::model::CausalLm;
use crate::qwen3::{self, Qwen3};

/// The weights of a checkpoint, by the path that the network has for them.
pub(crate) type Weights = BTreeMap<String, Array>;

/// Makes a network from a config and the number of embeddings in the checkpoint.
type New = fn(&ConfigFile, Option<i32>) -> Result<Box<dyn CausalLm>>;

/// One family of networks that this crate runs.
#[derive(Debug)]
pub struct Architecture {
    name: &'static str,
    model_types: &'static [&'static str],
    weight_path: fn(&str) -> Option<String>,
    /// What the names of a file have in front of the network's paths.
    prefix: fn(&ConfigFile) -> &'static str,
    new: New,
}

/// Every architecture.
pub const ARCHITECTURES: &[Architecture] = &[
    Architecture {
        name: "Qwen 3",
        model_types: &["qwen3"],
        weight_path: qwen3::weight_path,
        prefix: |_| "",
        new: |config, _| Ok(Box::new(Qwen3::new(config)?)),
    },
    Architecture {
        name: "Gemma 3",
        model_types: &["gemma3_text", "gemma3"],
        weight_path: gemma3::weight_path,
        prefix: |config| if config.has("text_config") { "language_model." } else { "" },
        new: |config, rows| Ok(Box::new(Gemma3::new(config, rows)?)),
    },
];

/// Where every network here has its table of embeddings.
const EMBEDDING: &str = "model.embed_tokens";

impl Architecture {
    /// The one that `config` names.
    pub(crate) fn of(config: &ConfigFile) -> Result<&'static Self> {
        let found = config.model_type()?;
        let known = || ARCHITECTURES.iter().flat_map(|architecture| architecture.model_types);
        ARCHITECTURES.iter().find(|architecture| architecture.model_types.contains(&found)).ok_or_else(|| {
            Error::UnknownModelType {
                path: config.path().to_path_buf(),
                found: found.to_owned(),
                known: known().copied().collect::<Vec<_>>().join(", "),
            }
        })
    }

    /// The family's name, such as `Qwen 3`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The values of `model_type` in `config.json` that it goes by.
    #[must_use]
    pub fn model_types(&self) -> &'static [&'static str] {
        self.model_types
    }

    /// The path that the network has for the weight of this name in a file; none for what it leaves in the file.
    pub(crate) fn weight_path(&self, name: &str) -> Option<String> {
        (self.weight_path)(name)
    }

    /// The name that files have for the weight or the layer at `path`: the one that mlx-lm and transformers both read.
    pub(crate) fn file_name(&self, config: &ConfigFile, path: &str) -> String {
        format!("{}{path}", (self.prefix)(config))
    }

    /// How the layer at `path` is packed where it is: by its own settings, or those for all.
    pub(crate) fn setting(&self, quantization: &QuantizationConfig, path: &str) -> Option<Quantization> {
        let own =
            quantization.layers.iter().find(|(name, _)| self.weight_path(name).as_deref() == Some(path));
        own.map_or(Some(quantization.default), |(_, setting)| *setting)
    }

    /// The network with these weights.
    pub(crate) fn build(
        &self,
        config: &ConfigFile,
        mut weights: Weights,
        quantization: Option<&QuantizationConfig>,
    ) -> Result<Box<dyn CausalLm>> {
        let rows = weights.get(&format!("{EMBEDDING}.weight")).and_then(|table| table.dim(0).ok());
        let mut network = (self.new)(config, rows)?;
        if network.spec().tied {
            // Some tools write the table twice.
            weights.retain(|path, _| !path.starts_with("lm_head."));
        }
        if let Some(quantization) = quantization {
            let packed = |path: &str| weights.contains_key(&format!("{path}.scales"));
            params::quantize_for_load(network.as_mut(), |path| {
                packed(path).then(|| self.setting(quantization, path)).flatten()
            })?;
        }
        let dtype = ["weight", "scales"]
            .iter()
            .filter_map(|part| weights.get(&format!("{EMBEDDING}.{part}")))
            .chain(weights.get("model.norm.weight"))
            .map(Array::dtype)
            .find(|dtype| dtype.is_float());
        params::load(network.as_mut(), weights)?;
        if let Some(dtype) = dtype {
            params::cast(network.as_mut(), dtype)?;
        }
        Ok(network)
    }

    /// The paths, shapes and dtypes of the parameters that such a network has.
    pub(crate) fn parameters(
        &self,
        config: &ConfigFile,
        quantization: Option<&QuantizationConfig>,
    ) -> Result<Weights> {
        let mut network = (self.new)(config, None)?;
        if let Some(quantization) = quantization {
            params::quantize_for_load(network.as_mut(), |path| self.setting(quantization, path))?;
        }
        let parameters = params::parameters(network.as_ref());
        Ok(parameters.into_iter().map(|(path, array)| (path, array.clone())).collect())
    }
}
