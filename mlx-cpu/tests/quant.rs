// SPDX-License-Identifier: EUPL-1.2
//! Quantised weights against the scalar reference, in float64 where sums are taken.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a helper of tests fails and tells as they do")]

use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

use half::{bf16, f16};
use mlx_cpu::quant::{
    Format, Kind, MAX_ROWS, Matrix, Prepared, Scales, dequantize_rows, gemv_rows, permute, reference,
    unpack_panel_bf16, unpack_panel_f32,
};
use mlx_cpu::{Element, Isa, pool};

/// Numbers without a pattern, the same on every run.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }

    /// From −1 to 1.
    fn float(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / 8_388_608.0 - 1.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Dtype {
    F32,
    Bf16,
    F16,
}

enum Numbers {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
    F16(Vec<f16>),
    Bytes(Vec<u8>),
}

impl Numbers {
    fn new(dtype: Dtype, values: &[f32]) -> Self {
        match dtype {
            Dtype::F32 => Self::F32(values.to_vec()),
            Dtype::Bf16 => Self::Bf16(values.iter().map(|&x| bf16::from_f32(x)).collect()),
            Dtype::F16 => Self::F16(values.iter().map(|&x| f16::from_f32(x)).collect()),
        }
    }

    /// The numbers from the second on: a slice that starts on no line of the cache.
    fn as_scales(&self) -> Scales<'_> {
        match self {
            Self::F32(x) => Scales::F32(&x[1..]),
            Self::Bf16(x) => Scales::Bf16(&x[1..]),
            Self::F16(x) => Scales::F16(&x[1..]),
            Self::Bytes(x) => Scales::Bytes(&x[1..]),
        }
    }
}

/// A matrix that owns its parts; each has one element in front that is not used.
struct Owned {
    format: Format,
    n: usize,
    k: usize,
    words: Vec<u32>,
    scales: Numbers,
    biases: Option<Numbers>,
}

impl Owned {
    fn random(format: Format, n: usize, k: usize, dtype: Dtype, random: &mut Random) -> Self {
        let words = (0..n * k * format.bits() / 32 + 1).map(|_| random.bits()).collect();
        let groups = n * k / format.group_size() + 1;
        let (scales, biases) = match format.kind() {
            Kind::Affine => {
                let mut numbers = || {
                    let values: Vec<f32> = (0..groups).map(|_| random.float()).collect();
                    Numbers::new(dtype, &values)
                };
                (numbers(), Some(numbers()))
            }
            Kind::Nvfp4 => (Numbers::Bytes((0..groups).map(|_| random.bits() as u8).collect()), None),
            _ => (Numbers::Bytes((0..groups).map(|_| 115 + (random.bits() % 16) as u8).collect()), None),
        };
        Self { format, n, k, words, scales, biases }
    }

    fn matrix(&self) -> Matrix<'_> {
        let biases = self.biases.as_ref().map(Numbers::as_scales);
        Matrix::new(self.format, self.n, self.k, &self.words[1..], self.scales.as_scales(), biases).unwrap()
    }
}

/// The formats with each dtype that their scales may have.
fn formats() -> impl Iterator<Item = (Format, Dtype)> {
    Format::all().flat_map(|format| {
        let dtypes: &[_] = if format.kind() == Kind::Affine {
            &[Dtype::F32, Dtype::Bf16, Dtype::F16]
        } else {
            &[Dtype::F32]
        };
        dtypes.iter().map(move |&dtype| (format, dtype))
    })
}

/// Odd numbers of rows, and widths that end within every step that a kernel may take.
fn shapes(format: Format) -> Vec<(usize, usize)> {
    let group = format.group_size();
    let widths = [group, 3 * group, 1024 + group, 7 * group, 640];
    let rows = [17, 3, 5, 1, 2];
    let mut shapes: Vec<_> = rows.into_iter().zip(widths).collect();
    shapes.extend([(0, group), (4, 256), (2, 0)]);
    shapes
}

fn same(x: f32, y: f32) -> bool {
    x == y || (x.is_nan() && y.is_nan())
}

/// Within one unit in the last place of float32: a kernel may fuse what the reference rounds twice.
fn close(x: f32, y: f32, magnitude: f32) -> bool {
    same(x, y) || (x - y).abs() <= magnitude * f32::EPSILON
}

