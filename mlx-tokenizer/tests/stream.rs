// SPDX-License-Identifier: EUPL-1.2
//! Streaming: the pieces join to the whole, and come as soon as they are certain.

use std::sync::Arc;

use mlx_tokenizer::{OwnedDecodeStream, Tokenizer};
use serde_json::{Value, json};

use crate::golden::streamed;
use crate::{checkpoint, golden_dir};

fn load(name: &str) -> Tokenizer {
    Tokenizer::from_dir(golden_dir(name)).unwrap()
}

/// The ids of single bytes.
fn byte_ids(tokenizer: &Tokenizer) -> Vec<u32> {
    if let Some(first) = tokenizer.id("<0x00>") {
        return (0..256).map(|byte| first + byte).collect();
    }
    // A byte-level vocabulary: the ids of single bytes are those whose text is that byte.
    let mut ids = vec![u32::MAX; 256];
    for id in 0..tokenizer.vocab_size() as u32 {
        let piece = tokenizer.token(id).unwrap();
        let mut chars = piece.chars();
        let (Some(c), None) = (chars.next(), chars.next()) else { continue };
        let code = u32::from(c);
        // Bytes that do not print are counted on from U+0100.
        let hidden: Vec<u32> = (0..=0x20).chain(0x7f..=0xa0).chain([0xad]).collect();
        let byte = if code >= 0x100 { hidden[code as usize - 0x100] } else { code };
        ids[byte as usize] = id;
    }
    assert!(!ids.contains(&u32::MAX));
    ids
}

#[test]
fn every_sequence_of_bytes_streams_as_it_decodes() {
    // A byte of each role: plain, NUL, continuation, leads of two, three and four, a surrogate's, and invalid ones.
    let roles = [b'a', 0, 0x80, 0xa9, 0xc3, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0xed, 0xff, 0xc0];
    for name in ["qwen", "gemma-json", "llama-json", "gemma", "prefixed"] {
        let tokenizer = load(name);
        let bytes = byte_ids(&tokenizer);
        let length = 4;
        for number in 0..roles.len().pow(length) {
            let sequence: Vec<u8> =
                (0..length).map(|place| roles[number / roles.len().pow(place) % roles.len()]).collect();
            let ids: Vec<u32> = sequence.iter().map(|byte| bytes[*byte as usize]).collect();
            let whole = tokenizer.decode(&ids, false).unwrap();
            assert_eq!(streamed(&tokenizer, &ids, false), whole, "{name}: {sequence:x?}");
            if let Ok(text) = std::str::from_utf8(&sequence) {
                assert_eq!(whole, text, "{name}");
            } else {
                assert!(whole.contains('\u{fffd}'), "{name}: {sequence:x?}");
            }
        }
    }
}

#[test]
fn characters_arrive_whole_and_at_once() {
    for name in ["qwen", "gemma"] {
        let tokenizer = load(name);
        let bytes = byte_ids(&tokenizer);
        let mut stream = tokenizer.stream(false);
        let mut given = Vec::new();
        for byte in "aé🦙\0 b".bytes() {
            given.push(stream.push(bytes[byte as usize]).unwrap());
        }
        assert_eq!(given, ["a", "", "é", "", "", "", "🦙", "\0", " ", "b"], "{name}");
        assert_eq!(stream.finish().unwrap(), "");
        // An unfinished character is told at the end, and the stream is new after that.
        assert_eq!(stream.push(bytes[0xe2]).unwrap(), "");
        assert_eq!(stream.finish().unwrap(), "\u{fffd}");
        assert_eq!(stream.push(bytes[b'x' as usize]).unwrap(), "x");
    }
}

#[test]
fn leading_spaces_are_kept_and_those_that_encoding_put_there_are_not() {
    for name in ["qwen", "gemma", "gemma-json", "llama-json"] {
        let tokenizer = load(name);
        for text in [" the sea", "  the", " ", "the sea", " \n x", "\u{a0}x", ""] {
            let ids = tokenizer.encode(text, false).unwrap();
            assert_eq!(tokenizer.decode(&ids, true).unwrap(), text, "{name}");
            assert_eq!(streamed(&tokenizer, &ids, true), text, "{name}");
        }
    }
    // This model takes away what is at the ends, and one of each run.
    let tokenizer = load("prefixed");
    let ids = tokenizer.encode("  the   sea ", false).unwrap();
    assert_eq!(streamed(&tokenizer, &ids, true), "the sea");
}

