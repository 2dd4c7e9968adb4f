// SPDX-License-Identifier: EUPL-1.2
//! Products with matrices of weights, `y = x · Wᵀ`, as they lie in checkpoints.
//!
//! Letters for shapes: M rows of activations, N outputs, K inputs.
//!
//! One call computes several products of the same activations, because a fork of the threads and a pass over `x` are
//! then paid once: q, k and v of attention, or gate and up of a feed-forward layer, whose product is formed before it
//! is rounded. Weights are read where they are. Where the processor has dot products of bfloat16 these do the work for
//! bfloat16 operands; all others are products of float32, with weights converted a block at a time into a buffer that
//! stays in the cache.
//!
//! A task is a block of outputs. Each output is one sum in an order that depends on K alone, and on whether there are few
//! rows or many, so neither the number of threads nor the size of a block changes a bit.

mod finish;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod pairs;
mod source;
pub(crate) mod tile;

use std::ops::Range;

use half::bf16;

pub use source::Weight;

use crate::elementwise::{Activation, Identity, with_activation};
use crate::norm::{self, RmsNorm};
use crate::quant::{Format, Matrix, Prepared, gemv_rows};
use crate::simd::dispatch;
use crate::{Element, Error, Isa, Result, Rows, RowsMut, pool, scratch};
use finish::{Block as Sums, Finish};
use source::Panels;
use tile::{Block, Tile};

/// One product of a [`project`] call, and what becomes of it.
#[derive(Debug)]
pub struct Part<'a, T> {
    /// `[N, K]`.
    pub weight: Weight<'a, T>,
    /// Added to each row of the product, `[N]`.
    pub bias: Option<&'a [T]>,
    /// With an activation, the product is `activation(x · weightᵀ) · (x · upᵀ)`; biases are then added to the first.
    pub gate: Option<(Activation, Weight<'a, T>)>,
    /// The norm of all that, rounded before and after.
    pub norm: Option<RmsNorm<'a>>,
    /// Added at last, `[M, N]`: the residual stream.
    pub add: Option<Rows<'a, T>>,
    /// Where the result goes, `[M, N]`.
    pub out: Out<'a, T>,
}

/// The dtype that a result is rounded to.
#[derive(Debug)]
pub enum Out<'a, T> {
    /// That of the activations.
    Same(RowsMut<'a, T>),
    /// float32, as it was summed.
    F32(RowsMut<'a, f32>),
}

impl<T> Out<'_, T> {
    fn shape(&self) -> [usize; 2] {
        match self {
            Self::Same(rows) => [rows.rows(), rows.width()],
            Self::F32(rows) => [rows.rows(), rows.width()],
        }
    }
}

/// Rows of activations up to which packed weights are multiplied without being unpacked to memory first.
const FEW: usize = 8;

/// About how many bytes of weights a task has when there are few rows, so that reading them is the work: small enough
/// that threads end together, large enough that taking a task costs nothing. Numbers are read in several streams, each of
/// which begins slowly.
const FEW_BYTES: usize = 192 << 10;

/// The same for packed words, which are read in one stream that goes on in the next task.
const FEW_PACKED_BYTES: usize = 96 << 10;

/// Elements of a block of weights that is read again for every tile of activations: in the second cache.
const MANY_ELEMENTS: usize = 96 << 10;

/// Elements of a row of activations that a tile goes through at a time: six rows of them stay in the first cache.
const K_BLOCK: usize = 2048;

