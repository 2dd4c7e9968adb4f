// SPDX-License-Identifier: EUPL-1.2
//! The part of the protobuf wire format that a SentencePiece `tokenizer.model` needs, and that file's messages.
//!
//! Field numbers are those of `sentencepiece_model.proto`. Nothing is allocated by a length that the file claims: a
//! field is a slice of the file, so a length beyond its end is an error before anything else.

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Field<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64,
    Bytes(&'a [u8]),
}

/// A message, field by field.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or("a number is cut off at the end")?;
            self.rest = rest;
            // The tenth byte holds the highest bit alone; what else it says does not fit.
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number has more than 64 bits".into())
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], String> {
        let split = usize::try_from(count).ok().and_then(|count| self.rest.split_at_checked(count));
        let (taken, rest) =
            split.ok_or_else(|| format!("a field of {count} bytes, with {} bytes left", self.rest.len()))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next field and its number; `None` at the end.
    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = key >> 3;
        if number == 0 {
            return Err("a field has the number 0".into());
        }
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Field::Fixed64
            }
            2 => {
                let length = self.varint()?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Fixed32(
                self.take(4)?
                    .try_into()
                    .map(u32::from_le_bytes)
                    .map_err(|_| "a float is cut off".to_owned())?,
            ),
            other => return Err(format!("field {number} has the unknown wire type {other}")),
        };
        Ok(Some((number, field)))
    }
}

/// What a piece is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// An entry of the vocabulary; its id is its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SpPiece {
    pub(crate) text: String,
    pub(crate) score: f32,
    pub(crate) kind: Kind,
}

/// What is used of a `tokenizer.model`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Model {
    pub(crate) pieces: Vec<SpPiece>,
    /// 1 unigram, 2 BPE, 3 word, 4 char.
    pub(crate) model_type: u64,
    pub(crate) byte_fallback: bool,
    pub(crate) whitespace_as_suffix: bool,
    pub(crate) unk_surface: String,
    pub(crate) bos_piece: String,
    pub(crate) eos_piece: String,
    pub(crate) pad_piece: String,
    pub(crate) charsmap: Vec<u8>,
    pub(crate) add_dummy_prefix: bool,
    pub(crate) remove_extra_whitespaces: bool,
    pub(crate) escape_whitespaces: bool,
    /// Whether decoding is followed by a normalisation of its own.
    pub(crate) denormalises: bool,
}

impl Default for Model {
    fn default() -> Model {
        // The defaults that the format gives to absent fields.
        Model {
            pieces: Vec::new(),
            model_type: 1,
            byte_fallback: false,
            whitespace_as_suffix: false,
            unk_surface: " \u{2047} ".into(),
            bos_piece: "<s>".into(),
            eos_piece: "</s>".into(),
            pad_piece: "<pad>".into(),
            charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
            denormalises: false,
        }
    }
}

