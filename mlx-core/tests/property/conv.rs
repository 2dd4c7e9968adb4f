// SPDX-License-Identifier: EUPL-1.2
//! Convolutions against a loop over all places, and against anything at all.

use mlx_core::{Array, ConvGeneralOptions, ConvOptions, ConvTransposeOptions, Dtype, fft, transform};
use ndarray::ArrayD;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{check, narrow};

/// Small whole numbers in no visible order, whose sums of products are exact in float32.
fn numbers(shape: &[usize], seed: usize) -> (Array, ArrayD<f32>) {
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..count).map(|i| ((i * 37 + seed * 11) % 13) as f32 - 6.0).collect();
    let array = Array::from_slice(&values, &narrow(shape)).unwrap();
    (array, ArrayD::from_shape_vec(shape, values).unwrap())
}

#[derive(Clone, Debug)]
struct Axis {
    length: usize,
    kernel: usize,
    stride: i32,
    low: i32,
    high: i32,
    dilation: i32,
    spread: i32,
}

impl Axis {
    /// The length of the result, if there is one.
    fn out(&self) -> Option<usize> {
        let spread = self.spread();
        let input = spread + self.low + self.high;
        let kernel = (i32::try_from(self.kernel).unwrap() - 1) * self.dilation + 1;
        let cut = self.low.min(0) + self.high.min(0) + spread;
        (input >= kernel && cut >= 0).then(|| usize::try_from((input - kernel) / self.stride + 1).unwrap())
    }

    fn spread(&self) -> i32 {
        if self.length == 0 { 0 } else { (i32::try_from(self.length).unwrap() - 1) * self.spread + 1 }
    }

    /// The place of the input that element `k` of the kernel sees at step `at`; nothing where it sees a zero.
    fn sees(&self, at: usize, k: usize) -> Option<usize> {
        let place =
            i32::try_from(at).unwrap() * self.stride + i32::try_from(k).unwrap() * self.dilation - self.low;
        // Places that are cut off at the end are beyond the last step.
        let whole = (0..self.spread()).contains(&place) && place % self.spread == 0;
        whole.then(|| usize::try_from(place / self.spread).unwrap())
    }
}

fn axis() -> impl Strategy<Value = Axis> {
    let few = |usual: i32| prop_oneof![2 => Just(usual), 1 => 1..4i32];
    let padding = || prop_oneof![2 => Just(0), 2 => 0..4i32, 1 => -3..6i32];
    (0..7usize, 1..4usize, few(1), padding(), padding(), few(1), few(1)).prop_map(
        |(length, kernel, stride, low, high, dilation, spread)| Axis {
            length,
            kernel,
            stride,
            low,
            high,
            dilation,
            spread,
        },
    )
}

/// The convolution, one product at a time.
fn by_hand(
    x: &ArrayD<f32>,
    w: &ArrayD<f32>,
    axes: &[Axis],
    out: &[usize],
    groups: usize,
    flip: bool,
) -> ArrayD<f32> {
    let n = axes.len();
    let (own, every) = (w.shape()[n + 1], w.shape()[0] / groups);
    let shape = [&x.shape()[..1], out, &w.shape()[..1]].concat();
    let kernel = ndarray::IxDyn(&w.shape()[1..=n]);
    ArrayD::from_shape_fn(shape, |at| {
        let mut sum = 0.0;
        for k in ndarray::indices(kernel.clone()) {
            let seen: Option<Vec<usize>> = (0..n).map(|i| axes[i].sees(at[i + 1], k[i])).collect();
            let Some(seen) = seen else { continue };
            let turned: Vec<usize> =
                (0..n).map(|i| if flip { axes[i].kernel - 1 - k[i] } else { k[i] }).collect();
            for c in 0..own {
                let channel = at[n + 1] / every * own + c;
                let place = [&[at[0]], &seen[..], &[channel]].concat();
                sum += x[&place[..]] * w[&[&[at[n + 1]], &turned[..], &[c]].concat()[..]];
            }
        }
        sum
    })
}

#[test]
fn convolutions_and_their_gradients_are_those_of_a_loop() {
    let arguments = (vec(axis(), 1..4), 1..4usize, 1..3usize, 1..3usize, 1..3usize, any::<bool>());
    check(700, arguments, |(axes, groups, own, out, batch, flip)| {
        let of = |f: fn(&Axis) -> i32| axes.iter().map(f).collect::<Vec<i32>>();
        let length: Vec<usize> = axes.iter().map(|axis| axis.length).collect();
        let kernel: Vec<usize> = axes.iter().map(|axis| axis.kernel).collect();
        let (x, a) = numbers(&[&[batch], &length[..], &[groups * own]].concat(), 1);
        let (w, b) = numbers(&[&[groups * out], &kernel[..], &[own]].concat(), 2);
        let lists = [of(|a| a.stride), of(|a| a.low), of(|a| a.high), of(|a| a.dilation), of(|a| a.spread)];
        let groups_given = i32::try_from(groups).unwrap();
        let function = move |x: &[Array]| {
            let options = ConvGeneralOptions {
                stride: &lists[0],
                padding_low: &lists[1],
                padding_high: &lists[2],
                kernel_dilation: &lists[3],
                input_dilation: &lists[4],
                groups: groups_given,
                flip,
            };
            Ok(vec![x[0].conv_general(&x[1], &options)?])
        };
        let Some(space) = axes.iter().map(Axis::out).collect::<Option<Vec<usize>>>() else {
            assert!(function(&[x, w]).is_err());
            return;
        };
        let wanted = by_hand(&a, &b, &axes, &space, groups, flip);
        let found = function(&[x.clone(), w.clone()]).unwrap().remove(0);
        assert_eq!(found.shape(), narrow(wanted.shape()));
        assert_eq!(found.to_vec::<f32>().unwrap(), wanted.iter().copied().collect::<Vec<_>>());

        // Linear in either operand, so what is pulled back along the cotangent gives the same product with it.
        let (c, cotangent) = numbers(wanted.shape(), 3);
        let (_, gradients) = transform::vjp(function, &[x, w], &[c]).unwrap();
        let product = (&wanted * &cotangent).sum();
        for (gradient, operand) in gradients.iter().zip([&a, &b]) {
            let gradient = gradient.to_vec::<f32>().unwrap();
            let pulled: f32 = gradient.iter().zip(operand).map(|(g, x)| g * x).sum();
            assert!((pulled - product).abs() < 0.5, "{pulled} for {product}");
        }
    });
}

