// SPDX-License-Identifier: EUPL-1.2

use super::*;
use crate::testing::{Random, SIZES, bits, close, everywhere};

fn reference<T: Element>(x: &[T], w: Option<&[f32]>, offset: f32, eps: f32) -> Vec<f64> {
    let x: Vec<f64> = x.iter().map(|x| f64::from(x.to_f32())).collect();
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    let scale = 1.0 / (mean + f64::from(eps)).sqrt();
    let w = |i| w.map_or(1.0, |w: &[f32]| f64::from(w[i] + offset));
    x.iter().enumerate().map(|(i, x)| x * scale * w(i)).collect()
}

fn values<T: Element>(isa: Isa) {
    let random = &mut Random(1);
    for n in SIZES {
        // One element in, so that rows are unaligned, and a stride that is not the width.
        let (rows, stride) = (3, n + 5);
        let x: Vec<T> = random.vec(1 + rows * stride, 3.0);
        let w: Vec<f32> = random.vec(n, 1.0);
        let halves: Vec<bf16> = w.iter().map(|&w| bf16::from_f32(w)).collect();
        let short: Vec<f16> = w.iter().map(|&w| f16::from_f32(w)).collect();
        let wide = |w: &[bf16]| w.iter().map(|w| w.to_f32()).collect::<Vec<f32>>();
        let wide16 = |w: &[f16]| w.iter().map(|w| w.to_f32()).collect::<Vec<f32>>();
        let x = Rows::new(&x[1..], rows, n, stride).unwrap();
        for (weight, plain) in [
            (None, None),
            (Some(Weight::from(&w[..])), Some(w.clone())),
            (Some(Weight::from(&halves[..])), Some(wide(&halves))),
            (Some(Weight::from(&short[..])), Some(wide16(&short))),
        ] {
            for offset in [0.0, 1.0] {
                let norm = RmsNorm { weight, offset, eps: 1e-6 };
                let mut out = vec![T::from_f32(7.0); 1 + rows * stride];
                let mut rows_out = RowsMut::new(&mut out[1..], rows, n, stride).unwrap();
                rms_norm(isa, x, &norm, &mut rows_out).unwrap();
                for row in 0..rows {
                    let expected = reference(x.row(row), plain.as_deref(), offset, 1e-6);
                    for (i, expected) in expected.into_iter().enumerate() {
                        let found = out[1 + row * stride + i];
                        close(found, expected, 1e-6, 1e-38, &format!("{isa} {n} [{row}, {i}]"));
                    }
                    // What lies between rows is left alone.
                    assert!(out[1 + row * stride + n..][..5].iter().all(|x| x.to_f32() == 7.0));
                }
            }
        }
    }
}

#[test]
fn rms_norm_is_its_formula() {
    everywhere!(values);
}

fn special<T: Element>(isa: Isa) {
    for n in [3usize, 16, 40] {
        for (odd, eps) in [(f32::NAN, 1e-6), (f32::INFINITY, 1e-6), (3e38, 1e-6), (1e-40, 1e-6), (0.0, 0.0)] {
            let mut x = vec![T::from_f32(if odd == 0.0 || odd == 1e-40 { odd } else { 1.0 }); n];
            x[n - 1] = T::from_f32(odd);
            let norm = RmsNorm { weight: None, offset: 0.0, eps };
            let mut out = vec![T::ZERO; n];
            rms_norm(isa, Rows::one(&x), &norm, &mut RowsMut::one(&mut out)).unwrap();
            let plain: f32 = x.iter().map(|x| x.to_f32() * x.to_f32()).sum::<f32>() / n as f32;
            let scale = 1.0 / (plain + eps).sqrt();
            for (i, x) in x.iter().enumerate() {
                close(out[i], f64::from(x.to_f32() * scale), 1e-6, 1e-44, &format!("{isa} {odd} {n} {i}"));
            }
        }
    }
}

#[test]
fn rms_norm_of_odd_numbers_is_that_of_the_formula_in_float32() {
    everywhere!(special);
}

