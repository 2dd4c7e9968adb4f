// SPDX-License-Identifier: EUPL-1.2

use mlx_core::random::Key;
use mlx_core::{Array, Dtype};
use mlx_nn::{Dropout, Dropout2d, Dropout3d, Unary};

use crate::common::{FLOATS, pseudo, values};

fn key(seed: u64) -> Key {
    Key::new(seed).unwrap()
}

#[test]
fn values_are_left_out_at_the_rate_and_the_mean_stays() {
    for rate in [0.1f32, 0.5, 0.75] {
        let x = Array::ones(&[100, 200], Dtype::Float32).unwrap();
        let y = values(&Dropout::new(rate).unwrap().forward(&x, Some(&key(1))).unwrap());
        let n = y.len() as f32;
        let gone = y.iter().filter(|&&y| y == 0.0).count() as f32;
        // Five standard errors.
        assert!((gone / n - rate).abs() < 5.0 * (rate * (1.0 - rate) / n).sqrt(), "{gone} of {n} at {rate}");
        let kept = 1.0 / (1.0 - rate);
        assert!(y.iter().all(|&y| y == 0.0 || (y - kept).abs() < 1e-6));
    }
}

#[test]
fn a_key_leaves_out_the_same_again_and_another_key_others() {
    let (dropout, x) = (Dropout::new(0.5).unwrap(), pseudo(1, &[8, 8]));
    let draw = |seed| values(&dropout.forward(&x, Some(&key(seed))).unwrap());
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn without_a_key_or_a_rate_nothing_happens() {
    let x = pseudo(2, &[3, 4, 5]);
    assert_eq!(values(&Dropout::new(0.9).unwrap().forward(&x, None).unwrap()), values(&x));
    assert_eq!(values(&Dropout::new(0.0).unwrap().forward(&x, Some(&key(0))).unwrap()), values(&x));
    assert_eq!(values(&Dropout2d::new(0.9).unwrap().forward(&x, None).unwrap()), values(&x));
    assert_eq!(
        values(&Dropout3d::new(0.9).unwrap().apply(&pseudo(2, &[2, 2, 3, 5]), None).unwrap()),
        values(&x)
    );
}

#[test]
fn dtypes_stay_and_what_is_left_out_is_zero_even_where_it_was_infinite() {
    for dtype in FLOATS {
        let x = Array::full(&[64], f64::INFINITY, dtype).unwrap();
        let y = Dropout::new(0.5).unwrap().forward(&x, Some(&key(3))).unwrap();
        assert_eq!(y.dtype(), dtype);
        let y = values(&y);
        assert!(y.iter().all(|&y| y == 0.0 || y == f32::INFINITY) && y.contains(&0.0));
    }
}

#[test]
fn channels_are_left_out_whole() {
    let check = |y: &Array, channels: usize, batches: usize| {
        let y = values(y);
        let places = y.len() / channels / batches;
        for (batch, y) in y.chunks(places * channels).enumerate() {
            for channel in 0..channels {
                let seen: Vec<f32> = y.iter().skip(channel).step_by(channels).copied().collect();
                assert_eq!(seen.len(), places);
                assert!(seen.iter().all(|&v| v == seen[0]), "channel {channel} of {batch}");
            }
        }
        assert!(y.contains(&0.0) && y.contains(&2.0));
    };
    let ones = |shape: &[i32]| Array::ones(shape, Dtype::Float32).unwrap();
    let (flat, deep) = (Dropout2d::new(0.5).unwrap(), Dropout3d::new(0.5).unwrap());
    let key = key(4);
    check(&flat.forward(&ones(&[3, 4, 16]), Some(&key)).unwrap(), 16, 1);
    check(&flat.forward(&ones(&[2, 3, 4, 16]), Some(&key)).unwrap(), 16, 2);
    check(&deep.forward(&ones(&[2, 3, 4, 16]), Some(&key)).unwrap(), 16, 1);
    check(&deep.forward(&ones(&[2, 2, 3, 4, 16]), Some(&key)).unwrap(), 16, 2);
    // Not all batches alike.
    let y = values(&flat.forward(&ones(&[2, 1, 1, 64]), Some(&key)).unwrap());
    assert_ne!(y[..64], y[64..]);
}
