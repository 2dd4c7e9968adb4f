// SPDX-License-Identifier: EUPL-1.2
//! Dtypes, empty inputs, views, numbers at the edge, and what a layer is in terms of another.

use std::collections::BTreeMap;

use mlx_core::fast::Mask;
use mlx_core::random::Key;
use mlx_core::transform::vjp;
use mlx_core::{Array, ConvOptions, ConvTransposeOptions, Dtype, concatenate};
use mlx_nn::activation::Elementwise;
use mlx_nn::{
    Activation, AvgPool2d, BatchNorm, Bilinear, Conv1d, Conv2d, ConvTranspose1d, Function, Grid, GroupNorm,
    Grouping, Gru, Identity, InstanceNorm, Interpolation, Lstm, MaxPool1d, MaxPool2d, Module,
    MultiHeadAttention, MultiHeadOptions, Prelu, Rnn, Sequential, SinusoidalEncoding, SinusoidalOptions,
    TransformerEncoder, TransformerOptions, Unary, Upsample, activation, alibi, params,
};

use crate::common::{assert_close, pseudo, tolerance, values, weights};
use crate::contract::check;

fn key() -> Key {
    Key::new(6).unwrap()
}

fn same() -> ConvOptions<1> {
    ConvOptions { padding: [1], ..Default::default() }
}

fn conv(groups: i32) -> Conv1d {
    Conv1d::new(4, 6, [3], ConvOptions { groups, ..same() }, true, &key()).unwrap()
}

fn transposed(groups: i32) -> ConvTranspose1d {
    let options = ConvTransposeOptions { padding: [1], groups, ..Default::default() };
    ConvTranspose1d::new(4, 6, [3], options, true, &key()).unwrap()
}

fn encoder() -> TransformerEncoder {
    TransformerEncoder::new(2, 4, 2, &TransformerOptions::default()).unwrap()
}

#[test]
fn layers_keep_dtypes_and_rows_apart_and_load_what_they_list() {
    check(&|| conv(2), &Conv1d::forward, &[2, 5, 4], 6);
    check(&|| transposed(2), &ConvTranspose1d::forward, &[2, 5, 4], 6);
    check(
        &|| GroupNorm::new(2, 4, 1e-5, true, Grouping::Strided).unwrap(),
        &GroupNorm::forward,
        &[2, 3, 4],
        4,
    );
    check(&|| InstanceNorm::new(4, 1e-5, true).unwrap(), &InstanceNorm::forward, &[2, 3, 4], 4);
    check(&|| BatchNorm::new(4, 1e-5, 0.1, true).unwrap(), &BatchNorm::forward, &[2, 3, 4], 4);
    check(&|| Rnn::new(4, 5, true, &key()).unwrap(), &|rnn, x| rnn.forward(x, None), &[2, 3, 4], 5);
    check(&|| Gru::new(4, 5, true, &key()).unwrap(), &|gru, x| gru.forward(x, None), &[2, 3, 4], 5);
    let cells = |lstm: &Lstm, x: &Array| Ok(lstm.forward(x, None, None)?.1);
    check(&|| Lstm::new(4, 5, true, &key()).unwrap(), &cells, &[2, 3, 4], 5);
    let attention = || MultiHeadAttention::new(4, 2, &MultiHeadOptions::default()).unwrap();
    check(&attention, &|layer, x| layer.forward(x, x, x, Mask::Causal), &[2, 3, 4], 4);
    let bilinear = || Bilinear::new(4, 4, 3, true, &key()).unwrap();
    check(&bilinear, &|layer, x| layer.forward(x, x), &[2, 3, 4], 3);
    check(&|| Identity, &|layer, x| layer.apply(x, None), &[2, 3, 4], 4);
    check(&encoder, &|layer, x| layer.forward(x, Mask::None, None), &[2, 3, 4], 4);
    check(&|| Prelu::new(4).unwrap(), &Prelu::forward, &[2, 3, 4], 4);
    check(&|| MaxPool1d::with([3], [1], [1]).unwrap(), &MaxPool1d::forward, &[2, 3, 4], 4);
    check(
        &|| Upsample::new(&[1.0], Interpolation::Cubic(Grid::Corners)).unwrap(),
        &Upsample::forward,
        &[2, 3, 4],
        4,
    );
}

