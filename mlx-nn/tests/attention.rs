// SPDX-License-Identifier: EUPL-1.2

use std::collections::BTreeMap;

use mlx_core::fast::Mask;
use mlx_core::{Array, Dtype};
use mlx_nn::Error;
use mlx_nn::attention::{attend, causal_mask, merge_heads, sliding_mask, split_heads};
use serde::Deserialize;

use crate::common::{FLOATS, Tensor, assert_close, golden, pseudo, tolerance, values};

#[derive(Deserialize)]
struct Golden {
    attention: Attention,
}

#[derive(Deserialize)]
struct Attention {
    scale: f32,
    window: i32,
    cached: i32,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    additive: Tensor,
    masks: BTreeMap<String, Tensor>,
}

#[test]
fn attention_with_shared_heads_agrees_with_torch() {
    let golden = golden::<Golden>("layers.json").attention;
    let (q, k, v) = (golden.q.array(), golden.k.array(), golden.v.array());
    let new = q.dim(2).unwrap();
    let additive = golden.additive.array();
    let sliding = sliding_mask(new, golden.cached, golden.window).unwrap();
    let causal = causal_mask(new, golden.cached).unwrap();
    for (name, mask) in [
        ("none", Mask::None),
        ("causal", Mask::Causal),
        ("causal", Mask::Bool(&causal)),
        ("sliding", Mask::Bool(&sliding)),
        ("additive", Mask::Additive(&additive)),
    ] {
        let expected = &golden.masks[name];
        for dtype in FLOATS {
            let [q, k, v] = [&q, &k, &v].map(|x| x.astype(dtype).unwrap());
            let found = attend(&q, &k, &v, golden.scale, mask).unwrap();
            assert_eq!((found.dtype(), found.shape()), (dtype, q.shape()));
            let (rtol, atol) = tolerance(dtype);
            assert_close(
                &format!("{name} in {dtype}"),
                &values(&found),
                &expected.values,
                (rtol, 2.0 * atol),
            );
        }
    }
}

#[test]
fn one_token_sees_everything_under_a_causal_mask() {
    let (q, k) = (pseudo(1, &[1, 2, 1, 4]), pseudo(2, &[1, 1, 5, 4]));
    let causal = attend(&q, &k, &k, 0.5, Mask::Causal).unwrap();
    let none = attend(&q, &k, &k, 0.5, Mask::None).unwrap();
    assert_eq!(values(&causal), values(&none));
}

#[test]
fn chunks_see_what_the_whole_text_sees() {
    let (q, k, v) = (pseudo(3, &[1, 4, 9, 8]), pseudo(4, &[1, 2, 9, 8]), pseudo(5, &[1, 2, 9, 8]));
    let whole_mask = sliding_mask(9, 0, 3).unwrap();
    for (windowed, whole_mask) in [(false, Mask::Causal), (true, Mask::Bool(&whole_mask))] {
        let whole = attend(&q, &k, &v, 0.3, whole_mask).unwrap();
        for (start, stop) in [(0, 4), (4, 6), (6, 9)] {
            let [k, v] = [&k, &v].map(|x| x.slice_axis(2, 0, stop).unwrap());
            let mask = sliding_mask(stop - start, start, 3).unwrap();
            let mask = if windowed { Mask::Bool(&mask) } else { Mask::Causal };
            let chunk = attend(&q.slice_axis(2, start, stop).unwrap(), &k, &v, 0.3, mask).unwrap();
            let expected = whole.slice_axis(2, start, stop).unwrap();
            assert_close("chunk", &values(&chunk), &values(&expected), (1e-5, 1e-6));
        }
    }
}

