// SPDX-License-Identifier: EUPL-1.2
//! Fourier transforms beside the golden cases: refusals, and sizes that overflow.

use mlx_core::{Array, Dtype, Error, fft, transform};

#[test]
fn axes_and_lengths_out_of_range_are_refused() {
    let x = Array::ones(&[2, 3], Dtype::Float32).unwrap();
    for axis in [2, -3, i32::MIN, i32::MAX] {
        let options = fft::Options { axis, ..Default::default() };
        assert!(matches!(fft::fft(&x, &options), Err(Error::Argument { argument: "axis", .. })));
        let axes = [axis];
        let several = fft::NdOptions { axes: Some(&axes), ..Default::default() };
        assert!(fft::irfftn(&x, &several).is_err() && fft::fft2(&x, &several).is_err());
        assert!(fft::fftshift(&x, Some(&axes)).is_err() && fft::ifftshift(&x, Some(&axes)).is_err());
    }
    for n in [0, -1, i32::MIN] {
        let options = fft::Options { n: Some(n), ..Default::default() };
        for transform in [fft::fft, fft::ifft, fft::rfft, fft::irfft] {
            assert!(matches!(transform(&x, &options), Err(Error::Argument { argument: "n", .. })));
        }
    }
    for axes in [&[][..], &[0, 0], &[1, -1]] {
        let options = fft::NdOptions { axes: Some(axes), ..Default::default() };
        assert!(fft::fftn(&x, &options).is_err() && fft::rfft2(&x, &options).is_err(), "{axes:?}");
    }
    assert!(fft::fftshift(&x, Some(&[0, -2])).is_err());
    let three = fft::NdOptions { sizes: Some(&[1, 1, 1]), ..Default::default() };
    assert!(fft::fftn(&x, &three).is_err() && fft::fft2(&x, &three).is_err());
}

#[test]
fn sizes_without_axes_are_for_the_last_ones() {
    let x = Array::ones(&[2, 3, 4], Dtype::Float32).unwrap();
    let last = fft::NdOptions { sizes: Some(&[5]), ..Default::default() };
    assert_eq!(fft::fftn(&x, &last).unwrap().shape(), [2, 3, 5]);
    let two = fft::NdOptions { sizes: Some(&[5, 6]), ..Default::default() };
    assert_eq!(fft::rfft2(&x, &two).unwrap().shape(), [2, 5, 4]);
}

#[test]
fn lengths_that_overflow_or_exceed_the_machine_are_refused() {
    let row = Array::ones(&[1], Dtype::Float32).unwrap();
    for n in [1 << 30, i32::MAX] {
        // Twice the axis is more than an axis can have.
        let long = row.broadcast_to(&[n]).unwrap();
        let result = fft::irfft(&long, &fft::Options::default());
        assert!(matches!(result, Err(Error::Argument { .. } | Error::Shape { .. })) || n == 1 << 30);
    }
    let huge =
        fft::NdOptions { sizes: Some(&[i32::MAX, i32::MAX]), axes: Some(&[0, 1]), ..Default::default() };
    let x = Array::ones(&[2, 2], Dtype::Float32).unwrap();
    for transform in [fft::fft2, fft::ifft2, fft::rfft2, fft::irfft2, fft::fftn, fft::irfftn] {
        assert!(matches!(transform(&x, &huge), Err(Error::Shape { .. })));
    }
    for d in [0.0, f64::NAN, f64::INFINITY] {
        assert!(fft::fftfreq(4, d).is_err() && fft::rfftfreq(4, d).is_err());
    }
    for n in [0, -1, i32::MIN, i32::MAX] {
        assert!(fft::fftfreq(n, 1.0).is_err() && fft::rfftfreq(n, 1.0).is_err());
    }
}

#[test]
fn empty_and_scalar_arrays_are_transformed_or_refused() {
    let empty = Array::zeros(&[0, 4], Dtype::Float32).unwrap();
    let options = fft::Options::default();
    assert_eq!(fft::rfft(&empty, &options).unwrap().shape(), [0, 3]);
    assert_eq!(fft::irfft(&empty, &options).unwrap().shape(), [0, 6]);
    let along_nothing = fft::Options { axis: 0, ..options };
    assert!(fft::fft(&empty, &along_nothing).is_err());
    let filled = fft::Options { axis: 0, n: Some(2), ..options };
    assert_eq!(fft::fft(&empty, &filled).unwrap().shape(), [2, 4]);
    let scalar = Array::scalar(1.0f32).unwrap();
    assert!(fft::fft(&scalar, &options).is_err());
    assert!(fft::fftn(&scalar, &fft::NdOptions::default()).is_err());
    assert_eq!(fft::fftshift(&scalar, None).unwrap().item::<f32>().unwrap(), 1.0);
    assert_eq!(fft::fftshift(&empty, None).unwrap().shape(), [0, 4]);
}

#[test]
fn inverses_to_an_odd_number_of_real_values_have_derivatives() {
    let values: Vec<f32> = (0..24u8).map(|i| f32::from(i * 7 % 11) - 5.0).collect();
    let half = Array::from_slice(&values, &[2, 3, 4]).unwrap();
    let half = (&half + &fft::fft(&half, &fft::Options::default()).unwrap()).unwrap();
    for n in [1, 3, 5, 6, 7, 9] {
        let inverse = |x: &Array| {
            let planes = fft::NdOptions { sizes: Some(&[3, n]), axes: Some(&[0, 1]), ..Default::default() };
            let rows = fft::Options { n: Some(n), norm: fft::Norm::Ortho, ..Default::default() };
            Ok(vec![fft::irfft(x, &rows)?, fft::irfftn(x, &planes)?])
        };
        let wanted = inverse(&half).unwrap();
        // A linear function is its own derivative.
        let direction = [half.clone()];
        let (found, pushed) = transform::jvp(|x: &[Array]| inverse(&x[0]), &direction, &direction).unwrap();
        for (wanted, found) in wanted.iter().zip(&found).chain(wanted.iter().zip(&pushed)) {
            assert_eq!((found.shape(), found.dtype()), (wanted.shape(), Dtype::Float32), "{n}");
            assert!(found.allclose(wanted, 1e-4, 1e-4, false).unwrap().item::<bool>().unwrap(), "{n}");
        }
        // And ⟨y, A x⟩ = ⟨Aᵀ y, x⟩, over real and imaginary parts.
        let (_, pulled) = transform::vjp(|x: &[Array]| inverse(&x[0]), &direction, &wanted).unwrap();
        let dot = |a: &Array, b: &Array| (a * b).unwrap().sum_all().unwrap().item::<f32>().unwrap();
        let left: f32 = wanted.iter().map(|y| dot(y, y)).sum();
        let parts = [Array::real, Array::imag];
        let right: f32 =
            parts.iter().map(|part| dot(&part(&pulled[0]).unwrap(), &part(&half).unwrap())).sum();
        assert!((left - right).abs() < 1e-3 * left, "{n}: {left} and {right}");
    }
}