/// Whole numbers of the kind that breaks things, but none whose result would only be large.
fn extreme() -> impl Strategy<Value = i32> {
    prop_oneof![
        8 => -2..5i32,
        1 => Just(i32::MIN),
        1 => Just(i32::MAX),
        1 => Just(i32::MAX / 2 + 1),
        1 => Just(1 << 16),
    ]
}

fn computed(result: mlx_core::Result<Array>) {
    if let Ok(array) = result
        && array.nbytes() < 1 << 24
    {
        array.eval().unwrap();
    }
}

#[test]
fn any_options_of_a_convolution_give_a_value_or_an_error() {
    let options = || (extreme(), extreme(), extreme(), extreme(), extreme(), extreme(), any::<bool>());
    let shape = || vec(prop_oneof![1 => Just(0usize), 9 => 1..4usize], 0..5);
    check(1500, (shape(), shape(), options(), any::<bool>()), |(input, weight, o, alike)| {
        let weight = if alike && input.len() > 1 {
            let mut weight = input.clone();
            weight[0] = 2;
            weight
        } else {
            weight
        };
        let (x, _) = numbers(&input, 1);
        let (w, _) = numbers(&weight, 2);
        let (a, b, c, d, e, groups, flip) = o;
        let general = ConvGeneralOptions {
            stride: &[a],
            padding_low: &[b],
            padding_high: &[c],
            kernel_dilation: &[d],
            input_dilation: &[e],
            groups,
            flip,
        };
        computed(x.conv_general(&w, &general));
        computed(x.conv1d(&w, &ConvOptions { stride: [a], padding: [b], dilation: [c], groups }));
        computed(x.conv_transpose1d(
            &w,
            &ConvTransposeOptions { stride: [a], padding: [b], dilation: [c], output_padding: [d], groups },
        ));
    });
}

#[test]
fn any_options_of_a_fourier_transform_give_a_value_or_an_error() {
    let shape = vec(prop_oneof![1 => Just(0usize), 9 => 1..4usize], 0..4);
    let list = || proptest::option::of(vec(extreme(), 0..4));
    let arguments = (shape, proptest::option::of(extreme()), extreme(), list(), list(), 0..Dtype::ALL.len());
    check(700, arguments, |(shape, n, axis, sizes, axes, dtype)| {
        let x = numbers(&shape, 1).0.astype(Dtype::ALL[dtype]).unwrap();
        let one = fft::Options { n, axis, norm: fft::Norm::Ortho };
        for transform in [fft::fft, fft::ifft, fft::rfft, fft::irfft] {
            computed(transform(&x, &one));
        }
        let several =
            fft::NdOptions { sizes: sizes.as_deref(), axes: axes.as_deref(), norm: fft::Norm::Forward };
        for transform in [fft::fft2, fft::irfft2, fft::fftn, fft::ifftn, fft::rfftn, fft::irfftn] {
            computed(transform(&x, &several));
        }
        computed(fft::fftshift(&x, axes.as_deref()));
        computed(fft::ifftshift(&x, axes.as_deref()));
        computed(fft::fftfreq(axis, 0.5));
        computed(fft::rfftfreq(axis, f64::from(axis)));
    });
}

#[test]
fn transforms_are_undone_and_keep_lengths() {
    check(200, (1..9usize, 1..9usize, any::<bool>()), |(rows, columns, first)| {
        let (x, _) = numbers(&[rows, columns], 5);
        let axis = if first { 0 } else { -1 };
        let n = i32::try_from(if first { rows } else { columns }).unwrap();
        let close = |a: &Array, b: &Array| {
            a.to_vec::<f32>()
                .unwrap()
                .iter()
                .zip(b.to_vec::<f32>().unwrap())
                .all(|(a, b)| (a - b).abs() < 1e-4)
        };
        for norm in [fft::Norm::Backward, fft::Norm::Ortho, fft::Norm::Forward] {
            let options = fft::Options { n: Some(n), axis, norm };
            let back = fft::irfft(&fft::rfft(&x, &options).unwrap(), &options).unwrap();
            assert!(close(&back, &x));
            let back = fft::ifft(&fft::fft(&x, &options).unwrap(), &options).unwrap();
            assert!(close(&back.real().unwrap(), &x));
        }
        let all = fft::NdOptions { norm: fft::Norm::Ortho, ..Default::default() };
        let spectrum = fft::fftn(&x, &all).unwrap().abs().unwrap();
        let length = |x: &Array| x.to_vec::<f32>().unwrap().iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((length(&spectrum) - length(&x)).abs() < 1e-3 * (1.0 + length(&x)));
        assert!(close(&fft::ifftshift(&fft::fftshift(&x, None).unwrap(), None).unwrap(), &x));
    });
}
