// SPDX-License-Identifier: EUPL-1.2
//! Text → ids, and what a tokenizer knows of single pieces.

use std::path::Path;

use crate::decode::{Decoder, Piece, State};
use crate::error::{Error, Result, guard};
use crate::special::Special;
use crate::{Engine, Tokenizer};

/// More than the expressions that split a text can look back over.
const LONGEST_WHITE_SPACE: usize = 900_000;

/// Refuses what would be split wrongly.
///
/// The usual expressions look for white space that no word follows (`\s+(?!\S)`), and go back over all of it when one
/// does. The engine gives up after a million steps, and `tokenizers` then takes all the rest for one word.
fn check_white_space(text: &str) -> Result<()> {
    if text.len() <= LONGEST_WHITE_SPACE {
        return Ok(());
    }
    let mut run = 0;
    for c in text.chars() {
        run = if c.is_whitespace() { run + 1 } else { 0 };
        if run > LONGEST_WHITE_SPACE {
            let message = format!("it has more than {LONGEST_WHITE_SPACE} white-space characters in a row");
            return Err(Error::Encode { message });
        }
    }
    Ok(())
}

impl Tokenizer {
    /// Text → ids.
    ///
    /// Special tokens that are written out in the text are recognised in any case. With `add_special`, those that the
    /// tokenizer puts around a text are added: by `add_bos_token` and `add_eos_token` of `tokenizer_config.json` where
    /// either is given, else by the post-processor of `tokenizer.json`; where neither asks for a BOS, there is none.
    /// Truncation and padding that a file asks for are left to the caller.
    ///
    /// # Errors
    /// [`Error::Encode`] when the tokenizer fails, or when more than 900,000 white-space characters stand in a row.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>> {
        // Where the configuration speaks, it replaces what the post-processor would do.
        let configured = self.special.add_bos.is_some() || self.special.add_eos.is_some();
        let mut ids = match &self.engine {
            Engine::Json { tokenizer, .. } => {
                check_white_space(text)?;
                let encoding = guard(|| tokenizer.encode_fast(text, add_special && !configured))
                    .map_err(|message| Error::Encode { message })?;
                encoding.get_ids().to_vec()
            }
            Engine::SentencePiece(model) => model.encode(text)?,
        };
        if add_special && configured {
            if let Some(bos) = self.configured(self.special.add_bos, "bos_token") {
                ids.insert(0, bos);
            }
            ids.extend(self.configured(self.special.add_eos, "eos_token"));
        }
        Ok(ids)
    }

    /// Ids → text; with `skip_special`, without special tokens. Ids that the vocabulary lacks have no text.
    ///
    /// # Errors
    /// [`Error::Decode`] when a decoder of the file fails, which only its regular expressions can.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        let mut state = State::new(skip_special);
        let mut text = String::new();
        for &id in ids {
            text.push_str(&state.push(self, id)?);
        }
        text.push_str(&state.finish(self)?);
        Ok(text)
    }

    /// The piece with this id, in the form of the vocabulary.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        match &self.engine {
            Engine::Json { tokenizer, .. } => tokenizer.id_to_token(id),
            Engine::SentencePiece(model) => model.token(id).map(str::to_owned),
        }
    }

    /// The id of a piece, in the form of the vocabulary.
    #[must_use]
    pub fn id(&self, token: &str) -> Option<u32> {
        match &self.engine {
            Engine::Json { tokenizer, .. } => tokenizer.token_to_id(token),
            Engine::SentencePiece(model) => model.id(token),
        }
    }

    /// Whether `skip_special` drops this id.
    #[must_use]
    pub fn is_special(&self, id: u32) -> bool {
        match &self.engine {
            Engine::Json { special, .. } => special.contains(&id),
            Engine::SentencePiece(model) => model.is_special(id),
        }
    }

    /// The highest id plus one, added tokens included. A model may have more rows than that.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The id that [`encode`](Tokenizer::encode) puts before a text, if it puts one there.
    #[must_use]
    pub fn bos(&self) -> Option<u32> {
        if self.special.add_bos.is_some() || self.special.add_eos.is_some() {
            return self.configured(self.special.add_bos, "bos_token");
        }
        match &self.engine {
            // A post-processor is asked by what it adds to nothing: what stands first there is a BOS unless it ends
            // a text.
            Engine::Json { tokenizer, .. } => {
                let around = guard(|| tokenizer.encode_fast("", true)).ok()?;
                let first = *around.get_ids().first()?;
                let ends = self.special.name("eos_token").and_then(|name| self.id(name)) == Some(first);
                (!ends || around.get_ids().len() > 1).then_some(first)
            }
            Engine::SentencePiece(_) => None,
        }
    }

    /// The ids that end a generation: those of `generation_config.json`, of `config.json` (its `text_config` too), and
    /// the tokenizer's own `eos_token`. What else ends a turn is not guessed.
    #[must_use]
    pub fn eos(&self) -> &[u32] {
        &self.eos
    }

    fn configured(&self, add: Option<bool>, name: &str) -> Option<u32> {
        if add == Some(true) { self.special.name(name).and_then(|name| self.id(name)) } else { None }
    }

    /// Completes a tokenizer that has just been loaded: what its parts have to say to each other.
    pub(crate) fn settle(&mut self, config_path: &Path) -> Result<()> {
        let Special { add_bos, .. } = self.special;
        if add_bos == Some(true)
            && let Some(name) = self.special.name("bos_token")
            && self.id(name).is_none()
        {
            return Err(Error::key(config_path, "bos_token", format!("{name:?} is not in the vocabulary")));
        }
        // A name that has no id cannot be generated, so it ends nothing.
        if let Some(id) = self.special.name("eos_token").and_then(|name| self.id(name))
            && !self.eos.contains(&id)
        {
            self.eos.push(id);
        }
        Ok(())
    }

    pub(crate) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// What `id` is to the decoder; `None` for what has no text.
    pub(crate) fn piece(&self, id: u32, skip_special: bool) -> Option<Piece> {
        match &self.engine {
            Engine::Json { special, .. } if skip_special && special.contains(&id) => None,
            Engine::Json { tokenizer, .. } => tokenizer.id_to_token(id).map(Piece::Text),
            Engine::SentencePiece(model) => model.piece(id, skip_special),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_that_cannot_be_split_is_refused() {
        let spaces = |count: usize| " ".repeat(count);
        check_white_space(&spaces(LONGEST_WHITE_SPACE)).unwrap();
        check_white_space(&format!("{}x{}", spaces(LONGEST_WHITE_SPACE), spaces(LONGEST_WHITE_SPACE)))
            .unwrap();
        let error = check_white_space(&format!("x{}x", spaces(LONGEST_WHITE_SPACE + 1))).unwrap_err();
        assert!(
            error.to_string().ends_with("it has more than 900000 white-space characters in a row"),
            "{error}"
        );
    }
}
