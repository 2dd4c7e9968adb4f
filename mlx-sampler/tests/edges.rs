// SPDX-License-Identifier: EUPL-1.2
//! Options at the ends of their domains, and logits that are no numbers.

use mlx_core::{Array, Dtype};
use mlx_sampler::{Error, Sampler, SamplerOptions};

use crate::{drawing, row};

const NONE: f32 = f32::NEG_INFINITY;

/// Which tokens are kept.
fn kept(options: SamplerOptions, logits: &[f32]) -> Vec<usize> {
    let found = Sampler::new(options, &[]).unwrap().logprobs(&row(logits)).unwrap().to_vec::<f32>().unwrap();
    assert!(found.iter().all(|v| !v.is_nan()), "{found:?}");
    found.iter().enumerate().filter(|(_, v)| v.is_finite()).map(|(id, _)| id).collect()
}

/// Samples once and accepts.
fn sample(options: SamplerOptions, logits: &[f32]) -> Result<u32, Error> {
    let mut sampler = Sampler::new(options, &[])?;
    let token = sampler.sample(&row(logits))?;
    assert_eq!((token.dtype(), token.shape()), (Dtype::Uint32, &[][..]));
    let id = token.item::<u32>()?;
    assert!((id as usize) < logits.len(), "{id} cannot be looked up");
    sampler.accept(id).map(|()| id)
}

#[test]
fn top_k_keeps_k_and_the_equals_of_the_last() {
    let logits = [1.0, 3.0, 2.0, 2.0, 0.0, 2.0];
    for (k, expected) in [
        (0, vec![0, 1, 2, 3, 4, 5]),
        (1, vec![1]),
        (2, vec![1, 2, 3, 5]),
        (4, vec![1, 2, 3, 5]),
        (5, vec![0, 1, 2, 3, 5]),
        (6, vec![0, 1, 2, 3, 4, 5]),
        (7, vec![0, 1, 2, 3, 4, 5]),
        (usize::MAX, vec![0, 1, 2, 3, 4, 5]),
    ] {
        assert_eq!(kept(SamplerOptions { top_k: Some(k), ..drawing() }, &logits), expected, "k = {k}");
    }
}

#[test]
fn top_p_keeps_the_token_that_crosses_and_at_least_one() {
    let logits = [0.5f32, 0.25, 0.125, 0.125].map(f32::ln);
    for (p, expected) in [
        (0.0, vec![0]),
        (1e-30, vec![0]),
        (0.4, vec![0]),
        (0.51, vec![0, 1]),
        (0.74, vec![0, 1]),
        // The two last are equals: both or none.
        (0.8, vec![0, 1, 2, 3]),
        (1.0, vec![0, 1, 2, 3]),
    ] {
        assert_eq!(kept(SamplerOptions { top_p: Some(p), ..drawing() }, &logits), expected, "p = {p}");
    }
    assert_eq!(kept(SamplerOptions { top_p: Some(0.0), ..drawing() }, &[1.0; 5]), [0, 1, 2, 3, 4]);
    assert_eq!(
        kept(SamplerOptions { top_k: Some(2), top_p: Some(0.0), ..drawing() }, &[1.0, 2.0, 2.0]),
        [1, 2]
    );
}

#[test]
fn min_p_is_relative_to_the_most_probable() {
    let logits = [0.5f32, 0.25, 0.125, 0.125].map(f32::ln);
    for (p, expected) in
        [(0.0, vec![0, 1, 2, 3]), (0.2, vec![0, 1, 2, 3]), (0.3, vec![0, 1]), (0.6, vec![0]), (1.0, vec![0])]
    {
        assert_eq!(kept(SamplerOptions { min_p: Some(p), ..drawing() }, &logits), expected, "p = {p}");
    }
}

#[test]
fn one_token_left_is_the_one_drawn() {
    let only = [NONE, NONE, -80.0, NONE];
    let strict = SamplerOptions {
        top_k: Some(3),
        top_p: Some(0.5),
        min_p: Some(0.5),
        repetition_penalty: Some(2.0),
        ..drawing()
    };
    for options in [SamplerOptions::default(), drawing(), strict] {
        assert_eq!(sample(options, &only).unwrap(), 2);
    }
    assert_eq!(sample(drawing(), &[-3.0]).unwrap(), 0);
    assert_eq!(sample(SamplerOptions { top_k: Some(1), ..drawing() }, &[1.0, 9.0]).unwrap(), 1);
}

#[test]
fn greedy_takes_the_lowest_of_equals() {
    assert_eq!(sample(SamplerOptions::default(), &[0.0, 7.0, 3.0, 7.0]).unwrap(), 1);
    // Filters and seeds do not matter where nothing is drawn.
    let options = SamplerOptions { top_k: Some(1), top_p: Some(0.0), seed: Some(5), ..Default::default() };
    assert_eq!(sample(options, &[0.0, 7.0, 3.0, 7.0]).unwrap(), 1);
}

#[test]
fn extreme_temperatures_stay_numbers() {
    let logits = [1000.0f32, 999.0, -1000.0, NONE];
    for temperature in [f32::MIN_POSITIVE, 1e-30, 1e-3] {
        let options = SamplerOptions { temperature, ..drawing() };
        assert_eq!(sample(options.clone(), &logits).unwrap(), 0);
        assert!(kept(options, &logits).contains(&0));
    }
    let hot = SamplerOptions { temperature: f32::MAX, ..drawing() };
    let found = Sampler::new(hot, &[]).unwrap().logprobs(&row(&logits)).unwrap().to_vec::<f32>().unwrap();
    assert!(found[..3].iter().all(|v| (v + 3f32.ln()).abs() < 1e-5) && found[3] == NONE, "{found:?}");
}