fn fused<T: Element>(isa: Isa) {
    let random = &mut Random(2);
    for (rows, n) in [(1, 1024), (3, 33), (70, 1152), (2, 1)] {
        let (x, residual): (Vec<T>, Vec<T>) =
            (random.vec(rows * n, 60_000.0), random.vec(rows * n, 60_000.0));
        let w: Vec<bf16> = random.vec(n, 1.0);
        let norm = RmsNorm { weight: Some(Weight::from(&w[..])), offset: 1.0, eps: 1e-6 };
        let (x_rows, residual_rows) = (Rows::packed(&x, n).unwrap(), Rows::packed(&residual, n).unwrap());
        for clamped in [false, true] {
            let add = |a: &[T], b: &[T]| {
                let mut out = vec![T::ZERO; a.len()];
                match clamped {
                    false => crate::elementwise::add(isa, a, b, &mut out).unwrap(),
                    true => crate::elementwise::add_clamped(isa, a, b, &mut out).unwrap(),
                }
                out
            };
            let normed = |x: &[T]| {
                let mut out = vec![T::ZERO; x.len()];
                rms_norm(isa, Rows::packed(x, n).unwrap(), &norm, &mut RowsMut::packed(&mut out, n).unwrap())
                    .unwrap();
                out
            };
            let (mut total, mut out) = (vec![T::ZERO; rows * n], vec![T::ZERO; rows * n]);
            let (into, after) =
                (&mut RowsMut::packed(&mut total, n).unwrap(), &mut RowsMut::packed(&mut out, n).unwrap());
            add_rms_norm(isa, x_rows, residual_rows, &norm, clamped, into, after).unwrap();
            assert_eq!(bits(&total), bits(&add(&x, &residual)));
            assert_eq!(bits(&out), bits(&normed(&total)));
            norm_add(isa, x_rows, residual_rows, &norm, clamped, &mut RowsMut::packed(&mut out, n).unwrap())
                .unwrap();
            assert_eq!(bits(&out), bits(&add(&normed(&x), &residual)));
        }
    }
}

#[test]
fn fused_norms_have_the_bits_of_the_separate_ones() {
    everywhere!(fused);
}

fn layer<T: Element>(isa: Isa) {
    let random = &mut Random(3);
    for n in SIZES {
        let x: Vec<T> = (0..2 * n).map(|_| T::from_f32(4.0 + random.number())).collect();
        let (w, b): (Vec<f32>, Vec<f16>) = (random.vec(n, 1.0), random.vec(n, 1.0));
        for (weight, bias) in [(None, None), (Some(Weight::from(&w[..])), Some(Weight::from(&b[..])))] {
            let norm = LayerNorm { weight, bias, eps: 1e-5 };
            let mut out = vec![T::ZERO; 2 * n];
            let x = Rows::new(&x, 2, n, n).unwrap();
            layer_norm(isa, x, &norm, &mut RowsMut::new(&mut out, 2, n, n).unwrap()).unwrap();
            for row in 0..2 {
                let x: Vec<f64> = x.row(row).iter().map(|x| f64::from(x.to_f32())).collect();
                let mean = x.iter().sum::<f64>() / n as f64;
                let var = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n as f64;
                for (i, x) in x.iter().enumerate() {
                    let mut y = (x - mean) / (var + 1e-5f32 as f64).sqrt();
                    if weight.is_some() {
                        y = y * f64::from(w[i]) + f64::from(b[i].to_f32());
                    }
                    close(out[row * n + i], y, 1e-5, 5e-6, &format!("{isa} {n} [{row}, {i}]"));
                }
            }
        }
    }
}

#[test]
fn layer_norm_is_its_formula() {
    everywhere!(layer);
}

