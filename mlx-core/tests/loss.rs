// SPDX-License-Identifier: EUPL-1.2
//! The fused cross entropy: what the golden cases cannot say.

use mlx_core::{Array, Dtype, Error, fast};

fn logits() -> Array {
    let values: Vec<f32> = (0..12i16).map(|i| f32::from(i * 5 % 7)).collect();
    Array::from_slice(&values, &[3, 4]).unwrap()
}

#[test]
fn targets_out_of_range_are_refused_or_clamped() {
    let logits = logits();
    for bad in [[0, 1, 4], [0, 1, -1], [i32::MIN, 0, 0], [0, i32::MAX, 0]] {
        let bad = Array::from_slice(&bad, &[3]).unwrap();
        assert!(matches!(fast::cross_entropy(&logits, &bad), Err(Error::Index { op: "cross_entropy", .. })));
    }
    let known = Array::from_slice(&[3i32, 0, 1], &[3]).unwrap();
    let wild = Array::from_slice(&[400_000_000i32, -400_000_000, 1], &[3]).unwrap();
    let lazy = (&wild + &Array::zeros(&[3], Dtype::Int32).unwrap()).unwrap();
    let loss = |targets: &Array| fast::cross_entropy(&logits, targets).unwrap().to_vec::<f32>().unwrap();
    assert_eq!(loss(&lazy), loss(&known));
    let wide = Array::from_slice(&[u64::MAX, 0, 1], &[3]).unwrap();
    assert!(fast::cross_entropy(&logits, &wide).is_err());
}

#[test]
fn nothing_to_lose_is_no_error_and_no_class_is_one() {
    let none = Array::zeros(&[0, 4], Dtype::Float16).unwrap();
    let loss = fast::cross_entropy(&none, &Array::zeros(&[0], Dtype::Uint32).unwrap()).unwrap();
    assert_eq!((loss.shape(), loss.dtype()), (&[0][..], Dtype::Float32));
    let classless = Array::zeros(&[2, 0], Dtype::Float32).unwrap();
    assert!(fast::cross_entropy(&classless, &Array::zeros(&[2], Dtype::Uint32).unwrap()).is_err());
}
