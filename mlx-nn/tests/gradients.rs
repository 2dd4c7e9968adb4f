// SPDX-License-Identifier: EUPL-1.2
//! Gradients of every trainable layer, by each parameter and by the input, against central differences.
//!
//! Functions are smooth here, since a step across a kink says nothing about either side.

use mlx_core::fast::Mask;
use mlx_core::random::Key;
use mlx_core::{Array, ConvOptions, ConvTransposeOptions};
use mlx_nn::{
    AvgPool2d, BatchNorm, Bilinear, Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d,
    ConvTranspose3d, Dropout, Grid, GroupNorm, Grouping, Gru, InstanceNorm, Interpolation, Linear, Lstm,
    MultiHeadAttention, MultiHeadOptions, Prelu, Rnn, Sequential, Transformer, TransformerDecoder,
    TransformerEncoder, TransformerMasks, TransformerOptions, Upsample, activation,
};

use crate::common::pseudo;
use crate::contract::check_gradients;

fn key() -> Key {
    Key::new(8).unwrap()
}

#[test]
fn convolutions() {
    check_gradients(
        || {
            let options = ConvOptions { stride: [2], padding: [1], dilation: [2], groups: 2 };
            Conv1d::new(4, 6, [3], options, true, &key()).unwrap()
        },
        Conv1d::forward,
        &[2, 9, 4],
    );
    check_gradients(
        || {
            let options =
                ConvOptions { stride: [2, 1], padding: [1, 3], dilation: [1, 2], ..Default::default() };
            Conv2d::new(2, 3, [3, 2], options, true, &key()).unwrap()
        },
        Conv2d::forward,
        &[2, 5, 4, 2],
    );
    check_gradients(
        || {
            let options = ConvOptions { padding: [1, 0, 1], groups: 2, ..Default::default() };
            Conv3d::new(2, 2, [2, 2, 3], options, false, &key()).unwrap()
        },
        Conv3d::forward,
        &[1, 3, 3, 4, 2],
    );
}

#[test]
fn transposed_convolutions() {
    check_gradients(
        || {
            let options = ConvTransposeOptions {
                stride: [2],
                padding: [1],
                dilation: [2],
                output_padding: [1],
                groups: 2,
            };
            ConvTranspose1d::new(4, 2, [3], options, true, &key()).unwrap()
        },
        ConvTranspose1d::forward,
        &[2, 4, 4],
    );
    check_gradients(
        || {
            let options = ConvTransposeOptions { stride: [2, 1], padding: [0, 2], ..Default::default() };
            ConvTranspose2d::new(2, 3, [3, 2], options, true, &key()).unwrap()
        },
        ConvTranspose2d::forward,
        &[1, 3, 5, 2],
    );
    check_gradients(
        || ConvTranspose3d::new(2, 2, [2, 1, 2], ConvTransposeOptions::default(), false, &key()).unwrap(),
        ConvTranspose3d::forward,
        &[1, 2, 3, 2, 2],
    );
}

#[test]
fn bilinear_maps() {
    check_gradients(
        || Bilinear::new(3, 4, 2, true, &key()).unwrap(),
        |layer, x| layer.forward(x, &pseudo(45, &[2, 5, 4])),
        &[2, 5, 3],
    );
}

#[test]
fn norms() {
    for make in [
        || GroupNorm::new(2, 6, 1e-5, true, Grouping::Strided).unwrap(),
        || GroupNorm::new(2, 6, 1e-5, true, Grouping::Neighbours).unwrap(),
    ] {
        check_gradients(make, GroupNorm::forward, &[2, 3, 6]);
    }
    check_gradients(|| InstanceNorm::new(3, 1e-5, true).unwrap(), InstanceNorm::forward, &[2, 2, 4, 3]);
    let batch = || BatchNorm::new(3, 1e-5, 0.1, true).unwrap();
    check_gradients(batch, BatchNorm::forward, &[2, 4, 3]);
    // The running statistics have no part in it, and so a gradient of 0.
    check_gradients(batch, |norm, x| Ok(norm.forward_batch(x)?.0), &[2, 4, 3]);
}

#[test]
fn recurrent_layers() {
    check_gradients(|| Rnn::new(3, 4, true, &key()).unwrap(), |rnn, x| rnn.forward(x, None), &[2, 5, 3]);
    check_gradients(
        || Gru::new(3, 4, true, &key()).unwrap(),
        |gru, x| gru.forward(x, Some(&pseudo(41, &[2, 4]))),
        &[2, 5, 3],
    );
    check_gradients(
        || Lstm::new(3, 4, true, &key()).unwrap(),
        |lstm, x| {
            let (hidden, cell) = lstm.forward(x, Some(&pseudo(42, &[2, 4])), Some(&pseudo(43, &[2, 4])))?;
            Ok((&hidden + &(&cell * 0.5)?)?)
        },
        &[2, 5, 3],
    );
}

#[test]
fn transformers() {
    const OPTIONS: TransformerOptions =
        TransformerOptions { inner: Some(6), dropout: 0.25, activation: activation::gelu, norm_first: false };
    check_gradients(
        || MultiHeadAttention::new(4, 2, &MultiHeadOptions { bias: true, ..Default::default() }).unwrap(),
        |layer, x| layer.forward(x, x, x, Mask::Causal),
        &[2, 3, 4],
    );
    for norm_first in [0, 1] {
        // Dropouts draw the same from the same key, so that differences see the function that gradients see.
        let run = |layer: &Transformer, x: &Array| {
            let masks = TransformerMasks { target: Mask::Causal, ..Default::default() };
            layer.forward(&pseudo(44, &[2, 5, 4]), x, &masks, Some(&key()))
        };
        let make: [fn() -> Transformer; 2] =
            [|| transformer(&OPTIONS), || transformer(&TransformerOptions { norm_first: true, ..OPTIONS })];
        check_gradients(make[norm_first], run, &[2, 3, 4]);
    }
}

fn transformer(options: &TransformerOptions) -> Transformer {
    let encoder = TransformerEncoder::new(1, 4, 2, options).unwrap();
    Transformer::new(encoder, TransformerDecoder::new(1, 4, 2, options).unwrap())
}

#[test]
fn layers_in_sequence() {
    check_gradients(
        || {
            Sequential::new()
                .with(Conv2d::new(2, 4, [3, 3], ConvOptions::default(), true, &key()).unwrap())
                .with(GroupNorm::new(2, 4, 1e-5, true, Grouping::Strided).unwrap())
                .with_function(activation::mish)
                .with(Dropout::new(0.3).unwrap())
                .with(AvgPool2d::with([2, 2], [1, 2], [1, 0]).unwrap())
                .with(Upsample::new(&[1.5], Interpolation::Cubic(Grid::Centres)).unwrap())
                .with(Linear::new(4, 2, true).unwrap())
        },
        |net, x| net.forward(x, Some(&key())),
        &[2, 5, 6, 2],
    );
}

#[test]
fn slopes() {
    // No value is near the kink at 0.
    check_gradients(
        || Prelu::new(3).unwrap(),
        |prelu, x| prelu.forward(&(x + &(&x.sign()? * 0.5)?)?),
        &[2, 4, 3],
    );
}