fn gradients<T: Element>(isa: Isa) {
    let random = &mut Random(11);
    for (rows, n) in [(1, 1), (3, 2), (5, 17), (2, 1000), (100, 65), (300, 33)] {
        let (x, dy): (Vec<T>, Vec<T>) = (random.vec(rows * n, 2.0), random.vec(rows * n, 1.0));
        let w: Vec<f32> = random.vec(n, 1.0);
        let (x, dy) = (Rows::packed(&x, n).unwrap(), Rows::packed(&dy, n).unwrap());
        for (layer, weight) in [(false, None), (false, Some(&w)), (true, None), (true, Some(&w))] {
            let (mut dx, mut dw, mut db) = (vec![T::ZERO; rows * n], vec![9f32; n], vec![9f32; n]);
            let weights = weight.map(|w| Weight::from(&w[..]));
            let (eps, offset) = (1e-3, if layer { 0.0 } else { 1.0 });
            let out = &mut RowsMut::packed(&mut dx, n).unwrap();
            if layer {
                let norm = LayerNorm { weight: weights, bias: None, eps };
                layer_norm_vjp(isa, x, &norm, dy, out, Some(&mut dw), Some(&mut db)).unwrap();
            } else {
                let norm = RmsNorm { weight: weights, offset, eps };
                rms_norm_vjp(isa, x, &norm, dy, out, Some(&mut dw)).unwrap();
            }
            let (mut dw_sum, mut db_sum) = (vec![0f64; n], vec![0f64; n]);
            for row in 0..rows {
                let wide = |x: &[T]| x.iter().map(|x| f64::from(x.to_f32())).collect::<Vec<f64>>();
                let (x, dy) = (wide(x.row(row)), wide(dy.row(row)));
                let average = |v: &[f64]| v.iter().sum::<f64>() / n as f64;
                let mean = if layer { average(&x) } else { 0.0 };
                let squares: Vec<f64> = x.iter().map(|x| (x - mean) * (x - mean)).collect();
                let r = 1.0 / (average(&squares) + f64::from(eps)).sqrt();
                let z: Vec<f64> = x.iter().map(|x| (x - mean) * r).collect();
                let w = |i: usize| weight.map_or(1.0, |w| f64::from(w[i] + offset));
                let g: Vec<f64> = dy.iter().enumerate().map(|(i, dy)| dy * w(i)).collect();
                let dot = average(&g.iter().zip(&z).map(|(g, z)| g * z).collect::<Vec<_>>());
                let lost = if layer { average(&g) } else { 0.0 };
                for i in 0..n {
                    let expected = r * (g[i] - lost - z[i] * dot);
                    let place = format!("{isa} {layer} {n} [{row}, {i}]");
                    close(dx[row * n + i], expected, 1e-5, 2e-5 * r, &place);
                    dw_sum[i] += dy[i] * z[i];
                    db_sum[i] += dy[i];
                }
            }
            for i in 0..n {
                close(dw[i], dw_sum[i], 1e-5, 1e-4, &format!("{isa} dw {layer} {n} {i}"));
                if layer {
                    close(db[i], db_sum[i], 1e-5, 1e-5, &format!("{isa} db {n} {i}"));
                }
            }
        }
    }
}

#[test]
fn gradients_are_their_formulas() {
    everywhere!(gradients);
}

#[test]
fn gradients_of_no_rows_are_zero() {
    let (mut dw, norm) = ([7f32; 4], RmsNorm { weight: None, offset: 0.0, eps: 0.0 });
    let none = Rows::<f32>::new(&[], 0, 4, 4).unwrap();
    let out = &mut RowsMut::new(&mut [], 0, 4, 4).unwrap();
    rms_norm_vjp(Isa::Portable, none, &norm, none, out, Some(&mut dw)).unwrap();
    assert_eq!(dw, [0.0; 4]);
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let (x, w) = ([1f32; 12], [1f32; 3]);
    let norm = RmsNorm { weight: Some(Weight::from(&w[..])), offset: 0.0, eps: 0.0 };
    let (x, mut out) = (Rows::packed(&x, 4).unwrap(), [0f32; 12]);
    let message = rms_norm(Isa::Portable, x, &norm, &mut RowsMut::packed(&mut out, 4).unwrap()).unwrap_err();
    assert_eq!(message.to_string(), "rms_norm: expected 4 elements in weight, found 3");
    assert!(Rows::new(&out, 3, 4, 5).is_err() && Rows::new(&out, usize::MAX, 4, usize::MAX).is_err());
    assert!(RowsMut::new(&mut out, 3, 4, 2).is_err());
}
