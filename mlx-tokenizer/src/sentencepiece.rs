// SPDX-License-Identifier: EUPL-1.2
//! A SentencePiece BPE `tokenizer.model`, on the BPE of the `tokenizers` crate.
//!
//! What SentencePiece does around the merging is done here, in its order: control pieces are found in the text as
//! written (SentencePiece itself leaves that to its caller, and chat templates write them out), the text between them
//! is normalised, user-defined pieces are cut out, and the runs that are left are merged. Merging takes the pair whose
//! piece has the highest score, so a model's merges are all pairs of pieces that join to a piece, in order of score.
//! Source: `normalizer.cc`, `bpe_model.cc` and `sentencepiece_processor.cc` of SentencePiece.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use tokenizers::Model as _;
use tokenizers::models::bpe::{BPE, BpeBuilder, Merges, Vocab};

use crate::charsmap::Charsmap;
use crate::decode::{MARK, Piece, SentencePieceStyle, byte_piece};
use crate::error::{Error, Result, guard};
use crate::proto::{Kind, Model, SpPiece};

/// Longer pieces of plain text do not come out of training, and finding their merges takes quadratic time.
const LONGEST_PIECE: usize = 1024;

/// A token that files beside the model add to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extra {
    pub(crate) id: u32,
    pub(crate) content: String,
    pub(crate) special: bool,
}

/// A SentencePiece model that is ready to encode and decode.
#[derive(Debug)]
pub(crate) struct SentencePiece {
    bpe: BPE,
    pieces: Vec<SpPiece>,
    ids: HashMap<String, u32>,
    /// Tokens beyond the pieces.
    beyond: BTreeMap<u32, Extra>,
    /// Pieces that are special only because a file beside the model says so.
    special: Vec<bool>,
    /// What is found in the text as written.
    verbatim: Matcher,
    /// What is found in the normalised text.
    user_defined: Matcher,
    charsmap: Option<Charsmap>,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
    escape_whitespaces: bool,
    unk_surface: String,
    /// Names of the special pieces that exist as control pieces, by their key in `tokenizer_config.json`.
    names: Vec<(&'static str, String)>,
}

impl SentencePiece {
    /// Builds from the bytes of a `tokenizer.model`; `path` is for messages.
    pub(crate) fn new(path: &Path, bytes: &[u8], extra: Vec<Extra>) -> Result<SentencePiece> {
        let model = Model::parse(bytes)
            .map_err(|message| Error::file(path, format!("not a SentencePiece model: {message}")))?;
        if model.pieces.is_empty() {
            return Err(Error::file(path, "not a SentencePiece model: it has no pieces"));
        }
        let unsupported =
            |what: &str| Error::file(path, format!("{what} is not supported, only SentencePiece BPE"));
        match model.model_type {
            2 => {}
            1 => return Err(unsupported("a unigram model")),
            3 => return Err(unsupported("a word model")),
            4 => return Err(unsupported("a character model")),
            other => return Err(Error::file(path, format!("has the unknown model type {other}"))),
        }
        if model.whitespace_as_suffix {
            return Err(Error::key(path, "trainer_spec.treat_whitespace_as_suffix", "is not supported"));
        }
        if model.denormalises {
            return Err(Error::key(path, "denormalizer_spec", "is not supported"));
        }
        let charsmap = Charsmap::parse(&model.charsmap)
            .map_err(|message| Error::key(path, "normalizer_spec.precompiled_charsmap", message))?;

        let ids = ids_of(path, &model)?;
        let bpe = build_bpe(path, &model, &ids)?;
        let mut built = SentencePiece {
            bpe,
            special: vec![false; model.pieces.len()],
            ids,
            beyond: BTreeMap::new(),
            verbatim: Matcher::default(),
            user_defined: Matcher::default(),
            charsmap,
            add_dummy_prefix: model.add_dummy_prefix,
            remove_extra_whitespaces: model.remove_extra_whitespaces,
            escape_whitespaces: model.escape_whitespaces,
            unk_surface: model.unk_surface,
            names: Vec::new(),
            pieces: model.pieces,
        };
        for (id, piece) in (0u32..).zip(&built.pieces) {
            match piece.kind {
                Kind::Control => built.verbatim.insert(&piece.text, id),
                Kind::UserDefined => built.user_defined.insert(&piece.text, id),
                _ => {}
            }
        }
        for token in extra {
            built.add(path, token)?;
        }
        let named =
            [("bos_token", model.bos_piece), ("eos_token", model.eos_piece), ("pad_token", model.pad_piece)];
        built.names = named
            .into_iter()
            .filter(|(_, text)| built.kind_of(text) == Some(Kind::Control))
            .chain(
                built.pieces.iter().find(|p| p.kind == Kind::Unknown).map(|p| ("unk_token", p.text.clone())),
            )
            .collect();
        Ok(built)
    }

