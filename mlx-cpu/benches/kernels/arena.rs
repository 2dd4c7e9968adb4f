// SPDX-License-Identifier: EUPL-1.2
//! Numbers to compute with, in memory that kernels go round in.

use half::{bf16, f16};

/// A type of which a pattern of bits is given by the arena.
///
/// # Safety
/// Every pattern of bits is a value.
pub(crate) unsafe trait Plain: Copy + Send + Sync + 'static {
    /// Its name in the table.
    const NAME: &'static str;
    /// Of random bits those are taken that are set in the first, and those of the second are set.
    const BITS: (u64, u64);
}

// Floats get one of two exponents, so that none is subnormal and no sum leaves the range: ±0.03 to ±0.125.

// SAFETY: every pattern is a float.
unsafe impl Plain for f32 {
    const NAME: &'static str = "f32";
    const BITS: (u64, u64) = (0x80ff_ffff_80ff_ffff, 0x3d00_0000_3d00_0000);
}
// SAFETY: every pattern is a float.
unsafe impl Plain for bf16 {
    const NAME: &'static str = "bf16";
    const BITS: (u64, u64) = (0x80ff_80ff_80ff_80ff, 0x3d00_3d00_3d00_3d00);
}
// SAFETY: every pattern is a float.
unsafe impl Plain for f16 {
    const NAME: &'static str = "f16";
    const BITS: (u64, u64) = (0x87ff_87ff_87ff_87ff, 0x2800_2800_2800_2800);
}
// SAFETY: every pattern is a number.
unsafe impl Plain for u32 {
    const NAME: &'static str = "u32";
    const BITS: (u64, u64) = (u64::MAX, 0);
}
/// Scales in E8M0: 2^−7 to 1. In E4M3 the same bytes are large numbers, and finite.
// SAFETY: every pattern is a number.
unsafe impl Plain for u8 {
    const NAME: &'static str = "u8";
    const BITS: (u64, u64) = (0x0707_0707_0707_0707, 0x7878_7878_7878_7878);
}

/// Random numbers of one type, at the start of a line of the cache.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    data: Vec<Line>,
    of: std::marker::PhantomData<T>,
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u64; 8]);

impl<T: Plain> Arena<T> {
    /// So many elements, rounded up to a line.
    pub(crate) fn new(len: usize) -> Self {
        let lines = (len * size_of::<T>()).div_ceil(64);
        let mut data = vec![Line([0; 8]); lines];
        let (and, or) = T::BITS;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for (i, part) in data.chunks_mut(lines.div_ceil(threads).max(1)).enumerate() {
                scope.spawn(move || {
                    let mut state = i as u64 + 1;
                    for word in part.iter_mut().flat_map(|line| &mut line.0) {
                        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
                        // The low bits of such a sequence repeat soon; the upper ones go to both halves.
                        let bits = state ^ (state >> 33);
                        *word = (bits & and) | or;
                    }
                });
            }
        });
        Self { data, of: std::marker::PhantomData }
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[T] {
        let len = self.data.len() * (64 / size_of::<T>());
        // SAFETY: the lines have so many elements, aligned, and every pattern of bits is one.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr().cast(), len) }
    }

    /// The elements of copy `turn` of something that has `len`, of which there are as many as there is room for.
    pub(crate) fn turn(&self, turn: usize, len: usize) -> &[T] {
        let all = self.all();
        // Each at the start of a line.
        let stride = len.next_multiple_of(64);
        let copies = ((all.len() - len) / stride.max(1)) + 1;
        let start = turn % copies * stride;
        &all[start..start + len]
    }
}
