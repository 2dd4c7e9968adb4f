// SPDX-License-Identifier: EUPL-1.2
//! Kernels over rows and elements: the same bits on every run and whatever the number of threads, and their rates.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as they do")]

use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

use half::bf16;
use mlx_cpu::elementwise::{self, Activation};
use mlx_cpu::norm::{self, LayerNorm, RmsNorm, Weight};
use mlx_cpu::reduce::{self, Weighing};
use mlx_cpu::rope::{self, Frequencies, Heads, Rope};
use mlx_cpu::{Isa, Rows, RowsMut, pool, softmax};

/// Numbers that look random, from −1 to 1.
fn numbers(len: usize) -> Vec<f32> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        })
        .collect()
}

fn halves(len: usize) -> Vec<bf16> {
    numbers(len).into_iter().map(bf16::from_f32).collect()
}

const ROPE: Rope<'static> = Rope {
    dims: 128,
    traditional: false,
    frequencies: Frequencies::Base(1e6),
    scale: 1.0,
    magnitude: 1.0,
    inverse: false,
};

/// The bits that each kernel gives for operands that are worth several threads.
fn everything(isa: Isa) -> Vec<Vec<u32>> {
    let (rows, n) = (300, 1000);
    let (x, y) = (halves(rows * n), halves(rows * n + 7)[7..].to_vec());
    let w = numbers(n);
    let packed = |x| Rows::packed(x, n).unwrap();
    let mut results = Vec::new();
    let mut note =
        |out: &[bf16]| results.push(out.iter().map(|x| u32::from(x.to_bits())).collect::<Vec<_>>());
    let mut out = vec![bf16::ZERO; rows * n];
    let mut other = out.clone();
    let (mut dw, mut db) = (vec![0f32; n], vec![0f32; n]);
    let mut wide = Vec::new();

    let rms = RmsNorm { weight: Some(Weight::from(&w[..])), offset: 1.0, eps: 1e-6 };
    norm::rms_norm(isa, packed(&x), &rms, &mut RowsMut::packed(&mut out, n).unwrap()).unwrap();
    note(&out);
    let layer = LayerNorm { weight: Some(Weight::from(&w[..])), bias: Some(Weight::from(&w[..])), eps: 1e-6 };
    norm::layer_norm(isa, packed(&x), &layer, &mut RowsMut::packed(&mut out, n).unwrap()).unwrap();
    note(&out);
    let to = &mut RowsMut::packed(&mut out, n).unwrap();
    norm::rms_norm_vjp(isa, packed(&x), &rms, packed(&y), to, Some(&mut dw)).unwrap();
    note(&out);
    wide.extend_from_slice(&dw);
    let to = &mut RowsMut::packed(&mut out, n).unwrap();
    norm::layer_norm_vjp(isa, packed(&x), &layer, packed(&y), to, Some(&mut dw), Some(&mut db)).unwrap();
    note(&out);
    wide.extend_from_slice(&dw);
    wide.extend_from_slice(&db);
    for activation in Activation::ALL {
        let to = &mut RowsMut::packed(&mut out, n).unwrap();
        elementwise::gated(isa, activation, packed(&x), packed(&y), to).unwrap();
        note(&out);
        let to = &mut RowsMut::packed(&mut out, n).unwrap();
        let to_other = &mut RowsMut::packed(&mut other, n).unwrap();
        elementwise::gated_vjp(isa, activation, packed(&x), packed(&y), packed(&x), to, to_other).unwrap();
        note(&out);
        note(&other);
    }
    elementwise::add(isa, &x, &y, &mut out).unwrap();
    note(&out);
    softmax::softmax(isa, packed(&x), 0.5, Some(packed(&y)), &mut RowsMut::packed(&mut out, n).unwrap())
        .unwrap();
    note(&out);
    softmax::log_softmax(isa, Rows::one(&x), 0.5, None, &mut RowsMut::one(&mut out)).unwrap();
    note(&out);
    let shape = [3, 5, 156, 128];
    let (from, to) = (Heads::in_rows(shape), Heads::packed(shape));
    let unscaled = RmsNorm { weight: None, offset: 0.0, eps: 1e-6 };
    rope::norm_rope(isa, &x, &from, &unscaled, &ROPE, &[9, 5, 7], &mut out, &to).unwrap();
    note(&out);

    let row = numbers(152_000);
    let (mut sums, mut index) = ([0f32; 3], [0u32]);
    reduce::sum(isa, Rows::one(&row), &mut sums[..1]).unwrap();
    reduce::logsumexp(isa, Rows::one(&row), &mut sums[1..2]).unwrap();
    reduce::max(isa, Rows::one(&row), &mut sums[2..]).unwrap();
    reduce::argmax(isa, Rows::one(&row), &mut index).unwrap();
    wide.extend_from_slice(&sums);
    let weighing = Weighing { temperature: 0.7, least: -0.5 };
    wide.push(reduce::top_k_threshold(isa, &row, 50));
    wide.push(reduce::top_p_threshold(isa, &row, &weighing, 0.9).unwrap());
    let drawn = reduce::sample_categorical(isa, &row, &weighing, 0.3).unwrap();
    results.push(wide.into_iter().map(f32::to_bits).chain([index[0], drawn as u32]).collect());
    results
}

