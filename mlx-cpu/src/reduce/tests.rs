// SPDX-License-Identifier: EUPL-1.2

use super::*;
use crate::testing::{Random, SIZES, close, everywhere};

/// As MLX does it.
fn argmax_reference<T: Element>(x: &[T]) -> usize {
    let mut best = 0;
    for i in 1..x.len() {
        if x[i].to_f32() > x[best].to_f32() {
            best = i;
        }
    }
    best
}

fn argmax_values<T: Element>(isa: Isa) {
    let random = &mut Random(10);
    for n in SIZES.into_iter().filter(|&n| n > 0).chain([5000, 70_001]) {
        let mut x: Vec<T> = random.vec(n + 1, 2.0);
        for odd in [1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 2.0] {
            for at in [0, n / 2, n - 1] {
                let before = x[1 + at];
                x[1 + at] = T::from_f32(odd);
                let mut out = [9];
                argmax(isa, Rows::one(&x[1..]), &mut out).unwrap();
                assert_eq!(out[0] as usize, argmax_reference(&x[1..]), "{isa} {n} {odd} at {at}");
                x[1 + at] = before;
            }
        }
        x[1..].fill(T::from_f32(f32::NEG_INFINITY));
        let mut out = [9];
        argmax(isa, Rows::one(&x[1..]), &mut out).unwrap();
        assert_eq!(out, [0]);
    }
    let x: Vec<T> = [3.0, 1.0, 3.0, 0.0, -0.0, 0.0, 9.0, 9.0, 9.0].map(T::from_f32).to_vec();
    let mut out = [7; 2];
    argmax(isa, Rows::new(&x, 2, 3, 3).unwrap(), &mut out).unwrap();
    assert_eq!(out, [0, 0]);
    assert!(argmax(isa, Rows::new(&x, 2, 0, 3).unwrap(), &mut out).is_err());
    assert!(argmax(isa, Rows::new(&x, 3, 3, 3).unwrap(), &mut out).is_err());
}

#[test]
fn argmax_is_the_first_of_the_largest_as_in_mlx() {
    everywhere!(argmax_values);
}

fn rows_to_numbers<T: Element>(isa: Isa) {
    let random = &mut Random(12);
    for n in SIZES.into_iter().filter(|&n| n > 0).chain([5000, 70_001]) {
        let x: Vec<T> = random.vec(1 + 2 * (n + 3), 5.0);
        let x = Rows::new(&x[1..], 2, n, n + 3).unwrap();
        let (mut most, mut total, mut lse) = ([0f32; 2], [0f32; 2], [T::ZERO; 2]);
        max(isa, x, &mut most).unwrap();
        sum(isa, x, &mut total).unwrap();
        logsumexp(isa, x, &mut lse).unwrap();
        for row in 0..2 {
            let x: Vec<f64> = x.row(row).iter().map(|x| f64::from(x.to_f32())).collect();
            let place = format!("{isa} {n}");
            close(most[row], x.iter().copied().fold(f64::NEG_INFINITY, f64::max), 0.0, 0.0, &place);
            close(total[row], x.iter().sum(), 1e-6, 1e-5 * (n as f64).sqrt(), &place);
            close(lse[row], x.iter().map(|x| x.exp()).sum::<f64>().ln(), 3e-7, 3e-7, &place);
        }
    }
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    for (x, largest, lse) in [
        ([-inf, -inf, -inf], -inf, -inf),
        ([1.0, inf, 2.0], inf, inf),
        ([1.0, inf, nan], nan, nan),
        ([nan, -inf, -inf], nan, nan),
        ([-inf, 3.0, -inf], 3.0, 3.0),
    ] {
        let x = x.map(T::from_f32);
        let (mut most, mut sums) = ([0f32], [0f32]);
        max(isa, Rows::one(&x), &mut most).unwrap();
        logsumexp(isa, Rows::one(&x), &mut sums).unwrap();
        close(most[0], f64::from(largest), 0.0, 0.0, "max");
        close(sums[0], f64::from(lse), 0.0, 0.0, "logsumexp");
    }
    let mut out = [1f32];
    sum(isa, Rows::<T>::new(&[], 1, 0, 0).unwrap(), &mut out).unwrap();
    assert_eq!(out, [0.0]);
    logsumexp(isa, Rows::<T>::new(&[], 1, 0, 0).unwrap(), &mut out).unwrap();
    assert_eq!(out, [f32::NEG_INFINITY]);
}

#[test]
fn reductions_are_their_formulas() {
    everywhere!(rows_to_numbers);
}

/// Logits as models have them: many low ones, and some that lead; or all alike; or masked.
fn logits(random: &mut Random, n: usize, kind: usize) -> Vec<f32> {
    (0..n)
        .map(|i| match kind {
            0 => (0..6).map(|_| random.number()).sum::<f32>() * 2.0,
            1 => (random.number() * 4.0).round(),
            2 if random.number() > -0.9 => f32::NEG_INFINITY,
            2 => random.number() * 20.0,
            3 => random.number() * 1e-3,
            _ => -(i as f32) / 50.0,
        })
        .collect()
}

