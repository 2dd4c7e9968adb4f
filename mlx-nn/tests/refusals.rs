// SPDX-License-Identifier: EUPL-1.2
//! What is refused, and in which words: each error names the argument, and what was expected and found.

use mlx_core::fast::Mask;
use mlx_core::random::Key;
use mlx_core::{Array, ConvOptions, ConvTransposeOptions, Dtype};
use mlx_nn::init::{self, Fan};
use mlx_nn::{
    AvgPool2d, BatchNorm, Bilinear, Conv1d, Conv2d, ConvTranspose1d, Dropout, Dropout2d, Dropout3d,
    GroupNorm, Grouping, Gru, InstanceNorm, Interpolation, Lstm, MaxPool1d, MultiHeadAttention,
    MultiHeadOptions, Prelu, Result, Rnn, SinusoidalEncoding, SinusoidalOptions, TransformerDecoderLayer,
    TransformerEncoderLayer, TransformerOptions, Upsample, activation, add_alibi, alibi,
};

#[track_caller]
fn refused<T>(result: Result<T>, words: &[&str]) {
    let Err(error) = result else { panic!("accepted, where {words:?} were expected") };
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text:?} does not say {words:?}");
}

fn key() -> Key {
    Key::new(0).unwrap()
}

fn ones(shape: &[i32]) -> Array {
    Array::ones(shape, Dtype::Float32).unwrap()
}

fn whole(shape: &[i32]) -> Array {
    Array::ones(shape, Dtype::Int32).unwrap()
}

#[test]
fn dropouts() {
    for rate in [-0.1, 1.0, 1.5, f32::NAN, f32::INFINITY] {
        let found = format!("found {rate}");
        refused(Dropout::new(rate), &["rate: ", "from 0 and below 1", &found]);
        refused(Dropout2d::new(rate), &["rate: ", &found]);
        refused(Dropout3d::new(rate), &["rate: ", &found]);
    }
    let dropout = Dropout2d::new(0.5).unwrap();
    for shape in [&[][..], &[2], &[2, 3], &[2, 3, 4, 5, 6]] {
        refused(dropout.forward(&ones(shape), Some(&key())), &["channel dropout", "3 axes, or 4 in batches"]);
        refused(dropout.forward(&ones(shape), None), &["channel dropout"]);
    }
}

#[test]
fn convolutions() {
    let make =
        |inputs, outputs, kernel, options| Conv1d::new(inputs, outputs, [kernel], options, true, &key());
    let usual = ConvOptions::<1>::default();
    refused(make(0, 2, 3, usual), &["inputs: ", "at least 1", "found 0"]);
    refused(make(2, -1, 3, usual), &["outputs: ", "found -1"]);
    refused(make(2, 2, 0, usual), &["kernel: ", "from 1 on", "[0]"]);
    refused(make(2, 2, 3, ConvOptions { stride: [0], ..usual }), &["stride: ", "[0]"]);
    refused(make(2, 2, 3, ConvOptions { padding: [-1], ..usual }), &["padding: ", "from 0 on", "[-1]"]);
    refused(make(2, 2, 3, ConvOptions { dilation: [-2], ..usual }), &["dilation: ", "[-2]"]);
    refused(make(2, 2, 3, ConvOptions { groups: 0, ..usual }), &["groups: ", "found 0"]);
    refused(
        make(4, 2, 3, ConvOptions { groups: 4, ..usual }),
        &["groups: ", "4 do not divide 4 channels in and 2 out"],
    );
    refused(make(2, i32::MAX, i32::MAX, usual), &["uniform"]);

    let conv = make(4, 2, 3, ConvOptions { groups: 2, ..usual }).unwrap();
    refused(conv.forward(&ones(&[1, 5, 2])), &["conv1d: ", "[B, L, 4]", "[1, 5, 2]"]);
    refused(conv.forward(&ones(&[5, 4])), &["conv1d: ", "[B, L, 4]", "[5, 4]"]);
    refused(conv.forward(&ones(&[1, 2, 4])), &["conv1d: ", "does not fit"]);
    refused(conv.forward(&whole(&[1, 5, 4])), &["conv1d: ", "floating"]);
    let flat = Conv2d::new(2, 2, [1, 1], ConvOptions::default(), false, &key()).unwrap();
    refused(flat.forward(&ones(&[1, 2, 2])), &["conv2d: ", "[B, H, W, 2]"]);

    let make = |options| ConvTranspose1d::new(2, 2, [3], options, true, &key());
    let usual = ConvTransposeOptions::<1>::default();
    refused(make(ConvTransposeOptions { output_padding: [-1], ..usual }), &["output_padding: ", "[-1]"]);
    refused(make(ConvTransposeOptions { stride: [0], ..usual }), &["stride: ", "[0]"]);
    refused(make(usual).unwrap().forward(&ones(&[1, 2, 3])), &["transposed conv1d: ", "[B, L, 2]"]);
}

