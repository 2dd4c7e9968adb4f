// SPDX-License-Identifier: EUPL-1.2
//! Attention: `softmax(scale · q kᵀ + mask) v`, without ever holding all scores.
//!
//! Letters for shapes: B batch, H query heads, K key-value heads, L queries, S keys, E head size, D size of a value.
//! Query head `h` reads key-value head `h / (H / K)`; the H / K heads that read one are its group, and a query of one
//! head is a row. All rows of a group share one reading of keys and values.
//!
//! Two kernels do the work. `decode` takes up to `FEW` rows a group and keeps keys along the vector: it is bound by
//! memory. `prefill` takes blocks of `BLOCK` rows and keeps rows along the vector: it is bound by arithmetic. Both
//! keep the softmax online: a running maximum and sum for each row, with scores in powers of two (`score · log₂ e`).
//!
//! The keys are split where there are few rows, by the shape alone, and the parts are put together in order: results
//! have the same bits whatever the number of threads.

mod decode;
mod prefill;
pub mod reference;

#[cfg(target_arch = "x86_64")]
mod avx512;

use std::cell::Cell;

use half::{bf16, f16};

use crate::simd::{Kernel, Scalar, Simd, dispatch};
use crate::{Error, Isa, Result, pool, scratch};

const NAME: &str = "attention";

/// The largest number of rows of a group for which [`decode`] is used.
const FEW: usize = 12;
/// Rows of a task of [`prefill`].
const BLOCK: usize = 64;
/// Into how many tasks a call with few rows is split, if the keys allow it, and one with many: the parts of many rows
/// are long, and cost to be put together.
const TASKS: [usize; 2] = [128, 32];
/// The fewest keys that a task is made for.
const CHUNK: usize = 512;
/// A call that takes less time on one thread, in nanoseconds by [`Plan::cost`], stays there.
const FORK: f64 = 4_000.0;

/// An element of queries, keys and values: `f32`, `bf16` or `f16`.
pub trait Element: sealed::Sealed {}
impl Element for f32 {}
impl Element for bf16 {}
impl Element for f16 {}

mod sealed {
    use super::{Attention, Isa, Result};

    pub trait Sealed: Copy + Send + Sync + 'static {
        fn attend(isa: Isa, a: &Attention<'_, Self>, out: &mut [Self], strides: [usize; 3]) -> Result<()>;
    }
}

macro_rules! element {
    ($($type:ty),*) => {$(
        impl sealed::Sealed for $type {
            fn attend(isa: Isa, a: &Attention<'_, Self>, out: &mut [Self], strides: [usize; 3]) -> Result<()> {
                attend_scalar(isa, a, out, strides)
            }
        }
    )*};
}
element!(f32, bf16, f16);

/// An array `[batch, head, row, element]` whose elements of a row lie side by side.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a, T> {
    /// The elements, from the first one of the array on.
    pub data: &'a [T],
    /// How many elements lie between two batches, two heads and two rows; 0 repeats.
    pub strides: [usize; 3],
}

/// Numbers that are added to the scores.
#[derive(Clone, Copy, Debug)]
pub enum Floats<'a> {
    /// In float32.
    F32(&'a [f32]),
    /// In bfloat16.
    Bf16(&'a [bf16]),
    /// In float16.
    F16(&'a [f16]),
}

impl Floats<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F32(data) => data.len(),
            Self::Bf16(data) => data.len(),
            Self::F16(data) => data.len(),
        }
    }
}

/// Which keys a query sees.
#[derive(Clone, Copy, Debug, Default)]
pub enum Mask<'a> {
    /// All.
    #[default]
    None,
    /// Those up to its own place, with the last query at the last key.
    Causal,
    /// Of those that [`Causal`](Self::Causal) shows, the last so many, its own included.
    Window(usize),
    /// All, with a number added to each score.
    Additive {
        /// The numbers, `[B, H, L, S]`.
        data: Floats<'a>,
        /// How many of them lie between two batches, heads, queries and keys; 0 repeats.
        strides: [usize; 4],
    },
    /// Those whose byte is not 0.
    Bool {
        /// The bytes, `[B, H, L, S]`.
        data: &'a [u8],
        /// How many of them lie between two batches, heads, queries and keys; 0 repeats.
        strides: [usize; 4],
    },
}

