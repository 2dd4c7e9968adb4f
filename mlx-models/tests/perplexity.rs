// SPDX-License-Identifier: EUPL-1.2
//! Perplexity against computations of other kinds.

use std::cell::Cell;
use std::rc::Rc;

use mlx_core::Dtype;
use mlx_core::io::load_safetensors;
use mlx_models::{CancelToken, Error, Model, Perplexity, PerplexityOptions, Progress, load};

use crate::common::{copy_of, edit_json, golden};

fn options(window: usize, stride: usize) -> PerplexityOptions {
    PerplexityOptions { window: Some(window), stride: Some(stride), ..Default::default() }
}

/// −ln p of `target` by one row of logits, in float64.
fn loss(logits: &[f32], target: u32) -> f64 {
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - largest).exp()).sum();
    sum.ln() + f64::from(largest) - f64::from(logits[target as usize])
}

/// What the reference's logits give for its tokens: ids, and −ln p of all but the first.
fn reference(case: &str) -> (Vec<u32>, Vec<f64>) {
    let reference = load_safetensors(golden(case).join("reference.safetensors")).unwrap().tensors;
    let ids = reference["input_ids"].astype(Dtype::Uint32).unwrap().to_vec::<u32>().unwrap();
    let rows = reference["logits"].to_vec::<f32>().unwrap();
    let vocabulary = rows.len() / ids.len();
    let losses = rows.chunks(vocabulary).zip(&ids[1..]).map(|(row, &id)| loss(row, id)).collect();
    (ids, losses)
}

