// SPDX-License-Identifier: EUPL-1.2
//! Formats, and matrices in them.

use std::ops::Range;

use half::{bf16, f16};

use crate::{Error, Result};

/// How values are mapped to few bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Whole numbers with a scale and a bias for each group.
    Affine,
    /// Floats of 4 bits (E2M1) with a power of two (E8M0) for each 32.
    Mxfp4,
    /// Floats of 4 bits (E2M1) with a float of 8 bits (E4M3) for each 16.
    Nvfp4,
    /// Floats of 8 bits (E4M3) with a power of two (E8M0) for each 32.
    Mxfp8,
}

/// A format that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Format {
    kind: Kind,
    bits: usize,
    group_size: usize,
}

impl Format {
    /// Floats of 4 bits with a power of two for each 32.
    pub const MXFP4: Self = Self { kind: Kind::Mxfp4, bits: 4, group_size: 32 };
    /// Floats of 4 bits with a float of 8 bits for each 16.
    pub const NVFP4: Self = Self { kind: Kind::Nvfp4, bits: 4, group_size: 16 };
    /// Floats of 8 bits with a power of two for each 32.
    pub const MXFP8: Self = Self { kind: Kind::Mxfp8, bits: 8, group_size: 32 };

    /// The format with these properties.
    ///
    /// # Errors
    /// [`Error::Operand`] when there is none.
    pub fn new(kind: Kind, bits: usize, group_size: usize) -> Result<Self> {
        let format = Self { kind, bits, group_size };
        Self::all().find(|&known| known == format).ok_or_else(|| {
            let message = format!("there is no {kind:?} with {bits} bits and groups of {group_size}");
            Error::operand("quantised format", message)
        })
    }

    /// Every format.
    pub fn all() -> impl Iterator<Item = Self> {
        let affine = [32, 64, 128].into_iter().flat_map(|group_size| {
            [2, 3, 4, 5, 6, 8].map(|bits| Self { kind: Kind::Affine, bits, group_size })
        });
        affine.chain([Self::MXFP4, Self::NVFP4, Self::MXFP8])
    }

    /// How values are mapped to bits.
    #[must_use]
    pub const fn kind(self) -> Kind {
        self.kind
    }

    /// Bits of a value.
    #[must_use]
    pub const fn bits(self) -> usize {
        self.bits
    }

    /// How many values share a scale.
    #[must_use]
    pub const fn group_size(self) -> usize {
        self.group_size
    }
}

/// One number for each group of a matrix, row by row.
#[derive(Clone, Copy, Debug)]
pub enum Scales<'a> {
    /// For affine formats.
    F32(&'a [f32]),
    /// For affine formats.
    Bf16(&'a [bf16]),
    /// For affine formats.
    F16(&'a [f16]),
    /// E8M0 for the mx formats, E4M3 for nvfp4.
    Bytes(&'a [u8]),
}

impl Scales<'_> {
    fn len(self) -> usize {
        match self {
            Self::F32(x) => x.len(),
            Self::Bf16(x) => x.len(),
            Self::F16(x) => x.len(),
            Self::Bytes(x) => x.len(),
        }
    }

    const fn dtype(self) -> &'static str {
        match self {
            Self::F32(_) => "float32",
            Self::Bf16(_) => "bfloat16",
            Self::F16(_) => "float16",
            Self::Bytes(_) => "uint8",
        }
    }
}

/// The parts of a quantised matrix `[n, k]`, packed along `k`, that fit each other.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    format: Format,
    n: usize,
    k: usize,
    words: &'a [u32],
    scales: Scales<'a>,
    biases: Option<Scales<'a>>,
}

const NAME: &str = "quantised matrix";

impl<'a> Matrix<'a> {
    /// A matrix of its parts.
    ///
    /// - `k`: a multiple of the group size
    /// - `words`: `[n, k · bits / 32]`, the first value in the lowest bits
    /// - `scales`: `[n, k / group_size]`, bytes for all formats but affine
    /// - `biases`: for affine, like the scales and of their dtype
    ///
    /// # Errors
    /// [`Error::Operand`] when the parts do not fit each other or the format.
    pub fn new(
        format: Format,
        n: usize,
        k: usize,
        words: &'a [u32],
        scales: Scales<'a>,
        biases: Option<Scales<'a>>,
    ) -> Result<Self> {
        let Format { kind, bits, group_size } = format;
        if !k.is_multiple_of(group_size) {
            let message = format!("rows of {k} values do not divide into groups of {group_size}");
            return Err(Error::operand(NAME, message));
        }
        let length = |what: &str, per_row: usize, found: usize| match n.checked_mul(per_row) {
            Some(expected) if expected == found => Ok(()),
            _ => {
                let message = format!("expected {n} rows of {per_row} {what}, found {found}");
                Err(Error::operand(NAME, message))
            }
        };
        // A group has a whole number of words in every format.
        length("words", k / group_size * (group_size * bits / 32), words.len())?;
        length("scales", k / group_size, scales.len())?;
        match (kind, scales) {
            (Kind::Affine, Scales::Bytes(_)) => {
                return Err(Error::operand(NAME, "expected scales in a float for Affine, found uint8"));
            }
            (Kind::Affine, _) | (_, Scales::Bytes(_)) => {}
            (kind, _) => {
                let message = format!("expected scales in uint8 for {kind:?}, found {}", scales.dtype());
                return Err(Error::operand(NAME, message));
            }
        }
        match (kind, biases) {
            (Kind::Affine, Some(biases)) => {
                length("biases", k / group_size, biases.len())?;
                if biases.dtype() != scales.dtype() {
                    let message = format!(
                        "expected biases in {} like the scales, found {}",
                        scales.dtype(),
                        biases.dtype()
                    );
                    return Err(Error::operand(NAME, message));
                }
            }
            (Kind::Affine, None) => {
                return Err(Error::operand(NAME, "expected biases for Affine, found none"));
            }
            (kind, Some(_)) => {
                return Err(Error::operand(NAME, format!("expected no biases for {kind:?}")));
            }
            (_, None) => {}
        }
        Ok(Self { format, n, k, words, scales, biases })
    }