/// Computes every part: `out = x · Wᵀ`, with what the part says on top.
///
/// - `x`: `[M, K]`; with `norm`, its norm is taken first, and rounded
///
/// Sums are in float32 and rounded once, when they are stored.
///
/// # Errors
/// [`Error::Operand`] when a part does not fit `x`, or `norm` does not.
pub fn project<T: Element>(
    isa: Isa,
    x: Rows<'_, T>,
    norm: Option<&RmsNorm<'_>>,
    parts: &[Part<'_, T>],
) -> Result<()> {
    for part in parts {
        part.check(&x)?;
    }
    let (m, k) = (x.rows(), x.width());
    if m == 0 || parts.iter().all(|part| part.out.shape()[1] == 0) {
        return Ok(());
    }
    let Some(norm) = norm else { return products(isa, &x, parts) };
    scratch::with(m * k, |normed| {
        norm::rms_norm(isa, x, norm, &mut RowsMut::new(normed, m, k, k)?)?;
        products(isa, &Rows::new(normed, m, k, k)?, parts)
    })
}

/// [`project`] without a norm of `x`, and with what a part's norm is taken of in memory of its own.
fn products<T: Element>(isa: Isa, x: &Rows<'_, T>, parts: &[Part<'_, T>]) -> Result<()> {
    let m = x.rows();
    let aside = |part: &Part<'_, T>| if part.norm.is_some() { m * part.out.shape()[1] } else { 0 };
    scratch::with(parts.iter().map(aside).sum(), |mut buffer| {
        let mut places = Vec::with_capacity(parts.len());
        for part in parts {
            let (place, rest) = buffer.split_at_mut(aside(part));
            let n = part.out.shape()[1];
            places.push(match part.norm {
                Some(_) => Some(RowsMut::new(place, m, n, n)?),
                None => None,
            });
            buffer = rest;
        }
        multiply(isa, x, parts, &places)?;
        for (part, place) in parts.iter().zip(&places) {
            if let (Some(norm), Some(place), Out::Same(out)) = (&part.norm, place, &part.out) {
                // SAFETY: tasks are done, and wrote nothing of this part to where it goes.
                let (product, mut out) = unsafe { (place.as_rows(), out.again()) };
                match part.add {
                    Some(add) => norm::norm_add(isa, product, add, norm, false, &mut out)?,
                    None => norm::rms_norm(isa, product, norm, &mut out)?,
                }
            }
        }
        Ok(())
    })
}

/// The products, to `aside` where there is such a place.
fn multiply<T: Element>(
    isa: Isa,
    x: &Rows<'_, T>,
    parts: &[Part<'_, T>],
    aside: &[Option<RowsMut<'_, T>>],
) -> Result<()> {
    let (m, k) = (x.rows(), x.width());
    let plan = Plan::new(isa, x, parts)?;
    let blocks: Vec<(usize, Range<usize>)> = parts
        .iter()
        .enumerate()
        .flat_map(|(i, part)| {
            let n = part.out.shape()[1];
            let step = plan.block(part, n, m, k);
            (0..n).step_by(step).map(move |start| (i, start..(start + step).min(n)))
        })
        .collect();
    let task = |i: usize| {
        let (part, columns) = &blocks[i];
        plan.run(&parts[*part], aside[*part].as_ref(), columns.clone());
    };
    // Work of a few microseconds is done before another thread has woken.
    let operations: usize = parts.iter().map(|part| m * k * part.out.shape()[1]).sum();
    if operations < 32 << 10 {
        (0..blocks.len()).for_each(task);
    } else {
        pool::run(blocks.len(), &task);
    }
    Ok(())
}

impl<T: Element> Part<'_, T> {
    fn check(&self, x: &Rows<'_, T>) -> Result<()> {
        const KERNEL: &str = "project";
        let [rows, n] = self.out.shape();
        let weights = std::iter::once(&self.weight).chain(self.gate.as_ref().map(|(_, up)| up));
        for weight in weights {
            let [outputs, inputs] = weight.shape();
            if inputs != x.width() || outputs != n {
                let message = format!(
                    "weights of [{outputs}, {inputs}] for [{}, {}] to [{rows}, {n}]",
                    x.rows(),
                    x.width()
                );
                return Err(Error::operand(KERNEL, message));
            }
        }
        if rows != x.rows() {
            return Err(Error::operand(KERNEL, format!("{rows} rows of results for {} of x", x.rows())));
        }
        if self.bias.is_some_and(|bias| bias.len() != n) {
            return Err(Error::operand(KERNEL, format!("expected a bias of {n}")));
        }
        if self.norm.is_some() && matches!(self.out, Out::F32(_)) {
            return Err(Error::operand(KERNEL, "the norm of a product has the dtype of x".to_owned()));
        }
        if self.add.is_some_and(|add| [add.rows(), add.width()] != [rows, n]) {
            return Err(Error::operand(KERNEL, format!("expected [{rows}, {n}] to add")));
        }
        Ok(())
    }
}

/// What the tasks of one call share.
struct Plan<'a, T: Element> {
    isa: Isa,
    x: Rows<'a, T>,
    /// Activations as the kernels take them.
    panels: Panels<'a, T>,
    /// The same for packed weights and few rows, one for each format among the parts.
    few: Vec<(Format, Prepared)>,
    /// Rows of activations in a tile.
    tile_rows: usize,
}