#[test]
fn bilinear_maps() {
    refused(Bilinear::new(0, 1, 1, true, &key()), &["first: ", "found 0"]);
    refused(Bilinear::new(1, 0, 1, true, &key()), &["second: ", "found 0"]);
    refused(Bilinear::new(1, 1, -1, true, &key()), &["outputs: ", "found -1"]);
    let layer = Bilinear::new(3, 4, 2, true, &key()).unwrap();
    refused(layer.forward(&ones(&[2, 4]), &ones(&[2, 4])), &["bilinear: ", "a of [.., 3]", "[2, 4]"]);
    refused(layer.forward(&ones(&[2, 3]), &ones(&[5, 4])), &["bilinear: ", "b of [2, 4]", "[5, 4]"]);
    refused(layer.forward(&ones(&[]), &ones(&[4])), &["bilinear: ", "a of "]);
    refused(layer.forward(&ones(&[2, 3]), &whole(&[2, 4])), &["bilinear: ", "b: ", "floating"]);
}

#[test]
fn pools_and_upsampling() {
    refused(MaxPool1d::new([0]), &["kernel: ", "from 1 on", "[0]"]);
    refused(AvgPool2d::with([2, 2], [1, 0], [0, 0]), &["stride: ", "[1, 0]"]);
    refused(AvgPool2d::with([2, 2], [1, 1], [0, -1]), &["padding: ", "[0, -1]"]);
    let pool = AvgPool2d::new([2, 3]).unwrap();
    refused(pool.forward(&ones(&[1, 4, 2, 1])), &["average pool: ", "[2, 3]", "[1, 4, 2, 1]"]);
    refused(pool.forward(&ones(&[4, 4, 1])), &["average pool: ", "[4, 4, 1]"]);
    refused(pool.forward(&ones(&[])), &["average pool: "]);
    refused(pool.forward(&whole(&[1, 4, 4, 1])), &["average pool: ", "x: ", "floating"]);
    let padded = MaxPool1d::with([1], [1], [i32::MAX]).unwrap();
    assert!(padded.forward(&ones(&[1, 4, 1])).is_err());

    for scale in [&[][..], &[0.0], &[-1.0], &[f64::NAN], &[2.0, f64::INFINITY]] {
        refused(Upsample::new(scale, Interpolation::Nearest), &["scale: ", "above 0", &format!("{scale:?}")]);
    }
    let double = Upsample::new(&[2.0, 2.0], Interpolation::Nearest).unwrap();
    refused(double.forward(&ones(&[1, 2, 1])), &["upsample: ", "2 spatial axes", "[1, 2, 1]"]);
    refused(double.forward(&ones(&[1, 2, 0, 1])), &["upsample: ", "places along axis 2"]);
    let one = Upsample::new(&[1e300], Interpolation::Linear(Default::default())).unwrap();
    refused(one.forward(&ones(&[1, 2, 1])), &["scale: ", "too many"]);
    refused(one.forward(&ones(&[2, 1])), &["upsample: ", "[2, 1]"]);
}

#[test]
fn norms() {
    let group = |groups, channels, eps| GroupNorm::new(groups, channels, eps, true, Grouping::Strided);
    refused(group(0, 4, 1e-5), &["groups: ", "found 0"]);
    refused(group(2, 0, 1e-5), &["channels: ", "found 0"]);
    refused(group(3, 4, 1e-5), &["groups: ", "3 do not divide 4 channels"]);
    refused(group(2, 4, -1.0), &["eps: ", "found -1"]);
    refused(group(2, 4, f32::NAN), &["eps: ", "NaN"]);
    let norm = group(2, 4, 1e-5).unwrap();
    refused(norm.forward(&ones(&[2, 3])), &["group norm: ", "[B, .., 4]", "[2, 3]"]);
    refused(norm.forward(&ones(&[4])), &["group norm: ", "[4]"]);
    refused(norm.forward(&whole(&[2, 4])), &["group norm: ", "x: ", "floating"]);

    refused(InstanceNorm::new(-1, 1e-5, true), &["channels: ", "found -1"]);
    refused(InstanceNorm::new(1, f32::INFINITY, true), &["eps: ", "inf"]);
    let norm = InstanceNorm::new(3, 1e-5, false).unwrap();
    refused(norm.forward(&ones(&[2, 3])), &["instance norm: ", "[B, L.., 3]"]);

    refused(BatchNorm::new(0, 1e-5, 0.1, true), &["channels: "]);
    refused(BatchNorm::new(3, -1e-5, 0.1, true), &["eps: "]);
    for momentum in [-0.1, 1.1, f32::NAN] {
        refused(BatchNorm::new(3, 1e-5, momentum, true), &["momentum: ", "from 0 to 1"]);
    }
    let mut norm = BatchNorm::new(3, 1e-5, 0.1, true).unwrap();
    refused(norm.forward(&ones(&[2, 2])), &["batch norm: ", "[B, .., 3]"]);
    refused(norm.forward_batch(&ones(&[1, 3])), &["batch norm: ", "several values"]);
    refused(norm.forward_batch(&ones(&[0, 3])), &["batch norm: ", "several values"]);
    refused(norm.forward(&whole(&[2, 3])), &["batch norm: ", "floating"]);
    let (_, other) = BatchNorm::new(2, 1e-5, 0.1, true).unwrap().forward_batch(&ones(&[2, 2])).unwrap();
    refused(norm.track(&other), &["statistics: ", "[3]", "[2]"]);
}

