// SPDX-License-Identifier: EUPL-1.2
//! Products with weights against sums in float64.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as they do")]

use half::{bf16, f16};
use mlx_cpu::elementwise::Activation;
use mlx_cpu::gemm::{Out, Part, Weight, project};
use mlx_cpu::norm::{self, RmsNorm};
use mlx_cpu::quant::{self, Format, Kind, Scales};
use mlx_cpu::{Element, Isa, Rows, RowsMut};

/// Numbers without a pattern, the same on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn values<T: Number>(&mut self, len: usize) -> Vec<T> {
        (0..len).map(|_| T::of(self.next())).collect()
    }
}

/// An element type that tests can make and read.
trait Number: Element + PartialEq + std::fmt::Debug {
    const NAME: &'static str;
    /// Relative error of a result that was rounded once.
    const ROUNDING: f64;
    fn of(x: f32) -> Self;
    fn wide(self) -> f64;
}

impl Number for f32 {
    const NAME: &'static str = "float32";
    const ROUNDING: f64 = 1e-6;
    fn of(x: f32) -> Self {
        x
    }
    fn wide(self) -> f64 {
        f64::from(self)
    }
}

impl Number for bf16 {
    const NAME: &'static str = "bfloat16";
    const ROUNDING: f64 = 4e-3;
    fn of(x: f32) -> Self {
        Self::from_f32(x)
    }
    fn wide(self) -> f64 {
        self.to_f64()
    }
}

impl Number for f16 {
    const NAME: &'static str = "float16";
    const ROUNDING: f64 = 5e-4;
    fn of(x: f32) -> Self {
        Self::from_f32(x)
    }
    fn wide(self) -> f64 {
        self.to_f64()
    }
}

/// `x · wᵀ` with the sum of magnitudes, which bounds the error: `[m, n]` of pairs.
fn reference(x: &[f64], w: &[f64], m: usize, n: usize, k: usize) -> Vec<(f64, f64)> {
    let mut out = Vec::with_capacity(m * n);
    for i in 0..m {
        for j in 0..n {
            let pairs = x[i * k..][..k].iter().zip(&w[j * k..][..k]);
            let (sum, size) =
                pairs.fold((0.0, 0.0), |(sum, size), (a, b)| (sum + a * b, size + (a * b).abs()));
            out.push((sum, size));
        }
    }
    out
}

fn wide<T: Number>(values: &[T]) -> Vec<f64> {
    values.iter().map(|&x| x.wide()).collect()
}

fn plain<'a, T>(weight: Weight<'a, T>, out: Out<'a, T>) -> Part<'a, T> {
    Part { weight, bias: None, gate: None, norm: None, add: None, out }
}

/// Sizes with every remainder that a tile can leave, and some that are split along K.
const SIZES: [(usize, usize, usize); 16] = [
    (1, 1, 1),
    (1, 3, 7),
    (1, 17, 33),
    (2, 4, 32),
    (3, 5, 31),
    (5, 8, 64),
    (6, 9, 65),
    (7, 16, 100),
    (8, 33, 128),
    (9, 1, 257),
    (13, 40, 96),
    (16, 130, 48),
    (33, 7, 2049),
    (6, 4, 4100),
    (1, 300, 1024),
    (40, 64, 160),
];

