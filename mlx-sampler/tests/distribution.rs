// SPDX-License-Identifier: EUPL-1.2
//! The probabilities that are drawn from, against the reference.

use mlx_core::Dtype;
use mlx_sampler::{Sampler, SamplerOptions};

use crate::reference::{Numbers, probabilities};
use crate::{drawing, row};

/// Compares the whole distribution: which tokens are kept, and how probable each is.
fn check(logits: &[f32], options: &SamplerOptions, prompt: &[u32], generated: &[u32]) {
    let mut sampler = Sampler::new(options.clone(), prompt).unwrap();
    for &id in generated {
        sampler.accept(id).unwrap();
    }
    let found = sampler.logprobs(&row(logits)).unwrap();
    assert_eq!((found.dtype(), found.shape()), (Dtype::Float32, &[logits.len() as i32][..]));
    let found = found.to_vec::<f32>().unwrap();
    let expected = probabilities(logits, options, prompt, generated);
    for (id, (&found, expected)) in found.iter().zip(expected).enumerate() {
        let found = f64::from(found).exp();
        // Relative to each probability, however small.
        assert!(
            (found - expected).abs() <= 2e-5 * expected,
            "token {id}: {found} for {expected} with {options:?}"
        );
    }
}

#[test]
fn each_step_alone_gives_the_exact_distribution() {
    let mut numbers = Numbers(3);
    let steps = [
        drawing(),
        SamplerOptions { temperature: 0.3, ..drawing() },
        SamplerOptions { temperature: 4.0, ..drawing() },
        SamplerOptions { top_k: Some(1), ..drawing() },
        SamplerOptions { top_k: Some(7), ..drawing() },
        SamplerOptions { top_p: Some(0.1), ..drawing() },
        SamplerOptions { top_p: Some(0.9), ..drawing() },
        SamplerOptions { min_p: Some(0.05), ..drawing() },
        SamplerOptions { min_p: Some(0.7), ..drawing() },
        SamplerOptions { repetition_penalty: Some(1.3), ..drawing() },
        SamplerOptions { repetition_penalty: Some(0.5), ..drawing() },
        SamplerOptions { presence_penalty: Some(1.5), ..drawing() },
        SamplerOptions { frequency_penalty: Some(-0.7), ..drawing() },
        SamplerOptions { logit_bias: vec![(0, 2.0), (5, -3.0), (0, 0.5)], ..drawing() },
    ];
    for options in steps {
        check(&numbers.row(40, 4.0), &options, &[1, 5, 5, 39], &[2, 5, 2, 2, 0]);
    }
}

#[test]
fn all_steps_together_give_the_exact_distribution() {
    let mut numbers = Numbers(5);
    for round in 0..30 {
        let unit = |v: f32| (v + 1.0) / 2.0;
        let options = SamplerOptions {
            temperature: 0.2 + unit(numbers.next()) * 2.0,
            top_k: Some(5 + round),
            top_p: Some(0.5 + unit(numbers.next()) / 2.0),
            min_p: Some(unit(numbers.next()) * 0.2),
            repetition_penalty: Some(1.0 + unit(numbers.next())),
            presence_penalty: Some(numbers.next()),
            frequency_penalty: Some(numbers.next()),
            logit_bias: vec![(3, numbers.next() * 3.0), (9, f32::NEG_INFINITY)],
            seed: None,
        };
        check(&numbers.row(50, 5.0), &options, &[1, 2, 3, 9], &[4, 4, 9, 1]);
    }
}

#[test]
fn temperature_comes_before_the_filters() {
    // At temperature 1 the first token alone has 0.87 of the probability; at 4 it has 0.42, and two are needed for 0.6.
    let logits = [3.0f32, 1.0, -1.0, -1.0];
    let kept = |temperature| {
        let options = SamplerOptions { temperature, top_p: Some(0.6), ..drawing() };
        let found = Sampler::new(options, &[]).unwrap().logprobs(&row(&logits)).unwrap();
        found.to_vec::<f32>().unwrap().iter().filter(|v| v.is_finite()).count()
    };
    assert_eq!((kept(1.0), kept(4.0)), (1, 2));
}

#[test]
fn top_p_is_of_what_top_k_left() {
    // Of 0.4, 0.3, 0.2, 0.1 the best two are 4/7 and 3/7: 0.5 is reached by the first alone.
    let logits = [0.4f32, 0.3, 0.2, 0.1].map(f32::ln);
    let options = SamplerOptions { top_k: Some(2), top_p: Some(0.5), ..drawing() };
    let found = Sampler::new(options, &[]).unwrap().logprobs(&row(&logits)).unwrap().to_vec::<f32>().unwrap();
    assert_eq!(found, [0.0, f32::NEG_INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY]);
}

#[test]
fn half_precision_logits_are_taken_in_float32() {
    let values = [1.5f32, 0.25, -2.0, 0.75];
    let options = SamplerOptions { temperature: 0.7, ..drawing() };
    let sampler = Sampler::new(options.clone(), &[]).unwrap();
    for dtype in [Dtype::Bfloat16, Dtype::Float16] {
        let found = sampler.logprobs(&row(&values).astype(dtype).unwrap()).unwrap();
        assert_eq!(found.dtype(), Dtype::Float32);
        for (found, expected) in
            found.to_vec::<f32>().unwrap().iter().zip(probabilities(&values, &options, &[], &[]))
        {
            assert!((f64::from(*found).exp() - expected).abs() < 1e-6, "{dtype}: {found} for {expected}");
        }
    }
}

#[test]
fn a_vocabulary_of_real_size_keeps_its_distribution() {
    // Sums over 262,144 entries in float32 must not lose the tail.
    let mut numbers = Numbers(11);
    let logits = numbers.row(262_144, 6.0);
    check(&logits, &drawing(), &[], &[]);
    let options = SamplerOptions { top_p: Some(0.95), temperature: 0.8, ..drawing() };
    let found =
        Sampler::new(options.clone(), &[]).unwrap().logprobs(&row(&logits)).unwrap().to_vec::<f32>().unwrap();
    let expected = probabilities(&logits, &options, &[], &[]);
    let kept = found.iter().filter(|v| v.is_finite()).count() as f64;
    let wanted = expected.iter().filter(|&&p| p > 0.0).count() as f64;
    assert!((kept / wanted - 1.0).abs() < 1e-4, "{kept} kept for {wanted}");
}