    /// Adds a token of `added_tokens_decoder` or `added_tokens.json`.
    fn add(&mut self, path: &Path, token: Extra) -> Result<()> {
        let key = || format!("added token {}", token.id);
        if token.content.is_empty() {
            return Err(Error::key(path, key(), "is empty"));
        }
        match self.ids.get(&token.content) {
            Some(&id) if id == token.id => {
                let at = id as usize;
                let kind = self.pieces.get(at).map(|piece| piece.kind);
                if token.special
                    && let Some(special) = self.special.get_mut(at)
                {
                    *special = true;
                }
                // User-defined pieces are found in the normalised text in any case.
                if kind != Some(Kind::UserDefined) || token.special {
                    self.verbatim.insert(&token.content, id);
                }
                Ok(())
            }
            Some(&id) => {
                let message = format!("{:?} has the id {id} in tokenizer.model", token.content);
                Err(Error::key(path, key(), message))
            }
            None => {
                if (token.id as usize) < self.pieces.len() {
                    let found = self.pieces.get(token.id as usize).map_or("", |piece| piece.text.as_str());
                    let message =
                        format!("{:?} takes the place of {found:?} of tokenizer.model", token.content);
                    return Err(Error::key(path, key(), message));
                }
                self.verbatim.insert(&token.content, token.id);
                self.ids.insert(token.content.clone(), token.id);
                self.beyond.insert(token.id, token);
                Ok(())
            }
        }
    }

    fn kind_of(&self, text: &str) -> Option<Kind> {
        self.pieces.get(*self.ids.get(text)? as usize).map(|piece| piece.kind)
    }

    /// The names that the model itself gives to its special pieces, by their key in `tokenizer_config.json`.
    pub(crate) fn names(&self) -> &[(&'static str, String)] {
        &self.names
    }

    pub(crate) fn style(&self) -> SentencePieceStyle {
        SentencePieceStyle {
            strip_first: self.add_dummy_prefix || self.remove_extra_whitespaces,
            strip_all: self.remove_extra_whitespaces,
        }
    }

    pub(crate) fn vocab_size(&self) -> usize {
        self.beyond
            .keys()
            .next_back()
            .map_or(self.pieces.len(), |id| (*id as usize + 1).max(self.pieces.len()))
    }

    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    pub(crate) fn token(&self, id: u32) -> Option<&str> {
        let piece = self.pieces.get(id as usize).map(|piece| piece.text.as_str());
        piece.or_else(|| self.beyond.get(&id).map(|token| token.content.as_str()))
    }

    pub(crate) fn is_special(&self, id: u32) -> bool {
        match self.pieces.get(id as usize) {
            Some(piece) => piece.kind == Kind::Control || self.special.get(id as usize) == Some(&true),
            None => self.beyond.get(&id).is_some_and(|token| token.special),
        }
    }

    /// What `id` is to the decoder.
    pub(crate) fn piece(&self, id: u32, skip_special: bool) -> Option<Piece> {
        if self.is_special(id) {
            let text = if skip_special { "" } else { self.token(id)? };
            return Some(Piece::Control(text.to_owned()));
        }
        let Some(piece) = self.pieces.get(id as usize) else {
            return self.beyond.get(&id).map(|token| Piece::Verbatim(token.content.clone()));
        };
        Some(match piece.kind {
            Kind::Byte => byte_piece(&piece.text).map_or(Piece::Verbatim(piece.text.clone()), Piece::Byte),
            Kind::Unknown => Piece::Verbatim(self.unk_surface.clone()),
            Kind::Control | Kind::Normal | Kind::UserDefined | Kind::Unused => {
                Piece::Text(piece.text.clone())
            }
        })
    }

    /// Text → ids, without BOS and EOS.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        // The dummy prefix belongs to the first text, whether or not a BOS is written out before it, so that
        // `<s>text` and a BOS that is added to `text` come to the same.
        let mut prefix = self.add_dummy_prefix;
        self.verbatim.split(text, |part| {
            match part {
                Part::Match(id) => ids.push(id),
                Part::Text(text) => {
                    let normalised = self.normalise(text, prefix);
                    prefix = false;
                    self.merge(&normalised, &mut ids)?;
                }
            }
            Ok(())
        })?;
        Ok(ids)
    }