#[test]
fn recurrent_layers() {
    refused(Rnn::new(0, 3, true, &key()), &["inputs: ", "found 0"]);
    refused(Gru::new(2, -3, true, &key()), &["hidden: ", "found -3"]);
    refused(Lstm::new(2, i32::MAX, true, &key()), &["hidden: ", "fewer than"]);
    let rnn = Rnn::new(2, 3, true, &key()).unwrap();
    refused(rnn.forward(&ones(&[4, 3]), None), &["rnn: ", "[.., L, 2]", "[4, 3]"]);
    refused(rnn.forward(&ones(&[2]), None), &["rnn: ", "[.., L, 2]"]);
    refused(rnn.forward(&whole(&[4, 2]), None), &["rnn: ", "x: ", "floating"]);
    refused(rnn.forward(&ones(&[5, 4, 2]), Some(&ones(&[3]))), &["rnn: ", "hidden [5, 3]", "[3]"]);
    let lstm = Lstm::new(2, 3, true, &key()).unwrap();
    refused(lstm.forward(&ones(&[4, 2]), None, Some(&ones(&[2]))), &["lstm: ", "cell [3]", "[2]"]);
    let gru = Gru::new(2, 3, false, &key()).unwrap();
    refused(gru.forward(&ones(&[4, 2]), Some(&ones(&[1, 3]))), &["gru: ", "hidden [3]", "[1, 3]"]);
}

#[test]
fn transformers() {
    let usual = MultiHeadOptions::default();
    refused(MultiHeadAttention::new(0, 1, &usual), &["dim: ", "found 0"]);
    refused(MultiHeadAttention::new(4, 0, &usual), &["heads: ", "found 0"]);
    refused(MultiHeadAttention::new(4, 3, &usual), &["heads: ", "3 do not share 4 values"]);
    for (options, name) in [
        (MultiHeadOptions { query_inputs: Some(0), ..usual }, "query_inputs: "),
        (MultiHeadOptions { key_inputs: Some(0), ..usual }, "key_inputs: "),
        (MultiHeadOptions { value_inputs: Some(0), ..usual }, "value_inputs: "),
        (MultiHeadOptions { values: Some(0), ..usual }, "values: "),
        (MultiHeadOptions { outputs: Some(0), ..usual }, "outputs: "),
        (MultiHeadOptions { values: Some(3), ..usual }, "heads: 2 do not share 3 values"),
    ] {
        refused(MultiHeadAttention::new(4, 2, &options), &[name]);
    }
    let attention = MultiHeadAttention::new(4, 2, &usual).unwrap();
    let x = ones(&[1, 3, 4]);
    refused(attention.forward(&ones(&[1, 3, 5]), &x, &x, Mask::None), &["linear: ", "[.., 4]"]);
    refused(attention.forward(&ones(&[3, 4]), &x, &x, Mask::None), &["split heads: ", "[3, 4]"]);
    refused(attention.forward(&x, &ones(&[2, 3, 4]), &x, Mask::None), &["attend: ", "keys"]);
    refused(attention.forward(&x, &x, &ones(&[1, 2, 4]), Mask::None), &["attend: ", "values"]);
    assert!(attention.forward(&x, &x, &x, Mask::Additive(&ones(&[5, 5]))).is_err());

    let usual = TransformerOptions::default();
    let encoder = |dim, heads, options| TransformerEncoderLayer::new(dim, heads, &options);
    refused(encoder(0, 1, usual), &["dim: ", "found 0"]);
    refused(encoder(i32::MAX, 1, usual), &["dim: ", "too large"]);
    refused(encoder(4, 3, usual), &["heads: "]);
    refused(encoder(4, 2, TransformerOptions { inner: Some(0), ..usual }), &["inner: ", "found 0"]);
    refused(encoder(4, 2, TransformerOptions { dropout: 1.0, ..usual }), &["rate: ", "found 1"]);
    refused(TransformerDecoderLayer::new(4, 3, &usual), &["heads: "]);
    let layer = encoder(4, 2, usual).unwrap();
    refused(layer.forward(&ones(&[1, 3, 5]), Mask::None, None), &["layer norm: ", "[.., 4]"]);
}

