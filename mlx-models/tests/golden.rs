// SPDX-License-Identifier: EUPL-1.2
//! Tiny checkpoints against what transformers (dense) and mlx-lm (quantised) compute from them.

use mlx_core::Dtype;
use mlx_core::io::load_safetensors;
use mlx_models::{GenerateOptions, load};

use crate::common::{distance, golden, logits_in_chunks};

/// Compares one case: logits for the prompt in one chunk, in chunks of 1, 7 and 16, and the greedy continuation
/// with the prompt in each of these chunks and the rest token by token.
fn check(case: &str, tolerance: f32) {
    let dir = golden(case);
    let model = load(&dir).unwrap();
    let reference = load_safetensors(dir.join("reference.safetensors")).unwrap().tensors;
    let ids = reference["input_ids"].astype(Dtype::Uint32).unwrap().to_vec::<u32>().unwrap();
    assert!(ids.len() > 16);

    let whole = model.logits(&ids).unwrap();
    assert_eq!(whole.dtype(), Dtype::Float32);
    let d = distance(&whole, &reference["logits"]);
    assert!(d < tolerance, "{case}: in one pass, the logits are off by {d}");
    for chunk in [1, 7, 16] {
        let d = distance(&logits_in_chunks(model.network(), &ids, chunk), &reference["logits"]);
        assert!(d < tolerance, "{case}: in chunks of {chunk}, the logits are off by {d}");
    }

    if let Some(greedy) = reference.get("greedy") {
        let expected = greedy.astype(Dtype::Uint32).unwrap().to_vec::<u32>().unwrap();
        for prefill_chunk in [1, 7, 16, 512] {
            let max_tokens = expected.len();
            let options =
                GenerateOptions { max_tokens, ignore_eos: true, prefill_chunk, ..Default::default() };
            let generation = model.generate_ids(&ids, &options).unwrap();
            assert_eq!(generation.token_ids, expected, "{case}: prompt in chunks of {prefill_chunk}");
        }
    }
}

macro_rules! cases {
    ($($name:ident: $case:literal within $tolerance:literal,)*) => {$(
        #[test]
        fn $name() {
            check($case, $tolerance);
        }
    )*};
}

cases! {
    qwen3_with_a_tied_head_agrees: "qwen3-tied" within 1e-3,
    qwen3_with_yarn_and_its_own_head_agrees: "qwen3-untied-yarn" within 1e-3,
    qwen3_in_three_files_agrees: "qwen3-sharded" within 1e-3,
    qwen3_with_windows_and_biases_agrees: "qwen3-window-bias" within 1e-3,
    qwen3_in_4_bits_agrees: "qwen3-tied-4bit" within 2e-3,
    qwen3_in_mxfp4_agrees: "qwen3-tied-mxfp4" within 2e-3,
    gemma3_past_its_window_agrees: "gemma3-window" within 1e-3,
    gemma3_with_linear_scaling_in_new_keys_agrees: "gemma3-linear-rope-new-config" within 1e-3,
    gemma3_inside_a_multimodal_checkpoint_agrees: "gemma3-conditional-nested" within 1e-3,
    gemma3_with_fewer_layers_than_the_pattern_agrees: "gemma3-embed-scale-short" within 1e-3,
    gemma3_with_capped_logits_and_scaling_in_old_keys_agrees: "gemma3-softcap-linear-rope" within 1e-3,
    gemma3_with_bits_by_layer_agrees: "gemma3-window-mixed-bits" within 2e-3,
}
