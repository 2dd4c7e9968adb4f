// SPDX-License-Identifier: EUPL-1.2
//! `tokenizer.json` → a tokenizer of the `tokenizers` crate.
//!
//! That crate's own reader buffers the model in a tree of untyped values before it builds it, which takes three
//! times as long as everything else for a vocabulary of 262 thousand pieces. BPE models, which is all that the models
//! of this workspace use, are therefore parsed here straight into the builder's types, and checked on the way:
//! the builder indexes by what the file says. The other parts are small and go through that crate's own types.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tokenizers::models::bpe::{BPE, BpeBuilder, Merges, Vocab};
use tokenizers::{AddedToken, ModelWrapper, Tokenizer};

use crate::error::{Error, Result, guard};

/// A tokenizer and what else the file says about it.
pub(crate) struct Loaded {
    pub(crate) tokenizer: Tokenizer,
    /// The highest id plus one.
    pub(crate) vocab_size: usize,
    /// The ids that `skip_special` drops.
    pub(crate) special: Vec<u32>,
}

#[derive(Deserialize)]
struct File<'a, M> {
    #[serde(borrow)]
    version: Option<Cow<'a, str>>,
    model: M,
    #[serde(borrow)]
    added_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    normalizer: Option<&'a RawValue>,
    #[serde(borrow)]
    pre_tokenizer: Option<&'a RawValue>,
    #[serde(borrow)]
    post_processor: Option<&'a RawValue>,
    #[serde(borrow)]
    decoder: Option<&'a RawValue>,
}

/// Only what decides how the model is read.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    // Files of the time before `type` was written are recognised by their merges.
    merges: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct BpeFile {
    #[serde(rename = "type")]
    kind: Option<String>,
    dropout: Option<f32>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default, deserialize_with = "null_is_false")]
    fuse_unk: bool,
    #[serde(default, deserialize_with = "null_is_false")]
    byte_fallback: bool,
    #[serde(default, deserialize_with = "null_is_false")]
    ignore_merges: bool,
    vocab: VocabFile,
    merges: MergesFile,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    #[serde(flatten)]
    token: AddedToken,
}

/// Reads `tokenizer.json`. `path` is for messages.
pub(crate) fn read(path: &Path, text: &str) -> Result<Loaded> {
    // One pass is enough for nearly every file; a second one finds out what the others are.
    if let Ok(file) = serde_json::from_str::<File<BpeFile>>(text)
        && file.model.kind.as_deref().is_none_or(|kind| kind == "BPE")
    {
        return assemble(path, file, |bpe, added| {
            let (model, size) = build_bpe(path, bpe, added)?;
            Ok((ModelWrapper::BPE(model), size))
        });
    }
    let file: File<&RawValue> =
        serde_json::from_str(text).map_err(|e| Error::file(path, format!("not a tokenizer: {e}")))?;
    let kind: Kind =
        part(path, "model", Some(file.model))?.ok_or_else(|| Error::key(path, "model", "is null"))?;
    if kind.kind.as_deref().map_or(kind.merges.is_some(), |k| k == "BPE") {
        // It says that it is BPE and could not be read as that, so this gives the reason.
        part::<BpeFile>(path, "model", Some(file.model))?;
    }
    assemble(path, file, |raw, _| {
        let model: ModelWrapper =
            part(path, "model", Some(raw))?.ok_or_else(|| Error::key(path, "model", "is null"))?;
        let highest = tokenizers::Model::get_vocab(&model).into_values().max();
        Ok((model, highest.map_or(0, |id| id as usize + 1)))
    })
}

/// Puts the parts together; `build` gives the model and its highest id plus one.
fn assemble<M>(
    path: &Path,
    file: File<'_, M>,
    build: impl FnOnce(M, &[Added]) -> Result<(ModelWrapper, usize)>,
) -> Result<Loaded> {
    if let Some(version) = file.version.as_deref().filter(|v| *v != "1.0") {
        return Err(Error::key(path, "version", format!("expected \"1.0\", found {version:?}")));
    }
    let added: Vec<Added> = part(path, "added_tokens", file.added_tokens)?.unwrap_or_default();
    let (model, mut vocab_size) = build(file.model, &added)?;

    let mut tokenizer = Tokenizer::new(model);
    // The normaliser comes before the added tokens, which are matched in their normalised form.
    let normalizer: Option<tokenizers::NormalizerWrapper> = part(path, "normalizer", file.normalizer)?;
    guard(|| tokenizer.with_normalizer(normalizer).map(|_| ()))
        .map_err(|m| Error::key(path, "normalizer", m))?;
    tokenizer.with_pre_tokenizer(part::<tokenizers::PreTokenizerWrapper>(
        path,
        "pre_tokenizer",
        file.pre_tokenizer,
    )?);
    tokenizer.with_post_processor(part::<tokenizers::PostProcessorWrapper>(
        path,
        "post_processor",
        file.post_processor,
    )?);
    tokenizer.with_decoder(part::<tokenizers::DecoderWrapper>(path, "decoder", file.decoder)?);
    guard(|| tokenizer.add_tokens(added.into_iter().map(|a| a.token)).map(|_| ()))
        .map_err(|m| Error::key(path, "added_tokens", m))?;

    let mut special = Vec::new();
    for (id, token) in tokenizer.get_added_tokens_decoder() {
        vocab_size = vocab_size.max(id as usize + 1);
        if token.special {
            special.push(id);
        }
    }
    Ok(Loaded { tokenizer, vocab_size, special })
}