/// Parameters in float32 do not widen a stream in half precision.
#[test]
fn the_dtype_is_that_of_the_input_whatever_the_parameters() {
    let norm = GroupNorm::new(2, 4, 1e-5, true, Grouping::Neighbours).unwrap();
    let layers: [Box<dyn Unary>; 7] = [
        Box::new(conv(1)),
        Box::new(transposed(1)),
        Box::new(norm),
        Box::new(InstanceNorm::new(4, 1e-5, true).unwrap()),
        Box::new(Prelu::new(4).unwrap()),
        Box::new(Upsample::new(&[1.5], Interpolation::Linear(Grid::Centres)).unwrap()),
        Box::new(SinusoidalEncoding::new(4, &SinusoidalOptions::default()).unwrap()),
    ];
    let x = pseudo(1, &[2, 5, 4]);
    for dtype in [Dtype::Float16, Dtype::Bfloat16] {
        let half = x.astype(dtype).unwrap();
        for layer in &layers {
            let (found, exact) = (layer.apply(&half, None).unwrap(), layer.apply(&x, None).unwrap());
            assert_eq!(found.dtype(), dtype);
            let (rtol, atol) = tolerance(dtype);
            assert_close("in half precision", &values(&found), &values(&exact), (2.0 * rtol, 2.0 * atol));
        }
        let found = Gru::new(4, 3, true, &key()).unwrap().forward(&half, None).unwrap();
        assert_eq!(found.dtype(), dtype);
        let (y, statistics) = BatchNorm::new(4, 1e-5, 0.1, true).unwrap().forward_batch(&half).unwrap();
        assert_eq!((y.dtype(), statistics.mean.dtype()), (dtype, Dtype::Float32));
        assert_eq!(alibi(2, 2, 3, 0, dtype).unwrap().dtype(), dtype);
    }
}

#[test]
fn empty_batches_and_sequences_pass() {
    let empty = Array::zeros(&[0, 5, 4], Dtype::Float32).unwrap();
    assert_eq!(conv(1).forward(&empty).unwrap().shape(), [0, 5, 6]);
    assert_eq!(transposed(1).forward(&empty).unwrap().shape(), [0, 5, 6]);
    for grouping in [Grouping::Strided, Grouping::Neighbours] {
        let norm = GroupNorm::new(2, 4, 1e-5, true, grouping).unwrap();
        assert_eq!(norm.forward(&empty).unwrap().shape(), [0, 5, 4]);
        let no_places = Array::zeros(&[2, 0, 4], Dtype::Float32).unwrap();
        assert_eq!(norm.forward(&no_places).unwrap().shape(), [2, 0, 4]);
    }
    assert_eq!(BatchNorm::new(4, 1e-5, 0.1, true).unwrap().forward(&empty).unwrap().shape(), [0, 5, 4]);
    assert_eq!(MaxPool1d::new([2]).unwrap().forward(&empty).unwrap().shape(), [0, 2, 4]);
    let upsample = Upsample::new(&[2.0], Interpolation::Linear(Grid::Centres)).unwrap();
    assert_eq!(upsample.forward(&empty).unwrap().shape(), [0, 10, 4]);
    let (lstm, no_steps) =
        (Lstm::new(4, 3, true, &key()).unwrap(), Array::zeros(&[2, 0, 4], Dtype::Bfloat16).unwrap());
    let (hidden, cell) = lstm.forward(&no_steps, None, None).unwrap();
    assert_eq!((hidden.shape(), cell.shape()), (&[2, 0, 3][..], &[2, 0, 3][..]));
    assert_eq!(hidden.dtype(), Dtype::Bfloat16);
    for y in [hidden, cell] {
        y.eval().unwrap();
    }
    assert_eq!(lstm.forward(&empty, None, None).unwrap().0.shape(), [0, 5, 3]);
}

