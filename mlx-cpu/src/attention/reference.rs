// SPDX-License-Identifier: EUPL-1.2
//! What the kernels should give, the slow way.

use super::{Attention, Floats, Mask};

/// Attention row by row in float64: `[B, H, L, D]`, contiguous. Operands of other types are converted by `f`.
///
/// # Panics
/// When an operand is shorter than its shape and strides ask for.
#[must_use]
pub fn attend<T: Copy>(a: &Attention<'_, T>, f: impl Fn(T) -> f64) -> Vec<f64> {
    let group = a.heads / a.kv_heads;
    let mut out = Vec::with_capacity(a.batch * a.heads * a.queries * a.value_width);
    for b in 0..a.batch {
        for h in 0..a.heads {
            for l in 0..a.queries {
                let at = |s: [usize; 3], head: usize, row: usize| b * s[0] + head * s[1] + row * s[2];
                let q = &a.q.data[at(a.q.strides, h, l)..][..a.width];
                let (first, end) = a.visible(l);
                let score = |key: usize| {
                    let k = &a.k.data[at(a.k.strides, h / group, key)..][..a.width];
                    let dot: f64 = q.iter().zip(k).map(|(&x, &y)| f(x) * f(y)).sum();
                    let mask = |s: [usize; 4]| b * s[0] + h * s[1] + l * s[2] + key * s[3];
                    let score = f64::from(a.scale) * dot;
                    match a.mask {
                        _ if !(first..end).contains(&key) => f64::NEG_INFINITY,
                        Mask::Additive { data, strides } => {
                            let i = mask(strides);
                            score
                                + match data {
                                    Floats::F32(data) => f64::from(data[i]),
                                    Floats::Bf16(data) => data[i].to_f64(),
                                    Floats::F16(data) => data[i].to_f64(),
                                }
                        }
                        Mask::Bool { data, strides } if data[mask(strides)] == 0 => f64::NEG_INFINITY,
                        _ => score,
                    }
                };
                let scores: Vec<f64> = (0..a.keys).map(score).collect();
                let sink = a.sinks.map_or(f64::NEG_INFINITY, |sinks| f64::from(sinks[h]));
                let max = scores.iter().fold(sink, |max, &x| max.max(x));
                let weights: Vec<f64> = scores.iter().map(|x| (x - max).exp()).collect();
                let sink = if a.sinks.is_some() { (sink - max).exp() } else { 0.0 };
                let sum = weights.iter().sum::<f64>() + sink;
                let mut row = vec![0.0; a.value_width];
                for (key, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
                    let v = &a.v.data[at(a.v.strides, h / group, key)..][..a.value_width];
                    for (sum, &v) in row.iter_mut().zip(v) {
                        *sum += weight * f(v);
                    }
                }
                out.extend(row.into_iter().map(|x| x / sum));
            }
        }
    }
    out
}
