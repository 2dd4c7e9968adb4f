// SPDX-License-Identifier: EUPL-1.2
//! Ids → text, piece by piece; decoding a whole list is the same work done at once.
//!
//! A decoder is a chain of stages that `tokenizers` runs over the list of all pieces. Here each stage keeps the little
//! that it has to remember between pieces, so that a stream costs the same for each id however long it has run, and
//! the pieces that it gives join to exactly the text of the whole. What cannot be known yet is held back: the
//! bytes of a character that is not complete, and, for byte fallback, the run of byte pieces, since `tokenizers` judges
//! a run as a whole (one invalid byte turns each byte of its run into U+FFFD).

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::Arc;

use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::{Decoder as _, DecoderWrapper};

use crate::Tokenizer;
use crate::error::{Error, Result, guard};

/// How the pieces of a tokenizer become text.
#[derive(Debug, Clone)]
pub(crate) enum Decoder {
    /// Byte-level BPE: each character of a piece stands for one byte.
    ByteLevel,
    /// Stages over single pieces, then stages over the joined text.
    Chain { pieces: Vec<PieceStage>, strip: Option<Strip> },
    /// No decoder in the file: pieces with a space between.
    Spaced,
    /// A decoder whose text may change with the next piece: held back until the end.
    Whole(Box<DecoderWrapper>),
    /// Pieces of a SentencePiece model.
    SentencePiece(SentencePieceStyle),
}

/// What a SentencePiece model says about decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SentencePieceStyle {
    /// One U+2581 at the start of the text goes, since encoding put it there (or took away what was there).
    pub(crate) strip_first: bool,
    /// Every U+2581 before the first character goes.
    pub(crate) strip_all: bool,
}

/// A piece as the vocabulary knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text in the form of the vocabulary.
    Text(String),
    /// A byte-fallback piece of a SentencePiece model.
    Byte(u8),
    /// What stands for the unknown.
    Verbatim(String),
    /// A control piece, empty where it is skipped. It ends a run of bytes, and is not the start of the text.
    Control(String),
}

/// A stage that sees one piece at a time.
#[derive(Debug, Clone)]
pub(crate) enum PieceStage {
    /// Any decoder that maps each piece by itself.
    Each(DecoderWrapper),
    /// U+2581 becomes a space, and goes altogether in the first piece when encoding put it there.
    Metaspace { mark: char, strip_first: bool },
    /// `<0x41>` pieces become characters.
    ByteFallback,
    /// Strips each piece.
    Strip(Strip),
}

/// At most `start` leading and `stop` trailing `content` characters go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strip {
    content: char,
    start: usize,
    stop: usize,
}

impl Strip {
    /// Unlike the crate's own, this does not fail on a piece that is shorter than what may be stripped.
    fn apply(&self, piece: &str) -> String {
        let mut rest = piece;
        for _ in 0..self.start {
            let Some(shorter) = rest.strip_prefix(self.content) else { break };
            rest = shorter;
        }
        for _ in 0..self.stop {
            let Some(shorter) = rest.strip_suffix(self.content) else { break };
            rest = shorter;
        }
        rest.to_owned()
    }
}

impl Decoder {
    /// The chain that does what `wrapper` does.
    pub(crate) fn new(wrapper: Option<&DecoderWrapper>) -> Decoder {
        let Some(wrapper) = wrapper else { return Decoder::Spaced };
        let stages = match wrapper {
            DecoderWrapper::Sequence(sequence) => sequence.get_decoders(),
            single => std::slice::from_ref(single),
        };
        Decoder::chain(stages).unwrap_or_else(|| Decoder::Whole(Box::new(wrapper.clone())))
    }