/// A bound for the values of row `i` before scale and bias cancel.
fn magnitude(matrix: &Matrix<'_>) -> f32 {
    match matrix.format().kind() {
        Kind::Affine => (1u32 << matrix.format().bits()) as f32 + 1.0,
        Kind::Nvfp4 => 480.0 * 6.0,
        _ => 16.0 * 480.0,
    }
}

#[test]
fn values_are_those_of_the_reference_in_every_format_and_dtype() {
    let mut random = Random(1);
    for (format, dtype) in formats() {
        for (n, k) in shapes(format) {
            let owned = Owned::random(format, n, k, dtype, &mut random);
            let matrix = owned.matrix();
            let expected = reference::dequantize(&matrix);
            let magnitude = magnitude(&matrix);
            for isa in Isa::available() {
                let name = format!("{isa} {format:?} {dtype:?} {n} {k}");
                let rows = n.min(1)..n;
                let expected = &expected[rows.start * k..];
                let mut full = vec![0.0f32; expected.len()];
                dequantize_rows(isa, &matrix, rows.clone(), &mut full).unwrap();
                assert!(full.iter().zip(expected).all(|(&x, &y)| close(x, y, magnitude)), "{name}");
                let mut panel = vec![0.0f32; expected.len()];
                unpack_panel_f32(isa, &matrix, rows.clone(), &mut panel).unwrap();
                assert_eq!(panel, full, "{name}");
                let mut brain = vec![bf16::ZERO; expected.len()];
                dequantize_rows(isa, &matrix, rows.clone(), &mut brain).unwrap();
                let mut half = vec![f16::ZERO; expected.len()];
                dequantize_rows(isa, &matrix, rows, &mut half).unwrap();
                for (i, &x) in full.iter().enumerate() {
                    assert_eq!(brain[i], bf16::from_f32(x), "{name} at {i}");
                    assert_eq!(half[i], f16::from_f32(x), "{name} at {i}");
                }
            }
        }
    }
}

#[test]
fn packed_words_mean_what_they_mean_to_mlx() {
    // From `mlx.core.dequantize` of MLX 0.32.2, with scales of 1 and biases of 0 where affine, else the byte given.
    let words = [0x1234_5678u32, 0x9abc_def0, 0x0fed_cba9, 0x8765_4321, 0xdead_beef, 0x600d_f00d];
    let whole = |bits: usize, expected: [u8; 32]| {
        (Format::new(Kind::Affine, bits, 32).unwrap(), 0, expected.map(f32::from))
    };
    let cases = [
        whole(
            2,
            [0, 2, 3, 1, 2, 1, 1, 1, 0, 1, 3, 0, 2, 0, 1, 0, 0, 0, 3, 3, 2, 3, 1, 3, 0, 3, 3, 2, 2, 2, 1, 2],
        ),
        whole(
            3,
            [0, 7, 1, 3, 5, 0, 5, 1, 2, 2, 0, 0, 7, 5, 7, 6, 4, 7, 2, 5, 1, 3, 2, 5, 3, 1, 7, 6, 6, 7, 3, 0],
        ),
        whole(
            5,
            [
                24, 19, 21, 8, 3, 9, 0, 30, 30, 6, 15, 21, 25, 20, 14, 25, 13, 31, 3, 2, 18, 1, 21, 12, 7,
                28, 27, 29, 27, 22, 26, 27,
            ],
        ),
        whole(
            6,
            [
                56, 25, 5, 13, 18, 0, 47, 55, 60, 42, 25, 42, 11, 55, 62, 3, 33, 12, 20, 25, 7, 62, 46, 47,
                45, 58, 29, 3, 48, 55, 0, 24,
            ],
        ),
        (
            Format::MXFP4,
            128,
            [
                -0.0, 12.0, 8.0, 6.0, 4.0, 3.0, 2.0, 1.0, 0.0, -12.0, -8.0, -6.0, -4.0, -3.0, -2.0, -1.0,
                -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0, 0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, -0.0,
            ],
        ),
    ];
    for (format, byte, expected) in cases {
        let words = &words[..format.bits()];
        let matrix = if format.kind() == Kind::Affine {
            let biases = Some(Scales::F32(&[0.0]));
            Matrix::new(format, 1, 32, words, Scales::F32(&[1.0]), biases).unwrap()
        } else {
            Matrix::new(format, 1, 32, words, Scales::Bytes(std::slice::from_ref(&byte)), None).unwrap()
        };
        assert_eq!(reference::dequantize(&matrix), expected, "{format:?}");
        for isa in Isa::available() {
            let mut values = [f32::NAN; 32];
            dequantize_rows(isa, &matrix, 0..1, &mut values).unwrap();
            assert_eq!(values, expected, "{isa} {format:?}");
        }
    }
}