fn dense<T: Number>() {
    let mut random = Random(1);
    for isa in Isa::available() {
        for (m, n, k) in SIZES {
            // Rows that lie apart, and begin where nothing is aligned.
            let (x_stride, w_stride, t_stride) = (k + 3, k + 1, n + 5);
            let (x, w) = (random.values::<T>(m * x_stride + 1), random.values::<T>(n * w_stride + 1));
            let (x, w) = (&x[1..], &w[1..]);
            let rows = |data: &[T], count: usize, stride: usize| -> Vec<T> {
                (0..count).flat_map(|i| data[i * stride..][..k].to_vec()).collect()
            };
            let (x_flat, w_flat) = (rows(x, m, x_stride), rows(w, n, w_stride));
            let mut columns = vec![T::of(0.0); k * t_stride];
            for (j, row) in w_flat.chunks_exact(k).enumerate() {
                for (i, &value) in row.iter().enumerate() {
                    columns[i * t_stride + j] = value;
                }
            }
            let expected = reference(&wide(&x_flat), &wide(&w_flat), m, n, k);
            let x = Rows::new(x, m, k, x_stride).unwrap();
            let weights = [
                Weight::Rows(Rows::new(w, n, k, w_stride).unwrap()),
                Weight::Columns(Rows::new(&columns, k, n, t_stride).unwrap()),
            ];
            for weight in weights {
                let (mut same, mut float) = (vec![T::of(0.0); m * n], vec![0f32; m * n]);
                let parts = [
                    plain(weight, Out::Same(RowsMut::packed(&mut same, n).unwrap())),
                    plain(weight, Out::F32(RowsMut::packed(&mut float, n).unwrap())),
                ];
                project(isa, x, None, &parts).unwrap();
                for (i, &(sum, size)) in expected.iter().enumerate() {
                    let what = || format!("{isa} {} {m}·{n}·{k} at {i}", T::NAME);
                    let tolerance = size * 2e-6 + 1e-30;
                    assert!((f64::from(float[i]) - sum).abs() <= tolerance, "{}: {} {sum}", what(), float[i]);
                    let tolerance = tolerance + sum.abs() * T::ROUNDING + 1e-7;
                    assert!((same[i].wide() - sum).abs() <= tolerance, "{}: {:?} {sum}", what(), same[i]);
                }
            }
        }
    }
}

#[test]
fn dense_products_are_those_of_float64_rounded() {
    dense::<f32>();
    dense::<bf16>();
    dense::<f16>();
}

/// A packed matrix of the given format with its values in float64.
struct PackedWeights {
    words: Vec<u32>,
    scales: Vec<f32>,
    biases: Vec<f32>,
    bytes: Vec<u8>,
    format: Format,
    n: usize,
    k: usize,
}

impl PackedWeights {
    fn new(random: &mut Random, format: Format, n: usize, k: usize) -> Self {
        let groups = n * k / format.group_size();
        let words = n * k * format.bits() / 32;
        Self {
            words: (0..words)
                .map(|_| random.next().to_bits().rotate_left(9) ^ random.next().to_bits())
                .collect(),
            scales: (0..groups).map(|_| bf16::from_f32(random.next() * 0.1).to_f32()).collect(),
            biases: (0..groups).map(|_| bf16::from_f32(random.next()).to_f32()).collect(),
            bytes: (0..groups).map(|i| 118 + (i % 5) as u8).collect(),
            format,
            n,
            k,
        }
    }

    fn matrix(&self) -> quant::Matrix<'_> {
        let (scales, biases) = match self.format.kind() {
            Kind::Affine => (Scales::F32(&self.scales), Some(Scales::F32(&self.biases))),
            _ => (Scales::Bytes(&self.bytes), None),
        };
        quant::Matrix::new(self.format, self.n, self.k, &self.words, scales, biases).unwrap()
    }
}

fn packed<T: Number>(unpacked: f64) {
    let mut random = Random(2);
    for isa in Isa::available() {
        for format in [
            Format::new(Kind::Affine, 4, 64).unwrap(),
            Format::new(Kind::Affine, 3, 32).unwrap(),
            Format::MXFP4,
        ] {
            for (m, n, k) in [(1, 5, 128), (3, 33, 192), (8, 64, 64), (9, 64, 256), (20, 96, 2176)] {
                let weights = PackedWeights::new(&mut random, format, n, k);
                let matrix = weights.matrix();
                let values: Vec<f64> =
                    quant::reference::dequantize(&matrix).into_iter().map(f64::from).collect();
                // As rows, and the same matrix the other way round.
                let x = random.values::<T>(m * k);
                let expected = reference(&wide(&x), &values, m, n, k);
                let mut out = vec![0f32; m * n];
                let part = plain(Weight::Packed(matrix), Out::F32(RowsMut::packed(&mut out, n).unwrap()));
                project(isa, Rows::packed(&x, k).unwrap(), None, &[part]).unwrap();
                check(&out, &expected, unpacked, &format!("{isa} {} {format:?} {m}·{n}·{k}", T::NAME));

                let x = random.values::<T>(m * n);
                let turned: Vec<f64> =
                    (0..k).flat_map(|j| (0..n).map(move |i| i * k + j)).map(|i| values[i]).collect();
                let expected = reference(&wide(&x), &turned, m, k, n);
                let mut out = vec![0f32; m * k];
                let part =
                    plain(Weight::PackedColumns(matrix), Out::F32(RowsMut::packed(&mut out, k).unwrap()));
                project(isa, Rows::packed(&x, n).unwrap(), None, &[part]).unwrap();
                check(&out, &expected, unpacked, &format!("{isa} {} {format:?} {m}·{k}·{n} turned", T::NAME));
            }
        }
    }
}