/// One part of the file; `None` where it is absent or null.
fn part<'a, T: Deserialize<'a>>(path: &Path, key: &str, raw: Option<&'a RawValue>) -> Result<Option<T>> {
    let Some(raw) = raw else { return Ok(None) };
    match std::panic::catch_unwind(|| serde_json::from_str::<Option<T>>(raw.get())) {
        Ok(parsed) => parsed.map_err(|e| Error::key(path, key, shorten(&e.to_string()))),
        // A part's own type may index by what the file says (a precompiled character map, for one).
        Err(_) => Err(Error::key(path, key, "cannot be read")),
    }
}

/// A message that quotes a whole file is no use to anybody.
fn shorten(message: &str) -> String {
    const MOST: usize = 300;
    match message.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", message.get(..end).unwrap_or(message)),
        None => message.to_owned(),
    }
}

/// The model, and its highest id plus one.
fn build_bpe(path: &Path, file: BpeFile, added: &[Added]) -> Result<(BPE, usize)> {
    let mut vocab = file.vocab.0;
    let mut size = vocab.values().map(|id| *id as usize + 1).max().unwrap_or(0);
    if let Some(unk) = file.unk_token.as_ref().filter(|unk| !vocab.contains_key(*unk))
        && !added.iter().any(|a| a.token.content == *unk)
    {
        return Err(Error::key(path, "model.unk_token", format!("{unk:?} is not in the vocabulary")));
    }

    // The builder numbers tokens that the model lacks by counting on from its size, whatever ids the file gives
    // them. Where that would differ, for instance after a hole, the model is told the file's ids first.
    let missing = added.iter().filter(|a| !vocab.contains_key(&a.token.content));
    let counted_on = (vocab.len()..).zip(missing).all(|(next, a)| a.id as usize == next);
    if !counted_on {
        for a in added {
            vocab.entry(a.token.content.clone()).or_insert(a.id);
            size = size.max(a.id as usize + 1);
        }
    }

    // The builder joins each pair in a buffer as long as the longest piece.
    let longest = vocab.keys().map(String::len).max().unwrap_or(0);
    let prefix = file.continuing_subword_prefix.as_deref().unwrap_or("").len();
    for (rank, (a, b)) in file.merges.0.iter().enumerate() {
        let joined = b.get(prefix..).map(|tail| a.len() + tail.len());
        if joined.is_none_or(|joined| joined > longest) {
            let message = format!("{a:?} and {b:?} join to a piece that is not in the vocabulary");
            return Err(Error::key(path, format!("model.merges[{rank}]"), message));
        }
    }

    let mut builder = BpeBuilder::new()
        .vocab_and_merges(vocab, file.merges.0)
        .fuse_unk(file.fuse_unk)
        .byte_fallback(file.byte_fallback)
        .ignore_merges(file.ignore_merges);
    if let Some(unk) = file.unk_token {
        builder = builder.unk_token(unk);
    }
    if let Some(dropout) = file.dropout {
        builder = builder.dropout(dropout);
    }
    if let Some(prefix) = file.continuing_subword_prefix {
        builder = builder.continuing_subword_prefix(prefix);
    }
    if let Some(suffix) = file.end_of_word_suffix {
        builder = builder.end_of_word_suffix(suffix);
    }
    let model = guard(|| builder.build()).map_err(|m| Error::key(path, "model", shorten(&m)))?;
    Ok((model, size))
}

fn null_is_false<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<bool>::deserialize(deserializer)?.unwrap_or(false))
}

/// `{"piece": id, ..}`, into the builder's own map.
struct VocabFile(Vocab);

impl<'de> Deserialize<'de> for VocabFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pieces;
        impl<'de> Visitor<'de> for Pieces {
            type Value = VocabFile;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a map from piece to id")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<VocabFile, A::Error> {
                let mut vocab = Vocab::default();
                while let Some((piece, id)) = map.next_entry::<String, u32>()? {
                    vocab.insert(piece, id);
                }
                Ok(VocabFile(vocab))
            }
        }
        deserializer.deserialize_map(Pieces)
    }
}

/// `["a b", ..]` or, since pieces may hold spaces, `[["a", "b"], ..]`.
struct MergesFile(Merges);

impl<'de> Deserialize<'de> for MergesFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = MergesFile;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a list of merges")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<MergesFile, A::Error> {
                let mut merges = Merges::new();
                while let Some(Pair(a, b)) = list.next_element()? {
                    merges.push((a, b));
                }
                Ok(MergesFile(merges))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

struct Pair(String, String);

impl<'de> Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Pair;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a merge, \"a b\" or [\"a\", \"b\"]")
            }

            fn visit_str<E: serde::de::Error>(self, merge: &str) -> Result<Pair, E> {
                match merge.split_once(' ') {
                    Some((a, b)) if !b.contains(' ') => Ok(Pair(a.to_owned(), b.to_owned())),
                    _ => Err(E::custom(format!("merge {merge:?} is not two pieces with one space between"))),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Pair, A::Error> {
                let a = pair.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
                let b = pair.next_element()?.ok_or_else(|| A::Error::invalid_length(1, &self))?;
                match pair.next_element::<IgnoredAny>()? {
                    None => Ok(Pair(a, b)),
                    Some(_) => Err(A::Error::invalid_length(3, &self)),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}