#[test]
fn panels_are_the_values_in_the_order_that_activations_are_brought_to() {
    let mut random = Random(2);
    for (format, dtype) in formats() {
        for (n, k) in shapes(format) {
            let owned = Owned::random(format, n, k, dtype, &mut random);
            let matrix = owned.matrix();
            for isa in Isa::available() {
                let name = format!("{isa} {format:?} {dtype:?} {n} {k}");
                let rows = n.min(1)..n;
                let mut values = vec![bf16::ZERO; rows.len() * k];
                dequantize_rows(isa, &matrix, rows.clone(), &mut values).unwrap();
                let mut panel = vec![bf16::ZERO; rows.len() * k + 1];
                unpack_panel_bf16(isa, &matrix, rows.clone(), &mut panel[1..]).unwrap();
                if k == 0 {
                    continue;
                }
                let mut row = vec![bf16::ZERO; k];
                for (values, panel) in values.chunks(k).zip(panel[1..].chunks(k)) {
                    permute(isa, format, values, &mut row).unwrap();
                    assert_eq!(panel, row, "{name}");
                }
                // A permutation: every place is somewhere.
                let places: Vec<bf16> = (0..k).map(|i| bf16::from_bits(i as u16)).collect();
                permute(isa, format, &places, &mut row).unwrap();
                let mut found: Vec<u16> = row.iter().map(|x| x.to_bits()).collect();
                found.sort_unstable();
                assert!(found.into_iter().map(usize::from).eq(0..k), "{name}");
            }
        }
    }
}

/// Products of `m` rows of `T` are the sums in float64 of the reference's values.
fn check_products<T: Element + Copy>(convert: fn(f32) -> T, back: fn(T) -> f32) {
    let mut random = Random(3);
    for (format, dtype) in formats() {
        for (case, (n, k)) in shapes(format).into_iter().enumerate() {
            let owned = Owned::random(format, n, k, dtype, &mut random);
            let matrix = owned.matrix();
            let values = reference::dequantize(&matrix);
            let magnitude = f64::from(magnitude(&matrix));
            for m in [1, 2 + case % 3, 5 + case % 4] {
                let x: Vec<T> = (0..m * k + 1).map(|_| convert(random.float())).collect();
                let x = &x[1..];
                for isa in Isa::available() {
                    let name = format!("{isa} {format:?} {dtype:?} {m} {n} {k}");
                    let prepared = Prepared::new(isa, format, m, k, x).unwrap();
                    assert_eq!((prepared.m(), prepared.k()), (m, k));
                    let rows = n.min(1)..n;
                    let mut out = vec![f32::NAN; m * rows.len()];
                    gemv_rows(&prepared, &matrix, rows.clone(), &mut out).unwrap();
                    for i in 0..m {
                        for (j, row) in rows.clone().enumerate() {
                            let products = (0..k)
                                .map(|at| f64::from(back(x[i * k + at])) * f64::from(values[row * k + at]));
                            let expected: f64 = products.sum();
                            let found = f64::from(out[i * rows.len() + j]);
                            let size: f64 =
                                (0..k).map(|at| f64::from(back(x[i * k + at])).abs()).sum::<f64>()
                                    * magnitude;
                            let difference = (found - expected).abs();
                            assert!(difference <= 3e-7 * size, "{name} at {i} {j}: {found} for {expected}");
                        }
                    }
                    let mut again = vec![f32::NAN; out.len()];
                    // Row by row: a block must not change a result.
                    for (j, row) in rows.clone().enumerate() {
                        let mut column = vec![f32::NAN; m];
                        gemv_rows(&prepared, &matrix, row..row + 1, &mut column).unwrap();
                        for (i, x) in column.into_iter().enumerate() {
                            again[i * rows.len() + j] = x;
                        }
                    }
                    assert_eq!(out, again, "{name}");
                }
            }
        }
    }
}

