// SPDX-License-Identifier: EUPL-1.2
//! What was typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) mod train;

use train::{FuseArgs, TrainArgs};

/// Generate text with Gemma 3 and Qwen 3 on Apple's MLX.
///
/// Text goes to standard output, everything else to standard error. Exit codes: 0, 1 for a failure, 2 for wrong usage,
/// 130 when interrupted.
#[derive(Debug, Parser)]
#[command(name = "mlx", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One command each.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer a prompt, or continue it
    Generate(GenerateArgs),
    /// Hold a conversation
    Chat(ChatArgs),
    /// Show what the model sees: ids, pieces, and the rendered chat template
    Tokenize(TokenizeArgs),
    /// Write the logits of one forward pass to a file
    Logits(LogitsArgs),
    /// Show what a checkpoint is and what it needs in memory, without loading it
    Info(InfoArgs),
    /// Measure prefill and decoding
    Bench(BenchArgs),
    /// Train adapters or all weights
    Train(Box<TrainArgs>),
    /// Write what an adapter changes into the weights
    Fuse(FuseArgs),
}

/// Where the checkpoint is.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// A checkpoint directory, as the Hugging Face hub serves it or as mlx-lm wrote it
    #[arg(long, value_name = "DIR")]
    pub(crate) model: Option<PathBuf>,
}

/// What changes the checkpoint.
#[derive(Debug, Args)]
pub(crate) struct AdapterArgs {
    /// An adapter of the checkpoint, as mlx train, mlx-lm or PEFT wrote it
    #[arg(long, value_name = "DIR")]
    pub(crate) adapter: Option<PathBuf>,
}

/// How tokens are chosen, and when to stop.
#[derive(Debug, Args)]
pub(crate) struct SamplingArgs {
    /// The most tokens to generate
    #[arg(long, value_name = "N", default_value_t = 256, allow_negative_numbers = true)]
    pub(crate) max_tokens: usize,

    /// What the logits are divided by before a token is drawn; 0 takes the most probable one
    #[arg(long, value_name = "F", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) temperature: f32,

    /// Draw from the N most probable tokens; 0 for all
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) top_k: Option<usize>,

    /// Draw from the most probable tokens that make up this probability, 0 to 1
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    pub(crate) top_p: Option<f32>,

    /// Draw from tokens at least this fraction as probable as the most probable one, 0 to 1
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    pub(crate) min_p: Option<f32>,

    /// Divide the logits of tokens that occurred, the prompt included; above 1 discourages repetition
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    pub(crate) repetition_penalty: Option<f32>,

    /// Subtract this from the logits of tokens that were generated
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    pub(crate) presence_penalty: Option<f32>,

    /// Subtract this from the logits of tokens each time they are generated
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    pub(crate) frequency_penalty: Option<f32>,

    /// Make the draws repeatable
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,

    /// End the text before this string; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) stop: Vec<String>,
}

/// `mlx generate`
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,

    #[command(flatten)]
    pub(crate) adapter: AdapterArgs,

    /// The prompt; without it, standard input, less one line end at its end unless --raw
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "prompt_ids")]
    pub(crate) prompt: Option<String>,

    /// The prompt as token ids, for which no tokenizer is needed
    #[arg(long, value_name = "1,2,3", value_parser = ids, allow_hyphen_values = true)]
    pub(crate) prompt_ids: Option<Ids>,

    /// A system message in front of the prompt
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with_all = ["raw", "prompt_ids"])]
    pub(crate) system: Option<String>,

    /// Continue the text as it is, without the chat template
    #[arg(long)]
    pub(crate) raw: bool,

    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,

    /// Treat the end-of-sequence tokens as tokens like any other
    #[arg(long)]
    pub(crate) ignore_eos: bool,

    /// Print one JSON object with the text, the ids and the figures
    #[arg(long)]
    pub(crate) json: bool,
}

/// `mlx chat`
///
/// Each line is a message. /reset begins anew, /system TEXT does so with other instructions, /exit leaves.
#[derive(Debug, Args)]
pub(crate) struct ChatArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,

    #[command(flatten)]
    pub(crate) adapter: AdapterArgs,

    /// Instructions for the whole conversation
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) system: Option<String>,

    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

