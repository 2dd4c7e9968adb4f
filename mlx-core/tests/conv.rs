// SPDX-License-Identifier: EUPL-1.2
//! Convolutions beside the golden cases: what MLX gets wrong or cannot do, and what is refused.

use mlx_core::{Array, ConvGeneralOptions, ConvOptions, ConvTransposeOptions, Dtype, Error, f16, transform};

fn ones(shape: &[i32]) -> Array {
    Array::ones(shape, Dtype::Float32).unwrap()
}

fn counted(shape: &[i32]) -> Array {
    let n: i32 = shape.iter().product();
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let values: Vec<f32> = (0..n).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
    Array::from_slice(&values, shape).unwrap()
}

fn values(array: &Array) -> Vec<f32> {
    array.astype(Dtype::Float32).unwrap().to_vec().unwrap()
}

#[test]
fn shapes_that_end_the_process_in_mlx_are_refused_or_give_zeros() {
    let x = ones(&[1, 5, 2]);
    for (weight, groups) in [
        (ones(&[3, 2, 2]), 0),
        (ones(&[3, 2, 2]), -1),
        (ones(&[3, 2, 2]), i32::MIN),
        (ones(&[3, 2, 1]), 2),
        (ones(&[3, 0, 2]), 1),
        (ones(&[3, 6, 2]), 1),
    ] {
        let options = ConvOptions { groups, ..Default::default() };
        assert!(x.conv1d(&weight, &options).is_err(), "{weight:?} {groups}");
        let options = ConvTransposeOptions { groups, ..Default::default() };
        assert!(x.conv_transpose1d(&weight, &options).is_err() || weight.shape() == [3, 6, 2], "{weight:?}");
    }
    let options = ConvOptions::default();
    let empty = ones(&[1, 5, 0]).conv1d(&ones(&[3, 2, 0]), &options).unwrap();
    assert_eq!((empty.shape(), values(&empty)), (&[1, 4, 3][..], vec![0.0; 12]));
    assert_eq!(x.conv1d(&ones(&[0, 2, 2]), &options).unwrap().shape(), [1, 4, 0]);
    assert_eq!(ones(&[0, 5, 2]).conv1d(&ones(&[3, 2, 2]), &options).unwrap().shape(), [0, 4, 3]);
    let options = ConvOptions { padding: [1], ..options };
    assert_eq!(values(&ones(&[1, 0, 1]).conv1d(&ones(&[1, 2, 1]), &options).unwrap()), [0.0]);
    // MLX rounds towards zero, and takes this kernel for one that fits.
    let options = ConvOptions { stride: [9], ..Default::default() };
    assert!(matches!(x.conv1d(&ones(&[1, 7, 2]), &options), Err(Error::Shape { .. })));
}

#[test]
fn sizes_that_no_machine_has_are_refused() {
    let (x, w) = (ones(&[1, 5, 2]), ones(&[3, 2, 2]));
    for n in [i32::MAX, i32::MAX / 2 + 1] {
        for options in [
            ConvOptions { padding: [n], ..Default::default() },
            ConvOptions { padding: [n], stride: [n], ..Default::default() },
            ConvOptions { dilation: [n], ..Default::default() },
        ] {
            assert!(x.conv1d(&w, &options).is_err(), "{options:?}");
        }
        for options in [
            ConvTransposeOptions { stride: [n], ..Default::default() },
            ConvTransposeOptions { output_padding: [i32::MAX], ..Default::default() },
            ConvTransposeOptions { padding: [n], ..Default::default() },
            ConvTransposeOptions { padding: [-n], ..Default::default() },
        ] {
            assert!(x.conv_transpose1d(&w, &options).is_err(), "{options:?}");
        }
    }
    // The result has few places, and the padded image none that fit.
    let options = ConvOptions { padding: [1 << 19; 2], stride: [1 << 19; 2], ..Default::default() };
    assert!(ones(&[1, 5, 5, 2]).conv2d(&ones(&[1, 2, 2, 2]), &options).is_err());
    let (wide, kernel) = (ones(&[1, 1, 1]), ones(&[1, 1, 1]));
    let wide = wide.broadcast_to(&[1, 1 << 20, 1 << 10]).unwrap();
    let kernel = kernel.broadcast_to(&[1, 1 << 19, 1 << 10]).unwrap();
    assert!(wide.conv1d(&kernel, &ConvOptions::default()).is_err());
}

#[test]
fn paddings_that_spoil_memory_in_mlx_have_values_and_gradients() {
    // A dilated kernel beside unequal paddings, of which MLX's processor kernel writes outside its buffer.
    let (x, w) = (counted(&[2, 7, 2, 3]), counted(&[2, 4, 4, 3]));
    let options = ConvOptions { padding: [0, 4], dilation: [1, 3], ..Default::default() };
    let direct = x.conv2d(&w, &options).unwrap();
    let padded = x.pad(&[(0, 0), (0, 0), (4, 4), (0, 0)], 0.0).unwrap();
    let wanted = padded.conv2d(&w, &ConvOptions { padding: [0, 0], ..options }).unwrap();
    assert_eq!((direct.shape(), values(&direct)), (wanted.shape(), values(&wanted)));
    // The gradient by the input has the wrong shape there when the padding differs between the ends.
    let (x, w) = (counted(&[1, 4, 2]), counted(&[1, 2, 2]));
    let (_, gradients) = transform::value_and_grad_by(
        |x| {
            let causal = ConvGeneralOptions { padding_low: &[1], ..Default::default() };
            Ok(vec![x[0].conv_general(&x[1], &causal)?.sum_all()?])
        },
        &[0],
        &[x, w.clone()],
    )
    .unwrap();
    let w = values(&w);
    let (both, last) = ([w[0] + w[2], w[1] + w[3]], [w[2], w[3]]);
    assert_eq!(values(&gradients[0]), [both, both, both, last].concat());
}

