// SPDX-License-Identifier: EUPL-1.2
//! What `mlx train` and `mlx fuse` are to do.

use std::fs;
use std::path::{Path, PathBuf};

use mlx_train::TrainConfig;

use super::directory;
use crate::args::train::{FuseArgs, TrainArgs};
use crate::failure::Failure;

/// `mlx train`
#[derive(Debug)]
pub(crate) struct Train {
    pub(crate) dir: PathBuf,
    pub(crate) output: PathBuf,
    pub(crate) config: TrainConfig,
    pub(crate) adapter: Option<PathBuf>,
    pub(crate) resume: bool,
    pub(crate) json: bool,
}

/// `mlx fuse`
#[derive(Debug)]
pub(crate) struct Fuse {
    pub(crate) dir: PathBuf,
    pub(crate) adapter: PathBuf,
    pub(crate) output: PathBuf,
    pub(crate) dequantize: bool,
    pub(crate) overwrite: bool,
    pub(crate) json: bool,
}

impl Train {
    pub(crate) fn new(mut args: TrainArgs) -> Result<Self, Failure> {
        let mut config = args.config.as_deref().map(read_config).transpose()?.unwrap_or_default();
        macro_rules! take {
            ($($name:ident),*) => {$(
                if let Some(value) = args.$name.take() {
                    config.$name = value.into();
                }
            )*};
        }
        take!(method, epochs, batch_size, accumulate, max_length, learning_rate, seed);
        if let Some(epochs) = args.epochs {
            (config.steps, config.epochs) = (None, epochs);
        }
        config.steps = args.steps.or(config.steps);
        config.layers = args.layers.or(config.layers);
        config.data = args.data.or(config.data);
        config.output = args.output.or(config.output);
        config.from_scratch |= args.from_scratch;
        config.pack |= args.pack;
        config.recompute |= args.recompute;
        config.adapter.rank = args.rank.unwrap_or(config.adapter.rank);
        config.adapter.scale = args.scale.unwrap_or(config.adapter.scale);
        config.adapter.dropout = args.dropout.unwrap_or(config.adapter.dropout);
        config.adapter.keys = args.keys.or(config.adapter.keys);
        args.model.model = args.model.model.or(config.model.take());
        let dir = directory(args.model)?;
        let missing = |what: &str| Failure::Usage(format!("no {what}, here or in a configuration file"));
        if config.data.is_none() {
            return Err(missing("--data: name a directory with train.jsonl"));
        }
        let output = config.output.clone().ok_or_else(|| missing("--output: name a directory"))?;
        config.check().map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(Self { dir, output, config, adapter: args.adapter, resume: args.resume, json: args.json })
    }
}

impl Fuse {
    pub(crate) fn new(args: FuseArgs) -> Result<Self, Failure> {
        let FuseArgs { model, adapter, output, dequantize, overwrite, json } = args;
        Ok(Self { dir: directory(model)?, adapter, output, dequantize, overwrite, json })
    }
}

/// A configuration file, in the format that its name says. Paths in it are counted from where it lies.
fn read_config(path: &Path) -> Result<TrainConfig, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::new(format_args!("{}: {error}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
    let mut config: TrainConfig = match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => toml::from_str(&text).map_err(|error| wrong(&error.message()))?,
        Some("yaml" | "yml") => serde_saphyr::from_str(&text).map_err(|error| wrong(&error))?,
        Some("json") => serde_json::from_str(&text).map_err(|error| wrong(&error))?,
        _ => return Err(wrong(&"expected a file that ends in .toml, .yaml or .json")),
    };
    if let Some(dir) = path.parent() {
        config.relative_to(dir);
    }
    Ok(config)
}