/// The operands of [`attend`].
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a, T> {
    /// B.
    pub batch: usize,
    /// H, a multiple of K.
    pub heads: usize,
    /// K.
    pub kv_heads: usize,
    /// L.
    pub queries: usize,
    /// S.
    pub keys: usize,
    /// E, the length of a query and of a key.
    pub width: usize,
    /// D, the length of a value.
    pub value_width: usize,
    /// The queries, `[B, H, L, E]`.
    pub q: Operand<'a, T>,
    /// The keys, `[B, K, S, E]`.
    pub k: Operand<'a, T>,
    /// The values, `[B, K, S, D]`.
    pub v: Operand<'a, T>,
    /// What the products of queries and keys are multiplied by.
    pub scale: f32,
    /// Which keys a query sees.
    pub mask: Mask<'a>,
    /// A score for each query head, `[H]`, that takes part in the softmax and stands for no value.
    pub sinks: Option<&'a [f32]>,
}

/// Attention: `out = softmax(scale · q kᵀ + mask) v`, with softmax and sums in float32.
///
/// - shape: as the fields of [`Attention`] say; `out` `[B, H, L, D]`, with `strides` for batch, head and row, so that
///   it may lie as `[B, L, H, D]`
/// - dtype: `f32`, `bf16` or `f16` throughout. With [`Isa::Avx512Bf16`], `bf16` is multiplied as such, where subnormal
///   numbers count as 0, and for more than a few queries the weights of the softmax are rounded to it.
///
/// A query that sees no key gives NaN, as the softmax of minus infinities does, unless it has a sink. Infinities and NaN
/// spread as in the formula; one in a value that a query does not see may reach it or not.
///
/// # Errors
/// [`Error::Operand`] when H is no multiple of K, an operand is shorter than its shape and strides ask for, or rows of
/// `out` would overlap.
///
/// # Examples
/// ```
/// use mlx_cpu::attention::{Attention, Mask, Operand, attend};
///
/// # fn main() -> mlx_cpu::Result<()> {
/// let (q, k, v) = ([1.0f32, 0.0], [0.0f32, 0.0, 0.0, 0.0], [1.0f32, 2.0, 3.0, 4.0]);
/// let mut out = [0.0f32; 2];
/// let attention = Attention {
///     batch: 1,
///     heads: 1,
///     kv_heads: 1,
///     queries: 1,
///     keys: 2,
///     width: 2,
///     value_width: 2,
///     q: Operand { data: &q, strides: [2, 2, 2] },
///     k: Operand { data: &k, strides: [4, 4, 2] },
///     v: Operand { data: &v, strides: [4, 4, 2] },
///     scale: 1.0,
///     mask: Mask::Causal,
///     sinks: None,
/// };
/// attend(mlx_cpu::Isa::current(), &attention, &mut out, [2, 2, 2])?;
/// assert_eq!(out, [2.0, 3.0]);
/// # Ok(()) }
/// ```
pub fn attend<T: Element>(
    isa: Isa,
    attention: &Attention<'_, T>,
    out: &mut [T],
    strides: [usize; 3],
) -> Result<()> {
    T::attend(isa, attention, out, strides)
}

/// How many elements an array takes, the last axis contiguous; `None` where the number does not fit.
fn extent(shape: &[usize], strides: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape
        .iter()
        .zip(strides)
        .try_fold(1usize, |sum, (&n, &stride)| sum.checked_add((n - 1).checked_mul(stride)?))
}

