// SPDX-License-Identifier: EUPL-1.2
//! What was typed.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use mlx_core::QuantMode;
use mlx_models::{Recipe, Rule};

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
    /// Write a checkpoint with its weights in few bits, or back in full
    Quantize(QuantizeArgs),
    /// Measure how well a model predicts a text
    Perplexity(PerplexityArgs),
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
    #[arg(long, value_name = "NAME", conflicts_with = "model", value_parser = PossibleValuesParser::new(mlx_models::PRESETS))]
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

/// `mlx quantize`
#[derive(Debug, Args)]
#[command(after_help = QUANTIZE_EXAMPLES)]
pub(crate) struct QuantizeArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,

    /// The directory to write, which must not exist or be empty
    #[arg(long, value_name = "DIR")]
    pub(crate) output: PathBuf,

    /// Bits of a weight: 2, 3, 4, 5, 6 or 8 for mode affine [default: 4, or what the mode has]
    #[arg(long, value_name = "N", allow_negative_numbers = true, conflicts_with = "recipe")]
    pub(crate) bits: Option<i32>,

    /// Weights that share a scale: 32, 64 or 128 for mode affine [default: 64, or what the mode has]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) group_size: Option<i32>,

    /// How weights become few bits
    #[arg(long, value_name = "MODE", default_value = "affine", value_parser = PossibleValuesParser::new(QuantMode::ALL.map(QuantMode::name)))]
    pub(crate) mode: String,

    /// Few bits for most layers and more for those that need them
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Recipe::ALL.map(Recipe::name)))]
    pub(crate) recipe: Option<String>,

    /// Settings for the layers whose path fits a pattern: bits (6), bits and group size (6:32), a mode (mxfp8), or skip;
    /// may be given several times, the first that fits decides
    #[arg(long, value_name = "PATTERN=SETTING", value_parser = rule)]
    pub(crate) rule: Vec<Rule>,

    /// What stays dense is of this type, and the computation too [default: as it is]
    #[arg(long, value_name = "TYPE", value_parser = PossibleValuesParser::new(["float16", "bfloat16", "float32"]))]
    pub(crate) dtype: Option<String>,

    /// Turn a quantised checkpoint back into a dense one
    #[arg(long, conflicts_with_all = ["bits", "group_size", "mode", "recipe", "rule"])]
    pub(crate) dequantize: bool,

    /// The most bytes of weights in one file
    #[arg(long, value_name = "SIZE", default_value = "5GB", value_parser = size, allow_hyphen_values = true)]
    pub(crate) max_shard_size: usize,

    /// Replace a checkpoint that is in the output directory already
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

const QUANTIZE_EXAMPLES: &str = "\
Examples:
  mlx quantize --model qwen3 --output qwen3-4bit
  mlx quantize --model qwen3 --output qwen3-mixed --recipe mixed_4_6
  mlx quantize --model qwen3 --output qwen3-8bit --bits 8 --rule '*.layers.0.*=skip' --rule '*.v_proj=mxfp8'
  mlx quantize --model qwen3-4bit --output qwen3-dense --dequantize --dtype bfloat16

In a pattern, * is any run of characters and ? is one. Paths are those of the network, such as
model.embed_tokens and model.layers.0.self_attn.v_proj.";

/// `mlx perplexity`
#[derive(Debug, Args)]
#[command(after_help = PERPLEXITY_EXAMPLES)]
pub(crate) struct PerplexityArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,

    #[command(flatten)]
    pub(crate) adapter: AdapterArgs,

    /// The text, or texts as JSON lines if the name ends in .jsonl; without it, standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// The input is JSON lines: objects with a `text`, each a text of its own
    #[arg(long)]
    pub(crate) jsonl: bool,

    /// Tokens that the model sees at once [default: 2048, or the model's context where it is shorter]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) window: Option<usize>,

    /// How much further each window reaches than the one before [default: half the window]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) stride: Option<usize>,

    /// The most tokens to score
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) max_tokens: Option<usize>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

const PERPLEXITY_EXAMPLES: &str = "\
Examples:
  mlx perplexity --model qwen3 --file book.txt
  mlx perplexity --model qwen3 --file valid.jsonl --max-tokens 10000
  fortune | mlx perplexity --model qwen3 --window 512 --stride 128

Each token but the first of a text is scored once, after at least window - stride tokens where there are as many.";

/// Reads a rule for single layers.
fn rule(text: &str) -> Result<Rule, String> {
    text.parse().map_err(|error: mlx_models::Error| error.to_string())
}

/// Reads a number of bytes, with a unit or without.
fn size(text: &str) -> Result<usize, String> {
    let wrong = || format!("{text:?} is not a size of at least one byte, such as 5GB, 500MB or 2GiB");
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(wrong()),
    };
    let bytes = number.parse::<f64>().map_err(|_| wrong())? * factor;
    if bytes >= 1.0 { Ok(bytes as usize) } else { Err(wrong()) }
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
    fn sizes_have_units() {
        for (text, bytes) in [
            ("1", 1),
            ("5GB", 5_000_000_000),
            ("1.5 kb", 1500),
            ("2GiB", 2 << 30),
            (" 7M ", 7_000_000),
            ("3tb", 3_000_000_000_000),
            ("0.5KiB", 512),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "GB", "0", "0.1", "-1", "5 G B", "1e9", "5XB", "1.2.3", ".", "NaN", "inf"] {
            assert!(size(wrong).unwrap_err().contains("5GB"), "{wrong}");
        }
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