impl<'a, T: Element> Plan<'a, T> {
    fn new(isa: Isa, x: &Rows<'a, T>, parts: &[Part<'_, T>]) -> Result<Self> {
        let weights = || {
            parts
                .iter()
                .flat_map(|part| std::iter::once(&part.weight).chain(part.gate.as_ref().map(|(_, up)| up)))
        };
        let mut few: Vec<(Format, Prepared)> = Vec::new();
        if x.rows() <= FEW {
            for matrix in weights().filter_map(Weight::packed) {
                if few.iter().all(|(format, _)| *format != matrix.format()) {
                    let prepared = Prepared::new(isa, matrix.format(), x.rows(), x.width(), &x.flattened())?;
                    few.push((matrix.format(), prepared));
                }
            }
        }
        let panels = Panels::new(isa, x, weights(), x.rows() <= FEW)?;
        // Sums of six rows need 24 registers; sixteen hold those of three. Dot products have few rows here, or nothing to sum.
        let most = match isa {
            Isa::Portable | Isa::Avx2 => 3,
            #[cfg(target_arch = "aarch64")]
            _ if panels.is_dots() && x.rows() > FEW => neon::ROWS,
            _ if panels.is_dots() => 4,
            _ => 6,
        };
        // Of few rows each tile is small enough to be limited by the memory.
        let tile_rows =
            if x.rows() <= FEW { x.rows().div_ceil(x.rows().div_ceil(4)).min(most) } else { most };
        Ok(Self { isa, x: *x, panels, few, tile_rows })
    }

    /// How many outputs of a part make up a task.
    fn block(&self, part: &Part<'_, T>, n: usize, m: usize, k: usize) -> usize {
        let pair = if part.gate.is_some() { 2 } else { 1 };
        let k = k.max(1) * pair;
        #[cfg(target_arch = "x86_64")]
        if self.in_pairs() {
            let most = pairs::Cut::new(self.x.width()).outputs(pair);
            return most.min(n.div_ceil(4 * pool::threads()).next_multiple_of(4 * pairs::LANES));
        }
        let step = if m <= FEW {
            let about = if part.weight.packed().is_some() { FEW_PACKED_BYTES } else { FEW_BYTES };
            let bytes = n * k * part.weight.bits() / 8;
            // As many for each thread.
            n.div_ceil(bytes.div_ceil(about).next_multiple_of(pool::threads()).max(1))
        } else {
            let most = (MANY_ELEMENTS / k).clamp(16, 256);
            // Several tasks for each thread, so that all end together.
            most.min(n.div_ceil(4 * pool::threads()).max(16))
        };
        step.next_multiple_of(8)
    }

    /// What a packed weight is multiplied with directly, if there are few rows.
    fn few<'w>(&self, weight: &'w Weight<'w, T>) -> Option<(&Prepared, Matrix<'w>)> {
        let matrix = *weight.packed()?;
        let (_, prepared) = self.few.iter().find(|(format, _)| *format == matrix.format())?;
        Some((prepared, matrix))
    }

    /// Whether weights are brought to pairs, which takes as long as multiplying some rows does.
    #[cfg(target_arch = "x86_64")]
    fn in_pairs(&self) -> bool {
        self.panels.is_dots() && self.x.rows() > FEW && self.x.width() > 0
    }

    /// [`run`](Self::run) with weights in pairs.
    #[cfg(target_arch = "x86_64")]
    fn run_pairs(&self, part: &Part<'_, T>, aside: Option<&RowsMut<'_, T>>, columns: &Range<usize>) {
        let (m, k, count) = (self.x.rows(), self.x.width(), columns.len());
        let cut = pairs::Cut::new(k);
        let weights: Vec<&Weight<'_, T>> =
            std::iter::once(&part.weight).chain(part.gate.as_ref().map(|(_, up)| up)).collect();
        let (words, pitch) = (cut.words(count), count.next_multiple_of(pairs::LANES));
        // Tiles of about the same height, none of which is much slower than the others.
        let tiles = m.div_ceil(pairs::ROWS);
        // With several parts, sums wait for the next.
        let (last, held) = (cut.parts() - 1, if cut.parts() > 1 { m } else { pairs::ROWS });
        let rows = pairs::LANES * k.div_ceil(2);
        scratch::with::<f32, _>(weights.len() * (words + held * pitch) + rows, |buffer| {
            let (buffer, rows) = buffer.split_at_mut(weights.len() * (words + held * pitch));
            let (blocks, sums) = buffer.split_at_mut(weights.len() * words);
            let operands: Vec<(*const bf16, usize)> = weights
                .iter()
                .zip(blocks.chunks_exact_mut(words.max(1)))
                .map(|(weight, block)| self.panels.pack(weight, columns, cut, block, rows))
                .collect();
            let mut ahead: Vec<pairs::Ahead> =
                weights.iter().map(|weight| weight.after(columns, k)).collect();
            for k_part in 0..=last {
                for tile in 0..tiles {
                    let tile = m * tile / tiles..m * (tile + 1) / tiles;
                    let at = if last > 0 { tile.start * pitch } else { 0 };
                    for (i, &(x, stride)) in operands.iter().enumerate() {
                        // SAFETY: the rows are those of `x`, the block was packed above, and there are sums for every
                        // row of a tile. Dot products are used where the processor has them.
                        unsafe {
                            pairs::multiply(
                                cut,
                                k_part,
                                (x.add(tile.start * stride), stride),
                                tile.len(),
                                blocks.as_ptr().add(i * words).cast(),
                                count,
                                (sums.as_mut_ptr().add(i * held * pitch + at), pitch),
                                &mut ahead[i],
                            );
                        }
                    }
                    if k_part == last {
                        let (first, second) = sums.split_at(held * pitch);
                        let second = if second.is_empty() { second } else { &second[at..] };
                        self.finish(part, aside, tile, columns, pitch, &first[at..], second);
                    }
                }
            }
        });
    }

    /// One task: these outputs of a part, for all rows.
    fn run(&self, part: &Part<'_, T>, aside: Option<&RowsMut<'_, T>>, columns: Range<usize>) {
        #[cfg(target_arch = "x86_64")]
        if self.in_pairs() {
            return self.run_pairs(part, aside, &columns);
        }
        let (m, k, count) = (self.x.rows(), self.x.width(), columns.len());
        let up = part.gate.as_ref().map(|(_, up)| up);
        let direct = self.few(&part.weight).is_some();
        let rows = if direct { m } else { self.tile_rows.min(m) };
        let sums = rows * count;
        let pair = if up.is_some() { 2 } else { 1 };
        let panel = if direct {
            0
        } else {
            let mut needed = self.panels.floats(&part.weight, count, k, m);
            if let Some(up) = up {
                needed += self.panels.floats(up, count, k, m);
            }
            needed
        };
        scratch::with::<f32, _>(panel + sums * pair, |buffer| {
            let (panel, sums_buffer) = buffer.split_at_mut(panel);
            let (first, second) = sums_buffer.split_at_mut(sums);
            if let Some((prepared, matrix)) = self.few(&part.weight) {
                checked(gemv_rows(prepared, &matrix, columns.clone(), first));
                if let Some((prepared, matrix)) = up.and_then(|up| self.few(up)) {
                    checked(gemv_rows(prepared, &matrix, columns.clone(), second));
                }
                self.finish(part, aside, 0..m, &columns, count, first, second);
                return;
            }
            let (first_panel, rest) = panel.split_at_mut(self.panels.floats(&part.weight, count, k, m));
            let weight = self.panels.fill(&part.weight, columns.clone(), first_panel);
            let up = up.map(|up| self.panels.fill(up, columns.clone(), rest));
            let mut start = 0;
            while start < m {
                let tile = start..(start + rows).min(m);
                self.multiply(&weight, tile.clone(), count, first);
                if let Some(up) = &up {
                    self.multiply(up, tile.clone(), count, second);
                }
                self.finish(part, aside, tile.clone(), &columns, count, first, second);
                start = tile.end;
            }
        });
    }

    /// Sums of one tile of activations with a panel of weights: `out` is `[tile, count]`.
    fn multiply(&self, weight: &source::Panel<'_, T>, tile: Range<usize>, count: usize, out: &mut [f32]) {
        let k = self.x.width();
        // Whole vectors, so that only the last part has a tail.
        let step = k.div_ceil(k.div_ceil(K_BLOCK).max(1)).next_multiple_of(64);
        let shape = Shape { rows: tile.len(), count, k, step };
        weight.multiply(self.isa, &self.panels, tile.start, shape, out);
    }

    fn finish(
        &self,
        part: &Part<'_, T>,
        aside: Option<&RowsMut<'_, T>>,
        rows: Range<usize>,
        columns: &Range<usize>,
        pitch: usize,
        first: &[f32],
        second: &[f32],
    ) {
        let block = Sums { rows, columns: columns.clone(), pitch, first, second };
        let (out, add) = match aside {
            // SAFETY: no other task writes to these rows and columns.
            Some(aside) => (&Out::Same(unsafe { aside.again() }), None),
            None => (&part.out, part.add.as_ref()),
        };
        let bias = part.bias;
        match &part.gate {
            None => dispatch(self.isa, Finish::<T, _, false> { activation: Identity, bias, add, out, block }),
            Some((activation, _)) => {
                with_activation!(*activation, |activation| dispatch(
                    self.isa,
                    Finish::<T, _, true> { activation, bias, add, out, block }
                ));
            }
        }
    }
}

