// SPDX-License-Identifier: EUPL-1.2
//! What was typed means this: validated, and with everything read but the checkpoint.

pub(crate) mod train;

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use mlx_core::{Dtype, QuantMode, Quantization};
use mlx_models::{
    ChatOptions, GenerateOptions, PerplexityOptions, QuantizeOptions, Recipe, SamplerOptions, SaveOptions,
};
use serde_json::{Map, Value};

use crate::args::{
    BenchArgs, Bits, ChatArgs, GenerateArgs, InfoArgs, LogitsArgs, ModelArgs, PerplexityArgs, QuantizeArgs,
    SamplingArgs, TokenizeArgs,
};
use crate::failure::Failure;
use crate::report;

/// `mlx generate`
#[derive(Debug)]
pub(crate) struct Generate {
    pub(crate) dir: PathBuf,
    pub(crate) adapter: Option<PathBuf>,
    pub(crate) prompt: Prompt,
    pub(crate) options: GenerateOptions,
    pub(crate) json: bool,
}

/// What generation continues.
#[derive(Debug)]
pub(crate) enum Prompt {
    Text(String),
    Ids(Vec<u32>),
}

/// `mlx chat`
#[derive(Debug)]
pub(crate) struct Chat {
    pub(crate) dir: PathBuf,
    pub(crate) adapter: Option<PathBuf>,
    pub(crate) system: Option<String>,
    pub(crate) options: GenerateOptions,
}

/// `mlx tokenize`
#[derive(Debug)]
pub(crate) struct Tokenize {
    pub(crate) dir: PathBuf,
    pub(crate) input: Input,
    pub(crate) json: bool,
}

/// What the tokenizer is to do.
#[derive(Debug)]
pub(crate) enum Input {
    Text(String),
    /// What a file holds, and which file, for errors.
    Messages {
        messages: Value,
        file: PathBuf,
        options: Box<ChatOptions>,
    },
    Ids(Vec<u32>),
}

/// `mlx logits`
#[derive(Debug)]
pub(crate) struct Logits {
    pub(crate) dir: PathBuf,
    pub(crate) adapter: Option<PathBuf>,
    pub(crate) ids: Vec<u32>,
    pub(crate) output: PathBuf,
}

/// `mlx info`
#[derive(Debug)]
pub(crate) struct Info {
    pub(crate) dir: PathBuf,
    pub(crate) json: bool,
}

/// `mlx bench`
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) source: Source,
    pub(crate) tests: Vec<Test>,
    pub(crate) repetitions: usize,
    pub(crate) json: bool,
}

/// `mlx quantize`
#[derive(Debug)]
pub(crate) struct Quantize {
    pub(crate) dir: PathBuf,
    pub(crate) output: PathBuf,
    pub(crate) work: Work,
    pub(crate) save: SaveOptions,
    pub(crate) json: bool,
}

/// What is done to the weights.
#[derive(Debug)]
pub(crate) enum Work {
    Quantize(QuantizeOptions),
    Dequantize(Option<Dtype>),
}

/// `mlx perplexity`
#[derive(Debug)]
pub(crate) struct Perplexity {
    pub(crate) dir: PathBuf,
    pub(crate) adapter: Option<PathBuf>,
    pub(crate) texts: Vec<String>,
    pub(crate) options: PerplexityOptions,
    pub(crate) json: bool,
}

/// What is measured.
#[derive(Debug)]
pub(crate) enum Source {
    Checkpoint { dir: PathBuf, adapter: Option<PathBuf>, quantization: Option<Quantization> },
    Preset { name: String, quantization: Option<Quantization> },
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Test {
    pub(crate) kind: Kind,
    /// Tokens that are in the cache before it.
    pub(crate) depth: usize,
}

/// What a measurement is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A prompt of so many tokens.
    Prefill(usize),
    /// So many tokens one after the other.
    Decode(usize),
}