impl Model {
    /// Reads a `tokenizer.model`.
    ///
    /// # Errors
    /// A message that says what is wrong with the file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Model, String> {
        let mut model = Model::default();
        let mut reader = Reader { rest: bytes };
        while let Some((number, field)) = reader.next()? {
            match (number, field) {
                (1, Field::Bytes(piece)) => {
                    let id = model.pieces.len();
                    model.pieces.push(parse_piece(piece).map_err(|e| format!("piece {id}: {e}"))?);
                }
                (2, Field::Bytes(spec)) => {
                    model.trainer_spec(spec).map_err(|e| format!("trainer_spec: {e}"))?
                }
                (3, Field::Bytes(spec)) => {
                    model.normalizer_spec(spec).map_err(|e| format!("normalizer_spec: {e}"))?
                }
                (5, Field::Bytes(spec)) => {
                    let mut reader = Reader { rest: spec };
                    while let Some(field) = reader.next().map_err(|e| format!("denormalizer_spec: {e}"))? {
                        model.denormalises |= matches!(field, (2, Field::Bytes(map)) if !map.is_empty());
                    }
                }
                _ => {}
            }
        }
        Ok(model)
    }

    fn trainer_spec(&mut self, spec: &[u8]) -> Result<(), String> {
        let mut reader = Reader { rest: spec };
        while let Some((number, field)) = reader.next()? {
            match (number, field) {
                (3, Field::Varint(kind)) => self.model_type = kind,
                (24, Field::Varint(flag)) => self.whitespace_as_suffix = flag != 0,
                (35, Field::Varint(flag)) => self.byte_fallback = flag != 0,
                (44, Field::Bytes(text)) => self.unk_surface = utf8(text)?,
                (46, Field::Bytes(text)) => self.bos_piece = utf8(text)?,
                (47, Field::Bytes(text)) => self.eos_piece = utf8(text)?,
                (48, Field::Bytes(text)) => self.pad_piece = utf8(text)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn normalizer_spec(&mut self, spec: &[u8]) -> Result<(), String> {
        let mut reader = Reader { rest: spec };
        while let Some((number, field)) = reader.next()? {
            match (number, field) {
                (2, Field::Bytes(map)) => self.charsmap = map.to_vec(),
                (3, Field::Varint(flag)) => self.add_dummy_prefix = flag != 0,
                (4, Field::Varint(flag)) => self.remove_extra_whitespaces = flag != 0,
                (5, Field::Varint(flag)) => self.escape_whitespaces = flag != 0,
                _ => {}
            }
        }
        Ok(())
    }
}

fn parse_piece(bytes: &[u8]) -> Result<SpPiece, String> {
    let mut piece = SpPiece { text: String::new(), score: 0.0, kind: Kind::Normal };
    let mut reader = Reader { rest: bytes };
    while let Some((number, field)) = reader.next()? {
        match (number, field) {
            (1, Field::Bytes(text)) => piece.text = utf8(text)?,
            (2, Field::Fixed32(bits)) => piece.score = f32::from_bits(bits),
            (3, Field::Varint(kind)) => {
                piece.kind = match kind {
                    1 => Kind::Normal,
                    2 => Kind::Unknown,
                    3 => Kind::Control,
                    4 => Kind::UserDefined,
                    5 => Kind::Unused,
                    6 => Kind::Byte,
                    other => return Err(format!("has the unknown type {other}")),
                }
            }
            (1..=3, other) => return Err(format!("field {number} has the wrong type: {other:?}")),
            _ => {}
        }
    }
    Ok(piece)
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| "text is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u64, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![(number << 3 | 2) as u8, payload.len() as u8];
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn reads_pieces_and_flags() {
        let mut piece = field(1, "▁a".as_bytes());
        piece.extend([2 << 3 | 5]);
        piece.extend((-1.5f32).to_le_bytes());
        piece.extend([3 << 3, 4]);
        let mut bytes = field(1, &piece);
        // model_type 2; field 35 (byte_fallback) has a key of two bytes.
        bytes.extend(field(2, &[3 << 3, 2, 0x98, 0x02, 1]));
        bytes.extend(field(3, &[3 << 3, 0]));
        let model = Model::parse(&bytes).unwrap();
        assert_eq!(model.pieces, [SpPiece { text: "▁a".into(), score: -1.5, kind: Kind::UserDefined }]);
        assert_eq!((model.model_type, model.byte_fallback), (2, true));
        assert_eq!((model.add_dummy_prefix, model.remove_extra_whitespaces), (false, true));
    }

    #[test]
    fn hostile_bytes_are_errors() {
        let cases: [(&[u8], &str); 9] = [
            (&[0x0a], "a number is cut off at the end"),
            (&[0x0a, 0x80], "a number is cut off at the end"),
            (
                &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
                "a number has more than 64 bits",
            ),
            (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], "bytes, with 0 bytes left"),
            (&[0x0a, 5, 1, 2], "a field of 5 bytes, with 2 bytes left"),
            (&[0x00, 0], "a field has the number 0"),
            (&[0x0b], "field 1 has the unknown wire type 3"),
            (&[0x0a, 3, 0x0a, 1, 0xff], "piece 0: text is not UTF-8"),
            (&[0x0a, 2, 0x18, 9], "piece 0: has the unknown type 9"),
        ];
        for (bytes, expected) in cases {
            let found = Model::parse(bytes).unwrap_err();
            assert!(found.contains(expected), "{bytes:?}: {found}");
        }
    }

    #[test]
    fn every_prefix_of_a_file_parses_or_fails_cleanly() {
        let mut bytes = Vec::new();
        for text in ["<unk>", "a", "é"] {
            bytes.extend(field(1, &field(1, text.as_bytes())));
        }
        bytes.extend(field(2, &[3 << 3, 2]));
        for end in 0..bytes.len() {
            // What matters is that it comes back; a cut between two fields is a shorter file that is whole.
            let _ = Model::parse(&bytes[..end]);
        }
        assert_eq!(Model::parse(&bytes).unwrap().pieces.len(), 3);
    }
}
