// SPDX-License-Identifier: EUPL-1.2
//! What becomes of sums before they are stored.

use std::ops::Range;

use super::Out;
use crate::elementwise::Unary;
use crate::simd::{Kernel, Simd, each, load, store};
use crate::{Element, Rows};

/// Sums of some rows and columns of a part, the second those of `up`.
pub(crate) struct Block<'a> {
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
    /// From one row of sums to the next.
    pub(crate) pitch: usize,
    pub(crate) first: &'a [f32],
    pub(crate) second: &'a [f32],
}

/// Stores a block, with what a part adds on top; `A` is the activation of its gate, if it is `GATED`.
pub(crate) struct Finish<'a, 'p, T, A, const GATED: bool> {
    pub(crate) activation: A,
    pub(crate) bias: Option<&'a [T]>,
    pub(crate) add: Option<&'a Rows<'p, T>>,
    pub(crate) out: &'a Out<'p, T>,
    pub(crate) block: Block<'a>,
}

impl<T: Element, A: Unary, const GATED: bool> Kernel for Finish<'_, '_, T, A, GATED> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { activation, bias, add, out, block: Block { rows, columns, pitch, first, second } } = self;
        let (start, count) = (columns.start, columns.len());
        for (i, row) in rows.enumerate() {
            // SAFETY: sums, bias, what is added and results have these rows and columns, as `project` checked; a task
            // writes columns of its own.
            unsafe {
                let (first, second) =
                    (first.as_ptr().add(i * pitch), second.as_ptr().wrapping_add(i * pitch));
                let bias = bias.map(|bias| bias.as_ptr().add(start));
                let add = add.map(|add| add.at(row).add(start));
                each!(S, count, |j, m| {
                    let mut v = load(s, first.add(j), m);
                    if let Some(bias) = bias {
                        v = s.add(v, load(s, bias.add(j), m));
                    }
                    if GATED {
                        v = s.mul(activation.apply(s, v), load(s, second.add(j), m));
                    }
                    if let Some(add) = add {
                        v = s.add(v, load(s, add.add(j), m));
                    }
                    match out {
                        Out::Same(out) => store(s, out.at(row).add(start + j), v, m),
                        Out::F32(out) => store(s, out.at(row).add(start + j), v, m),
                    }
                });
            }
        }
    }
}