#[test]
fn products_with_float32_are_sums_of_products_without_rounding_activations() {
    check_products::<f32>(|x| x, |x| x);
}

#[test]
fn products_with_bfloat16_are_sums_of_products() {
    check_products::<bf16>(bf16::from_f32, bf16::to_f32);
}

#[test]
fn products_with_float16_are_sums_of_products_without_rounding_activations() {
    check_products::<f16>(f16::from_f32, f16::to_f32);
}

#[test]
fn zero_negative_and_non_finite_scales_are_obeyed() {
    let specials = [0.0, -0.5, 1.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -0.0, 3.0e38];
    let mut random = Random(4);
    for format in Format::all().filter(|format| format.kind() == Kind::Affine) {
        let (group, k) = (format.group_size(), 5 * format.group_size());
        for dtype in [Dtype::F32, Dtype::Bf16, Dtype::F16] {
            let mut owned = Owned::random(format, 2 * specials.len(), k, dtype, &mut random);
            // The last row of words is that of `specials[i]` in one group of it, in the scale or in the bias.
            let place = |row: usize| 1 + row * 5 + row % 5;
            let mut parts = [vec![0.25; 1 + 10 * specials.len()], vec![-1.0; 1 + 10 * specials.len()]];
            for row in 0..2 * specials.len() {
                parts[row % 2][place(row)] = specials[row / 2];
            }
            owned.scales = Numbers::new(dtype, &parts[0]);
            owned.biases = Some(Numbers::new(dtype, &parts[1]));
            let matrix = owned.matrix();
            let expected = reference::dequantize(&matrix);
            for isa in Isa::available() {
                let name = format!("{isa} {format:?} {dtype:?}");
                let mut values = vec![0.0f32; expected.len()];
                dequantize_rows(isa, &matrix, 0..matrix.n(), &mut values).unwrap();
                assert!(values.iter().zip(&expected).all(|(&x, &y)| same(x, y)), "{name}");
                let mut panel = vec![bf16::ZERO; expected.len()];
                unpack_panel_bf16(isa, &matrix, 0..matrix.n(), &mut panel).unwrap();
                let x = vec![1.0f32; k];
                let prepared = Prepared::new(isa, format, 1, k, &x).unwrap();
                let mut out = vec![0.0; matrix.n()];
                gemv_rows(&prepared, &matrix, 0..matrix.n(), &mut out).unwrap();
                for (row, &found) in out.iter().enumerate() {
                    let values = &expected[row * k..][..k];
                    let sum: f64 = values.iter().copied().map(f64::from).sum();
                    if values.iter().all(|x| x.is_finite()) && sum.abs() < 1e38 {
                        let size: f64 = values.iter().map(|x| f64::from(x.abs())).sum();
                        assert!(
                            (f64::from(found) - sum).abs() <= 1e-5 * (size + group as f64),
                            "{name} row {row}: {found} for {sum}"
                        );
                    } else {
                        assert!(!found.is_finite() || sum.is_finite(), "{name} row {row}: {found}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_byte_is_a_scale_of_the_mx_formats_and_of_nvfp4() {
    for format in [Format::MXFP4, Format::NVFP4, Format::MXFP8] {
        let k = format.group_size() * 4;
        let mut random = Random(5);
        let words: Vec<u32> = (0..64 * k * format.bits() / 32).map(|_| random.bits()).collect();
        let scales: Vec<u8> = (0..=255).collect();
        let matrix = Matrix::new(format, 64, k, &words, Scales::Bytes(&scales), None).unwrap();
        let expected = reference::dequantize(&matrix);
        let x = vec![1.0f32; k];
        for isa in Isa::available() {
            let mut values = vec![0.0f32; expected.len()];
            dequantize_rows(isa, &matrix, 0..64, &mut values).unwrap();
            for (i, (&x, &y)) in values.iter().zip(&expected).enumerate() {
                assert!(same(x, y), "{isa} {format:?} at {i}: {x} for {y}");
            }
            let mut panel = vec![bf16::ZERO; expected.len()];
            unpack_panel_bf16(isa, &matrix, 0..64, &mut panel).unwrap();
            let mut row = vec![bf16::ZERO; k];
            for (i, (panel, values)) in panel.chunks(k).zip(expected.chunks(k)).enumerate() {
                let values: Vec<bf16> = values.iter().map(|&x| bf16::from_f32(x)).collect();
                permute(isa, format, &values, &mut row).unwrap();
                for (&x, &y) in panel.iter().zip(&row) {
                    let subnormal = y.to_f32().abs() <= f32::MIN_POSITIVE && x == bf16::ZERO;
                    assert!(same(x.to_f32(), y.to_f32()) || subnormal, "{isa} {format:?} {i}: {x} for {y}");
                }
            }
            let prepared = Prepared::new(isa, format, 1, k, &x).unwrap();
            let mut out = vec![0.0; 64];
            gemv_rows(&prepared, &matrix, 0..64, &mut out).unwrap();
            for (row, &found) in out.iter().enumerate() {
                let values = &expected[row * k..][..k];
                let sum: f64 = values.iter().copied().map(f64::from).sum();
                let size: f64 = values.iter().map(|x| f64::from(x.abs())).sum();
                if size < 1e38 {
                    let difference = (f64::from(found) - sum).abs();
                    let bound = 1e-6 * size + f64::from(f32::MIN_POSITIVE);
                    assert!(difference <= bound, "{isa} {format:?} row {row}: {found} for {sum}");
                } else if !size.is_finite() {
                    assert!(!found.is_finite(), "{isa} {format:?} row {row}: {found}");
                }
            }
        }
    }
}

#[test]
fn an_activation_that_is_not_finite_shows_in_every_result() {
    let mut random = Random(6);
    for (format, dtype) in formats() {
        let k = format.group_size() * 3;
        let owned = Owned::random(format, 3, k, dtype, &mut random);
        for special in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::from_bits(0x7f80_0001)] {
            let mut x = vec![1.0f32; 2 * k];
            x[k + 17 % k] = special;
            for isa in Isa::available() {
                let prepared = Prepared::new(isa, format, 2, k, &x).unwrap();
                let mut out = vec![0.0; 6];
                gemv_rows(&prepared, &owned.matrix(), 0..3, &mut out).unwrap();
                assert!(out[..3].iter().all(|x| x.is_finite()), "{isa} {format:?} {out:?}");
                assert!(out[3..].iter().all(|x| !x.is_finite()), "{isa} {format:?} {special} {out:?}");
            }
        }
    }
}

#[test]
fn float32_activations_of_any_size_keep_their_bits() {
    let format = Format::new(Kind::Affine, 4, 64).unwrap();
    // The first value is 1, the others are 0.
    let mut words = vec![0u32; 8];
    words[0] = 1;
    let matrix = Matrix::new(format, 1, 64, &words, Scales::F32(&[1.0]), Some(Scales::F32(&[0.0]))).unwrap();
    for value in
        [f32::MAX, f32::MIN, 1.0 + f32::EPSILON, 0.1, -1.999_999_9, 1e-20, f32::from_bits(0x7f7f_ffff)]
    {
        let mut x = vec![0.0f32; 64];
        x[0] = value;
        for isa in Isa::available() {
            let prepared = Prepared::new(isa, format, 1, 64, &x).unwrap();
            let mut out = [0.0];
            gemv_rows(&prepared, &matrix, 0..1, &mut out).unwrap();
            assert_eq!(out[0], value, "{isa}");
        }
    }
}

#[test]
fn matrices_refuse_parts_that_do_not_fit() {
    let format = Format::new(Kind::Affine, 4, 64).unwrap();
    let (words, numbers, bytes) = ([0u32; 16], [0.0f32; 2], [0u8; 4]);
    let floats = Scales::F32(&numbers);
    let refuse = |format, n, k, words: &[u32], scales, biases, part: &str| {
        let message = Matrix::new(format, n, k, words, scales, biases).unwrap_err().to_string();
        assert!(message.contains(part), "{message}");
    };
    assert!(Matrix::new(format, 2, 64, &words, floats, Some(floats)).is_ok());
    refuse(format, 2, 32, &words, floats, Some(floats), "groups of 64");
    refuse(format, 2, 64, &words[1..], floats, Some(floats), "8 words, found 15");
    refuse(format, 2, 64, &words, Scales::F32(&numbers[1..]), Some(floats), "1 scales, found 1");
    refuse(format, 2, 64, &words, floats, Some(Scales::F32(&numbers[1..])), "1 biases, found 1");
    refuse(format, 2, 64, &words, floats, None, "expected biases");
    refuse(format, 2, 64, &words, floats, Some(Scales::F16(&[f16::ONE; 2])), "float32 like the scales");
    refuse(format, 2, 64, &words, Scales::Bytes(&bytes[2..]), None, "found uint8");
    refuse(format, usize::MAX, 64, &words, floats, Some(floats), "found 16");
    refuse(Format::MXFP4, 2, 64, &words, Scales::F32(&[0.0; 4]), None, "expected scales in uint8");
    refuse(Format::MXFP4, 2, 64, &words, Scales::Bytes(&bytes), Some(floats), "expected no biases");
    assert!(Format::new(Kind::Affine, 7, 64).is_err() && Format::new(Kind::Mxfp4, 4, 64).is_err());
}

#[test]
fn kernels_refuse_operands_that_do_not_fit() {
    let format = Format::new(Kind::Affine, 4, 64).unwrap();
    let numbers = [0.0f32; 2];
    let (words, scales) = ([0u32; 16], Scales::F32(&numbers));
    let matrix = Matrix::new(format, 2, 64, &words, scales, Some(scales)).unwrap();
    let isa = Isa::current();
    let x = [0.0f32; 128];
    assert!(Prepared::new(isa, format, 0, 64, &x[..0]).is_err());
    assert!(Prepared::new(isa, format, MAX_ROWS + 1, 64, &[0.0f32; 64 * 9]).is_err());
    assert!(Prepared::new(isa, format, 1, 63, &x[..63]).is_err());
    assert!(Prepared::new(isa, format, 1, 64, &x[..63]).is_err());
    let prepared = Prepared::new(isa, format, 2, 64, &x).unwrap();
    let mut out = [0.0f32; 128];
    assert!(gemv_rows(&prepared, &matrix, 0..2, &mut out[..4]).is_ok());
    assert!(gemv_rows(&prepared, &matrix, 0..2, &mut out[..2]).is_err());
    assert!(gemv_rows(&prepared, &matrix, 1..3, &mut out[..4]).is_err());
    let wide = Prepared::new(isa, format, 1, 128, &x).unwrap();
    assert!(gemv_rows(&wide, &matrix, 0..2, &mut out[..2]).is_err());
    let other = Prepared::new(isa, Format::MXFP4, 2, 64, &x).unwrap();
    assert!(gemv_rows(&other, &matrix, 0..2, &mut out[..4]).is_err());
    assert!(dequantize_rows(isa, &matrix, 0..2, &mut out).is_ok());
    assert!(dequantize_rows(isa, &matrix, 0..2, &mut out[1..]).is_err());
    assert!(dequantize_rows(isa, &matrix, 2..3, &mut out[64..]).is_err());
    let mut brain = [bf16::ZERO; 128];
    assert!(unpack_panel_bf16(isa, &matrix, 0..1, &mut brain).is_err());
    assert!(permute(isa, format, &[bf16::ZERO; 64], &mut brain).is_err());
    assert!(permute(isa, format, &[bf16::ZERO; 63], &mut brain[..63]).is_err());
}

/// Cycles in a nanosecond, from a chain of multiplications of three cycles each.
fn gigahertz() -> f64 {
    let start = Instant::now();
    let mut x = black_box(3u64);
    for _ in 0..10_000_000 {
        x = x.wrapping_mul(black_box(0x9e37_79b9_7f4a_7c15));
    }
    black_box(x);
    3e7 / start.elapsed().as_nanos() as f64
}

/// Runs `task` over blocks of rows of one matrix after the other, and prints the rates of a thread: those of the
/// fastest tenth and of half of the blocks, because others may use the processor; and with one block again and again.
fn measure(
    name: &str,
    matrices: &[Owned],
    threads: usize,
    task: &(dyn Fn(&Matrix<'_>, usize, usize) + Sync),
) {
    const BLOCK: usize = 256;
    let (n, k) = (matrices[0].n, matrices[0].k);
    let times = Mutex::new(Vec::new());
    for _ in 0..3 {
        for owned in matrices {
            let matrix = owned.matrix();
            let block = |i: usize| {
                let start = Instant::now();
                task(&matrix, i * BLOCK, n.min((i + 1) * BLOCK));
                let time = start.elapsed().as_nanos() as f64;
                times.lock().unwrap().push(time);
            };
            if threads == 1 { (0..n / BLOCK).for_each(block) } else { pool::run(n / BLOCK, &block) }
        }
    }
    let mut times = times.into_inner().unwrap();
    times.sort_by(f64::total_cmp);
    let matrix = matrices[0].matrix();
    let hot = (0..200).map(|_| {
        let start = Instant::now();
        task(&matrix, 0, BLOCK);
        start.elapsed().as_nanos() as f64
    });
    let hot = hot.fold(f64::MAX, f64::min);
    let owned = &matrices[0];
    let scale = match owned.scales {
        Numbers::F32(_) => 4,
        Numbers::Bytes(_) => 1,
        _ => 2,
    };
    let per_group = if owned.biases.is_some() { 2 * scale } else { scale };
    let bytes = BLOCK * k * owned.format.bits() / 8 + BLOCK * k / owned.format.group_size() * per_group;
    let rate = |time: f64| format!("{:5.1} GB/s {:5.1} w/ns", bytes as f64 / time, (BLOCK * k) as f64 / time);
    println!(
        "{name:24} {n:6}x{k:4} threads {threads}: best tenth {}, half {}, cached {}",
        rate(times[times.len() / 10]),
        rate(times[times.len() / 2]),
        rate(hot)
    );
}

#[test]
#[ignore = "a measurement: run it alone, in release, with --nocapture; QUANT_BENCH names formats such as Affine4/64"]
fn measure_rates() {
    let wanted = std::env::var("QUANT_BENCH").unwrap_or_default();
    let isa = Isa::current();
    println!("{isa}, {:.2} GHz, {} threads", gigahertz(), pool::threads());
    for (n, k) in [(3072, 1024), (1024, 3072), (151_936, 1024)] {
        for format in Format::all() {
            let label = format!("{:?}{}/{}", format.kind(), format.bits(), format.group_size());
            if !wanted.is_empty() && !wanted.split(',').any(|name| name == label) {
                continue;
            }
            let mut random = Random(9);
            let bytes = n * k * format.bits() / 8;
            let first = Owned::random(format, n, k, Dtype::Bf16, &mut random);
            let mut matrices = vec![first];
            while matrices.len() * bytes < 96 << 20 {
                matrices.push(Owned::random(format, n, k, Dtype::Bf16, &mut random));
            }
            for threads in [1, 2] {
                for m in [1, 4] {
                    let x: Vec<bf16> = (0..m * k).map(|_| bf16::from_f32(random.float())).collect();
                    let prepared = Prepared::new(isa, format, m, k, &x).unwrap();
                    let name = format!("{label} gemv m={m}");
                    measure(&name, &matrices, threads, &|matrix, start, end| {
                        let mut out = [0.0f32; 4 * 256];
                        gemv_rows(&prepared, matrix, start..end, &mut out[..m * (end - start)]).unwrap();
                        black_box(&out);
                    });
                }
                let panels: Vec<_> = (0..2).map(|_| Mutex::new(vec![bf16::ZERO; 16 * k])).collect();
                measure(&format!("{label} panel"), &matrices, threads, &|matrix, start, end| {
                    let mut panel = panels.iter().find_map(|panel| panel.try_lock().ok()).unwrap();
                    for row in (start..end).step_by(16) {
                        let rows = row..end.min(row + 16);
                        let len = rows.len() * k;
                        unpack_panel_bf16(isa, matrix, rows, &mut panel[..len]).unwrap();
                    }
                });
            }
            if n == 3072 {
                let x: Vec<f32> = (0..k).map(|_| random.float()).collect();
                let brain: Vec<bf16> = x.iter().map(|&x| bf16::from_f32(x)).collect();
                let time = |task: &dyn Fn()| {
                    let start = Instant::now();
                    (0..1000).for_each(|_| task());
                    start.elapsed().as_nanos() as f64 / 1e3
                };
                println!(
                    "{label} prepare {:.0} ns, of f32 {:.0} ns",
                    time(&|| drop(black_box(Prepared::new(isa, format, 1, k, &brain)))),
                    time(&|| drop(black_box(Prepared::new(isa, format, 1, k, &x))))
                );
            }
        }
    }
}