impl<T> Attention<'_, T> {
    /// Whether every operand has what its shape asks for, and the rows of `out` lie apart.
    fn check(&self, out: usize, out_strides: [usize; 3]) -> Result<()> {
        let &Self { batch, heads, kv_heads, queries, keys, width, value_width, .. } = self;
        if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            let message = format!("expected a multiple of {kv_heads} key-value heads, found {heads} heads");
            return Err(Error::operand(NAME, message));
        }
        let of = |s: [usize; 3]| [s[0], s[1], s[2], 1];
        let (q, k, v) = (&self.q, &self.k, &self.v);
        let mut operands = vec![
            ("q", [batch, heads, queries, width], of(q.strides), q.data.len()),
            ("k", [batch, kv_heads, keys, width], of(k.strides), k.data.len()),
            ("v", [batch, kv_heads, keys, value_width], of(v.strides), v.data.len()),
            ("out", [batch, heads, queries, value_width], of(out_strides), out),
        ];
        let scores = [batch, heads, queries, keys];
        match &self.mask {
            Mask::Additive { data, strides } => operands.push(("mask", scores, *strides, data.len())),
            Mask::Bool { data, strides } => operands.push(("mask", scores, *strides, data.len())),
            Mask::None | Mask::Causal | Mask::Window(_) => {}
        }
        for (name, shape, strides, found) in operands {
            if extent(&shape, &strides).is_none_or(|needed| needed > found) {
                let message =
                    format!("{name} of {shape:?} with strides {strides:?} does not fit {found} elements");
                return Err(Error::operand(NAME, message));
            }
        }
        if let Some(sinks) = self.sinks.filter(|sinks| sinks.len() != heads) {
            let message = format!("expected {heads} sinks, found {}", sinks.len());
            return Err(Error::operand(NAME, message));
        }
        // Tasks write rows at the same time: from the smallest stride on, each axis steps over all that is within it.
        let mut axes: Vec<(usize, usize)> = [batch, heads, queries]
            .into_iter()
            .zip(out_strides)
            .filter(|&(n, _)| n > 1)
            .map(|(n, stride)| (stride, n))
            .collect();
        axes.sort_unstable();
        let mut within = value_width;
        for (stride, n) in axes {
            if stride < within {
                let message = format!("rows of out overlap with strides {out_strides:?}");
                return Err(Error::operand(NAME, message));
            }
            within += (n - 1) * stride;
        }
        Ok(())
    }

    /// The keys that query `l` sees, as far as its place tells.
    fn visible(&self, l: usize) -> (usize, usize) {
        let end = (self.keys + l + 1).saturating_sub(self.queries).min(self.keys);
        match self.mask {
            Mask::Causal => (0, end),
            Mask::Window(width) => (end.saturating_sub(width), end),
            Mask::None | Mask::Additive { .. } | Mask::Bool { .. } => (0, self.keys),
        }
    }

    /// How many rows a group has.
    fn rows(&self) -> usize {
        self.heads / self.kv_heads * self.queries
    }

    /// The head within its group and the query of a row. Rows of one query lie side by side, since they see the same
    /// keys.
    fn row(&self, row: usize) -> (usize, usize) {
        let group = self.heads / self.kv_heads;
        (row % group, row / group)
    }
}

/// A pointer that threads may share.
struct Shared<T>(*mut T);
impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Shared<T> {}
// SAFETY: whoever writes through it writes where no other task does.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Shared<T> {}
impl<T> Shared<T> {
    fn get(self) -> *mut T {
        self.0
    }
}

/// How a call is cut into tasks, by its shape alone.
struct Plan {
    /// Rows of a task.
    block: usize,
    /// Tasks along the rows of a group.
    blocks: usize,
    /// The keys that some query sees.
    first: usize,
    end: usize,
    /// Keys of a task, and tasks along the keys.
    chunk: usize,
    splits: usize,
}

impl Plan {
    fn new<T>(a: &Attention<'_, T>) -> Self {
        let rows = a.rows();
        let few = rows <= FEW;
        let block = if few { rows } else { BLOCK };
        let blocks = rows.div_ceil(block);
        let (first, end) = (a.visible(0).0, a.visible(a.queries - 1).1);
        let keys = end.saturating_sub(first);
        let wanted = TASKS[usize::from(!few)].div_ceil(a.batch * a.kv_heads * blocks);
        let splits = wanted.min(keys.div_ceil(CHUNK)).max(1);
        let chunk = keys.div_ceil(splits).next_multiple_of(64).max(64);
        Self { block, blocks, first, end, chunk, splits: keys.div_ceil(chunk).max(1) }
    }

    fn tasks<T>(&self, a: &Attention<'_, T>) -> usize {
        a.batch * a.kv_heads * self.blocks * self.splits
    }