impl Generate {
    pub(crate) fn new(args: GenerateArgs) -> Result<Self, Failure> {
        let dir = directory(args.model)?;
        let mut options = sampling(args.sampling)?;
        options.ignore_eos = args.ignore_eos;
        options.raw = args.raw;
        options.system = args.system;
        let prompt = match (args.prompt_ids, args.prompt) {
            (Some(ids), _) => Prompt::Ids(ids.0),
            (None, Some(text)) => Prompt::Text(text),
            (None, None) => {
                Prompt::Text(if args.raw { standard_input()? } else { without_line_end(standard_input()?) })
            }
        };
        let empty = match &prompt {
            Prompt::Text(text) => text.is_empty(),
            Prompt::Ids(ids) => ids.is_empty(),
        };
        if empty {
            // A template would make a prompt of it, but nobody asks nothing on purpose.
            return Err(Failure::new("the prompt is empty"));
        }
        Ok(Self { dir, adapter: args.adapter.adapter, prompt, options, json: args.json })
    }
}

impl Chat {
    pub(crate) fn new(args: ChatArgs) -> Result<Self, Failure> {
        Ok(Self {
            dir: directory(args.model)?,
            adapter: args.adapter.adapter,
            system: args.system,
            options: sampling(args.sampling)?,
        })
    }
}

impl Tokenize {
    pub(crate) fn new(args: TokenizeArgs) -> Result<Self, Failure> {
        let dir = directory(args.model)?;
        let input = match (args.decode, args.messages, args.prompt) {
            (Some(ids), _, _) => Input::Ids(ids.0),
            (None, Some(messages), _) => {
                let tools = args.tools.as_deref().map(json_file).transpose()?;
                let kwargs =
                    args.template_kwargs.as_deref().map(keyword_arguments).transpose()?.unwrap_or_default();
                let options = ChatOptions { tools, kwargs, ..ChatOptions::default() };
                Input::Messages {
                    messages: json_file(&messages)?,
                    file: messages,
                    options: Box::new(options),
                }
            }
            (None, None, Some(text)) => Input::Text(text),
            (None, None, None) => Input::Text(standard_input()?),
        };
        Ok(Self { dir, input, json: args.json })
    }
}

impl Logits {
    pub(crate) fn new(args: LogitsArgs) -> Result<Self, Failure> {
        Ok(Self {
            dir: directory(args.model)?,
            adapter: args.adapter.adapter,
            ids: args.prompt_ids.0,
            output: args.output,
        })
    }
}

impl Info {
    pub(crate) fn new(args: InfoArgs) -> Result<Self, Failure> {
        Ok(Self { dir: directory(args.model)?, json: args.json })
    }
}

impl Bench {
    pub(crate) fn new(args: BenchArgs) -> Result<Self, Failure> {
        let bits = args.quantize.map(|bits| match bits {
            Bits::Four => 4,
            Bits::Eight => 8,
        });
        let quantization = bits.map(|bits| Quantization { group_size: 64, bits, mode: QuantMode::Affine });
        let source = match (args.model.model, args.preset) {
            (_, Some(_)) if args.adapter.adapter.is_some() => {
                return Err(Failure::Usage(
                    "--adapter: a preset has random weights, which no adapter is for".into(),
                ));
            }
            (_, Some(name)) => Source::Preset { name, quantization },
            (Some(dir), None) => Source::Checkpoint { dir, adapter: args.adapter.adapter, quantization },
            (None, None) => {
                let presets = mlx_models::PRESETS.join(" or ");
                let message =
                    format!("no model: name a checkpoint with --model DIR, or take --preset {presets}");
                return Err(Failure::Usage(message));
            }
        };
        if args.repetitions == 0 {
            return Err(Failure::Usage("-r: expected at least 1, found 0".into()));
        }
        if args.generate.contains(&1) {
            // A rate needs two points in time.
            return Err(Failure::Usage("-n: expected 0 or at least 2, found 1".into()));
        }
        let mut tests = Vec::new();
        for &depth in &args.depth {
            let prefills = args.prompt.iter().filter(|&&n| n > 0).map(|&n| Kind::Prefill(n));
            let decodes = args.generate.iter().filter(|&&n| n > 0).map(|&n| Kind::Decode(n));
            tests.extend(prefills.chain(decodes).map(|kind| Test { kind, depth }));
        }
        if tests.is_empty() {
            return Err(Failure::Usage("nothing to measure: -p and -n are both 0".into()));
        }
        Ok(Self { source, tests, repetitions: args.repetitions, json: args.json })
    }
}

