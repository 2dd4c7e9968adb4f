// SPDX-License-Identifier: EUPL-1.2
//! What becomes of sums before they are stored.

use std::ops::Range;

use super::{Out, Part};
use crate::Element;
use crate::elementwise::activate;
use crate::simd::{Kernel, Scalar, Simd};

/// Stores a block of a part: `first` and `second` are `[rows, columns]` of sums, the second those of `up`.
pub(crate) struct Finish<'a, 'p, T> {
    pub(crate) part: &'a Part<'p, T>,
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
    pub(crate) first: &'a [f32],
    pub(crate) second: &'a [f32],
}

impl<T: Element> Kernel for Finish<'_, '_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let count = self.columns.len();
        for (i, row) in self.rows.clone().enumerate() {
            let mut j = 0;
            while j < count {
                let n = S::LANES.min(count - j);
                let at = i * count + j;
                // SAFETY: sums, bias, what is added and results have these rows and columns, as `project` checked; a
                // task writes columns of its own.
                unsafe {
                    let mut v = s.load_n(self.first.as_ptr().add(at), n);
                    if let Some(bias) = self.part.bias {
                        v = s.add(v, T::load_n(s, bias.as_ptr().add(self.columns.start + j), n));
                    }
                    if let Some((activation, _)) = &self.part.gate {
                        let up = s.load_n(self.second.as_ptr().add(at), n);
                        v = s.mul(activate(s, *activation, v), up);
                    }
                    let column = self.columns.start + j;
                    if let Some(add) = &self.part.add {
                        v = s.add(v, T::load_n(s, add.as_ptr().add(row * add.stride() + column), n));
                    }
                    match &self.part.out {
                        Out::Same(out) => T::store_n(s, out.at(row, column), v, n),
                        Out::F32(out) => f32::store_n(s, out.at(row, column), v, n),
                    }
                }
                j += n;
            }
        }
    }
}