fn check(found: &[f32], expected: &[(f64, f64)], relative: f64, what: &str) {
    for (i, (&found, &(sum, size))) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(found) - sum).abs() <= size * relative + 1e-6, "{what} at {i}: {found} {sum}");
    }
}

#[test]
fn packed_products_are_those_of_the_unpacked_matrix() {
    packed::<f32>(4e-6);
    packed::<f16>(4e-6);
    // Unpacked to bfloat16 where there are many rows.
    packed::<bf16>(4e-3);
}

#[test]
fn norms_before_and_after_are_those_of_their_kernels() {
    let mut random = Random(5);
    for isa in Isa::available() {
        for (m, n, k) in [(1, 37, 70), (11, 64, 96)] {
            let x = random.values::<bf16>(m * k);
            let w = random.values::<bf16>(n * k);
            let [first, last] = [random.values::<bf16>(k), random.values::<bf16>(n)];
            let add = random.values::<bf16>(m * n);
            let norm = |weight| RmsNorm { weight: Some(norm::Weight::Bf16(weight)), offset: 1.0, eps: 1e-6 };
            let packed = |data, width| Rows::packed(data, width).unwrap();
            let mut found = [vec![bf16::ZERO; m * n], vec![bf16::ZERO; m * n]];
            let parts: Vec<Part<'_, bf16>> = found
                .iter_mut()
                .zip([None, Some(packed(&add, n))])
                .map(|(out, add)| Part {
                    weight: Weight::Rows(packed(&w, k)),
                    bias: None,
                    gate: None,
                    norm: Some(norm(&last)),
                    add,
                    out: Out::Same(RowsMut::packed(out, n).unwrap()),
                })
                .collect();
            project(isa, packed(&x, k), Some(&norm(&first)), &parts).unwrap();

            let mut normed = vec![bf16::ZERO; m * k];
            let mut out = RowsMut::packed(&mut normed, k).unwrap();
            norm::rms_norm(isa, packed(&x, k), &norm(&first), &mut out).unwrap();
            let mut product = vec![bf16::ZERO; m * n];
            let weight = Weight::Rows(packed(&w, k));
            let out = Out::Same(RowsMut::packed(&mut product, n).unwrap());
            let part = Part { weight, bias: None, gate: None, norm: None, add: None, out };
            project(isa, packed(&normed, k), None, &[part]).unwrap();
            let mut expected = vec![bf16::ZERO; m * n];
            let mut out = RowsMut::packed(&mut expected, n).unwrap();
            norm::rms_norm(isa, packed(&product, n), &norm(&last), &mut out).unwrap();
            assert_eq!(found[0], expected, "{isa} {m}");
            let mut out = RowsMut::packed(&mut expected, n).unwrap();
            norm::norm_add(isa, packed(&product, n), packed(&add, n), &norm(&last), false, &mut out).unwrap();
            assert_eq!(found[1], expected, "{isa} {m}");
        }
    }
}

#[test]
fn bias_gate_and_residual_are_added_before_rounding() {
    let mut random = Random(3);
    for isa in Isa::available() {
        let (m, n, k) = (11, 37, 70);
        let x = random.values::<bf16>(m * k);
        let [w, up] = [random.values::<bf16>(n * k), random.values::<bf16>(n * k)];
        let (bias, add) = (random.values::<bf16>(n), random.values::<bf16>(m * n));
        let mut out = vec![bf16::ZERO; m * n];
        let part = Part {
            weight: Weight::Rows(Rows::packed(&w, k).unwrap()),
            bias: Some(&bias),
            gate: Some((Activation::Silu, Weight::Rows(Rows::packed(&up, k).unwrap()))),
            norm: None,
            add: Some(Rows::packed(&add, n).unwrap()),
            out: Out::Same(RowsMut::packed(&mut out, n).unwrap()),
        };
        project(isa, Rows::packed(&x, k).unwrap(), None, &[part]).unwrap();
        let gate = reference(&wide(&x), &wide(&w), m, n, k);
        let up = reference(&wide(&x), &wide(&up), m, n, k);
        for i in 0..m * n {
            let g = gate[i].0 + bias[i % n].to_f64();
            let expected = g / (1.0 + (-g).exp()) * up[i].0 + add[i].to_f64();
            let found = out[i].to_f64();
            assert!(
                (found - expected).abs() <= expected.abs() * 4e-3 + 2e-4,
                "{isa} {i}: {found} {expected}"
            );
        }
    }
}