    fn chain(stages: &[DecoderWrapper]) -> Option<Decoder> {
        if let [DecoderWrapper::ByteLevel(_)] | [DecoderWrapper::ByteLevel(_), DecoderWrapper::Fuse(_)] =
            stages
        {
            return Some(Decoder::ByteLevel);
        }
        let mut pieces = Vec::new();
        let mut strip = None;
        let mut fused = false;
        for stage in stages {
            match stage {
                DecoderWrapper::Fuse(_) => fused = true,
                // After fusing there is one piece, the text itself; one strip of it is what real files have.
                DecoderWrapper::Strip(s) if fused && strip.is_none() => {
                    strip = Some(Strip { content: s.content, start: s.start, stop: s.stop });
                }
                _ if fused => return None,
                DecoderWrapper::Strip(s) => {
                    pieces.push(PieceStage::Strip(Strip {
                        content: s.content,
                        start: s.start,
                        stop: s.stop,
                    }));
                }
                DecoderWrapper::Metaspace(m) => pieces.push(PieceStage::Metaspace {
                    mark: m.get_replacement(),
                    strip_first: m.prepend_scheme != PrependScheme::Never,
                }),
                DecoderWrapper::ByteFallback(_) => pieces.push(PieceStage::ByteFallback),
                DecoderWrapper::Replace(_) => pieces.push(PieceStage::Each(stage.clone())),
                _ => return None,
            }
        }
        Some(Decoder::Chain { pieces, strip })
    }
}

/// What has to be remembered between two pieces.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    skip_special: bool,
    /// Pieces that reached each stage; whether the first one has been is all that is used of it.
    seen: Vec<bool>,
    /// Bytes whose character, or whose run, is not complete.
    bytes: Vec<u8>,
    /// Leading characters that the strip at the start has looked at, and whether it is through.
    stripped: usize,
    past_start: bool,
    /// Trailing characters that the strip at the end may still take.
    tail: VecDeque<char>,
    /// All pieces, for decoders that need them at once.
    held: Vec<String>,
}

impl State {
    pub(crate) fn new(skip_special: bool) -> State {
        State { skip_special, ..State::default() }
    }

    /// The text that `id` makes certain.
    pub(crate) fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> Result<String> {
        let mut out = String::new();
        if let Some(piece) = tokenizer.piece(id, self.skip_special) {
            self.feed(tokenizer.decoder(), piece, &mut out)?;
        }
        Ok(out)
    }

    /// The text that was held back; the state is as new afterwards.
    pub(crate) fn finish(&mut self, tokenizer: &Tokenizer) -> Result<String> {
        let mut out = String::new();
        match tokenizer.decoder() {
            Decoder::ByteLevel => {
                if !self.bytes.is_empty() {
                    out.push_str(&String::from_utf8_lossy(&self.bytes));
                }
            }
            Decoder::SentencePiece(_) => flush_each(&mut self.bytes, &mut out),
            Decoder::Spaced => {}
            Decoder::Whole(wrapper) => {
                // One decoder of the crate counts on there being a piece.
                if !self.held.is_empty() {
                    let held = mem::take(&mut self.held);
                    out = guard(|| wrapper.decode(held)).map_err(|message| Error::Decode { message })?;
                }
            }
            Decoder::Chain { pieces, strip } => {
                if let Some(at) = pieces.iter().position(|s| matches!(s, PieceStage::ByteFallback)) {
                    let mut run = Vec::new();
                    flush_run(&mut self.bytes, &mut run);
                    let mut joined = String::new();
                    for piece in run {
                        self.through(pieces, at + 1, piece, &mut joined)?;
                    }
                    self.join(*strip, &joined, &mut out);
                }
                if let Some(strip) = strip {
                    let tail: String = self.tail.drain(..).collect();
                    // The start has been dealt with, so only the end is left to strip.
                    out.push_str(&Strip { start: 0, ..*strip }.apply(&tail));
                }
            }
        }
        *self = State::new(self.skip_special);
        Ok(out)
    }

    fn feed(&mut self, decoder: &Decoder, piece: Piece, out: &mut String) -> Result<()> {
        let text = match (decoder, piece) {
            (Decoder::SentencePiece(style), piece) => {
                self.feed_sentencepiece(*style, piece, out);
                return Ok(());
            }
            (_, Piece::Text(text) | Piece::Verbatim(text) | Piece::Control(text)) => text,
            (_, Piece::Byte(_)) => return Ok(()),
        };
        match decoder {
            Decoder::ByteLevel => {
                byte_level(&text, &mut self.bytes);
                take_lossy(&mut self.bytes, out);
            }
            Decoder::Spaced => {
                if mem::replace(&mut self.past_start, true) {
                    out.push(' ');
                }
                out.push_str(&text);
            }
            Decoder::Whole(_) => self.held.push(text),
            Decoder::Chain { pieces, strip } => {
                let mut joined = String::new();
                self.through(pieces, 0, text, &mut joined)?;
                self.join(*strip, &joined, out);
            }
            Decoder::SentencePiece(_) => {}
        }
        Ok(())
    }

