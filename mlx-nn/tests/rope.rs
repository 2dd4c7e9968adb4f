// SPDX-License-Identifier: EUPL-1.2

use mlx_core::{Array, Dtype};
use mlx_nn::{Error, Rope, RopeConfig, RopeScaling};
use serde::Deserialize;

use crate::common::{FLOATS, Tensor, assert_close, golden, pseudo, values};

#[derive(Deserialize)]
struct Golden {
    head_dim: i32,
    x: Tensor,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    max_position_embeddings: i32,
    rope_parameters: Keys,
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    offset: i32,
    inverse_frequencies: Vec<f32>,
    attention_factor: f32,
    rotated: Vec<f32>,
}

/// The keys of a config, as a model would read them.
#[derive(Deserialize)]
struct Keys {
    rope_type: String,
    rope_theta: f32,
    partial_rotary_factor: Option<f32>,
    factor: Option<f32>,
    original_max_position_embeddings: Option<i32>,
    low_freq_factor: Option<f32>,
    high_freq_factor: Option<f32>,
    attention_factor: Option<f32>,
    beta_fast: Option<f32>,
    beta_slow: Option<f32>,
    mscale: Option<f32>,
    mscale_all_dim: Option<f32>,
    truncate: Option<bool>,
    short_factor: Option<Vec<f32>>,
    long_factor: Option<Vec<f32>>,
}

impl Case {
    fn config(&self, head_dim: i32) -> RopeConfig {
        let keys = &self.rope_parameters;
        let original = keys.original_max_position_embeddings;
        let scaling = match keys.rope_type.as_str() {
            "default" => RopeScaling::Default,
            "linear" => RopeScaling::Linear { factor: keys.factor.unwrap() },
            "dynamic" => RopeScaling::Dynamic { factor: keys.factor.unwrap() },
            "llama3" => RopeScaling::Llama3 {
                factor: keys.factor.unwrap(),
                low_freq_factor: keys.low_freq_factor.unwrap(),
                high_freq_factor: keys.high_freq_factor.unwrap(),
                original_max_position_embeddings: original.unwrap(),
            },
            "yarn" => RopeScaling::Yarn {
                factor: keys.factor,
                original_max_position_embeddings: original.unwrap(),
                attention_factor: keys.attention_factor,
                beta_fast: keys.beta_fast,
                beta_slow: keys.beta_slow,
                mscale: keys.mscale,
                mscale_all_dim: keys.mscale_all_dim,
                truncate: keys.truncate,
            },
            "longrope" => RopeScaling::LongRope {
                short_factor: keys.short_factor.clone().unwrap(),
                long_factor: keys.long_factor.clone().unwrap(),
                factor: keys.factor,
                attention_factor: keys.attention_factor,
                original_max_position_embeddings: original.unwrap(),
            },
            other => panic!("{other}"),
        };
        RopeConfig {
            head_dim,
            base: keys.rope_theta,
            scaling,
            traditional: false,
            max_position_embeddings: self.max_position_embeddings,
            partial_rotary_factor: keys.partial_rotary_factor.unwrap_or(1.0),
        }
    }
}

#[test]
fn every_scaling_agrees_with_transformers() {
    let golden = golden::<Golden>("rope.json");
    let x = golden.x.array();
    let length = x.dim(2).unwrap();
    for case in &golden.cases {
        let rope = Rope::new(case.config(golden.head_dim)).unwrap();
        for text in &case.texts {
            let what = format!("{} at {}", case.name, text.offset);
            assert_close(&what, &[rope.attention_factor()], &[text.attention_factor], (1e-6, 0.0));
            let frequencies = rope.inverse_frequencies(text.offset + length);
            assert_close(&what, &frequencies, &text.inverse_frequencies, (2e-6, 0.0));
            // One rounding of a frequency, times the position, is what the angles may differ by.
            let atol = 2e-6 + 3e-7 * text.offset as f32;
            for dtype in FLOATS {
                let found = rope.forward(&x.astype(dtype).unwrap(), text.offset).unwrap();
                assert_eq!((found.dtype(), found.shape()), (dtype, x.shape()), "{what}");
                let half = match dtype {
                    Dtype::Float32 => 0.0,
                    Dtype::Float16 => 4e-3,
                    // Values reach 4, whose neighbours in bfloat16 are 0.03 apart; products and sum round too.
                    _ => 5e-2,
                };
                let what = format!("{what} in {dtype}");
                assert_close(&what, &values(&found), &text.rotated, (1e-5, atol + half));
            }
        }
    }
}