#[test]
fn kernels_give_the_same_bits_on_every_run_and_any_number_of_threads() {
    for isa in Isa::available() {
        let first = everything(isa);
        assert!(first == everything(isa), "{isa}: two runs differ");
        // Within a task of the pool, a kernel has one thread.
        let alone = Mutex::new(Vec::new());
        pool::run(2, &|task| {
            if task == 0 {
                *alone.lock().unwrap() = everything(isa);
            }
        });
        assert!(first == alone.into_inner().unwrap(), "{isa}: one thread gives other bits");
    }
}

/// The best time of many runs, in microseconds.
fn time(mut body: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    let begun = Instant::now();
    while begun.elapsed().as_millis() < 150 {
        let start = Instant::now();
        body();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best * 1e6
}

#[test]
#[ignore = "measures"]
fn rates() {
    for isa in
        Isa::available().filter(|&isa| isa == Isa::current() || isa == Isa::Avx2 || isa == Isa::Portable)
    {
        println!("{isa}, {} threads; bfloat16, microseconds (GB/s)", pool::threads());
        for (rows, n) in [(1, 1024), (512, 1024), (512, 3072)] {
            let (x, y, w) = (halves(rows * n), halves(rows * n), halves(n));
            let (mut out, mut other) = (x.clone(), x.clone());
            let mut dw = vec![0f32; n];
            let packed = |x| Rows::packed(x, n).unwrap();
            let rms = RmsNorm { weight: Some(Weight::from(&w[..])), offset: 0.0, eps: 1e-6 };
            let layer = LayerNorm { weight: Some(Weight::from(&w[..])), bias: None, eps: 1e-6 };
            let show = |name: &str, operands: usize, us: f64| {
                println!(
                    "  {rows} × {n} {name}: {us:.2} ({:.1})",
                    (operands * rows * n * 2) as f64 / us / 1e3
                );
            };
            show(
                "rms_norm",
                2,
                time(|| {
                    norm::rms_norm(isa, packed(&x), &rms, &mut RowsMut::packed(&mut out, n).unwrap())
                        .unwrap();
                }),
            );
            show(
                "add_rms_norm",
                4,
                time(|| {
                    let (total, to) = (
                        &mut RowsMut::packed(&mut other, n).unwrap(),
                        &mut RowsMut::packed(&mut out, n).unwrap(),
                    );
                    norm::add_rms_norm(isa, packed(&x), packed(&y), &rms, false, total, to).unwrap();
                }),
            );
            show(
                "layer_norm",
                2,
                time(|| {
                    norm::layer_norm(isa, packed(&x), &layer, &mut RowsMut::packed(&mut out, n).unwrap())
                        .unwrap();
                }),
            );
            show(
                "rms_norm_vjp",
                3,
                time(|| {
                    let to = &mut RowsMut::packed(&mut out, n).unwrap();
                    norm::rms_norm_vjp(isa, packed(&x), &rms, packed(&y), to, Some(&mut dw)).unwrap();
                }),
            );
            show("add", 3, time(|| elementwise::add(isa, &x, &y, &mut out).unwrap()));
            for activation in [Activation::Silu, Activation::Gelu, Activation::GeluTanh] {
                show(
                    &format!("gated {activation:?}"),
                    3,
                    time(|| {
                        let to = &mut RowsMut::packed(&mut out, n).unwrap();
                        elementwise::gated(isa, activation, packed(&x), packed(&y), to).unwrap();
                    }),
                );
            }
            show(
                "gated_vjp Silu",
                5,
                time(|| {
                    let (dgate, dup) = (
                        &mut RowsMut::packed(&mut out, n).unwrap(),
                        &mut RowsMut::packed(&mut other, n).unwrap(),
                    );
                    elementwise::gated_vjp(
                        isa,
                        Activation::Silu,
                        packed(&x),
                        packed(&y),
                        packed(&x),
                        dgate,
                        dup,
                    )
                    .unwrap();
                }),
            );
            show(
                "softmax",
                2,
                time(|| {
                    softmax::softmax(isa, packed(&x), 1.0, None, &mut RowsMut::packed(&mut out, n).unwrap())
                        .unwrap();
                }),
            );
        }
        for len in [1, 512] {
            let shape = [1, 16, len, 128];
            let x = halves(16 * len * 128);
            let mut out = x.clone();
            let w = halves(128);
            let rms = RmsNorm { weight: Some(Weight::from(&w[..])), offset: 0.0, eps: 1e-6 };
            let (from, to) = (Heads::in_rows(shape), Heads::packed(shape));
            let kept = time(|| rope::rope(isa, &x, &from, &ROPE, &[1000], &mut out, &to).unwrap());
            let mut offset = 0;
            let fresh = time(|| {
                offset += 1;
                rope::rope(isa, &x, &from, &ROPE, &[offset], &mut out, &to).unwrap();
            });
            let traditional = Rope { traditional: true, ..ROPE };
            let pairs = time(|| rope::rope(isa, &x, &from, &traditional, &[1000], &mut out, &to).unwrap());
            let fused =
                time(|| rope::norm_rope(isa, &x, &from, &rms, &ROPE, &[1000], &mut out, &to).unwrap());
            println!(
                "  16 heads × {len} × 128: rope {kept:.2}, with a new table {fresh:.2}, traditional {pairs:.2}, norm_rope {fused:.2}"
            );
        }
        let row: Vec<f32> = numbers(151_936 * 3).chunks(3).map(|x| 4.0 * (x[0] + x[1] + x[2])).collect();
        let packed = Rows::one(&row[..]);
        let weighing = Weighing { temperature: 0.7, least: f32::NEG_INFINITY };
        let (mut index, mut out) = ([0], [0f32]);
        println!(
            "  151936 float32: argmax {:.1}, max {:.1}, logsumexp {:.1}, sample {:.1}",
            time(|| reduce::argmax(isa, packed, &mut index).unwrap()),
            time(|| reduce::max(isa, packed, &mut out).unwrap()),
            time(|| reduce::logsumexp(isa, packed, &mut out).unwrap()),
            time(|| {
                black_box(reduce::sample_categorical(isa, &row, &weighing, 0.6).unwrap());
            })
        );
        for k in [1, 50, 1000, 40_000] {
            println!(
                "    top_k {k}: {:.1}",
                time(|| {
                    black_box(reduce::top_k_threshold(isa, &row, k));
                })
            );
        }
        for (p, temperature) in [(0.5, 0.7), (0.95, 0.7), (0.95, 1.5), (0.99, 50.0)] {
            let weighing = Weighing { temperature, ..weighing };
            println!(
                "    top_p {p} at {temperature}: {:.1}",
                time(|| {
                    black_box(reduce::top_p_threshold(isa, &row, &weighing, p).unwrap());
                })
            );
        }
    }
}