impl Quantize {
    pub(crate) fn new(args: QuantizeArgs) -> Result<Self, Failure> {
        let dir = directory(args.model)?;
        let dtype = args.dtype.as_deref().map(str::parse::<Dtype>).transpose()?;
        let save = SaveOptions {
            shard_bytes: args.max_shard_size,
            overwrite: args.overwrite,
            ..SaveOptions::default()
        };
        let work = match args.dequantize {
            true => Work::Dequantize(dtype),
            false => {
                let mode = args.mode.parse::<QuantMode>()?;
                let usual = Quantization::of(mode);
                let settings = Quantization {
                    bits: args.bits.unwrap_or(usual.bits),
                    group_size: args.group_size.unwrap_or(usual.group_size),
                    mode,
                };
                check_settings(settings)?;
                let recipe = args.recipe.as_deref().map(str::parse::<Recipe>).transpose()?;
                if let (Some(recipe), false) = (recipe, mode == QuantMode::Affine) {
                    let message = format!("--recipe: {recipe} is for mode affine, found --mode {mode}");
                    return Err(Failure::Usage(message));
                }
                Work::Quantize(QuantizeOptions {
                    settings,
                    recipe,
                    rules: args.rule,
                    dtype,
                    ..QuantizeOptions::default()
                })
            }
        };
        Ok(Self { dir, output: args.output, work, save, json: args.json })
    }
}

/// Checks that the mode has these bits and this group size.
fn check_settings(settings: Quantization) -> Result<(), Failure> {
    let Quantization { bits, group_size, mode } = settings;
    for (flag, found, allowed) in
        [("--bits", bits, mode.bits()), ("--group-size", group_size, mode.group_sizes())]
    {
        if !allowed.contains(&found) {
            let allowed = allowed.iter().map(i32::to_string).collect::<Vec<_>>().join(", ");
            let message = format!("{flag}: mode {mode} has {allowed}, found {found}");
            return Err(Failure::Usage(message));
        }
    }
    Ok(())
}

impl Perplexity {
    pub(crate) fn new(args: PerplexityArgs) -> Result<Self, Failure> {
        let dir = directory(args.model)?;
        let (text, name) = match &args.file {
            Some(path) => (text_file(path)?, path.display().to_string()),
            None => (standard_input()?, "standard input".to_owned()),
        };
        let named = args.file.as_deref().and_then(Path::extension);
        let lines = args.jsonl || named.is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl"));
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let texts = if lines { texts_in_lines(text, &name)? } else { vec![text.to_owned()] };
        let options = PerplexityOptions {
            window: args.window,
            stride: args.stride,
            max_tokens: args.max_tokens,
            ..PerplexityOptions::default()
        };
        Ok(Self { dir, adapter: args.adapter.adapter, texts, options, json: args.json })
    }
}

/// The `text` of each object in JSON lines; blank lines are passed over.
fn texts_in_lines(lines: &str, name: &str) -> Result<Vec<String>, Failure> {
    let numbered = lines.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    numbered
        .map(|(i, line)| {
            let wrong = |what: &str| Failure::new(format_args!("{name}: line {}: {what}", i + 1));
            let mut value: Value =
                serde_json::from_str(line).map_err(|error| wrong(&format!("not valid JSON: {error}")))?;
            match value.get_mut("text").map(Value::take) {
                Some(Value::String(text)) => Ok(text),
                _ => Err(wrong("expected an object with a string \"text\"")),
            }
        })
        .collect()
}

/// The checkpoint directory that was named, or how to name one.
fn directory(args: ModelArgs) -> Result<PathBuf, Failure> {
    args.model.ok_or_else(|| {
        Failure::Usage(
            "no model: name a directory with a Gemma 3 or Qwen 3 checkpoint (config.json, model*.safetensors, \
             tokenizer.json) with --model DIR"
                .into(),
        )
    })
}