    /// SentencePiece's normalisation: the character map, spaces, U+2581 in their place.
    fn normalise(&self, text: &str, prefix: bool) -> String {
        let mut rest = text;
        if self.remove_extra_whitespaces {
            while let Some((length, " ")) = self.normalised_prefix(rest) {
                rest = rest.get(length..).unwrap_or("");
            }
        }
        let mut out = String::with_capacity(text.len() + 8);
        if rest.is_empty() {
            return out;
        }
        let space = if self.escape_whitespaces { MARK } else { ' ' };
        if prefix {
            out.push(space);
        }
        let mut after_space = self.remove_extra_whitespaces;
        while let Some((length, mut piece)) = self.normalised_prefix(rest) {
            while after_space && let Some(shorter) = piece.strip_prefix(' ') {
                piece = shorter;
            }
            if !piece.is_empty() {
                out.extend(piece.chars().map(|c| if c == ' ' { space } else { c }));
                after_space = piece.ends_with(' ');
            }
            after_space &= self.remove_extra_whitespaces;
            rest = rest.get(length..).unwrap_or("");
        }
        if self.remove_extra_whitespaces {
            out.truncate(out.trim_end_matches(space).len());
        }
        out
    }

    /// The length of what comes next in `text`, at least one character, and its normalised form.
    fn normalised_prefix<'a>(&'a self, text: &'a str) -> Option<(usize, &'a str)> {
        let first = text.chars().next()?;
        if let Some((length, _)) = self.user_defined.longest(text) {
            return Some((length, text.get(..length)?));
        }
        if let Some(found) = self.charsmap.as_ref().and_then(|map| map.longest(text)) {
            return Some(found);
        }
        Some((first.len_utf8(), text.get(..first.len_utf8())?))
    }

    fn merge(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        self.user_defined.split(text, |part| {
            match part {
                Part::Match(id) => ids.push(id),
                Part::Text(run) => {
                    let tokens =
                        guard(|| self.bpe.tokenize(run)).map_err(|message| Error::Encode { message })?;
                    ids.extend(tokens.iter().map(|token| token.id));
                }
            }
            Ok(())
        })
    }
}

fn ids_of(path: &Path, model: &Model) -> Result<HashMap<String, u32>> {
    let mut ids = HashMap::with_capacity(model.pieces.len());
    let mut unknown = 0;
    let mut bytes = 0;
    for (id, piece) in (0u32..).zip(&model.pieces) {
        let at = |message: String| Error::key(path, format!("piece {id}"), message);
        if piece.text.is_empty() {
            return Err(at("is empty".into()));
        }
        if !piece.score.is_finite() {
            return Err(at(format!("has the score {}", piece.score)));
        }
        if piece.kind == Kind::Normal && piece.text.len() > LONGEST_PIECE {
            return Err(at(format!("has {} bytes, more than {LONGEST_PIECE}", piece.text.len())));
        }
        if piece.kind == Kind::Byte && byte_piece(&piece.text).is_none() {
            return Err(at(format!("is a byte piece, and reads {:?}", piece.text)));
        }
        unknown += usize::from(piece.kind == Kind::Unknown);
        bytes += usize::from(piece.kind == Kind::Byte);
        if let Some(other) = ids.insert(piece.text.clone(), id) {
            return Err(at(format!("repeats {:?}, which is piece {other}", piece.text)));
        }
    }
    if unknown != 1 {
        return Err(Error::file(path, format!("expected one piece for the unknown, found {unknown}")));
    }
    if model.byte_fallback && bytes != 256 {
        return Err(Error::file(path, format!("expected 256 byte pieces, found {bytes}")));
    }
    Ok(ids)
}