    /// About how many nanoseconds the call takes on one thread.
    fn cost<T>(&self, a: &Attention<'_, T>) -> f64 {
        let keys =
            (a.batch * a.kv_heads * (self.end - self.first.min(self.end)) * (a.width + a.value_width)) as f64;
        let bytes = keys * size_of::<T>() as f64 / 40.0;
        let products = keys * a.rows() as f64 / 100.0;
        bytes.max(products)
    }
}

/// What one thread does at once: some rows of a group, and some of their keys.
struct Task {
    batch: usize,
    kv_head: usize,
    row: usize,
    rows: usize,
    first: usize,
    end: usize,
}

/// Where a task leaves what it found for each of its rows: the largest score, in powers of two, the sum of
/// `2^(score − largest)`, and the values weighted with the same, `[rows, D]`.
#[derive(Clone, Copy)]
struct Part {
    max: *mut f32,
    sum: *mut f32,
    values: *mut f32,
}

impl Part {
    /// Part `i` of those that begin at `p`, `block` rows each.
    unsafe fn new(p: *mut f32, i: usize, block: usize, width: usize) -> Self {
        // SAFETY: the caller's buffer has so many parts.
        unsafe {
            let max = p.add(i * block * (width + 2));
            Self { max, sum: max.add(block), values: max.add(2 * block) }
        }
    }

    const fn len(block: usize, width: usize) -> usize {
        block * (width + 2)
    }

    /// What a row starts with: its sink, if it has one and its first keys are looked at, else nothing.
    fn start<T>(a: &Attention<'_, T>, task: &Task, row: usize, first: usize) -> (f32, f32) {
        let group = a.heads / a.kv_heads;
        match a.sinks {
            Some(sinks) if task.first == first => {
                let sink = sinks[task.kv_head * group + a.row(row).0];
                if sink.is_finite() {
                    (sink * std::f32::consts::LOG2_E, 1.0)
                } else if sink == f32::NEG_INFINITY {
                    (f32::NEG_INFINITY, 0.0)
                } else {
                    (f32::NEG_INFINITY, f32::NAN)
                }
            }
            _ => (f32::NEG_INFINITY, 0.0),
        }
    }
}

/// Whether the mask is an array.
fn dense<T>(a: &Attention<'_, T>) -> bool {
    matches!(a.mask, Mask::Additive { .. } | Mask::Bool { .. })
}

/// What an array adds to the scores of row `r` of a task for the `n` keys from `first` on, in powers of two: written to
/// `to`, or with `ADD` added to it.
///
/// # Safety
/// The operands were checked, and `to` has `n` elements.
#[inline(always)]
unsafe fn bias<S: Simd, T, const ADD: bool>(
    s: S,
    a: &Attention<'_, T>,
    task: &Task,
    r: usize,
    first: usize,
    n: usize,
    to: *mut f32,
) {
    let (head, l) = a.row(task.row + r);
    let h = task.kv_head * (a.heads / a.kv_heads) + head;
    let offset = |s: &[usize; 4]| task.batch * s[0] + h * s[1] + l * s[2] + first * s[3];
    // SAFETY: `check` has seen that the array has every place of its shape.
    unsafe {
        match &a.mask {
            Mask::Additive { data, strides } => {
                let (at, stride) = (offset(strides), strides[3]);
                match data {
                    Floats::F32(data) => floats::<S, f32, ADD>(s, data.as_ptr().add(at), stride, n, to),
                    Floats::Bf16(data) => floats::<S, bf16, ADD>(s, data.as_ptr().add(at), stride, n, to),
                    Floats::F16(data) => floats::<S, f16, ADD>(s, data.as_ptr().add(at), stride, n, to),
                }
            }
            Mask::Bool { data, strides } => {
                let (from, stride) = (data.as_ptr().add(offset(strides)), strides[3]);
                for i in 0..n {
                    let x = if *from.add(i * stride) == 0 { f32::NEG_INFINITY } else { 0.0 };
                    *to.add(i) = if ADD { *to.add(i) + x } else { x };
                }
            }
            Mask::None | Mask::Causal | Mask::Window(_) => {}
        }
    }
}