#[test]
fn thresholds_are_those_of_a_sorted_row() {
    let random = &mut Random(13);
    for (kind, n) in (0..5).flat_map(|kind| [1, 2, 63, 65, 1000, 20_000, 70_003].map(|n| (kind, n))) {
        let x = logits(random, n, kind);
        let mut sorted = x.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        for isa in Isa::available() {
            for k in [1, 2, 7, 40, 64, n / 3, n - 1] {
                let expected = match k {
                    0 => f32::INFINITY,
                    k if k >= n => f32::NEG_INFINITY,
                    k => sorted[k - 1],
                };
                assert_eq!(top_k_threshold(isa, &x, k), expected, "{isa} {kind} {n} {k}");
            }
            for (p, temperature) in [(0.0, 1.0), (0.1, 1.0), (0.5, 0.7), (0.9, 1.5), (0.999, 1.0), (1.0, 1.0)]
            {
                let floor = if kind == 0 { -3.0f32.min(sorted[0]) } else { f32::NEG_INFINITY };
                if sorted[0] == f32::NEG_INFINITY || sorted[0] < floor {
                    continue;
                }
                let weighing = Weighing { temperature, least: floor };
                let found = top_p_threshold(isa, &x, &weighing, p).unwrap();
                if p == 1.0 {
                    assert_eq!(found, floor);
                    continue;
                }
                let weight = |x: f32| (f64::from(x - sorted[0]) / f64::from(temperature)).exp();
                let kept: Vec<f32> = sorted.iter().copied().filter(|&x| x >= floor).collect();
                let total: f64 = kept.iter().map(|&x| weight(x)).sum();
                let above: f64 = kept.iter().filter(|&&x| x > found).map(|&x| weight(x)).sum();
                let with: f64 = kept.iter().filter(|&&x| x >= found).map(|&x| weight(x)).sum();
                let wanted = f64::from(p) * total;
                let place = format!("{isa} {kind} {n} {p}: {found}");
                assert!(kept.contains(&found), "{place}");
                assert!(above <= wanted + 1e-5 * total && with >= wanted - 1e-5 * total, "{place}");
            }
        }
    }
    let x = [f32::NAN, 1.0, -0.0, 0.0, f32::INFINITY, f32::NEG_INFINITY];
    for (k, expected) in [(1, f32::INFINITY), (2, 1.0), (3, 0.0), (4, 0.0), (5, f32::NEG_INFINITY)] {
        assert_eq!(top_k_threshold(Isa::Portable, &x, k), expected);
    }
}

#[test]
fn draws_follow_the_running_sum() {
    let random = &mut Random(14);
    for (kind, n) in (0..5).flat_map(|kind| [1, 2, 511, 513, 20_000, 70_003].map(|n| (kind, n))) {
        let x = logits(random, n, kind);
        let most = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if most == f32::NEG_INFINITY {
            continue;
        }
        for isa in Isa::available() {
            for temperature in [1.0, 0.5, 1e-40] {
                let weighing = Weighing { temperature, least: most - 3.0 };
                let weights: Vec<f64> = x
                    .iter()
                    .map(|&x| match x >= weighing.least {
                        true => (f64::from(x - most) / f64::from(temperature)).exp(),
                        false => 0.0,
                    })
                    .collect();
                let total: f64 = weights.iter().sum();
                for uniform in [0.0, 0.1, 0.5, 0.77, 0.999_999_94] {
                    let found = sample_categorical(isa, &x, &weighing, uniform).unwrap();
                    let before: f64 = weights[..found].iter().sum();
                    let target = f64::from(uniform) * total;
                    let place = format!("{isa} {kind} {n} {temperature} {uniform}: {found}");
                    assert!(weights[found] > 0.0, "{place}");
                    assert!(before <= target + 2e-5 * total, "{place}");
                    assert!(before + weights[found] >= target - 2e-5 * total, "{place}");
                    assert_eq!(found, sample_categorical(isa, &x, &weighing, uniform).unwrap());
                }
            }
        }
    }
    let weighing = Weighing { temperature: 1.0, least: f32::NEG_INFINITY };
    let refused = |x: &[f32], weighing: &Weighing, uniform| {
        sample_categorical(Isa::Portable, x, weighing, uniform).is_err()
    };
    assert!(refused(&[1.0, f32::NAN], &weighing, 0.0));
    assert!(refused(&[f32::NEG_INFINITY; 3], &weighing, 0.0) && refused(&[], &weighing, 0.0));
    assert!(refused(&[f32::INFINITY, 1.0], &weighing, 0.0));
    assert!(refused(&[1.0], &weighing, 1.0) && refused(&[1.0], &weighing, f32::NAN));
    assert!(refused(&[1.0], &Weighing { temperature: 0.0, ..weighing }, 0.0));
    assert!(refused(&[1.0], &Weighing { least: 2.0, ..weighing }, 0.0));
}
