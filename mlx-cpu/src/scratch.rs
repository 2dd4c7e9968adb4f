// SPDX-License-Identifier: EUPL-1.2
//! Memory that a thread keeps for its kernels.

use std::cell::Cell;

/// A line of the cache, so that a buffer of these is aligned to one.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

thread_local! {
    /// Buffers that nobody has, the one of the outermost call last.
    static KEPT: Cell<Vec<Vec<Line>>> = const { Cell::new(Vec::new()) };
}

/// Types for which any bytes are a value: all [`Element`](crate::Element)s, and whole numbers.
///
/// # Safety
/// Every bit pattern is valid, there is no padding, and the alignment is at most 64.
pub unsafe trait Plain: Copy {}
// SAFETY: numbers.
unsafe impl Plain for f32 {}
// SAFETY: numbers.
unsafe impl Plain for u8 {}
// SAFETY: numbers.
unsafe impl Plain for u16 {}
// SAFETY: numbers.
unsafe impl Plain for i8 {}
// SAFETY: numbers.
unsafe impl Plain for i32 {}
// SAFETY: sixteen bits of which all patterns are values.
unsafe impl Plain for half::bf16 {}
// SAFETY: sixteen bits of which all patterns are values.
unsafe impl Plain for half::f16 {}

/// Lends `body` a buffer of `len` elements, aligned to a line of the cache, with unspecified values.
///
/// The thread keeps the memory for the next call that is nested as deep.
pub fn with<T: Plain, R>(len: usize, body: impl FnOnce(&mut [T]) -> R) -> R {
    let mut kept = KEPT.try_with(Cell::take).unwrap_or_default();
    let mut lines = kept.pop().unwrap_or_default();
    let _ = KEPT.try_with(|cell| cell.set(kept));
    let needed = (len * size_of::<T>()).div_ceil(64);
    if lines.len() < needed {
        lines.resize(needed, Line([0; 64]));
    }
    // SAFETY: the buffer has at least `len` elements of `T`, is aligned for it, is initialised, and is borrowed alone.
    let slice = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast::<T>(), len) };
    let result = body(slice);
    let _ = KEPT.try_with(|cell| {
        let mut kept = cell.take();
        kept.push(lines);
        cell.set(kept);
    });
    result
}

#[cfg(test)]
mod tests {
    #[test]
    fn nested_buffers_do_not_overlap_and_are_aligned() {
        super::with::<f32, _>(100, |outer| {
            outer.fill(1.0);
            super::with::<u8, _>(1000, |inner| {
                assert_eq!(inner.as_ptr().align_offset(64), 0);
                inner.fill(7);
            });
            assert!(outer.iter().all(|&x| x == 1.0));
        });
    }
}
