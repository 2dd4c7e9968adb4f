// SPDX-License-Identifier: EUPL-1.2
//! What was typed after `mlx train` and `mlx fuse`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use mlx_train::Method;

use super::ModelArgs;

/// What is trained.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum MethodArg {
    Lora,
    Dora,
    Full,
}

impl From<MethodArg> for Method {
    fn from(method: MethodArg) -> Self {
        match method {
            MethodArg::Lora => Self::Lora,
            MethodArg::Dora => Self::Dora,
            MethodArg::Full => Self::Full,
        }
    }
}

/// `mlx train`
///
/// Trains low-rank adapters (LoRA, DoRA; over dense or quantised weights) or every weight of a checkpoint on lines of JSON:
/// {"messages": [..]}, {"prompt": .., "completion": ..} or {"text": ..}, in DATA/train.jsonl and, for validation,
/// DATA/valid.jsonl.
///
/// Everything can stand in a configuration file, TOML or YAML, with the names of these options or those of mlx-lm; what is
/// typed counts more. OUTPUT gets adapters.safetensors and adapter_config.json as mlx-lm has them (with --method full a
/// checkpoint, in OUTPUT/model), log.jsonl, loss.svg, and checkpoints from which --resume goes on, bit for bit.
///
///   mlx train --model qwen3 --data data --output run --steps 200
///   mlx generate --model qwen3 --adapter run --prompt "..."
///   mlx fuse --model qwen3 --adapter run --output fused
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct TrainArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,

    /// A configuration file: .toml, .yaml or .json
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// A directory with train.jsonl and perhaps valid.jsonl, or one file
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,

    /// Where everything that comes of it goes
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,

    /// Go on from the last checkpoint in the output directory
    #[arg(long)]
    pub(crate) resume: bool,

    /// Begin with new weights, drawn from the seed: config.json and the tokenizer are all that is read of the model
    #[arg(long, conflicts_with = "adapter")]
    pub(crate) from_scratch: bool,

    /// Begin with this adapter instead of a new one
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: Option<PathBuf>,

    /// What is trained [default: lora]
    #[arg(long, value_enum, value_name = "METHOD")]
    pub(crate) method: Option<MethodArg>,

    /// The number of steps; by default one pass over the data
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<u64>,

    /// How often the data is gone through, instead of a number of steps [default: 1]
    #[arg(long, value_name = "F", conflicts_with = "steps")]
    pub(crate) epochs: Option<f64>,

    /// Rows of a micro-batch [default: 4]
    #[arg(long, value_name = "N")]
    pub(crate) batch_size: Option<usize>,

    /// Micro-batches of a step [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) accumulate: Option<usize>,

    /// The most tokens of a row [default: 2048]
    #[arg(long, value_name = "N")]
    pub(crate) max_length: Option<usize>,

    /// Let short examples share a row, without seeing each other
    #[arg(long)]
    pub(crate) pack: bool,

    /// The learning rate, at its highest [default: 0.0001]
    #[arg(long, value_name = "F")]
    pub(crate) learning_rate: Option<f64>,

    /// Rank of the adapters [default: 8]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) rank: Option<i32>,

    /// What the adapters' change is multiplied by [default: 20]
    #[arg(long, value_name = "F")]
    pub(crate) scale: Option<f32>,

    /// The share of the adapters' inputs that is dropped [default: 0]
    #[arg(long, value_name = "F")]
    pub(crate) dropout: Option<f32>,

    /// Train only the last N blocks; -1 for all [default: -1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) layers: Option<i64>,

    /// The layers that get an adapter, such as self_attn.q_proj,self_attn.v_proj; by default every projection of a block
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    pub(crate) keys: Option<Vec<String>>,

    /// Compute blocks again for the gradient: a third slower, for far less memory
    #[arg(long)]
    pub(crate) recompute: bool,

    /// Everything random follows from it [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// Print one JSON object with how it ended
    #[arg(long)]
    pub(crate) json: bool,
}

/// `mlx fuse`
///
/// Writes what an adapter changes into the weights: the checkpoint that comes of it needs no adapter, and loads here, in
/// mlx-lm and, when it is dense, in transformers.
#[derive(Debug, Args)]
pub(crate) struct FuseArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,

    /// The adapter, as mlx train, mlx-lm or PEFT wrote it
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: PathBuf,

    /// The directory of the new checkpoint
    #[arg(long, value_name = "DIR")]
    pub(crate) output: PathBuf,

    /// Make quantised layers with an adapter dense, which loses nothing of it
    #[arg(long)]
    pub(crate) dequantize: bool,

    /// Replace a checkpoint that is there already
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
