// SPDX-License-Identifier: EUPL-1.2
//! The commands, one file each.

pub(crate) mod bench;
pub(crate) mod chat;
pub(crate) mod fuse;
pub(crate) mod generate;
pub(crate) mod info;
pub(crate) mod logits;
pub(crate) mod perplexity;
pub(crate) mod quantize;
pub(crate) mod tokenize;
pub(crate) mod train;

use std::path::Path;

use mlx_models::{
    CancelToken, GenerateOptions, Generation, LoadOptions, Model, Progress, TokenStream, load_with,
};

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::report::{self, Bar};

/// Loads a checkpoint, with a progress bar where somebody is looking, and the adapter that goes with it.
fn load(dir: &Path, adapter: Option<&Path>) -> Result<Model, Failure> {
    let progress = Bar::loading().map(|bar| Progress::new(move |done, total| bar.update(done, total)));
    let mut model = load_with(dir, &LoadOptions { progress })?;
    if let Some(adapter) = adapter {
        model.load_adapter(adapter)?;
    }
    Ok(model)
}

/// An error about one of `arguments` as one about the flag of this name.
fn usage(error: mlx_models::Error, arguments: &[&str]) -> Failure {
    match error {
        mlx_models::Error::Argument { argument, message } if arguments.contains(&argument) => {
            Failure::Usage(format!("--{}: {message}", argument.replace('_', "-")))
        }
        other => other.into(),
    }
}

/// `options` that Ctrl-C cancels, with a progress bar for long prompts.
fn interruptible(mut options: GenerateOptions, interrupt: &Interrupt) -> GenerateOptions {
    let cancel = CancelToken::new();
    let bar = Bar::prefilling(options.prefill_chunk);
    let (interrupt, token) = (interrupt.clone(), cancel.clone());
    options.progress = Some(Progress::new(move |done, total| {
        interrupt.forward(&token);
        if let Some(bar) = &bar {
            bar.update(done, total);
        }
    }));
    options.cancel = Some(cancel);
    options
}

/// Runs a stream to its end, writing its text to standard output as it comes if `show` is set.
///
/// Without a tokenizer, there are ids to show, with commas between them. A line end follows either.
fn follow(mut stream: TokenStream<'_>, interrupt: &Interrupt, show: bool) -> Result<Generation, Failure> {
    let mut shown = 0;
    let mut first = true;
    for token in stream.by_ref() {
        let token = token?;
        if show {
            match &token.text {
                Some(text) => {
                    shown += text.len();
                    report::text(text)?;
                }
                None => report::text(&format!("{}{}", if first { "" } else { "," }, token.id))?,
            }
        }
        first = false;
        if interrupt.came() {
            break;
        }
    }
    let generation = stream.finish()?;
    if show {
        // What was held back comes to light at the end.
        let rest = generation.text.as_deref().and_then(|text| text.get(shown..)).unwrap_or_default();
        report::text(&format!("{rest}\n"))?;
    }
    Ok(generation)
}