fn build_bpe(path: &Path, model: &Model, ids: &HashMap<String, u32>) -> Result<BPE> {
    // What merging can meet: plain pieces, the bytes, and the piece for the unknown.
    let mut vocab = Vocab::default();
    let mut unk = None;
    for (id, piece) in (0u32..).zip(&model.pieces) {
        match piece.kind {
            Kind::Normal => {}
            Kind::Byte if model.byte_fallback => {}
            Kind::Unknown => unk = Some(piece.text.clone()),
            _ => continue,
        }
        vocab.insert(piece.text.clone(), id);
    }
    let plain = |text: &str| {
        let id = *ids.get(text)?;
        model.pieces.get(id as usize).filter(|piece| piece.kind == Kind::Normal).map(|_| id)
    };

    // (score, ids of the halves, place of the cut): pairs in order of score, and for one piece in a fixed order.
    let mut pairs = Vec::new();
    for (id, piece) in (0u32..).zip(&model.pieces) {
        if !matches!(piece.kind, Kind::Normal | Kind::Unused) || piece.text.len() > LONGEST_PIECE {
            continue;
        }
        for (cut, _) in piece.text.char_indices().skip(1) {
            let (a, b) = piece.text.split_at(cut);
            if let (Some(a), Some(b)) = (plain(a), plain(b)) {
                if piece.kind == Kind::Unused {
                    // SentencePiece merges to it and takes it apart again at the end, which pairs cannot express.
                    return Err(Error::key(
                        path,
                        format!("piece {id}"),
                        "is of the type unused, and can be merged to",
                    ));
                }
                pairs.push((piece.score, id, a, b));
            }
        }
    }
    pairs.sort_by(|x, y| y.0.total_cmp(&x.0).then((x.1, x.2, x.3).cmp(&(y.1, y.2, y.3))));
    let text = |id: u32| model.pieces.get(id as usize).map_or_else(String::new, |piece| piece.text.clone());
    let merges: Merges = pairs.into_iter().map(|(_, _, a, b)| (text(a), text(b))).collect();

    let mut builder = BpeBuilder::new().vocab_and_merges(vocab, merges).byte_fallback(model.byte_fallback);
    if let Some(unk) = unk {
        // A run of unknown characters is one unknown piece.
        builder = builder.unk_token(unk).fuse_unk(true);
    }
    guard(|| builder.build()).map_err(|message| Error::file(path, message))
}

/// Strings to be found at a place in a text, the longest first.
#[derive(Debug, Default)]
struct Matcher {
    ids: HashMap<String, u32>,
    /// Which lengths there are, longest first, for each first byte: most places are decided by their byte.
    lengths: BTreeMap<u8, Vec<usize>>,
}

enum Part<'a> {
    Text(&'a str),
    Match(u32),
}

impl Matcher {
    fn insert(&mut self, text: &str, id: u32) {
        let Some(&first) = text.as_bytes().first() else { return };
        let lengths = self.lengths.entry(first).or_default();
        if let Err(at) = lengths.binary_search_by(|length| text.len().cmp(length)) {
            lengths.insert(at, text.len());
        }
        self.ids.insert(text.to_owned(), id);
    }

    /// The longest string that `text` begins with: its length and id.
    fn longest(&self, text: &str) -> Option<(usize, u32)> {
        let lengths = self.lengths.get(text.as_bytes().first()?)?;
        lengths.iter().find_map(|&length| Some((length, *self.ids.get(text.get(..length)?)?)))
    }

    /// Cuts `text` at every match, from left to right.
    fn split<'a>(&self, text: &'a str, mut each: impl FnMut(Part<'a>) -> Result<()>) -> Result<()> {
        let mut from = 0;
        let mut skip_to = 0;
        if !self.ids.is_empty() {
            for (at, _) in text.char_indices() {
                if at < skip_to {
                    continue;
                }
                let Some((length, id)) = text.get(at..).and_then(|rest| self.longest(rest)) else { continue };
                if let Some(before) = text.get(from..at).filter(|before| !before.is_empty()) {
                    each(Part::Text(before))?;
                }
                each(Part::Match(id))?;
                skip_to = at + length;
                from = skip_to;
            }
        }
        match text.get(from..) {
            Some(rest) if !rest.is_empty() => each(Part::Text(rest)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matcher_takes_the_longest_from_the_left() {
        let mut matcher = Matcher::default();
        for (id, text) in (0..).zip(["<a>", "<a><b>", "é", "<b"]) {
            matcher.insert(text, id);
        }
        let mut found = Vec::new();
        matcher
            .split("x<a><b><a>yé<b<", |part| {
                found.push(match part {
                    Part::Text(text) => text.to_owned(),
                    Part::Match(id) => id.to_string(),
                });
                Ok(())
            })
            .unwrap();
        assert_eq!(found, ["x", "1", "0", "y", "2", "3", "<"]);
    }
}