#[test]
fn masks_show_what_their_definition_says() {
    for (l, offset) in [(1, 0), (4, 0), (3, 5), (1, 7)] {
        for window in [None, Some(1), Some(3), Some(100), Some(i32::MAX)] {
            let mask = match window {
                None => causal_mask(l, offset).unwrap(),
                Some(window) => sliding_mask(l, offset, window).unwrap(),
            };
            assert_eq!((mask.shape(), mask.dtype()), (&[l, offset + l][..], Dtype::Bool));
            let expected: Vec<bool> = (offset..offset + l)
                .flat_map(|i| {
                    (0..offset + l).map(move |j| {
                        j <= i && window.is_none_or(|window| i64::from(j) > i64::from(i) - i64::from(window))
                    })
                })
                .collect();
            assert_eq!(mask.to_vec::<bool>().unwrap(), expected, "l {l}, offset {offset}, window {window:?}");
        }
    }
}

#[test]
fn masks_refuse_impossible_measures() {
    for error in [
        causal_mask(0, 1).unwrap_err(),
        causal_mask(2, -1).unwrap_err(),
        causal_mask(2, i32::MAX).unwrap_err(),
        sliding_mask(2, 0, 0).unwrap_err(),
    ] {
        assert!(matches!(error, Error::Config { .. }), "{error}");
    }
}

#[test]
fn an_additive_mask_of_another_dtype_is_taken() {
    let mask = Array::zeros(&[2, 3], Dtype::Float32).unwrap();
    let q = pseudo(6, &[1, 1, 2, 4]).astype(Dtype::Bfloat16).unwrap();
    let k = pseudo(7, &[1, 1, 3, 4]).astype(Dtype::Bfloat16).unwrap();
    let found = attend(&q, &k, &k, 1.0, Mask::Additive(&mask)).unwrap();
    assert_eq!(found.dtype(), Dtype::Bfloat16);
    assert_eq!(values(&found), values(&attend(&q, &k, &k, 1.0, Mask::None).unwrap()));
}

#[test]
fn heads_are_split_and_merged_in_order() {
    let x = Array::arange(0.0, 24.0, 1.0, Dtype::Float32).unwrap().reshape(&[1, 2, 12]).unwrap();
    let heads = split_heads(&x, 3).unwrap();
    assert_eq!(heads.shape(), [1, 3, 2, 4]);
    assert_eq!(values(&heads)[..8], [0.0, 1.0, 2.0, 3.0, 12.0, 13.0, 14.0, 15.0]);
    assert_eq!(values(&merge_heads(&heads).unwrap()), values(&x));
}

#[test]
fn wrong_shapes_are_errors() {
    let array = |shape: &[i32]| Array::ones(shape, Dtype::Float32).unwrap();
    let x = array(&[1, 2, 12]);
    assert_eq!(
        split_heads(&x, 5).unwrap_err().to_string(),
        "split heads: expected [B, L, 5·E], found shape [1, 2, 12]"
    );
    assert!(matches!(split_heads(&x, 0), Err(Error::Config { key: "heads", .. })));
    assert!(matches!(split_heads(&array(&[2, 12]), 3), Err(Error::Input { .. })));
    assert!(matches!(merge_heads(&x), Err(Error::Input { .. })));
    let q = array(&[1, 4, 2, 8]);
    let k = array(&[1, 2, 1, 8]);
    assert!(
        matches!(attend(&q, &k, &k, 1.0, Mask::Causal), Err(Error::Input { .. })),
        "fewer keys than queries"
    );
    for (k, v) in [
        (array(&[1, 3, 5, 8]), array(&[1, 3, 5, 8])),
        (array(&[1, 2, 5, 4]), array(&[1, 2, 5, 8])),
        (array(&[2, 2, 5, 8]), array(&[2, 2, 5, 8])),
        (array(&[1, 2, 5, 8]), array(&[1, 2, 6, 8])),
        (array(&[2, 5, 8]), array(&[1, 2, 5, 8])),
        (array(&[1, 0, 5, 8]), array(&[1, 0, 5, 8])),
    ] {
        let found = attend(&q, &k, &v, 1.0, Mask::None);
        assert!(
            matches!(found, Err(Error::Input { layer: "attend", .. })),
            "{:?} {:?}",
            k.shape(),
            v.shape()
        );
    }
}