#[test]
fn windows_over_a_view_see_what_windows_over_a_copy_see() {
    let turned = pseudo(2, &[2, 6, 5, 3]).transpose_axes(&[0, 2, 1, 3]).unwrap();
    let copy = Array::from_slice(&values(&turned), turned.shape()).unwrap();
    let (max, mean) = (MaxPool2d::with([2, 3], [1, 2], [0, 1]).unwrap(), AvgPool2d::new([2, 2]).unwrap());
    assert_eq!(values(&max.forward(&turned).unwrap()), values(&max.forward(&copy).unwrap()));
    assert_eq!(values(&mean.forward(&turned).unwrap()), values(&mean.forward(&copy).unwrap()));
}

#[test]
fn padding_never_wins_and_counts_as_zeros_in_means() {
    let x = Array::from_slice(&[-4.0f32, -2.0], &[1, 1, 2, 1]).unwrap();
    let max = MaxPool2d::with([3, 3], [1, 1], [1, 1]).unwrap();
    assert_eq!(values(&max.forward(&x).unwrap()), [-2.0, -2.0]);
    let mean = AvgPool2d::with([1, 2], [1, 1], [0, 1]).unwrap();
    assert_eq!(values(&mean.forward(&x).unwrap()), [-2.0, -3.0, -1.0]);
}

/// Groups are convolutions of parts of the channels beside each other.
#[test]
fn groups_of_a_transposed_convolution_do_not_see_each_other() {
    let layer = transposed(2);
    let parameters: BTreeMap<String, Array> =
        params::parameters(&layer).into_iter().map(|(path, value)| (path, value.clone())).collect();
    let x = pseudo(3, &[2, 5, 4]);
    let options = ConvTransposeOptions { padding: [1], ..Default::default() };
    let parts: Vec<Array> = (0..2)
        .map(|i| {
            let mut part = ConvTranspose1d::new(2, 3, [3], options, true, &key()).unwrap();
            let of = |path: &str| parameters[path].slice_axis(0, 3 * i, 3 * i + 3).unwrap();
            params::load(&mut part, weights([("weight", of("weight")), ("bias", of("bias"))])).unwrap();
            part.forward(&x.slice_axis(-1, 2 * i, 2 * i + 2).unwrap()).unwrap()
        })
        .collect();
    let expected = concatenate(&[&parts[0], &parts[1]], -1).unwrap();
    assert_close("groups", &values(&layer.forward(&x).unwrap()), &values(&expected), (1e-5, 1e-6));
}

#[test]
fn a_sequence_in_parts_gives_what_the_whole_gives() {
    let x = pseudo(4, &[2, 6, 3]);
    let (first, rest) = (x.slice_axis(1, 0, 2).unwrap(), x.slice_axis(1, 2, 6).unwrap());
    let last = |y: &Array| y.slice_axis(1, 1, 2).unwrap().squeeze_axis(1).unwrap();
    let joined = |a: &Array, b: &Array| values(&concatenate(&[a, b], 1).unwrap());

    let rnn = Rnn::new(3, 4, true, &key()).unwrap().with_nonlinearity(activation::mish);
    let a = rnn.forward(&first, None).unwrap();
    let b = rnn.forward(&rest, Some(&last(&a))).unwrap();
    assert_close("rnn", &joined(&a, &b), &values(&rnn.forward(&x, None).unwrap()), (1e-5, 1e-6));
    let gru = Gru::new(3, 4, true, &key()).unwrap();
    let a = gru.forward(&first, None).unwrap();
    let b = gru.forward(&rest, Some(&last(&a))).unwrap();
    assert_close("gru", &joined(&a, &b), &values(&gru.forward(&x, None).unwrap()), (1e-5, 1e-6));
    let lstm = Lstm::new(3, 4, true, &key()).unwrap();
    let (a, c) = lstm.forward(&first, None, None).unwrap();
    let (b, d) = lstm.forward(&rest, Some(&last(&a)), Some(&last(&c))).unwrap();
    let (hidden, cell) = lstm.forward(&x, None, None).unwrap();
    assert_close("lstm", &joined(&a, &b), &values(&hidden), (1e-5, 1e-6));
    assert_close("cells", &joined(&c, &d), &values(&cell), (1e-5, 1e-6));
}