/// `mlx tokenize`
#[derive(Debug, Args)]
pub(crate) struct TokenizeArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,

    /// The text, taken as it is; without any of these, standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with_all = ["messages", "decode"])]
    pub(crate) prompt: Option<String>,

    /// A conversation to render with the chat template: a JSON list of objects with role and content
    #[arg(long, value_name = "FILE.json", conflicts_with = "decode")]
    pub(crate) messages: Option<PathBuf>,

    /// Tools for the chat template: a JSON list of schemas
    #[arg(long, value_name = "FILE.json", requires = "messages")]
    pub(crate) tools: Option<PathBuf>,

    /// Further variables for the chat template: a JSON object
    #[arg(long, value_name = "JSON", requires = "messages")]
    pub(crate) template_kwargs: Option<String>,

    /// Ids to turn into text
    #[arg(long, value_name = "1,2,3", value_parser = ids, allow_hyphen_values = true)]
    pub(crate) decode: Option<Ids>,

    /// Print one JSON object: text, token_ids, pieces
    #[arg(long)]
    pub(crate) json: bool,
}

/// `mlx logits`
#[derive(Debug, Args)]
pub(crate) struct LogitsArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,

    #[command(flatten)]
    pub(crate) adapter: AdapterArgs,

    /// The token ids
    #[arg(long, value_name = "1,2,3", value_parser = ids, allow_hyphen_values = true)]
    pub(crate) prompt_ids: Ids,

    /// The safetensors file to write: `logits`, float32, one row for each id
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// `mlx info`
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Bits of a quantised weight.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Bits {
    #[value(name = "4")]
    Four,
    #[value(name = "8")]
    Eight,
}

/// `mlx bench`
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,

    #[command(flatten)]
    pub(crate) adapter: AdapterArgs,

    /// Random weights in the shapes of a real checkpoint, made in memory
    #[arg(long, value_name = "NAME", conflicts_with = "model", value_parser = clap::builder::PossibleValuesParser::new(mlx_models::PRESETS))]
    pub(crate) preset: Option<String>,

    /// Quantise the weights to so many bits in groups of 64
    #[arg(long, value_name = "BITS")]
    pub(crate) quantize: Option<Bits>,

    /// Lengths of prompts to prefill; 0 for none
    #[arg(short = 'p', long, value_name = "N,..", value_delimiter = ',', allow_negative_numbers = true, default_values_t = [128usize, 512])]
    pub(crate) prompt: Vec<usize>,

    /// Numbers of tokens to decode, 0 for none
    #[arg(short = 'n', long, value_name = "N,..", value_delimiter = ',', allow_negative_numbers = true, default_values_t = [32usize])]
    pub(crate) generate: Vec<usize>,

    /// Numbers of tokens that are in the cache before the measurement
    #[arg(short = 'd', long, value_name = "N,..", value_delimiter = ',', allow_negative_numbers = true, default_values_t = [0usize])]
    pub(crate) depth: Vec<usize>,

    /// How often each is measured
    #[arg(short = 'r', long, value_name = "N", allow_negative_numbers = true, default_value_t = 3)]
    pub(crate) repetitions: usize,

    /// Print a JSON list
    #[arg(long)]
    pub(crate) json: bool,
}

/// Token ids separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ids(pub(crate) Vec<u32>);

/// Reads token ids. None at all are no mistake of form: that a prompt must not be empty is said elsewhere.
fn ids(text: &str) -> Result<Ids, String> {
    if text.trim().is_empty() {
        return Ok(Ids(Vec::new()));
    }
    let id = |part: &str| {
        let part = part.trim();
        part.parse().map_err(|_| format!("{part:?} is not a token id, a whole number from 0 to {}", u32::MAX))
    };
    text.split(',').map(id).collect::<Result<_, _>>().map(Ids)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_arguments_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn ids_are_whole_numbers_with_commas_between() {
        assert_eq!(ids("1,2,3"), Ok(Ids(vec![1, 2, 3])));
        assert_eq!(ids(" 7 , 4294967295 "), Ok(Ids(vec![7, u32::MAX])));
        assert_eq!(ids(""), Ok(Ids(Vec::new())));
        for wrong in ["1,,2", "x", "-1", "1.5", "4294967296", "1 2"] {
            assert!(ids(wrong).is_err(), "{wrong}");
        }
        assert_eq!(ids("5,-1").unwrap_err(), "\"-1\" is not a token id, a whole number from 0 to 4294967295");
    }
}