    /// The format.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// How many rows there are.
    #[must_use]
    pub const fn n(&self) -> usize {
        self.n
    }

    /// How many values a row has.
    #[must_use]
    pub const fn k(&self) -> usize {
        self.k
    }

    /// The packed values.
    #[must_use]
    pub const fn words(&self) -> &'a [u32] {
        self.words
    }

    /// The scales.
    #[must_use]
    pub const fn scales(&self) -> Scales<'a> {
        self.scales
    }

    /// The biases of an affine matrix.
    #[must_use]
    pub const fn biases(&self) -> Option<Scales<'a>> {
        self.biases
    }

    /// Words of a row.
    pub(super) const fn row_words(&self) -> usize {
        self.k / self.format.group_size * (self.format.group_size * self.format.bits / 32)
    }

    /// Groups of a row.
    pub(super) const fn row_groups(&self) -> usize {
        self.k / self.format.group_size
    }

    /// Scale and bias of a group, counted through all rows.
    #[inline(always)]
    pub(super) fn parameters(&self, group: usize) -> (f32, f32) {
        let number = |scales: Scales<'_>| match scales {
            Scales::F32(x) => x[group],
            Scales::Bf16(x) => x[group].to_f32(),
            Scales::F16(x) => x[group].to_f32(),
            Scales::Bytes(x) if matches!(self.format.kind, Kind::Nvfp4) => E4M3[usize::from(x[group])],
            Scales::Bytes(x) => e8m0(x[group]),
        };
        (number(self.scales), self.biases.map_or(0.0, number))
    }

    /// That `rows` are rows of this and `out` has `per_row` elements for each.
    pub(super) fn check_rows(
        &self,
        kernel: &'static str,
        rows: &Range<usize>,
        out: usize,
        per_row: usize,
    ) -> Result<()> {
        if rows.start > rows.end || rows.end > self.n {
            let message = format!("expected rows of the {} that there are, found {rows:?}", self.n);
            return Err(Error::operand(kernel, message));
        }
        if rows.len().checked_mul(per_row) != Some(out) {
            let message = format!("expected room for {} times {per_row} values, found {out}", rows.len());
            return Err(Error::operand(kernel, message));
        }
        Ok(())
    }
}

/// The values of E2M1.
pub(super) const E2M1: [f32; 16] =
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

/// The values of E4M3, where the codes that OCP leaves to NaN are ±480 as in MLX.
pub(super) static E4M3: [f32; 256] = {
    let mut values = [0.0; 256];
    let mut code = 0u32;
    while code < 256 {
        let (exponent, mantissa) = (code >> 3 & 15, code & 7);
        let magnitude = if exponent == 0 {
            mantissa as f32 / 512.0
        } else {
            f32::from_bits((exponent + 120) << 23 | mantissa << 20)
        };
        values[code as usize] = if code < 128 { magnitude } else { -magnitude };
        code += 1;
    }
    values
};

/// A power of two from its exponent; 0xff is infinite as in MLX.
pub(super) const fn e8m0(code: u8) -> f32 {
    f32::from_bits(if code == 0 { 0x0040_0000 } else { (code as u32) << 23 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_codes_are_those_of_mlx() {
        assert_eq!([E4M3[0x01], E4M3[0x08], E4M3[0x38], E4M3[0x7e]], [0.001_953_125, 0.015_625, 1.0, 448.0]);
        assert_eq!([E4M3[0x7f], E4M3[0xff], E4M3[0xb8]], [480.0, -480.0, -1.0]);
        assert!(E4M3[0x80] == 0.0 && E4M3[0x80].is_sign_negative());
        assert_eq!([e8m0(127), e8m0(128), e8m0(1)], [1.0, 2.0, f32::MIN_POSITIVE]);
        assert_eq!(e8m0(0), f32::MIN_POSITIVE / 2.0);
        assert_eq!(e8m0(255), f32::INFINITY);
    }
}