    /// Sends one piece through the stages from `at` on, and adds what comes out at the end to `joined`.
    fn through(
        &mut self,
        stages: &[PieceStage],
        at: usize,
        piece: String,
        joined: &mut String,
    ) -> Result<()> {
        let Some(stage) = stages.get(at) else {
            joined.push_str(&piece);
            return Ok(());
        };
        if self.seen.len() < stages.len() {
            self.seen.resize(stages.len(), false);
        }
        let first = self.seen.get_mut(at).is_some_and(|seen| !mem::replace(seen, true));
        match stage {
            PieceStage::Each(wrapper) => {
                let mapped = guard(|| wrapper.decode_chain(vec![piece]))
                    .map_err(|message| Error::Decode { message })?;
                for piece in mapped {
                    self.through(stages, at + 1, piece, joined)?;
                }
            }
            PieceStage::Strip(strip) => self.through(stages, at + 1, strip.apply(&piece), joined)?,
            PieceStage::Metaspace { mark, strip_first } => {
                let replaced =
                    if first && *strip_first { piece.replace(*mark, "") } else { piece.replace(*mark, " ") };
                self.through(stages, at + 1, replaced, joined)?;
            }
            PieceStage::ByteFallback => {
                if let Some(byte) = byte_piece(&piece) {
                    self.bytes.push(byte);
                } else {
                    let mut run = Vec::new();
                    flush_run(&mut self.bytes, &mut run);
                    for piece in run {
                        self.through(stages, at + 1, piece, joined)?;
                    }
                    self.through(stages, at + 1, piece, joined)?;
                }
            }
        }
        Ok(())
    }

    /// The strip over the joined text.
    fn join(&mut self, strip: Option<Strip>, joined: &str, out: &mut String) {
        let Some(strip) = strip else {
            out.push_str(joined);
            return;
        };
        for c in joined.chars() {
            if !self.past_start {
                if self.stripped < strip.start && c == strip.content {
                    self.stripped += 1;
                    continue;
                }
                self.past_start = true;
            }
            self.tail.push_back(c);
            if self.tail.len() > strip.stop {
                out.extend(self.tail.pop_front());
            }
        }
    }

    /// As SentencePiece's own decoder: each invalid byte is one U+FFFD, and valid characters beside it stay.
    fn feed_sentencepiece(&mut self, style: SentencePieceStyle, piece: Piece, out: &mut String) {
        let before = out.len();
        match piece {
            Piece::Byte(byte) => {
                self.bytes.push(byte);
                take_characters(&mut self.bytes, out);
                // A byte piece is text, even while its character is not complete.
                self.past_start = true;
            }
            Piece::Control(text) => {
                flush_each(&mut self.bytes, out);
                out.push_str(&text);
                return;
            }
            Piece::Verbatim(text) => {
                flush_each(&mut self.bytes, out);
                out.push_str(&text);
            }
            Piece::Text(text) => {
                flush_each(&mut self.bytes, out);
                let mut text = text.as_str();
                if !self.past_start
                    && style.strip_first
                    && let Some(rest) = text.strip_prefix(MARK)
                {
                    text = rest;
                    self.past_start = !style.strip_all;
                }
                out.push_str(&text.replace(MARK, " "));
            }
        }
        self.past_start |= out.len() > before;
    }
}

/// What SentencePiece writes for a space.
pub(crate) const MARK: char = '\u{2581}';

/// Ids → text, id by id.
///
/// Each [`push`](DecodeStream::push) gives the text that has become certain; joined with what
/// [`finish`](DecodeStream::finish) gives at the end, it is exactly what [`Tokenizer::decode`] gives for all ids. No
/// character is ever split, spaces at the start of pieces are kept, and U+FFFD appears only where decoding the whole
/// has it too. The cost of an id does not grow with the number of ids before it.
#[derive(Clone)]
pub struct DecodeStream<'t> {
    tokenizer: &'t Tokenizer,
    state: State,
}

