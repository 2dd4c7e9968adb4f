// SPDX-License-Identifier: EUPL-1.2
//! What the sampler should do, written plainly in float64, with sorting where the sampler has thresholds.

use mlx_sampler::SamplerOptions;

/// The exact probabilities to draw from.
pub(crate) fn probabilities(
    logits: &[f32],
    options: &SamplerOptions,
    prompt: &[u32],
    generated: &[u32],
) -> Vec<f64> {
    let mut x: Vec<f64> = logits.iter().map(|&v| f64::from(v)).collect();
    for &(id, bias) in &options.logit_bias {
        x[id as usize] += f64::from(bias);
    }
    for (id, x) in x.iter_mut().enumerate() {
        let count = generated.iter().filter(|&&g| g as usize == id).count();
        let seen = count > 0 || prompt.iter().any(|&p| p as usize == id);
        if seen && let Some(penalty) = options.repetition_penalty.map(f64::from) {
            *x = if *x > 0.0 { *x / penalty } else { *x * penalty };
        }
        *x -= count as f64 * f64::from(options.frequency_penalty.unwrap_or(0.0));
        if count > 0 {
            *x -= f64::from(options.presence_penalty.unwrap_or(0.0));
        }
    }
    if options.is_greedy() {
        return softmax(&x);
    }
    for v in &mut x {
        *v /= f64::from(options.temperature);
    }
    if let Some(k) = options.top_k.filter(|&k| k > 0 && k < x.len()) {
        let least = descending(&x)[k - 1];
        x = keep_from(&x, x[least]);
    }
    if let Some(p) = options.top_p.map(f64::from).filter(|&p| p < 1.0) {
        let probabilities = softmax(&x);
        let mut sum = 0.0;
        let mut least = f64::INFINITY;
        for id in descending(&x) {
            // Equals of the last one that was kept are kept too.
            if sum >= p && x[id] < least && least.is_finite() {
                break;
            }
            least = x[id];
            sum += probabilities[id];
        }
        x = keep_from(&x, least);
    }
    if let Some(fraction) = options.min_p.map(f64::from) {
        let probabilities = softmax(&x);
        let largest = probabilities.iter().copied().fold(0.0, f64::max);
        for (v, p) in x.iter_mut().zip(probabilities) {
            if p < fraction * largest * (1.0 - 1e-6) {
                *v = f64::NEG_INFINITY;
            }
        }
    }
    softmax(&x)
}

/// The ids by falling logit.
fn descending(x: &[f64]) -> Vec<usize> {
    let mut ids: Vec<usize> = (0..x.len()).collect();
    ids.sort_by(|&a, &b| x[b].total_cmp(&x[a]));
    ids
}

fn keep_from(x: &[f64], least: f64) -> Vec<f64> {
    x.iter().map(|&v| if v >= least { v } else { f64::NEG_INFINITY }).collect()
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exponentials: Vec<f64> = x.iter().map(|v| (v - largest).exp()).collect();
    let total: f64 = exponentials.iter().sum();
    exponentials.iter().map(|e| e / total).collect()
}

/// Numbers between −1 and 1 that are the same in every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> f32 {
        // The constants are those of Knuth's MMIX generator.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32 / (1u32 << 23) as f32) - 1.0
    }

    pub(crate) fn row(&mut self, length: usize, scale: f32) -> Vec<f32> {
        (0..length).map(|_| self.next() * scale).collect()
    }
}
