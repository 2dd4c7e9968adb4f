// SPDX-License-Identifier: EUPL-1.2
//! Penalties follow what was generated, without the host.

use mlx_core::Array;
use mlx_sampler::{Sampler, SamplerOptions};

use crate::reference::probabilities;
use crate::row;

/// The best token by the reference, which sees the whole history.
fn best(logits: &[f32], options: &SamplerOptions, prompt: &[u32], generated: &[u32]) -> u32 {
    let p = probabilities(logits, options, prompt, generated);
    let mut best = 0;
    for id in 1..p.len() {
        if p[id] > p[best] {
            best = id;
        }
    }
    best as u32
}

#[test]
fn penalties_count_tokens_that_nobody_has_read() {
    let logits = [2.0f32, 1.9, 1.5, 0.31, -0.4, 1.7];
    let options = SamplerOptions {
        repetition_penalty: Some(1.2),
        presence_penalty: Some(0.1),
        frequency_penalty: Some(0.45),
        ..Default::default()
    };
    let prompt = [0, 3];
    let mut sampler = Sampler::new(options.clone(), &prompt).unwrap();
    let tokens: Vec<Array> = (0..30).map(|_| sampler.sample(&row(&logits)).unwrap()).collect();
    let mut generated = Vec::new();
    for token in tokens {
        let id = token.item::<u32>().unwrap();
        assert_eq!(id, best(&logits, &options, &prompt, &generated), "after {generated:?}");
        sampler.accept(id).unwrap();
        generated.push(id);
    }
    generated.sort_unstable();
    generated.dedup();
    assert!(generated.len() > 3, "the penalties made no difference: {generated:?}");
}

#[test]
fn presence_and_frequency_do_not_see_the_prompt() {
    let options =
        SamplerOptions { presence_penalty: Some(9.0), frequency_penalty: Some(9.0), ..Default::default() };
    let mut sampler = Sampler::new(options, &[1, 1, 1]).unwrap();
    assert_eq!(sampler.sample(&row(&[0.0, 1.0])).unwrap().item::<u32>().unwrap(), 1);
    assert_eq!(sampler.sample(&row(&[0.0, 1.0])).unwrap().item::<u32>().unwrap(), 0);
}

#[test]
fn repetition_sees_the_prompt_from_the_first_token() {
    let options = SamplerOptions { repetition_penalty: Some(4.0), ..Default::default() };
    let mut sampler = Sampler::new(options, &[1]).unwrap();
    assert_eq!(sampler.sample(&row(&[0.5, 1.0])).unwrap().item::<u32>().unwrap(), 0);
    // Negative logits are multiplied: both are now seen, and the order is the old one.
    assert_eq!(sampler.sample(&row(&[-0.5, -1.0])).unwrap().item::<u32>().unwrap(), 0);
}

#[test]
fn a_token_put_in_place_of_the_drawn_one_is_counted_instead() {
    let options = SamplerOptions { presence_penalty: Some(5.0), ..Default::default() };
    let mut sampler = Sampler::new(options, &[]).unwrap();
    let logits = row(&[1.0, 2.0, 0.0]);
    assert_eq!(sampler.sample(&logits).unwrap().item::<u32>().unwrap(), 1);
    sampler.accept(0).unwrap();
    assert_eq!(sampler.sample(&logits).unwrap().item::<u32>().unwrap(), 1);
    sampler.accept(1).unwrap();
    assert_eq!(sampler.sample(&logits).unwrap().item::<u32>().unwrap(), 2);
}

#[test]
fn tokens_accepted_before_the_first_logits_count() {
    let options = SamplerOptions { presence_penalty: Some(5.0), ..Default::default() };
    let mut sampler = Sampler::new(options, &[]).unwrap();
    sampler.accept(1).unwrap();
    assert_eq!(sampler.sample(&row(&[1.0, 2.0])).unwrap().item::<u32>().unwrap(), 0);
}

#[test]
fn sampling_computes_nothing() {
    let options = SamplerOptions { repetition_penalty: Some(1.1), temperature: 1.0, ..Default::default() };
    let mut sampler = Sampler::new(options, &[0]).unwrap();
    let logits = (&row(&[1.0, 2.0]) + 1.0f32).unwrap();
    let token = sampler.sample(&logits).unwrap();
    assert!(!logits.is_available().unwrap() && !token.is_available().unwrap());
}