#[test]
fn logits_that_are_no_numbers_are_an_error_when_the_token_is_accepted() {
    let rows = [
        [0.0, f32::NAN, 1.0],
        [f32::NAN; 3],
        [0.0, f32::INFINITY, 1.0],
        [f32::INFINITY, NONE, f32::NAN],
        [NONE, NONE, NONE],
        [NONE, f32::NAN, NONE],
    ];
    let filters = SamplerOptions { top_k: Some(2), top_p: Some(0.9), min_p: Some(0.1), ..drawing() };
    let penalties =
        SamplerOptions { repetition_penalty: Some(1.2), presence_penalty: Some(0.5), ..drawing() };
    for logits in rows {
        for options in [SamplerOptions::default(), drawing(), filters.clone(), penalties.clone()] {
            let error = sample(options, &logits).unwrap_err();
            assert!(matches!(error, Error::Logits { position: 0 }), "{logits:?}: {error}");
        }
    }
}

#[test]
fn the_error_names_the_token_whose_logits_were_wrong() {
    let mut sampler = Sampler::new(SamplerOptions::default(), &[]).unwrap();
    let good = sampler.sample(&row(&[0.0, 1.0])).unwrap();
    let bad = sampler.sample(&row(&[0.0, f32::NAN])).unwrap();
    let after = sampler.sample(&row(&[0.0, 1.0])).unwrap();
    assert_eq!([&good, &bad, &after].map(|t| t.item::<u32>().unwrap()), [1, 0, 1]);
    sampler.accept(1).unwrap();
    let error = sampler.accept(0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the logits of generated token 1 hold NaN or infinity, or exclude every token"
    );
}

#[test]
fn bias_excludes_and_prefers() {
    let banned = SamplerOptions { logit_bias: vec![(1, NONE)], ..Default::default() };
    assert_eq!(sample(banned.clone(), &[0.0, 9.0, 3.0]).unwrap(), 2);
    assert_eq!(sample(SamplerOptions { temperature: 1.0, ..banned }, &[-90.0, 9.0, 90.0]).unwrap(), 2);
    let preferred = SamplerOptions { logit_bias: vec![(0, 1e30)], ..drawing() };
    assert_eq!(sample(preferred, &[-50.0, 9.0, 3.0]).unwrap(), 0);
    let all = SamplerOptions { logit_bias: vec![(0, NONE), (1, NONE)], ..drawing() };
    assert!(matches!(sample(all, &[1.0, 2.0]), Err(Error::Logits { .. })));
    let several = SamplerOptions { logit_bias: vec![(0, 5.0), (0, NONE), (0, 5.0)], ..drawing() };
    assert_eq!(sample(several, &[1.0, 2.0]).unwrap(), 1);
}

#[test]
fn ids_outside_the_vocabulary_are_errors_that_name_them() {
    let bias = SamplerOptions { logit_bias: vec![(0, 1.0), (3, 1.0)], ..Default::default() };
    let message = |error: Error| error.to_string();
    assert_eq!(
        message(sample(bias, &[0.0; 3]).unwrap_err()),
        "logit_bias: token id 3 is out of range: the vocabulary has 3 tokens"
    );
    let repetition = SamplerOptions { repetition_penalty: Some(1.1), ..Default::default() };
    let mut sampler = Sampler::new(repetition.clone(), &[0, u32::MAX]).unwrap();
    assert_eq!(
        message(sampler.sample(&row(&[0.0; 3])).unwrap_err()),
        "prompt: token id 4294967295 is out of range: the vocabulary has 3 tokens"
    );
    let mut sampler = Sampler::new(repetition, &[0]).unwrap();
    let _first = sampler.sample(&row(&[0.0; 3])).unwrap();
    assert_eq!(
        message(sampler.accept(5).unwrap_err()),
        "token: token id 5 is out of range: the vocabulary has 3 tokens"
    );
    // Without penalties nobody looks at the prompt.
    Sampler::new(SamplerOptions::default(), &[9]).unwrap().sample(&row(&[0.0; 3])).unwrap().eval().unwrap();
}

#[test]
fn logits_of_any_shape_but_one_row_are_errors() {
    let mut sampler = Sampler::new(SamplerOptions::default(), &[]).unwrap();
    for shape in [&[3][..], &[1, 3], &[1, 1, 3]] {
        let logits = Array::from_slice(&[0.0f32, 2.0, 1.0], shape).unwrap();
        let id = sampler.sample(&logits).unwrap().item::<u32>().unwrap();
        sampler.accept(id).unwrap();
        assert_eq!(id, 1);
    }
    let two = Array::from_slice(&[0.0f32; 6], &[2, 3]).unwrap();
    assert_eq!(
        sampler.sample(&two).unwrap_err().to_string(),
        "logits: expected one row, [V] or [1, V], found [2, 3]"
    );
    let empty = Array::from_slice::<f32>(&[], &[0]).unwrap();
    assert!(matches!(sampler.sample(&empty), Err(Error::Shape { .. })));
    assert!(matches!(sampler.sample(&Array::scalar(1.0f32).unwrap()), Err(Error::Shape { .. })));
    assert!(matches!(sampler.sample(&row(&[0.0; 4])), Err(Error::Shape { .. })), "the length changed");
    let integers = Array::from_slice(&[1i32, 2], &[2]).unwrap();
    assert!(matches!(sampler.sample(&integers), Err(Error::Core(_))));
}

#[test]
fn invalid_options_make_no_sampler() {
    let error =
        Sampler::new(SamplerOptions { temperature: f32::NAN, ..Default::default() }, &[]).unwrap_err();
    assert!(matches!(error, Error::Argument { argument: "temperature", .. }), "{error}");
}