/// −ln p of the last of `ids` after the others, from a pass of its own.
fn last_loss(model: &Model, ids: &[u32]) -> f64 {
    let (&target, before) = ids.split_last().unwrap();
    let logits = model.logits(before).unwrap().to_vec::<f32>().unwrap();
    loss(&logits[logits.len() - model.vocab_size()..], target)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Checks every figure against the losses of the tokens.
fn check(found: &Perplexity, losses: &[f64]) {
    let (n, mean) = (losses.len() as f64, mean(losses));
    let variance = losses.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let error = mean.exp() * variance.sqrt() / n.sqrt();
    assert_eq!(found.tokens, losses.len());
    assert!((found.nats_per_token - mean).abs() < 1e-4, "{found:?} {mean}");
    assert!((found.perplexity / mean.exp() - 1.0).abs() < 1e-4, "{found:?} {}", mean.exp());
    assert!((found.standard_error.unwrap() / error - 1.0).abs() < 1e-3, "{found:?} {error}");
}

#[test]
fn a_window_over_the_whole_text_gives_what_transformers_logits_give() {
    for case in [
        "qwen3-tied",
        "qwen3-untied-yarn",
        "qwen3-tied-4bit",
        "gemma3-window",
        "gemma3-conditional-nested",
        "gemma3-softcap-linear-rope",
    ] {
        let (ids, losses) = reference(case);
        let model = load(golden(case)).unwrap();
        for window in [ids.len(), ids.len() + 1, 512] {
            let options = PerplexityOptions { window: Some(window), ..Default::default() };
            check(&model.perplexity_of_ids(&[&ids], &options).unwrap(), &losses);
            let log_probs = model.log_probs(&ids, &options).unwrap();
            assert_eq!(log_probs.len(), losses.len());
            assert!(log_probs.iter().zip(&losses).all(|(a, b)| (f64::from(*a) + b).abs() < 2e-3), "{case}");
        }
    }
}

#[test]
fn each_token_of_a_long_text_is_scored_in_the_window_that_it_belongs_to() {
    let model = load(golden("gemma3-window")).unwrap();
    let (ids, _) = reference("gemma3-window");
    for (window, stride) in [(2, 1), (16, 1), (16, 8), (16, 15), (20, 7), (47, 23)] {
        let mut losses = Vec::new();
        let mut reached = window.min(ids.len());
        for i in 1..ids.len() {
            if i >= reached {
                reached = (reached + stride).min(ids.len());
            }
            losses.push(last_loss(&model, &ids[reached.saturating_sub(window)..=i]));
        }
        check(&model.perplexity_of_ids(&[&ids], &options(window, stride)).unwrap(), &losses);
    }
}

#[test]
fn texts_longer_than_a_chunk_are_scored_as_one() {
    // Gemma's windows of 16 have wrapped many times by then.
    let source = copy_of("gemma3-window");
    edit_json(&source.path().join("config.json"), |config| config["max_position_embeddings"] = 4096.into());
    let model = load(source.path()).unwrap();
    let ids: Vec<u32> = (0..1300u32).map(|i| (i * i + 7 * i) % 320).collect();
    let logits = model.logits(&ids).unwrap().to_vec::<f32>().unwrap();
    let losses: Vec<f64> =
        logits.chunks(320).zip(&ids[1..]).map(|(row, &target)| loss(row, target)).collect();
    let found = model.perplexity_of_ids(&[&ids], &options(2048, 1024)).unwrap();
    check(&found, &losses);
    // Of the second window, the first chunk and a part of the second have been scored already.
    let found = model.log_probs(&ids, &options(1200, 600)).unwrap();
    let tail = model.logits(&ids[100..]).unwrap().to_vec::<f32>().unwrap();
    let tail: Vec<f64> = tail.chunks(320).zip(&ids[101..]).map(|(row, &target)| loss(row, target)).collect();
    for i in 1..ids.len() {
        let expected = if i < 1200 { losses[i - 1] } else { tail[i - 101] };
        assert!((f64::from(found[i - 1]) + expected).abs() < 2e-3, "{i}");
    }
}

#[test]
fn texts_are_scored_on_their_own_and_weigh_as_much_as_they_have_tokens() {
    let model = load(golden("tiny-chat-qwen3")).unwrap();
    let texts = ["The sky is blue.", "", "x", "The capital of France is Paris. MLX is an array framework."];
    let together = model.perplexity(&texts, &PerplexityOptions::default()).unwrap();
    let alone: Vec<Perplexity> = [texts[0], texts[3]]
        .iter()
        .map(|text| model.perplexity(&[text], &PerplexityOptions::default()).unwrap())
        .collect();
    assert_eq!((together.texts, together.tokens), (2, alone[0].tokens + alone[1].tokens));
    let total: f64 = alone.iter().map(|p| p.nats_per_token * p.tokens as f64).sum();
    assert!((together.nats_per_token - total / together.tokens as f64).abs() < 1e-9);
    // The first token of a text is not scored, and neither are its bytes.
    let first = |text: &str| {
        let tokenizer = model.tokenizer().unwrap();
        tokenizer.decode(&tokenizer.encode(text, true).unwrap()[..1], true).unwrap().len()
    };
    let bytes: usize = [texts[0], texts[3]].iter().map(|text| text.len() - first(text)).sum();
    assert_eq!(together.bytes, Some(bytes));
    let bits = total / std::f64::consts::LN_2 / bytes as f64;
    assert!((together.bits_per_byte.unwrap() - bits).abs() < 1e-9);
}

#[test]
fn each_window_begins_with_the_token_that_begins_a_text() {
    let model = load(golden("tiny-chat-gemma3")).unwrap();
    let text = "The sky is blue. The capital of France is Paris. The sky is blue.";
    let ids = model.encode(text).unwrap();
    let bos = model.tokenizer().unwrap().bos().unwrap();
    assert!(ids.len() > 20 && ids[0] == bos);
    let (window, stride) = (12, 5);
    let (mut losses, mut reached) = (Vec::new(), window);
    for i in 1..ids.len() {
        if i >= reached {
            reached = (reached + stride).min(ids.len());
        }
        let begin = (reached + 1).saturating_sub(window).max(1);
        losses.push(last_loss(&model, &[&[bos], &ids[begin..=i]].concat()));
    }
    let found = model.perplexity(&[text], &options(window, stride)).unwrap();
    let (expected, n) = (mean(&losses), losses.len());
    assert_eq!((found.tokens, found.bytes), (n, Some(text.len())));
    // The weights are bfloat16, and chunks of another length are rounded otherwise.
    assert!((found.nats_per_token / expected - 1.0).abs() < 2e-2, "{found:?} {expected}");
}

#[test]
fn a_limit_holds_for_all_texts_together() {
    let model = load(golden("tiny-chat-qwen3")).unwrap();
    let texts = ["The sky is blue.", "The capital of France is Paris."];
    let lengths = texts.map(|text| model.encode(text).unwrap().len() - 1);
    let limited = |max_tokens| {
        let options = PerplexityOptions { max_tokens: Some(max_tokens), ..Default::default() };
        model.perplexity(&texts, &options).unwrap()
    };
    let (one, some) = (limited(1), limited(lengths[0] + 2));
    assert_eq!((one.tokens, one.texts, one.standard_error), (1, 1, None));
    assert_eq!((some.tokens, some.texts), (lengths[0] + 2, 2));
    assert!(some.bytes.unwrap() < texts[0].len() + texts[1].len() && one.bytes < some.bytes);
    assert_eq!(limited(lengths[0]), model.perplexity(&texts[..1], &Default::default()).unwrap());
    assert_eq!(limited(1_000_000), model.perplexity(&texts, &Default::default()).unwrap());
    let ids = model.encode(texts[0]).unwrap();
    let some = PerplexityOptions { max_tokens: Some(3), ..Default::default() };
    assert_eq!(
        model.log_probs(&ids, &some).unwrap(),
        model.log_probs(&ids[..4], &Default::default()).unwrap()
    );
}

#[test]
fn options_outside_their_domain_and_texts_without_tokens_are_refused() {
    let model = load(golden("qwen3-tied")).unwrap();
    let refused = |ids: &[Vec<u32>], options: PerplexityOptions, parts: &[&str]| {
        let error = model.perplexity_of_ids(ids, &options).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    let ids = [vec![1, 2, 3]];
    refused(&ids, options(1, 1), &["window", "2 to 512", "found 1"]);
    refused(&ids, options(513, 1), &["window", "2 to 512", "found 513"]);
    refused(&ids, options(8, 0), &["stride", "1 to 7", "found 0"]);
    refused(&ids, options(8, 8), &["stride", "1 to 7", "found 8"]);
    refused(
        &ids,
        PerplexityOptions { max_tokens: Some(0), ..Default::default() },
        &["max_tokens", "found 0"],
    );
    refused(&[vec![1, 320]], Default::default(), &["token id 320"]);
    refused(&[vec![320, 1]], Default::default(), &["token id 320"]);
    for ids in [&[][..], &[vec![]], &[vec![1], vec![]]] {
        refused(ids, Default::default(), &["texts", "nothing to score"]);
    }
    assert!(model.log_probs(&[], &Default::default()).unwrap().is_empty());
    assert!(matches!(model.perplexity(&["x"], &Default::default()), Err(Error::NoTokenizer)));
    let cancel = CancelToken::new();
    cancel.cancel();
    let cancelled = PerplexityOptions { cancel: Some(cancel), ..Default::default() };
    assert!(matches!(model.perplexity_of_ids(&ids, &cancelled), Err(Error::Cancelled)));
}

#[test]
fn progress_counts_scored_tokens() {
    let model = load(golden("qwen3-tied")).unwrap();
    let seen = Rc::new(Cell::new((0, 0)));
    let last = seen.clone();
    let progress = Progress::new(move |done, total| {
        assert!(done > last.get().0 && done <= total);
        last.set((done, total));
    });
    let options = PerplexityOptions { progress: Some(progress), ..options(8, 4) };
    model.perplexity_of_ids(&[vec![1; 30], vec![2; 11]], &options).unwrap();
    assert_eq!(seen.get(), (39, 39));
}
