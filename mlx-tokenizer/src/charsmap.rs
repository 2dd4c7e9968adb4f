// SPDX-License-Identifier: EUPL-1.2
//! The compiled character map of a SentencePiece model: a double-array trie from strings to their normalised form.
//!
//! Layout: the trie's size in bytes (u32, little endian), the trie's units (u32 each), then the normalised strings,
//! each ended by a NUL. Source: `normalizer.cc` of SentencePiece and the unit layout of Darts-clone. The longest match
//! at each position is replaced, as SentencePiece does; `tokenizers` looks at whole graphemes first, which differs for
//! some sequences of combining marks.

/// A character map, checked for its outline; every step through it is bounded by its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Charsmap {
    units: Vec<u32>,
    strings: String,
}

impl Charsmap {
    /// Reads a map; an empty one is the identity.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Charsmap>, String> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let (size, rest) = bytes.split_first_chunk::<4>().ok_or("the character map is cut off")?;
        let size = usize::try_from(u32::from_le_bytes(*size)).unwrap_or(usize::MAX);
        let (trie, strings) = rest
            .split_at_checked(size)
            .filter(|(trie, _)| !trie.is_empty() && trie.len() % 4 == 0)
            .ok_or_else(|| {
                format!("the character map's trie of {size} bytes does not fit into {}", rest.len())
            })?;
        let strings =
            std::str::from_utf8(strings).map_err(|_| "the character map's strings are not UTF-8")?;
        let units =
            trie.chunks_exact(4).filter_map(|unit| unit.try_into().ok().map(u32::from_le_bytes)).collect();
        Ok(Some(Charsmap { units, strings: strings.to_owned() }))
    }

    /// The length in bytes of the longest prefix of `text` that the map knows, and what replaces it.
    pub(crate) fn longest<'a>(&'a self, text: &str) -> Option<(usize, &'a str)> {
        let mut best = None;
        let mut at = offset(*self.units.first()?);
        for (index, byte) in text.bytes().enumerate() {
            at ^= usize::from(byte);
            let Some(&unit) = self.units.get(at) else { break };
            if label(unit) != u32::from(byte) {
                break;
            }
            at ^= offset(unit);
            if has_leaf(unit)
                && let Some(&leaf) = self.units.get(at)
            {
                best = Some((index + 1, leaf & 0x7fff_ffff));
            }
        }
        let (length, start) = best?;
        // A match that ends within a character, or a value beyond the strings, comes from a broken file.
        text.get(..length)?;
        let tail = self.strings.get(usize::try_from(start).ok()?..)?;
        Some((length, tail.split('\0').next().unwrap_or("")))
    }
}

fn has_leaf(unit: u32) -> bool {
    unit >> 8 & 1 == 1
}

/// The byte that leads to a unit; a leaf has its highest bit set and so equals no byte.
fn label(unit: u32) -> u32 {
    unit & (1 << 31 | 0xff)
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 1 << 9) >> 6)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trie with the one key "a" → strings[2..]. The root's children start at 0x100, so that unit 0x100 ^ b'a' is
    /// the node of "a", whose own leaf is at offset 1 from it.
    fn single() -> Vec<u8> {
        let mut units = vec![0u32; 0x200];
        units[0] = 0x100 << 10;
        let node = 0x100 ^ usize::from(b'a');
        units[node] = u32::from(b'a') | 1 << 8 | 1 << 10;
        units[node ^ 1] = 1 << 31 | 2;
        let mut bytes = ((units.len() * 4) as u32).to_le_bytes().to_vec();
        units.iter().for_each(|unit| bytes.extend(unit.to_le_bytes()));
        bytes.extend(b"x\0bc\0");
        bytes
    }

    #[test]
    fn finds_the_longest_match() {
        let map = Charsmap::parse(&single()).unwrap().unwrap();
        assert_eq!(map.longest("ab"), Some((1, "bc")));
        assert_eq!(map.longest("b"), None);
        assert_eq!(map.longest(""), None);
        assert_eq!(Charsmap::parse(b""), Ok(None));
    }

    #[test]
    fn broken_maps_are_errors_or_match_nothing() {
        for bytes in
            [&b"\x01\0"[..], b"\x04\0\0\0\0", b"\xff\xff\xff\xff\0\0\0\0", b"\0\0\0\0abc", b"\x03\0\0\0abc"]
        {
            assert!(Charsmap::parse(bytes).is_err(), "{bytes:?}");
        }
        let mut latin = single();
        latin.push(0xff);
        assert!(Charsmap::parse(&latin).is_err());
        // Each unit in turn is made to point anywhere: nothing panics.
        for at in (4..single().len() - 8).step_by(4) {
            for value in [u32::MAX, 0x7fff_ffff, 0x1ff | b'a' as u32] {
                let mut bytes = single();
                bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
                let map = Charsmap::parse(&bytes).unwrap().unwrap();
                let _ = (map.longest("aaa"), map.longest("é"), map.longest("\u{10ffff}"));
            }
        }
    }
}