#[test]
fn results_do_not_depend_on_how_work_is_cut() {
    let mut random = Random(4);
    for isa in Isa::available() {
        let (m, n, k) = (17, 150, 2300);
        let (x, w) = (random.values::<bf16>(m * k), random.values::<bf16>(n * k));
        let run = |x: &[bf16], w: &[bf16]| {
            let mut out = vec![0f32; x.len() / k * (w.len() / k)];
            let columns = w.len() / k;
            let weight = Weight::Rows(Rows::packed(w, k).unwrap());
            let part = plain(weight, Out::F32(RowsMut::packed(&mut out, columns).unwrap()));
            project(isa, Rows::packed(x, k).unwrap(), None, &[part]).unwrap();
            out
        };
        let (many, few) = (run(&x, &w), run(&x[..8 * k], &w));
        assert_eq!(many, run(&x, &w), "{isa}");
        // Few rows and many are different kernels.
        for (whole, rows, columns) in [
            (&few, 0..1, 0..n),
            (&few, 3..8, 5..6),
            (&few, 1..6, 3..120),
            (&many, 0..9, 5..6),
            (&many, 2..17, 10..77),
        ] {
            let part = run(&x[rows.start * k..rows.end * k], &w[columns.start * k..columns.end * k]);
            for (i, row) in rows.clone().enumerate() {
                let of_part = &part[i * columns.len()..][..columns.len()];
                assert_eq!(of_part, &whole[row * n..][columns.clone()], "{isa} {rows:?} {columns:?}");
            }
        }
    }
}

#[test]
fn sums_of_nothing_are_zero() {
    for isa in Isa::available() {
        for m in [1, 4, 9, 20] {
            let (n, mut out) = (33, vec![bf16::ONE; m * 33]);
            let weight = Weight::Rows(Rows::new(&[], n, 0, 0).unwrap());
            let part = plain(weight, Out::Same(RowsMut::packed(&mut out, n).unwrap()));
            project(isa, Rows::new(&[], m, 0, 0).unwrap(), None, &[part]).unwrap();
            assert!(out.iter().all(|&x| x == bf16::ZERO), "{isa} {m}");
        }
    }
}

#[test]
fn numbers_that_are_none_spread_to_their_results_and_no_further() {
    for isa in Isa::available() {
        let (m, n, k) = (7, 6, 40);
        let mut x = vec![bf16::ONE; m * k];
        let mut w = vec![bf16::ONE; n * k];
        x[2 * k + 39] = bf16::NAN;
        w[4 * k] = bf16::INFINITY;
        // Below the normal numbers, which some instructions take for 0.
        w[k..2 * k].fill(bf16::from_bits(1));
        let mut out = vec![0f32; m * n];
        let weight = Weight::Rows(Rows::packed(&w, k).unwrap());
        let part = plain(weight, Out::F32(RowsMut::packed(&mut out, n).unwrap()));
        project(isa, Rows::packed(&x, k).unwrap(), None, &[part]).unwrap();
        for (i, &y) in out.iter().enumerate() {
            match (i / n, i % n) {
                (2, _) => assert!(y.is_nan(), "{isa} {i}: {y}"),
                (_, 4) => assert_eq!(y, f32::INFINITY, "{isa} {i}"),
                (_, 1) => assert!((0.0..1e-37).contains(&y), "{isa} {i}: {y}"),
                _ => assert_eq!(y, k as f32, "{isa} {i}"),
            }
        }
    }
}

#[test]
fn operands_that_do_not_fit_are_errors() {
    let (x, w) = ([0f32; 12], [0f32; 20]);
    let mut out = [0f32; 12];
    let mut run = |k: usize, n: usize| {
        let weight = Weight::Rows(Rows::packed(&w[..16], k).unwrap());
        let part = plain(weight, Out::Same(RowsMut::packed(&mut out, n).unwrap()));
        project(Isa::current(), Rows::packed(&x, 4).unwrap(), None, &[part])
    };
    assert!(run(4, 4).is_ok());
    assert!(run(8, 2).unwrap_err().to_string().contains("project"));
    assert!(run(4, 3).is_err());
}