/// The options of generation, each within its domain.
fn sampling(args: SamplingArgs) -> Result<GenerateOptions, Failure> {
    let sampler = SamplerOptions {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        repetition_penalty: args.repetition_penalty,
        presence_penalty: args.presence_penalty,
        frequency_penalty: args.frequency_penalty,
        seed: args.seed,
        ..SamplerOptions::default()
    };
    sampler.validate().map_err(|error| match error {
        mlx_sampler::Error::Argument { argument, message } => {
            Failure::Usage(format!("--{}: {message}", argument.replace('_', "-")))
        }
        other => other.into(),
    })?;
    if args.stop.iter().any(String::is_empty) {
        return Err(Failure::Usage("--stop: expected a string with at least one character".into()));
    }
    Ok(GenerateOptions {
        max_tokens: args.max_tokens,
        sampler,
        stop: args.stop,
        ..GenerateOptions::default()
    })
}

/// All of standard input.
fn standard_input() -> Result<String, Failure> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        report::note("reading standard input; Ctrl-D ends it");
    }
    let mut bytes = Vec::new();
    stdin.lock().read_to_end(&mut bytes).map_err(|e| Failure::new(format_args!("standard input: {e}")))?;
    String::from_utf8(bytes).map_err(|e| {
        Failure::new(format_args!("standard input: not UTF-8 after {} bytes", e.utf8_error().valid_up_to()))
    })
}

/// The text in a file.
fn text_file(path: &Path) -> Result<String, Failure> {
    let bytes = fs::read(path).map_err(|error| Failure::new(format_args!("{}: {error}", path.display())))?;
    String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        Failure::new(format_args!("{}: not UTF-8 after {valid} bytes", path.display()))
    })
}

/// `text` without the line end that a shell or an editor put behind it.
fn without_line_end(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

/// The JSON in a file.
fn json_file(path: &Path) -> Result<Value, Failure> {
    let text = fs::read(path).map_err(|error| Failure::new(format_args!("{}: {error}", path.display())))?;
    serde_json::from_slice(&text)
        .map_err(|error| Failure::new(format_args!("{}: not valid JSON: {error}", path.display())))
}

/// The object that `--template-kwargs` holds.
fn keyword_arguments(text: &str) -> Result<Map<String, Value>, Failure> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(Failure::Usage(
            "--template-kwargs: expected a JSON object such as {\"enable_thinking\": false}".into(),
        )),
        Err(error) => Err(Failure::Usage(format!("--template-kwargs: not valid JSON: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn bench(args: &[&str]) -> Result<Bench, Failure> {
        let args = ["mlx", "bench"].iter().chain(args);
        match Cli::try_parse_from(args).unwrap().command {
            Command::Bench(args) => Bench::new(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bench_measures_every_length_at_every_depth() {
        let plan = bench(&["--preset", "qwen3-0.6b", "-p", "8,16", "-n", "4", "-d", "0,32"]).unwrap();
        let kinds = [Kind::Prefill(8), Kind::Prefill(16), Kind::Decode(4)];
        let expected: Vec<Test> =
            [0, 32].iter().flat_map(|&depth| kinds.map(|kind| Test { kind, depth })).collect();
        assert_eq!(plan.tests, expected);
        assert_eq!(bench(&["--preset", "gemma3-1b"]).unwrap().tests.len(), 3);
        assert_eq!(
            bench(&["--model", "x", "-p", "0", "-n", "2"]).unwrap().tests,
            [Test { kind: Kind::Decode(2), depth: 0 }]
        );
    }

    #[test]
    fn bench_says_what_cannot_be_measured() {
        for (args, message) in [
            (&["-r", "0", "--model", "x"][..], "-r: expected at least 1, found 0"),
            (&["-n", "1", "--model", "x"], "-n: expected 0 or at least 2, found 1"),
            (&["-n", "0", "-p", "0", "--model", "x"], "nothing to measure: -p and -n are both 0"),
            (&[], "no model: name a checkpoint with --model DIR, or take --preset qwen3-0.6b or gemma3-1b"),
        ] {
            let failure = bench(args).unwrap_err();
            assert_eq!((failure.code(), failure.message().unwrap().as_str()), (2, message));
        }
    }

    #[test]
    fn one_line_end_is_dropped_and_no_more() {
        for (text, expected) in
            [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("\n", ""), ("a\r", "a\r")]
        {
            assert_eq!(without_line_end(text.into()), expected);
        }
    }
}