impl<'t> DecodeStream<'t> {
    pub(crate) fn new(tokenizer: &'t Tokenizer, skip_special: bool) -> DecodeStream<'t> {
        DecodeStream { tokenizer, state: State::new(skip_special) }
    }

    /// The text that `id` makes certain, which may be empty. An id that the vocabulary lacks has no text.
    ///
    /// # Errors
    /// [`Error::Decode`] when a decoder of the file fails, which only its regular expressions can.
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.state.push(self.tokenizer, id)
    }

    /// The text that was held back. The stream can be used again afterwards, from the start.
    ///
    /// # Errors
    /// As [`push`](DecodeStream::push).
    pub fn finish(&mut self) -> Result<String> {
        self.state.finish(self.tokenizer)
    }
}

impl fmt::Debug for DecodeStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeStream").field("held_bytes", &self.state.bytes.len()).finish_non_exhaustive()
    }
}

/// A [`DecodeStream`] that shares the tokenizer instead of borrowing it, for a value that has to live on its own.
#[derive(Clone)]
pub struct OwnedDecodeStream {
    tokenizer: Arc<Tokenizer>,
    state: State,
}

impl OwnedDecodeStream {
    /// A stream over ids of `tokenizer`.
    pub fn new(tokenizer: Arc<Tokenizer>, skip_special: bool) -> OwnedDecodeStream {
        OwnedDecodeStream { tokenizer, state: State::new(skip_special) }
    }

    /// As [`DecodeStream::push`].
    ///
    /// # Errors
    /// As [`DecodeStream::push`].
    pub fn push(&mut self, id: u32) -> Result<String> {
        self.state.push(&self.tokenizer, id)
    }

    /// As [`DecodeStream::finish`].
    ///
    /// # Errors
    /// As [`DecodeStream::push`].
    pub fn finish(&mut self) -> Result<String> {
        self.state.finish(&self.tokenizer)
    }
}

impl fmt::Debug for OwnedDecodeStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedDecodeStream")
            .field("held_bytes", &self.state.bytes.len())
            .finish_non_exhaustive()
    }
}

/// The byte that a character of a byte-level piece stands for: printable bytes of Latin-1 stand for themselves, the
/// others, in order, for U+0100 and on.
fn byte_of(c: char) -> Option<u8> {
    let code = u32::from(c);
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => u8::try_from(code).ok(),
        0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        0x121..=0x142 => u8::try_from(code - 0x121 + 0x7f).ok(),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// Adds the bytes of a byte-level piece; a piece with any other character stands for itself.
fn byte_level(piece: &str, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    for c in piece.chars() {
        let Some(byte) = byte_of(c) else {
            bytes.truncate(start);
            bytes.extend_from_slice(piece.as_bytes());
            return;
        };
        bytes.push(byte);
    }
}

/// Moves the text that is certain out of `bytes`, as `String::from_utf8_lossy` would write it.
fn take_lossy(bytes: &mut Vec<u8>, out: &mut String) {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        match std::str::from_utf8(rest) {
            Ok(text) => {
                out.push_str(text);
                done = bytes.len();
            }
            Err(error) => {
                let (valid, _) = rest.split_at(error.valid_up_to());
                out.push_str(&String::from_utf8_lossy(valid));
                done += valid.len();
                // Without a length the bytes at the end may yet become a character.
                let Some(wrong) = error.error_len() else { break };
                out.push(char::REPLACEMENT_CHARACTER);
                done += wrong;
            }
        }
    }
    bytes.drain(..done);
}

/// Moves whole characters out of `bytes`, each byte that can start none as one U+FFFD.
fn take_characters(bytes: &mut Vec<u8>, out: &mut String) {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        match std::str::from_utf8(rest) {
            Ok(text) => {
                out.push_str(text);
                done = bytes.len();
            }
            Err(error) => {
                let (valid, _) = rest.split_at(error.valid_up_to());
                out.push_str(&String::from_utf8_lossy(valid));
                done += valid.len();
                if error.error_len().is_none() {
                    break;
                }
                out.push(char::REPLACEMENT_CHARACTER);
                done += 1;
            }
        }
    }
    bytes.drain(..done);
}

/// Ends a run of bytes as SentencePiece does: what is left is no character, so each byte is one U+FFFD.
fn flush_each(bytes: &mut Vec<u8>, out: &mut String) {
    out.extend(bytes.drain(..).map(|_| char::REPLACEMENT_CHARACTER));
}