/// [`bias`] of numbers.
#[inline(always)]
unsafe fn floats<S: Simd, M: Scalar, const ADD: bool>(
    s: S,
    from: *const M,
    stride: usize,
    n: usize,
    to: *mut f32,
) {
    const FACTOR: f32 = std::f32::consts::LOG2_E;
    // SAFETY: the caller's.
    unsafe {
        if stride == 1 {
            let mut i = 0;
            while i < n {
                let m = S::LANES.min(n - i);
                let x = M::load_n(s, from.add(i), m);
                let old = if ADD { s.load_n(to.add(i), m) } else { s.splat(0.0) };
                s.store_n(to.add(i), s.fma(x, s.splat(FACTOR), old), m);
                i += m;
            }
        } else {
            for i in 0..n {
                let x = FACTOR * (*from.add(i * stride)).to_f32();
                *to.add(i) = if ADD { *to.add(i) + x } else { x };
            }
        }
    }
}

/// `2^x` for `x ≤ 0` within two units in the last place; 0 below −126, NaN for NaN.
#[inline(always)]
fn exp2<S: Simd>(s: S, x: S::V) -> S::V {
    let lowest = s.splat(-126.0);
    // Above 0 only in a row with a NaN, whose result is NaN whatever comes of this.
    let n = s.round(s.min(s.max(x, lowest), s.splat(126.0)));
    // Of `x` itself, so that a NaN stays one.
    let r = s.sub(x, n);
    // Powers of ln 2 over factorials.
    let mut p = s.splat(1.525_273_4e-5);
    p = s.fma(p, r, s.splat(1.540_353e-4));
    p = s.fma(p, r, s.splat(1.333_355_8e-3));
    p = s.fma(p, r, s.splat(9.618_129e-3));
    p = s.fma(p, r, s.splat(5.550_411e-2));
    p = s.fma(p, r, s.splat(0.240_226_5));
    p = s.fma(p, r, s.splat(std::f32::consts::LN_2));
    p = s.fma(p, r, s.splat(1.0));
    s.where_lt(x, lowest, s.splat(0.0), s.mul(p, s.pow2(n)))
}

/// `x`, or 0 for minus infinity: what may be taken from scores that are all minus infinity.
fn finite(x: f32) -> f32 {
    if x == f32::NEG_INFINITY { 0.0 } else { x }
}

