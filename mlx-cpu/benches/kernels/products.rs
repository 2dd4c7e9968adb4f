// SPDX-License-Identifier: EUPL-1.2
//! Products with the projections of two models, dense and quantised.
//!
//! Letters for shapes: M rows of activations, N outputs, K inputs. The weights are another copy at each turn, as they
//! are another layer's in a model, so that they come from memory.

use std::sync::OnceLock;

use half::{bf16, f16};
use mlx_cpu::gemm::{Out, Part, Weight, project};
use mlx_cpu::quant::{Format, Kind, Matrix, Scales};
use mlx_cpu::{Element, Isa, Result, Rows, RowsMut};

use crate::arena::{Arena, Plain};
use crate::bench::{Bench, Spec};
use crate::summary::Ceiling;

/// `[N, K]` of the layers of Qwen3-0.6B: q, k and v; o; gate and up; down.
const QWEN: [[usize; 2]; 4] = [[4096, 1024], [1024, 2048], [6144, 1024], [1024, 3072]];
/// The same of Gemma3-1B.
const GEMMA: [[usize; 2]; 4] = [[1536, 1152], [1152, 1024], [13824, 1152], [1152, 6912]];
/// The heads of both.
const QWEN_HEAD: [usize; 2] = [151_936, 1024];
const GEMMA_HEAD: [usize; 2] = [262_144, 1152];

/// Dense products in each element type.
pub(crate) fn dense(bench: &mut Bench) -> Result<()> {
    dense_of::<bf16>(bench)?;
    dense_of::<f16>(bench)?;
    dense_of::<f32>(bench)
}

fn dense_of<T: Element + Plain>(bench: &mut Bench) -> Result<()> {
    const ROWS: [usize; 6] = [1, 4, 8, 32, 128, 512];
    let layers = QWEN.into_iter().chain(GEMMA).map(|shape| (shape, &ROWS[..]));
    let heads = [(QWEN_HEAD, &ROWS[..]), (GEMMA_HEAD, &ROWS[..1])];
    let weights = OnceLock::new();
    let room = (bench.machine().round() / size_of::<T>()).max(GEMMA_HEAD[0] * GEMMA_HEAD[1]);
    for ([n, k], rows) in layers.chain(heads) {
        for &m in rows {
            let spec = spec(
                bench,
                "project",
                [m, n, k],
                T::NAME,
                T::NAME,
                (n * k * size_of::<T>()) as f64,
                size_of::<T>(),
            );
            if bench.skips(&spec) {
                continue;
            }
            let weights = weights.get_or_init(|| Arena::<T>::new(room));
            product(bench, &spec, [m, n, k], |turn| {
                Ok(Weight::Rows(Rows::packed(weights.turn(turn, n * k), k)?))
            })?;
        }
    }
    Ok(())
}

/// Products of bfloat16 with packed weights: three formats at length, the others at two shapes.
pub(crate) fn quantised(bench: &mut Bench) -> Result<()> {
    const ROWS: [usize; 4] = [1, 4, 128, 512];
    let words = OnceLock::new();
    let room = (bench.machine().round() / 4).max(GEMMA_HEAD[0] * GEMMA_HEAD[1] / 4);
    let numbers = OnceLock::new();
    let bytes = OnceLock::new();
    let affine = |bits| Format::new(Kind::Affine, bits, 64);
    let main = [affine(4)?, affine(8)?, Format::MXFP4];
    let others = [affine(2)?, affine(3)?, affine(5)?, affine(6)?, Format::NVFP4, Format::MXFP8];
    let layers = QWEN.into_iter().chain(GEMMA).map(|shape| (shape, &ROWS[..]));
    let heads = [(QWEN_HEAD, &ROWS[..2]), (GEMMA_HEAD, &ROWS[..1])];
    let main =
        main.into_iter().flat_map(|format| layers.clone().chain(heads).map(move |work| (format, work)));
    let few = [([6144, 1024], &[1, 128][..]), ([1024, 3072], &[1, 128][..])];
    let others = others.into_iter().flat_map(|format| few.map(|work| (format, work)));
    for (format, ([n, k], rows)) in main.chain(others) {
        for &m in rows {
            let (count, groups) = (n * k * format.bits() / 32, n * k / format.group_size());
            let affine = format.kind() == Kind::Affine;
            let moved = (4 * count + groups * if affine { 4 } else { 1 }) as f64;
            let spec = spec(bench, "quantised", [m, n, k], &name(format), bf16::NAME, moved, 2);
            if bench.skips(&spec) {
                continue;
            }
            let words = words.get_or_init(|| Arena::<u32>::new(room));
            let numbers = numbers.get_or_init(|| Arena::<bf16>::new(room / 4));
            let bytes = bytes.get_or_init(|| Arena::<u8>::new(room / 2));
            product::<bf16>(bench, &spec, [m, n, k], |turn| {
                let words = words.turn(turn, count);
                let (scales, biases) = if affine {
                    let both = numbers.turn(turn, 2 * groups);
                    (Scales::Bf16(&both[..groups]), Some(Scales::Bf16(&both[groups..])))
                } else {
                    (Scales::Bytes(bytes.turn(turn, groups)), None)
                };
                Ok(Weight::Packed(Matrix::new(format, n, k, words, scales, biases)?))
            })?;
        }
    }
    Ok(())
}

fn name(format: Format) -> String {
    match format.kind() {
        Kind::Affine => format!("{}-bit g{}", format.bits(), format.group_size()),
        Kind::Mxfp4 => "mxfp4".to_owned(),
        Kind::Nvfp4 => "nvfp4".to_owned(),
        Kind::Mxfp8 => "mxfp8".to_owned(),
    }
}

/// The row for a product of activations in `x` whose weights take `moved` bytes.
fn spec(
    bench: &Bench,
    kernel: &'static str,
    [m, n, k]: [usize; 3],
    dtype: &str,
    x: &str,
    moved: f64,
    size: usize,
) -> Spec {
    Spec {
        kernel,
        shape: format!("{m} × [{n}, {k}]"),
        dtype: dtype.to_owned(),
        operations: 2.0 * (m * n) as f64 * k as f64,
        arithmetic: bench.arithmetic(x),
        bytes: moved + ((m * k + m * n) * size) as f64,
        level: Ceiling::Memory,
    }
}

fn product<'w, T: Element + Plain>(
    bench: &mut Bench,
    spec: &Spec,
    [m, n, k]: [usize; 3],
    weight: impl Fn(usize) -> Result<Weight<'w, T>> + Sync,
) -> Result<()> {
    let isa = Isa::current();
    let x = Arena::<T>::new(m * k);
    let mut out = x.all().first().map_or_else(Vec::new, |&first| vec![first; m * n]);
    bench.row(spec, |turn| {
        let out = Out::Same(RowsMut::packed(&mut out, n)?);
        let part = Part { weight: weight(turn)?, bias: None, gate: None, norm: None, add: None, out };
        project(isa, Rows::packed(x.turn(0, m * k), k)?, None, &[part])
    })
}