#[test]
fn positions() {
    for dim in [0, -2, 3] {
        let encoding = SinusoidalEncoding::new(dim, &SinusoidalOptions::default());
        refused(encoding, &["dim: ", "even", &format!("found {dim}")]);
    }
    let options = SinusoidalOptions { min_frequency: 0.0, ..Default::default() };
    refused(SinusoidalEncoding::new(2, &options), &["min_frequency: ", "found 0"]);
    let options = SinusoidalOptions { max_frequency: f64::NAN, ..Default::default() };
    refused(SinusoidalEncoding::new(2, &options), &["max_frequency: ", "NaN"]);
    refused(alibi(0, 1, 1, 0, Dtype::Float32), &["queries: "]);
    refused(alibi(1, 0, 1, 0, Dtype::Float32), &["keys: "]);
    refused(alibi(1, 1, 0, 0, Dtype::Float32), &["heads: ", "found 0"]);
    refused(alibi(1, 1, i32::MAX, 0, Dtype::Float32), &["heads: ", "65536"]);
    refused(alibi(1, 1, 1, -1, Dtype::Float32), &["offset: ", "found -1"]);
    refused(alibi(1, 1, 1, i32::MAX, Dtype::Float32), &["offset: "]);
    refused(alibi(1, 1, 1, 0, Dtype::Int32), &["dtype: ", "int32"]);
    refused(add_alibi(&ones(&[2, 3, 4]), 0, None), &["add_alibi: ", "[B, H, L, S]"]);
    refused(add_alibi(&whole(&[1, 1, 2, 2]), 0, None), &["add_alibi: ", "scores: "]);
}

#[test]
fn activations() {
    let x = whole(&[2, 3]);
    refused(activation::sigmoid(&x), &["sigmoid: ", "x: ", "floating", "int32"]);
    refused(activation::mish(&x), &["mish: ", "x: "]);
    refused(activation::celu(&ones(&[2]), 0.0), &["alpha: ", "found 0"]);
    refused(activation::celu(&ones(&[2]), f32::NAN), &["alpha: ", "NaN"]);
    refused(activation::glu(&ones(&[2, 3]), -1), &["glu: ", "even", "[2, 3]"]);
    assert!(activation::glu(&ones(&[2]), 1).is_err());
    assert!(activation::softmax(&ones(&[2]), 3).is_err());
    assert!(activation::prelu(&ones(&[2]), &ones(&[3])).is_err());
    refused(Prelu::new(0), &["features: ", "found 0"]);
    refused(Prelu::with_slope(1, f32::NAN), &["slope: ", "NaN"]);
    refused(Prelu::new(3).unwrap().forward(&ones(&[2, 2])), &["prelu: ", "[.., 3]", "[2, 2]"]);
}

#[test]
fn distributions() {
    let (float, key) = (Dtype::Float32, key());
    refused(init::normal(&[2], Dtype::Int32, 0.0, 1.0, &key), &["dtype: ", "int32"]);
    refused(init::normal(&[2], float, f32::NAN, 1.0, &key), &["mean: "]);
    refused(init::normal(&[2], float, 0.0, -1.0, &key), &["deviation: ", "found -1"]);
    refused(init::uniform(&[2], float, f32::NEG_INFINITY, 1.0, &key), &["low: "]);
    refused(init::uniform(&[2], float, 0.0, f32::NAN, &key), &["high: "]);
    refused(init::identity(&[2, 3], float), &["identity: ", "[N, N]", "[2, 3]"]);
    refused(init::glorot_normal(&[2], float, 1.0, &key), &["glorot_normal: ", "[2]"]);
    refused(init::glorot_uniform(&[2, 0], float, 1.0, &key), &["glorot_uniform: ", "[2, 0]"]);
    refused(init::he_normal(&[2, 2], float, Fan::In, -1.0, &key), &["gain: ", "found -1"]);
    refused(init::he_uniform(&[], float, Fan::Out, 1.0, &key), &["he_uniform: ", "[]"]);
    refused(init::orthogonal(&[2, 2, 2], float, 1.0, &key), &["orthogonal: ", "[2, 2, 2]"]);
    refused(init::orthogonal(&[2, 0], float, 1.0, &key), &["orthogonal: ", "[2, 0]"]);
    refused(init::orthogonal(&[2, 2], Dtype::Uint8, 1.0, &key), &["dtype: "]);
    refused(init::sparse(&[2], float, 0.5, 1.0, &key), &["sparse: ", "[2]"]);
    refused(init::sparse(&[2, 2], float, 1.5, 1.0, &key), &["sparsity: ", "found 1.5"]);
    assert!(init::normal(&[i32::MAX, i32::MAX], float, 0.0, 1.0, &key).is_err());
}