thread_local! {
    /// Parts of tasks. Beside `scratch`, which is lent to one at a time and which the tasks themselves take.
    static PARTS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

fn attend_scalar<T: Scalar>(
    isa: Isa,
    a: &Attention<'_, T>,
    out: &mut [T],
    strides: [usize; 3],
) -> Result<()> {
    a.check(out.len(), strides)?;
    if a.batch == 0 || a.heads == 0 || a.queries == 0 || a.value_width == 0 {
        return Ok(());
    }
    let plan = Plan::new(a);
    let fork = plan.cost(a) > FORK;
    let run = |tasks: usize, task: &(dyn Fn(usize) + Sync)| {
        if fork { pool::run(tasks, task) } else { (0..tasks).for_each(task) }
    };
    let out = Shared(out.as_mut_ptr());
    let parts_len = Part::len(plan.block, a.value_width);
    let (tasks, splits) = (plan.tasks(a), plan.splits);
    let task = |i: usize| {
        let (place, split) = (i / splits, i % splits);
        let (head, block) = (place / plan.blocks, place % plan.blocks);
        // The last block of a causal mask has most to do.
        let row = (plan.blocks - 1 - block) * plan.block;
        let first = plan.first + split * plan.chunk;
        Task {
            batch: head / a.kv_heads,
            kv_head: head % a.kv_heads,
            row,
            rows: plan.block.min(a.rows() - row),
            first,
            end: (first + plan.chunk).min(plan.end),
        }
    };
    if splits == 1 {
        run(tasks, &|i| {
            let task = task(i);
            let mut parts = PARTS.take();
            if parts.len() < parts_len {
                parts.resize(parts_len, 0.0);
            }
            // SAFETY: the buffer holds one part; the rows of `out` belong to this task.
            unsafe {
                let part = Part::new(parts.as_mut_ptr(), 0, plan.block, a.value_width);
                part_of(isa, a, &plan, &task, part);
                dispatch(isa, Merge { a, task: &task, parts: &[part], out: out.get(), strides });
            }
            PARTS.set(parts);
        });
        return Ok(());
    }
    let mut parts = PARTS.take();
    if parts.len() < tasks * parts_len {
        parts.resize(tasks * parts_len, 0.0);
    }
    let at = Shared(parts.as_mut_ptr());
    run(tasks, &|i| {
        // SAFETY: the buffer holds a part for each task.
        unsafe {
            let part = Part::new(at.get(), i, plan.block, a.value_width);
            part_of(isa, a, &plan, &task(i), part);
        }
    });
    let merge = |place: usize| {
        let task = task(place * splits);
        // SAFETY: the parts were written above; the rows of `out` belong to this place.
        unsafe {
            let part = |split| Part::new(at.get(), place * splits + split, plan.block, a.value_width);
            let parts: Vec<Part> = (0..splits).map(part).collect();
            dispatch(isa, Merge { a, task: &task, parts: &parts, out: out.get(), strides });
        }
    };
    if fork && tasks * parts_len > 1 << 17 {
        pool::run(tasks / splits, &merge);
    } else {
        (0..tasks / splits).for_each(merge);
    }
    PARTS.set(parts);
    Ok(())
}

/// Does a task.
///
/// # Safety
/// The operands were checked, and `part` has room for the rows of the task.
unsafe fn part_of<T: Scalar>(isa: Isa, a: &Attention<'_, T>, plan: &Plan, task: &Task, part: Part) {
    let few = a.rows() <= FEW;
    let room = if few { decode::Decode::room(a) } else { prefill::room(a) };
    #[cfg(target_arch = "x86_64")]
    let room = room.max(avx512::room(a));
    // Taken here, because a kernel has no closures.
    scratch::with::<f32, _>(room, |room| {
        let room = room.as_mut_ptr();
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Avx512Bf16 && isa.is_available() {
            // SAFETY: the processor has the set; the rest is the caller's.
            if unsafe { avx512::part_of(a, plan, task, part, room) } {
                return;
            }
        }
        if few {
            dispatch(isa, decode::Decode { a, plan, task, part, room });
        } else {
            dispatch(isa, prefill::Prefill { a, plan, task, part, room });
        }
    });
}

/// Puts the parts of some rows together, divides by the sum and writes the rows.
struct Merge<'a, T> {
    a: &'a Attention<'a, T>,
    task: &'a Task,
    parts: &'a [Part],
    out: *mut T,
    strides: [usize; 3],
}

impl<T: Scalar> Kernel for Merge<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { a, task, parts, out, strides } = self;
        let group = a.heads / a.kv_heads;
        let width = a.value_width;
        for i in 0..task.rows {
            let (head, query) = a.row(task.row + i);
            let place =
                task.batch * strides[0] + (task.kv_head * group + head) * strides[1] + query * strides[2];
            // SAFETY: parts have `rows` rows, and `out` has every row of its shape.
            unsafe {
                let out = out.add(place);
                let (mut max, mut sum) = (f32::NEG_INFINITY, 0.0f32);
                for part in parts {
                    let m = *part.max.add(i);
                    // A NaN is kept: nothing is larger.
                    max = if m > max || m.is_nan() { m } else { max };
                }
                let max = finite(max);
                for part in parts {
                    let weight = (*part.max.add(i) - max).exp2();
                    // The largest score is no longer needed, and the weight is.
                    *part.max.add(i) = weight;
                    sum += *part.sum.add(i) * weight;
                }
                let factor = s.splat(1.0 / sum);
                let mut d = 0;
                while d < width {
                    let n = S::LANES.min(width - d);
                    let mut acc = s.splat(0.0);
                    for part in parts {
                        let value = s.load_n(part.values.add(i * width + d), n);
                        acc = s.fma(value, s.splat(*part.max.add(i)), acc);
                    }
                    T::store_n(s, out.add(d), s.mul(acc, factor), n);
                    d += n;
                }
            }
        }
    }
}