#[test]
fn groups_are_convolutions_side_by_side() {
    let options = ConvOptions::<3> { padding: [1, 0, 1], stride: [1, 2, 1], ..Default::default() };
    let (x, w) = (counted(&[2, 3, 4, 3, 6]), counted(&[4, 2, 2, 2, 3]));
    let grouped = x.conv3d(&w, &ConvOptions { groups: 2, ..options }).unwrap();
    let (xs, ws) = (x.split(2, -1).unwrap(), w.split(2, 0).unwrap());
    let parts: Vec<Array> = xs.iter().zip(&ws).map(|(x, w)| x.conv3d(w, &options).unwrap()).collect();
    let wanted = mlx_core::concatenate(&parts.iter().collect::<Vec<_>>(), -1).unwrap();
    assert_eq!((grouped.shape(), values(&grouped)), (wanted.shape(), values(&wanted)));
}

#[test]
fn long_kernels_are_multiplied_through_a_view() {
    let (x, w) = (counted(&[1, 5000, 1]), counted(&[1, 4998, 1]));
    let (a, b) = (values(&x), values(&w));
    let wanted: Vec<f32> = (0..3).map(|at| b.iter().zip(&a[at..]).map(|(w, x)| w * x).sum()).collect();
    assert_eq!(values(&x.conv1d(&w, &ConvOptions::default()).unwrap()), wanted);
    let cotangent = Array::from_slice(&[1.0f32, 0.0, 0.0], &[1, 3, 1]).unwrap();
    let function = |x: &[Array]| Ok(vec![x[0].conv1d(&x[1], &ConvOptions::default())?]);
    let (_, gradients) = transform::vjp(function, &[x, w], &[cotangent]).unwrap();
    assert_eq!(values(&gradients[0]), [&b[..], &[0.0, 0.0]].concat());
    assert_eq!(values(&gradients[1]), a[..4998]);
}

#[test]
fn half_precision_comes_back_and_is_summed_in_single() {
    for dtype in [Dtype::Float16, Dtype::Bfloat16] {
        for groups in [1, 4, 2] {
            let x = ones(&[1, 5, 4]).astype(dtype).unwrap();
            let w = ones(&[4, 2, 4 / groups]).astype(dtype).unwrap();
            let options = ConvOptions { groups, ..Default::default() };
            assert_eq!(x.conv1d(&w, &options).unwrap().dtype(), dtype);
        }
    }
    // 4096 + 1 is 4096 in float16, so a running sum in it would stay there.
    let mut terms = vec![f16::ONE; 65];
    terms[0] = f16::from_f32(4096.0);
    let x = Array::from_slice(&[terms.clone(), terms].concat(), &[2, 65]).unwrap();
    let x = x.transpose().unwrap().expand_dims(0).unwrap();
    let w = Array::ones(&[2, 65, 1], Dtype::Float16).unwrap();
    let sums = x.conv1d(&w, &ConvOptions { groups: 2, ..Default::default() }).unwrap();
    assert_eq!(values(&sums), [4160.0, 4160.0]);
}

#[test]
fn transposes_keep_what_is_cut_between_spread_places() {
    // MLX cuts before it spreads: it refuses this one.
    let options = ConvTransposeOptions { stride: [3], padding: [2], ..Default::default() };
    let x = Array::from_slice(&[1.0f32, 2.0, 3.0], &[1, 3, 1]).unwrap();
    let w = Array::from_slice(&[1.0f32, 10.0], &[1, 2, 1]).unwrap();
    // 1 10 0 2 20 0 3 30 without padding.
    assert_eq!(values(&x.conv_transpose1d(&w, &options).unwrap()), [0.0, 2.0, 20.0, 0.0]);
    let options = ConvTransposeOptions { output_padding: [1], ..options };
    assert_eq!(values(&x.conv_transpose1d(&w, &options).unwrap()), [0.0, 2.0, 20.0, 0.0, 3.0]);
}

#[test]
fn lists_of_another_length_are_refused() {
    let (x, w) = (ones(&[1, 4, 4, 1]), ones(&[1, 2, 2, 1]));
    for options in [
        ConvGeneralOptions { stride: &[], ..Default::default() },
        ConvGeneralOptions { padding_low: &[1, 1, 1], ..Default::default() },
        ConvGeneralOptions { padding_high: &[], ..Default::default() },
        ConvGeneralOptions { kernel_dilation: &[1, 1, 1], ..Default::default() },
        ConvGeneralOptions { input_dilation: &[1, 1, 1], ..Default::default() },
        ConvGeneralOptions { padding_low: &[-5], padding_high: &[9], ..Default::default() },
    ] {
        assert!(x.conv_general(&w, &options).is_err(), "{options:?}");
    }
    assert!(x.conv1d(&w, &ConvOptions::default()).is_err());
    assert!(x.conv_transpose3d(&w, &ConvTransposeOptions::default()).is_err());
    assert!(x.conv_transpose2d(&ones(&[1]), &ConvTransposeOptions::default()).is_err());
}
