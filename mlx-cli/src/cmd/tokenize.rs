// SPDX-License-Identifier: EUPL-1.2
//! `mlx tokenize`: what the model sees.

use std::fmt::Write;

use mlx_tokenizer::Tokenizer;
use serde::Serialize;

use crate::failure::Failure;
use crate::plan::{Input, Tokenize};
use crate::report;

/// What `mlx tokenize --json` prints.
#[derive(Debug, Serialize)]
struct Tokens {
    text: String,
    token_ids: Vec<u32>,
    /// As the vocabulary has them; null for an id that it lacks.
    pieces: Vec<Option<String>>,
}

/// Runs the command.
pub(crate) fn run(plan: Tokenize) -> Result<(), Failure> {
    let tokenizer = Tokenizer::from_dir(&plan.dir)?;
    let rendered = matches!(plan.input, Input::Messages { .. });
    let decoded = matches!(plan.input, Input::Ids(_));
    let (text, token_ids) = match plan.input {
        Input::Text(text) => {
            let ids = tokenizer.encode(&text, true)?;
            (text, ids)
        }
        Input::Messages { messages, file, options } => {
            let text = tokenizer
                .render_chat(&messages, &options)
                .map_err(|error| Failure::new(format_args!("cannot render {}: {error}", file.display())))?;
            // The template has written the special tokens itself.
            let ids = tokenizer.encode(&text, false)?;
            (text, ids)
        }
        Input::Ids(ids) => {
            if let Some(id) = ids.iter().find(|&&id| tokenizer.token(id).is_none()) {
                let message = format_args!(
                    "--decode: token id {id} is not in the vocabulary of {}",
                    plan.dir.display()
                );
                return Err(Failure::new(message));
            }
            (tokenizer.decode(&ids, false)?, ids)
        }
    };
    let pieces = token_ids.iter().map(|&id| tokenizer.token(id)).collect();
    let tokens = Tokens { text, token_ids, pieces };
    if plan.json {
        return report::json(&tokens);
    }
    if decoded {
        return report::text(&format!("{}\n", tokens.text));
    }
    let mut lines = String::new();
    if rendered {
        // The template's text comes first, set off from the table that follows.
        let _ = writeln!(lines, "{}\n", tokens.text);
    }
    for (id, piece) in tokens.token_ids.iter().zip(&tokens.pieces) {
        let _ = writeln!(lines, "{id}\t{:?}", piece.as_deref().unwrap_or_default());
    }
    report::text(&lines)
}