/// The rotation itself, from its definition.
#[test]
fn angles_stay_exact_in_half_precision_far_into_a_text() {
    let (dim, offset) = (8, 100_000);
    for traditional in [false, true] {
        let rope = Rope::new(RopeConfig { head_dim: dim, traditional, ..RopeConfig::default() }).unwrap();
        let x = pseudo(5, &[1, 1, 2, dim]).astype(Dtype::Bfloat16).unwrap();
        let input = values(&x);
        let mut expected = input.clone();
        for token in 0..2usize {
            for pair in 0..4usize {
                let angle = (offset + token as i32) as f64 * 10_000f64.powf(-2.0 * pair as f64 / 8.0);
                let (a, b) = if traditional { (2 * pair, 2 * pair + 1) } else { (pair, pair + 4) };
                let (a, b) = (8 * token + a, 8 * token + b);
                let (x, y) = (f64::from(input[a]), f64::from(input[b]));
                expected[a] = (x * angle.cos() - y * angle.sin()) as f32;
                expected[b] = (y * angle.cos() + x * angle.sin()) as f32;
            }
        }
        // A position rounded to bfloat16 would be off by hundreds of tokens.
        assert_close("rotated", &values(&rope.forward(&x, offset).unwrap()), &expected, (0.0, 2e-2));
    }
}

#[test]
fn a_chunk_is_rotated_as_in_the_whole_text() {
    let rope = Rope::new(RopeConfig { head_dim: 16, ..RopeConfig::default() }).unwrap();
    let x = pseudo(6, &[2, 3, 7, 16]);
    let whole = rope.forward(&x, 0).unwrap();
    for (start, stop) in [(0, 4), (4, 5), (5, 7)] {
        let chunk = rope.forward(&x.slice_axis(2, start, stop).unwrap(), start).unwrap();
        let expected = whole.slice_axis(2, start, stop).unwrap();
        assert_close("chunk", &values(&chunk), &values(&expected), (1e-6, 1e-6));
    }
}

#[test]
fn a_scaling_by_length_is_the_same_in_chunks_when_the_length_is_named() {
    let dynamic = RopeScaling::Dynamic { factor: 4.0 };
    let long = RopeScaling::LongRope {
        short_factor: vec![1.0; 4],
        long_factor: vec![1.0, 2.0, 4.0, 8.0],
        factor: None,
        attention_factor: None,
        original_max_position_embeddings: 8,
    };
    for scaling in [dynamic, long] {
        let config = RopeConfig { head_dim: 8, scaling, max_position_embeddings: 8, ..RopeConfig::default() };
        let rope = Rope::new(config).unwrap();
        let x = pseudo(7, &[1, 1, 12, 8]);
        let whole = values(&rope.forward(&x, 0).unwrap().slice_axis(2, 1, 6).unwrap());
        let chunk = x.slice_axis(2, 1, 6).unwrap();
        assert_close("named", &values(&rope.forward_within(&chunk, 1, 12).unwrap()), &whole, (1e-6, 1e-6));
        let short = values(&rope.forward(&chunk, 1).unwrap());
        assert!(
            short.iter().zip(&whole).any(|(a, b)| (a - b).abs() > 1e-3),
            "the length makes no difference"
        );
        // And back: a short text after a long one has its own frequencies again.
        assert_eq!(values(&rope.forward(&chunk, 1).unwrap()), short);
    }
}

#[test]
fn a_partial_rotation_leaves_the_rest_alone() {
    let scaling = RopeScaling::Yarn {
        factor: Some(4.0),
        original_max_position_embeddings: 64,
        attention_factor: Some(2.0),
        beta_fast: None,
        beta_slow: None,
        mscale: None,
        mscale_all_dim: None,
        truncate: None,
    };
    let config = RopeConfig { head_dim: 8, partial_rotary_factor: 0.5, scaling, ..RopeConfig::default() };
    let x = pseudo(8, &[1, 2, 3, 8]);
    let y = Rope::new(config).unwrap().forward(&x, 5).unwrap();
    for (x, y) in values(&x).chunks(8).zip(values(&y).chunks(8)) {
        assert_eq!(x[4..], y[4..]);
        assert_ne!(x[..4], y[..4]);
    }
}