#[test]
fn initial_values_are_uniform_in_what_a_place_sees() {
    let conv = Conv2d::new(6, 32, [3, 5], ConvOptions::default(), true, &key()).unwrap();
    let gru = Gru::new(8, 25, true, &key()).unwrap();
    let check = |module: &dyn Module, bound: f32| {
        for (path, value) in params::parameters(module) {
            let drawn = values(value);
            let largest = drawn.iter().fold(0.0f32, |a, &b| a.max(b.abs()));
            match path.as_str() {
                "bias" => assert_eq!(largest, 0.0),
                _ => assert!(largest <= bound && largest > 0.85 * bound, "{path}: {largest} of {bound}"),
            }
        }
    };
    check(&conv, (6f32 * 15.0).sqrt().recip());
    check(&gru, 0.2);
    let parameters = params::parameters(&gru);
    assert_ne!(values(parameters[0].1)[..75], values(parameters[1].1)[..75]);
}

#[test]
fn running_statistics_change_by_tracking_alone_and_come_to_those_of_the_data() {
    let mut norm = BatchNorm::new(2, 1e-5, 0.2, true).unwrap();
    let x = Array::from_slice(&[1.0f32, -5.0, 3.0, -9.0, 5.0, -1.0], &[3, 2]).unwrap();
    let running = |norm: &BatchNorm| -> Vec<Vec<f32>> {
        params::parameters(norm).into_iter().skip(2).map(|(_, value)| values(value)).collect()
    };
    norm.forward(&x).unwrap().eval().unwrap();
    norm.forward_batch(&x).unwrap().0.eval().unwrap();
    assert_eq!(running(&norm), [[0.0, 0.0], [1.0, 1.0]]);
    for _ in 0..100 {
        let (_, statistics) = norm.forward_batch(&x).unwrap();
        norm.track(&statistics).unwrap();
    }
    let found = running(&norm);
    assert_close("mean", &found[0], &[3.0, -5.0], (1e-5, 1e-5));
    assert_close("variance", &found[1], &[4.0, 16.0], (1e-5, 1e-5));
}

fn functions() -> Vec<(&'static str, Elementwise)> {
    vec![
        ("sigmoid", activation::sigmoid),
        ("tanh", activation::tanh),
        ("relu6", activation::relu6),
        ("softplus", activation::softplus),
        ("softsign", activation::softsign),
        ("log_sigmoid", activation::log_sigmoid),
        ("selu", activation::selu),
        ("mish", activation::mish),
        ("hard_swish", activation::hard_swish),
        ("elu", |x| activation::elu(x, 1.0)),
        ("celu", |x| activation::celu(x, 0.7)),
        ("leaky_relu", |x| activation::leaky_relu(x, 0.01)),
        ("softshrink", |x| activation::softshrink(x, 0.5)),
        ("hard_shrink", |x| activation::hard_shrink(x, 0.5)),
        ("hard_tanh", |x| activation::hard_tanh(x, -1.0, 1.0)),
        ("softmax", |x| activation::softmax(x, -1)),
        ("softmin", |x| activation::softmin(x, -1)),
        ("log_softmax", |x| activation::log_softmax(x, -1)),
        ("prelu", |x| activation::prelu(x, &Array::scalar(0.3f32)?)),
        ("step", |x| activation::step(x, 0.25)),
    ]
}

fn slope(function: Elementwise, x: &Array) -> Vec<f32> {
    let ones = Array::ones(x.shape(), Dtype::Float32).unwrap();
    let run = |x: &[Array]| match function(&x[0]) {
        Ok(y) => Ok(vec![y]),
        Err(error) => panic!("{error}"),
    };
    values(&vjp(run, std::slice::from_ref(x), &[ones]).unwrap().1[0])
}