/// Takes the result of a kernel whose operands were checked by the caller.
fn checked(result: Result<()>) {
    debug_assert!(result.is_ok(), "{result:?}");
}

/// The measures of a block of products.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    rows: usize,
    count: usize,
    k: usize,
    step: usize,
}

impl Shape {
    fn block<X, W>(
        self,
        (x, x_stride): (*const X, usize),
        (w, w_stride): (*const W, usize),
        out: &mut [f32],
    ) -> Block<X, W> {
        let Self { rows, count, k, step } = self;
        debug_assert!(out.len() >= rows * count);
        let out = out.as_mut_ptr();
        let tile = Tile {
            x,
            x_stride,
            w,
            w_stride,
            k,
            rows,
            cols: 0,
            out,
            out_stride: count,
            out_step: 1,
            accumulate: false,
            gap: 0,
        };
        Block { tile, count, step }
    }
}

/// Multiplies a block in the form that its operands ask for.
///
/// # Safety
/// The operands have the rows and elements that `shape` says.
unsafe fn floats<X: Element, W: Element>(
    isa: Isa,
    x: (*const X, usize),
    w: (*const W, usize),
    shape: Shape,
    out: &mut [f32],
) {
    dispatch(isa, shape.block(x, w, out));
}

/// The same in dot products of bfloat16.
///
/// # Safety
/// As [`floats`], and the processor has [such products](Isa::has_bf16_dots).
unsafe fn dots(x: (*const bf16, usize), w: (*const bf16, usize), shape: Shape, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's.
    unsafe {
        tile::bf16::block(shape.block(x, w, out));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the caller's.
    unsafe {
        neon::block(shape.block(x, w, out));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = (x, w, shape, out);
    }
}