#[test]
fn decimal_shares_of_a_head_are_not_cut_short() {
    // 0.7 is a little less than that in float32, and 55 dimensions could not be paired.
    let config = RopeConfig { head_dim: 80, partial_rotary_factor: 0.7, ..RopeConfig::default() };
    assert_eq!(Rope::new(config).unwrap().inverse_frequencies(0).len(), 28);
}

#[test]
fn impossible_settings_name_their_key() {
    let yarn = |factor, slow: f32, mscale| RopeScaling::Yarn {
        factor,
        original_max_position_embeddings: 64,
        attention_factor: None,
        beta_fast: None,
        beta_slow: Some(slow),
        mscale,
        mscale_all_dim: None,
        truncate: None,
    };
    let long = |short: usize, original| RopeScaling::LongRope {
        short_factor: vec![1.0; short],
        long_factor: vec![1.0; 4],
        factor: None,
        attention_factor: None,
        original_max_position_embeddings: original,
    };
    let llama = |low_freq_factor, high_freq_factor, original_max_position_embeddings| RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor,
        high_freq_factor,
        original_max_position_embeddings,
    };
    let scaled = |scaling| RopeConfig { head_dim: 8, scaling, ..RopeConfig::default() };
    for (key, config) in [
        ("head_dim", RopeConfig { head_dim: 0, ..RopeConfig::default() }),
        ("head_dim", RopeConfig { head_dim: 7, ..RopeConfig::default() }),
        ("head_dim", RopeConfig { head_dim: 8, partial_rotary_factor: 0.4, ..RopeConfig::default() }),
        ("head_dim", RopeConfig { head_dim: 2, ..scaled(RopeScaling::Dynamic { factor: 2.0 }) }),
        ("partial_rotary_factor", RopeConfig { partial_rotary_factor: 1.5, ..RopeConfig::default() }),
        ("partial_rotary_factor", RopeConfig { partial_rotary_factor: f32::NAN, ..RopeConfig::default() }),
        ("rope_theta", RopeConfig { base: 0.0, ..RopeConfig::default() }),
        ("rope_theta", RopeConfig { base: f32::INFINITY, ..RopeConfig::default() }),
        ("rope_theta", RopeConfig { base: 1.0, ..scaled(yarn(None, 1.0, None)) }),
        ("max_position_embeddings", RopeConfig { max_position_embeddings: 0, ..RopeConfig::default() }),
        ("factor", scaled(RopeScaling::Linear { factor: 0.0 })),
        ("factor", scaled(RopeScaling::Dynamic { factor: -2.0 })),
        ("factor", scaled(yarn(Some(f32::NAN), 1.0, None))),
        ("beta_fast", scaled(yarn(None, 33.0, None))),
        ("mscale", scaled(yarn(None, 1.0, Some(-1.0)))),
        ("low_freq_factor", scaled(llama(0.0, 4.0, 64))),
        ("high_freq_factor", scaled(llama(4.0, 4.0, 64))),
        ("original_max_position_embeddings", scaled(llama(1.0, 4.0, 0))),
        ("original_max_position_embeddings", scaled(long(4, 1))),
        ("short_factor", scaled(long(3, 64))),
    ] {
        match Rope::new(config) {
            Err(Error::Config { key: found, message }) => assert_eq!(found, key, "{message}"),
            other => panic!("expected an error about {key}, found {other:?}"),
        }
    }
}

#[test]
fn wrong_inputs_are_errors() {
    let rope = Rope::new(RopeConfig { head_dim: 8, ..RopeConfig::default() }).unwrap();
    let x = Array::ones(&[1, 1, 2, 6], Dtype::Float32).unwrap();
    assert_eq!(
        rope.forward(&x, 0).unwrap_err().to_string(),
        "rope: expected [.., H, L, 8], found shape [1, 1, 2, 6]"
    );
    assert!(rope.forward(&Array::ones(&[2, 8], Dtype::Float32).unwrap(), 0).is_err());
    let x = Array::ones(&[1, 1, 2, 8], Dtype::Float32).unwrap();
    for offset in [-1, i32::MAX] {
        assert!(matches!(rope.forward(&x, offset), Err(Error::Config { key: "offset", .. })));
    }
}
