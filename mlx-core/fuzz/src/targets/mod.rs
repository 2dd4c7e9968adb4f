// SPDX-License-Identifier: EUPL-1.2
//! What each target does with its bytes. The tests of `mlx-core` read this file too, and do the same with the inputs that
//! are kept in `corpus/`.
//!
//! Whatever the bytes say, a call gives an error or a value. A value is computed and read, and has as many elements as
//! its shape says.

mod indexing;
mod npy;
mod ops;
mod safetensors;

/// Runs one input.
pub(crate) type Target = fn(&[u8]);

/// The targets by name, which is also that of their folder of inputs.
pub(crate) const TARGETS: [(&str, Target); 4] =
    [("safetensors", safetensors::run), ("npy", npy::run), ("indexing", indexing::run), ("ops", ops::run)];

use mlx_core::{Array, Dtype};

/// Reads an input from its start. Once it is used up, everything is 0.
#[derive(Clone)]
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// A number below `n`, which is not 0.
    pub(crate) fn below(&mut self, n: u8) -> u8 {
        self.byte() % n
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Mostly a small number, sometimes one that is nearly too large, or is.
    pub(crate) fn int(&mut self) -> i32 {
        match self.byte() {
            byte @ 0..=223 => i32::from(byte % 16) - 6,
            byte @ 224..=239 => {
                [i32::MIN, i32::MAX, i32::MIN + 1, i32::MAX - 1, 1 << 16, -(1 << 16), 1 << 30, -1]
                    [usize::from(byte % 8)]
            }
            _ => i32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()]),
        }
    }

    pub(crate) fn ints(&mut self, most: u8) -> Vec<i32> {
        (0..self.below(most + 1)).map(|_| self.int()).collect()
    }

    pub(crate) fn dtype(&mut self) -> Dtype {
        Dtype::ALL[usize::from(self.below(14))]
    }

    pub(crate) fn float(&mut self) -> f64 {
        const STRANGE: [f64; 8] = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, 5e-324, 0.5];
        match self.byte() {
            byte @ 0..=199 => f64::from(byte) - 100.0,
            byte => STRANGE[usize::from(byte % 8)],
        }
    }

    /// An array of up to four axes that are no longer than five.
    pub(crate) fn array(&mut self) -> Option<Array> {
        let shape: Vec<i32> = (0..self.below(5)).map(|_| i32::from(self.below(6))).collect();
        let dtype = self.dtype();
        let count = shape.iter().map(|&dim| dim as usize).product::<usize>();
        let values: Vec<f32> = (0..count.min(8)).map(|_| self.float() as f32).collect();
        let values: Vec<f32> = (0..count).map(|i| values[i % values.len()] + (i / 8) as f32).collect();
        let array = Array::from_slice(&values, &shape).ok()?.astype(dtype).ok()?;
        // As it may come out of another op: transposed, reversed, every second, or broadcast.
        match self.below(5) {
            1 => array.transpose().ok(),
            2 if array.ndim() > 0 => array.flip(-1).ok(),
            3 if array.ndim() > 0 => array.index((mlx_core::step(.., 2),)).ok(),
            4 => array.broadcast_to(&[&[2], array.shape()].concat()).ok(),
            _ => Some(array),
        }
    }
}

/// Computes an array and reads every byte of it, unless it is too large for a quick answer.
pub(crate) fn read(array: &Array) {
    let count: i64 = array.shape().iter().map(|&dim| i64::from(dim)).product();
    assert_eq!(i64::try_from(array.size()), Ok(count), "{array:?}");
    if count > 1 << 16 {
        return;
    }
    if let Ok((len, _)) =
        array.with_bytes(|bytes| (bytes.len(), bytes.iter().map(|&b| u64::from(b)).sum::<u64>()))
    {
        assert_eq!(len, array.nbytes(), "{array:?}");
    }
}