#[test]
fn functions_and_their_slopes_are_finite_far_out() {
    let x = Array::from_slice(&[-1e4f32, -200.0, 200.0, 1e4], &[4]).unwrap();
    for (name, function) in functions() {
        let y = values(&function(&x).unwrap());
        assert!(y.iter().all(|y| y.is_finite()), "{name}: {y:?}");
        let slopes = slope(function, &x);
        assert!(slopes.iter().all(|slope| slope.is_finite()), "{name}: {slopes:?}");
    }
}

#[test]
fn slopes_at_zero_are_those_of_one_side_or_between() {
    let zero = Array::scalar(0.0f32).unwrap();
    assert_eq!(slope(|x| activation::elu(x, 0.5), &zero), [0.5]);
    assert_eq!(slope(|x| activation::celu(x, 0.5), &zero), [1.0]);
    assert_eq!(slope(|x| activation::prelu(x, &Array::scalar(0.25f32)?), &zero), [0.25]);
    assert_eq!(slope(activation::softplus, &zero), [0.5]);
}

#[test]
fn functions_keep_half_precision_and_are_accurate_in_it() {
    let x = [-6.0f32, -2.0, -0.5, -1e-3, 0.0, 1e-3, 0.25, 1.5, 5.0];
    let x = Array::from_slice(&x, &[9]).unwrap();
    for (name, function) in functions() {
        for dtype in [Dtype::Float16, Dtype::Bfloat16] {
            let half = x.astype(dtype).unwrap();
            let found = function(&half).unwrap();
            assert_eq!(found.dtype(), dtype, "{name}");
            let exact = function(&half.astype(Dtype::Float32).unwrap()).unwrap();
            let (rtol, _) = tolerance(dtype);
            assert_close(name, &values(&found), &values(&exact), (rtol, 1e-6));
        }
        assert_eq!(function(&Array::zeros(&[2, 0], Dtype::Float16).unwrap()).unwrap().shape(), [2, 0]);
    }
}

#[test]
fn scaling_by_one_changes_nothing_and_antialiased_halves_are_weighed_means() {
    let x = pseudo(5, &[1, 4, 3, 2]);
    for interpolation in [
        Interpolation::Nearest,
        Interpolation::Linear(Grid::Centres),
        Interpolation::Linear(Grid::Corners),
        Interpolation::Linear(Grid::Antialiased),
        Interpolation::Cubic(Grid::Centres),
        Interpolation::Cubic(Grid::Corners),
        Interpolation::Cubic(Grid::Antialiased),
    ] {
        let y = Upsample::new(&[1.0], interpolation).unwrap().forward(&x).unwrap();
        assert_close("scale 1", &values(&y), &values(&x), (1e-6, 1e-6));
        // Weights add up to 1.
        let flat = Array::full(&[1, 7, 1], 3.0, Dtype::Float32).unwrap();
        for scale in [0.3, 0.5, 2.0, 2.7] {
            let y = values(&Upsample::new(&[scale], interpolation).unwrap().forward(&flat).unwrap());
            assert_eq!(y.len(), (7.0 * scale) as usize);
            assert_close("a constant", &y, &vec![3.0; y.len()], (1e-5, 0.0));
        }
    }
    let tiny = Upsample::new(&[0.01], Interpolation::Linear(Grid::Antialiased)).unwrap();
    assert_eq!(values(&tiny.forward(&x).unwrap()), [0.0f32; 0]);
}

#[test]
fn layers_without_parameters_list_none() {
    let net = Sequential::new()
        .with(Activation::Relu)
        .with(MaxPool2d::new([2, 2]).unwrap())
        .with(Upsample::new(&[2.0], Interpolation::Nearest).unwrap())
        .with(Function(activation::mish));
    assert!(params::parameters(&net).is_empty());
}