/// Ends a run of bytes as `tokenizers` does: all of it is valid, or each of its bytes is a piece U+FFFD.
fn flush_run(bytes: &mut Vec<u8>, pieces: &mut Vec<String>) {
    if bytes.is_empty() {
        return;
    }
    match String::from_utf8(mem::take(bytes)) {
        Ok(text) => pieces.push(text),
        Err(error) => {
            pieces.extend(error.as_bytes().iter().map(|_| String::from(char::REPLACEMENT_CHARACTER)));
        }
    }
}

/// The byte of a piece such as `<0x41>`.
pub(crate) fn byte_piece(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    // `from_str_radix` takes a sign, and so does the crate whose decoder this follows.
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All 256 bytes, by the definition: those that print stand for themselves, the rest count up from U+0100.
    fn char_of(byte: u8) -> char {
        let prints = |b: u8| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
        if prints(byte) {
            return char::from(byte);
        }
        let index = (0..byte).filter(|b| !prints(*b)).count() as u32;
        char::from_u32(0x100 + index).unwrap()
    }

    #[test]
    fn byte_level_maps_every_byte_back() {
        for byte in 0..=255 {
            assert_eq!(byte_of(char_of(byte)), Some(byte), "{byte:#x}");
        }
        assert_eq!(byte_of(' '), None);
        assert_eq!(byte_of('\u{144}'), None);
        let mut bytes = vec![1];
        byte_level("a b", &mut bytes);
        assert_eq!(bytes, b"\x01a b");
    }

    #[test]
    fn lossy_in_parts_equals_lossy_at_once() {
        let samples: [&[u8]; 7] = [
            "aé€🦙z\0".as_bytes(),
            b"\xf0\x9f\xa6",
            b"\xf0\x9f\xa6\xf0\x9f\xa6\x99",
            b"\xff\xfe\x80a\xc3",
            b"\xe2\x82\xe2\x82\xac\xed\xa0\x80",
            b"\xc0\xaf\xf5\x80",
            b"",
        ];
        for sample in samples {
            for cut in 0..=sample.len() {
                for second in cut..=sample.len() {
                    let (mut bytes, mut out) = (Vec::new(), String::new());
                    for part in [&sample[..cut], &sample[cut..second], &sample[second..]] {
                        bytes.extend_from_slice(part);
                        take_lossy(&mut bytes, &mut out);
                        assert!(bytes.len() < 4);
                    }
                    out.push_str(&String::from_utf8_lossy(&bytes));
                    assert_eq!(out, String::from_utf8_lossy(sample), "{sample:?} cut at {cut}, {second}");
                }
            }
        }
    }

    #[test]
    fn runs_are_judged_as_tokenizers_and_sentencepiece_do() {
        let mut pieces = Vec::new();
        flush_run(&mut "é".as_bytes().to_vec(), &mut pieces);
        flush_run(&mut b"a\xff".to_vec(), &mut pieces);
        assert_eq!(pieces, ["é", "\u{fffd}", "\u{fffd}"]);

        let (mut bytes, mut out) = (b"a\xe2\x82b\xff\xe2".to_vec(), String::new());
        take_characters(&mut bytes, &mut out);
        assert_eq!((out.as_str(), bytes.as_slice()), ("a\u{fffd}\u{fffd}b\u{fffd}", &b"\xe2"[..]));
        flush_each(&mut bytes, &mut out);
        assert_eq!(out, "a\u{fffd}\u{fffd}b\u{fffd}\u{fffd}");
    }

    #[test]
    fn strip_survives_short_pieces() {
        let strip = Strip { content: ' ', start: 1, stop: 2 };
        assert_eq!(strip.apply("  a   "), " a ");
        assert_eq!(strip.apply(" "), "");
        assert_eq!(strip.apply(""), "");
    }

    #[test]
    fn byte_pieces_are_recognised_exactly() {
        assert_eq!(byte_piece("<0x0A>"), Some(10));
        assert_eq!(byte_piece("<0xff>"), Some(255));
        for other in ["<0x0A", "0x0A>", "<0x0AB>", "<0xA>", "<0xGG>", "<0xé>", ""] {
            assert_eq!(byte_piece(other), None, "{other}");
        }
    }
}
