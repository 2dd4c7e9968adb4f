// SPDX-License-Identifier: EUPL-1.2
//! The draw itself: counts against exact probabilities, and what a seed promises.

use mlx_core::{Array, eval};
use mlx_sampler::{Sampler, SamplerOptions};

use crate::reference::probabilities;
use crate::{drawing, row};

/// `count` draws, submitted together.
fn draw(options: &SamplerOptions, logits: &[f32], count: usize) -> Vec<u32> {
    let logits = row(logits);
    let mut sampler = Sampler::new(options.clone(), &[]).unwrap();
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        let tokens: Vec<Array> = (0..50).map(|_| sampler.sample(&logits).unwrap()).collect();
        eval(&tokens).unwrap();
        for token in tokens {
            let id = token.item::<u32>().unwrap();
            sampler.accept(id).unwrap();
            ids.push(id);
        }
    }
    ids
}

/// Checks draws against exact probabilities by Pearson's statistic.
///
/// The bound is where the statistic lies with a probability of 1e-4, by the approximation of Wilson and Hilferty. The
/// seeds are fixed, so this holds or does not, always.
fn chi_square(options: &SamplerOptions, logits: &[f32]) {
    let expected = probabilities(logits, options, &[], &[]);
    let ids = draw(options, logits, 3000);
    let mut counts = vec![0usize; logits.len()];
    for &id in &ids {
        counts[id as usize] += 1;
    }
    let mut statistic = 0.0;
    let mut kept = 0.0f64;
    for (id, (&count, &p)) in counts.iter().zip(&expected).enumerate() {
        if p == 0.0 {
            assert_eq!(count, 0, "token {id} was dropped and drawn with {options:?}");
            continue;
        }
        let mean = p * ids.len() as f64;
        statistic += (count as f64 - mean).powi(2) / mean;
        kept += 1.0;
    }
    let freedom = kept - 1.0;
    let spread = 2.0 / (9.0 * freedom);
    let bound = freedom * (1.0 - spread + 3.719 * spread.sqrt()).powi(3);
    assert!(statistic < bound, "{statistic} is not below {bound}: {counts:?} with {options:?}");
    // A statistic near zero would be as wrong: the draws would not be independent.
    assert!(
        statistic > freedom * (1.0 - spread - 3.719 * spread.sqrt()).max(0.0).powi(3),
        "{statistic} is too small"
    );
}

#[test]
fn draws_follow_the_distribution() {
    let logits = [1.0f32, 0.5, 0.0, -0.5, 2.0, 1.5, -1.0, 0.25];
    let cases = [
        drawing(),
        SamplerOptions { temperature: 0.6, ..drawing() },
        SamplerOptions { temperature: 3.0, seed: Some(2), ..drawing() },
        SamplerOptions { top_k: Some(4), seed: Some(3), ..drawing() },
        SamplerOptions { top_p: Some(0.7), seed: Some(4), ..drawing() },
        SamplerOptions { min_p: Some(0.3), seed: Some(5), ..drawing() },
        SamplerOptions { top_k: Some(6), top_p: Some(0.9), min_p: Some(0.1), seed: Some(6), ..drawing() },
        SamplerOptions { logit_bias: vec![(4, f32::NEG_INFINITY), (6, 2.0)], seed: Some(7), ..drawing() },
    ];
    for options in cases {
        chi_square(&options, &logits);
    }
}

#[test]
fn consecutive_draws_are_independent() {
    // Pairs of draws from a fair coin: each of the four has a quarter.
    let ids = draw(&SamplerOptions { seed: Some(9), ..drawing() }, &[0.0, 0.0], 4000);
    let mut pairs = [0usize; 4];
    for pair in ids.windows(2) {
        pairs[(pair[0] * 2 + pair[1]) as usize] += 1;
    }
    for count in pairs {
        assert!((900..1100).contains(&count), "{pairs:?}");
    }
}

#[test]
fn a_seed_gives_the_same_tokens_and_another_seed_gives_others() {
    let logits = [0.0f32; 64];
    let first = draw(&drawing(), &logits, 50);
    assert_eq!(first, draw(&drawing(), &logits, 50));
    assert_ne!(first, draw(&SamplerOptions { seed: Some(2), ..drawing() }, &logits, 50));
}

#[test]
fn without_a_seed_requests_differ_and_can_be_repeated() {
    let options = SamplerOptions { seed: None, ..drawing() };
    let (one, two) =
        (Sampler::new(options.clone(), &[]).unwrap(), Sampler::new(options.clone(), &[]).unwrap());
    assert_ne!(one.seed(), two.seed());
    let seed = Some(one.seed());
    let again = SamplerOptions { seed, ..options };
    assert_eq!(draw(&again, &[0.0; 64], 50), draw(&again, &[0.0; 64], 50));
}

#[test]
fn tokens_do_not_depend_on_when_they_are_read() {
    let logits = row(&[0.3, 0.1, -0.2, 0.9, 0.0]);
    let options = SamplerOptions { repetition_penalty: Some(1.5), frequency_penalty: Some(0.3), ..drawing() };
    let mut together = Sampler::new(options.clone(), &[2]).unwrap();
    let tokens: Vec<Array> = (0..40).map(|_| together.sample(&logits).unwrap()).collect();
    let mut apart = Sampler::new(options, &[2]).unwrap();
    for token in tokens {
        let id = apart.sample(&logits).unwrap().item::<u32>().unwrap();
        apart.accept(id).unwrap();
        assert_eq!(token.item::<u32>().unwrap(), id);
        together.accept(id).unwrap();
    }
}