#[test]
fn special_tokens_are_skipped_within_a_stream() {
    let tokenizer = load("qwen");
    let end = tokenizer.id("<|im_end|>").unwrap();
    let bytes = byte_ids(&tokenizer);
    let mut stream = tokenizer.stream(true);
    assert_eq!(stream.push(bytes[0xc3]).unwrap(), "");
    assert_eq!(stream.push(end).unwrap(), "");
    assert_eq!(stream.push(bytes[0xa9]).unwrap(), "é");
    let mut stream = tokenizer.stream(false);
    assert_eq!(stream.push(bytes[0xc3]).unwrap(), "");
    assert_eq!(stream.push(end).unwrap(), "\u{fffd}<|im_end|>");
}

#[test]
fn an_owned_stream_moves_to_another_thread() {
    let tokenizer = Arc::new(load("gemma"));
    let ids = tokenizer.encode("größer 🚢", false).unwrap();
    let mut stream = OwnedDecodeStream::new(tokenizer.clone(), true);
    let text = std::thread::spawn(move || {
        let mut text: String = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
        text.push_str(&stream.finish().unwrap());
        text
    });
    assert_eq!(text.join().unwrap(), "größer 🚢");
}

/// The decoders that other checkpoints have, over the pieces of the byte-fallback vocabulary.
#[test]
fn every_decoder_streams_as_the_tokenizers_crate_decodes() {
    let path = golden_dir("gemma-json/tokenizer.json");
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let replace = json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "});
    let regex = json!({"type": "Replace", "pattern": {"Regex": "[ae]"}, "content": "*"});
    let strip =
        |start: usize, stop: usize| json!({"type": "Strip", "content": "▁", "start": start, "stop": stop});
    let (bytes, fuse) = (json!({"type": "ByteFallback"}), json!({"type": "Fuse"}));
    let metaspace = |scheme: &str| json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": true});
    let sequence = |decoders: &[&Value]| json!({"type": "Sequence", "decoders": decoders});
    let decoders = [
        Value::Null,
        metaspace("always"),
        metaspace("never"),
        json!({"type": "BPEDecoder", "suffix": "e"}),
        json!({"type": "WordPiece", "prefix": "▁", "cleanup": true}),
        json!({"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "▁", "cleanup": true}),
        json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}),
        replace.clone(),
        strip(1, 0),
        sequence(&[]),
        sequence(&[&bytes]),
        sequence(&[&bytes, &metaspace("first")]),
        sequence(&[&regex, &bytes, &fuse]),
        sequence(&[&bytes, &fuse, &strip(2, 0)]),
        sequence(&[&bytes, &fuse, &strip(1, 0), &replace]),
        sequence(&[&fuse, &replace]),
        sequence(&[
            &replace,
            &bytes,
            &json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true}),
        ]),
    ];
    for decoder in decoders {
        let mut file = file.clone();
        file["decoder"] = decoder.clone();
        let text = file.to_string();
        let dir = checkpoint(None, &[("tokenizer.json", &text)]);
        let tokenizer = Tokenizer::from_dir(dir.path()).unwrap();
        let reference: tokenizers::Tokenizer = text.parse().unwrap();
        let size = tokenizer.vocab_size() as u64;
        // A multiplicative generator: its numbers are the same everywhere.
        let mut state = 1u64;
        for _ in 0..300 {
            let mut draw = |below: u64| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 33) % below
            };
            let length = 1 + draw(12);
            let ids: Vec<u32> = (0..length)
                .map(|_| if draw(2) == 0 { 10 + draw(260) as u32 } else { draw(size) as u32 })
                .collect();
            let expected = reference.decode(&ids, false).unwrap();
            assert_eq!(streamed(&tokenizer, &ids, false), expected, "{decoder}: {ids:?}");
            assert_eq!(tokenizer.decode(&ids, false).unwrap(), expected, "{decoder}: {ids:?}");
        }
        assert_eq!(tokenizer.decode(&[], false).unwrap(), "");
    }
}

/// Decoders on which the tokenizers crate itself fails.
#[test]
fn stripping_more_than_there_is_gives_nothing() {
    let path = golden_dir("gemma-json/tokenizer.json");
    let mut file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let strip = json!({"type": "Strip", "content": "▁", "start": 1, "stop": 3});
    for decoders in [json!([strip]), json!([{"type": "Fuse"}, strip])] {
        file["decoder"] = json!({"type": "Sequence", "decoders": decoders});
        let dir = checkpoint(None, &[("tokenizer.json", &file.to_string())]);
        let tokenizer = Tokenizer::from_dir(dir.path()).unwrap();
        let mark = tokenizer.id("▁").unwrap();
        let letter = tokenizer.id("a").unwrap();
        assert_eq!(streamed(&tokenizer, &[mark], false), "");
        assert_eq!(streamed(&tokenizer, &[mark, letter, mark], false), "a");
        assert_eq!(streamed(&tokenizer, &[], false), "");
    }
}
