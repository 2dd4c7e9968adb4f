// SPDX-License-Identifier: EUPL-1.2
//! Fourier transforms and convolutions.

use mlx_core::{Array, ConvGeneralOptions, ConvOptions, ConvTransposeOptions, Result, fft};

use super::{Bytes, one, pick};

type AlongOne = fn(&Array, &fft::Options) -> Result<Array>;
type AlongSeveral = fn(&Array, &fft::NdOptions<'_>) -> Result<Array>;

const ONE: [AlongOne; 4] = [fft::fft, fft::ifft, fft::rfft, fft::irfft];
const SEVERAL: [AlongSeveral; 8] =
    [fft::fft2, fft::ifft2, fft::rfft2, fft::irfft2, fft::fftn, fft::ifftn, fft::rfftn, fft::irfftn];

pub(super) fn call(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let (a, b) = (pick(bytes, made), pick(bytes, made));
    match bytes.below(16) {
        0..=2 => {
            let transform = ONE[usize::from(bytes.below(4))];
            let n = bytes.flag().then(|| length(bytes));
            one(transform(a, &fft::Options { n, axis: bytes.int(), norm: norm(bytes) }))
        }
        3..=5 => {
            let transform = SEVERAL[usize::from(bytes.below(8))];
            let axes = bytes.flag().then(|| bytes.ints(3));
            let sizes: Option<Vec<i32>> =
                bytes.flag().then(|| (0..bytes.below(4)).map(|_| length(bytes)).collect());
            let options =
                fft::NdOptions { sizes: sizes.as_deref(), axes: axes.as_deref(), norm: norm(bytes) };
            one(transform(a, &options))
        }
        6 => {
            let axes = bytes.flag().then(|| bytes.ints(3));
            one(if bytes.flag() {
                fft::fftshift(a, axes.as_deref())
            } else {
                fft::ifftshift(a, axes.as_deref())
            })
        }
        7 => one(if bytes.flag() {
            fft::fftfreq(bytes.int(), bytes.float())
        } else {
            fft::rfftfreq(bytes.int(), bytes.float())
        }),
        _ => convolution(bytes, a, b),
    }
}

/// A number of samples, which decides how long a transform takes whatever becomes of its result.
fn length(bytes: &mut Bytes<'_>) -> i32 {
    match bytes.int() {
        n if n.unsigned_abs() <= 1 << 10 => n,
        n => n | (1 << 30), // Too many to be computed, wherever.
    }
}

fn norm(bytes: &mut Bytes<'_>) -> fft::Norm {
    [fft::Norm::Backward, fft::Norm::Ortho, fft::Norm::Forward][usize::from(bytes.below(3))]
}

fn convolution(bytes: &mut Bytes<'_>, x: &Array, weight: &Array) -> Result<Vec<Array>> {
    let mut far = false;
    let mut int = |bytes: &mut Bytes<'_>| {
        // Mostly what makes sense somewhere: numbers about 1.
        let n = if bytes.below(4) > 0 { i32::from(bytes.below(4)) } else { bytes.int() };
        far |= n.unsigned_abs() > 64;
        n
    };
    let kind = bytes.below(7);
    let groups = if bytes.flag() { 1 } else { int(bytes) };
    let result = match kind {
        0..=2 => {
            let (stride, padding, dilation) = (int(bytes), int(bytes), int(bytes));
            match kind {
                0 => x.conv1d(
                    weight,
                    &ConvOptions { stride: [stride], padding: [padding], dilation: [dilation], groups },
                ),
                1 => x.conv2d(
                    weight,
                    &ConvOptions {
                        stride: [stride, 1],
                        padding: [padding, 0],
                        dilation: [1, dilation],
                        groups,
                    },
                ),
                _ => x.conv3d(
                    weight,
                    &ConvOptions {
                        stride: [1, stride, 1],
                        padding: [padding; 3],
                        dilation: [dilation, 1, 1],
                        groups,
                    },
                ),
            }
        }
        3..=5 => {
            let (stride, padding, dilation, extra) = (int(bytes), int(bytes), int(bytes), int(bytes));
            match kind {
                3 => x.conv_transpose1d(
                    weight,
                    &ConvTransposeOptions {
                        stride: [stride],
                        padding: [padding],
                        dilation: [dilation],
                        output_padding: [extra],
                        groups,
                    },
                ),
                4 => x.conv_transpose2d(
                    weight,
                    &ConvTransposeOptions {
                        stride: [stride, 1],
                        padding: [padding, 0],
                        dilation: [1, dilation],
                        output_padding: [extra, 0],
                        groups,
                    },
                ),
                _ => x.conv_transpose3d(
                    weight,
                    &ConvTransposeOptions {
                        stride: [1, stride, 1],
                        padding: [padding; 3],
                        dilation: [dilation, 1, 1],
                        output_padding: [0, extra, 0],
                        groups,
                    },
                ),
            }
        }
        _ => {
            let mut list =
                |bytes: &mut Bytes<'_>| -> Vec<i32> { (0..1 + bytes.below(3)).map(|_| int(bytes)).collect() };
            let (stride, low, high) = (list(bytes), list(bytes), list(bytes));
            let (kernel_dilation, input_dilation) = (list(bytes), list(bytes));
            let options = ConvGeneralOptions {
                stride: &stride,
                padding_low: &low,
                padding_high: &high,
                kernel_dilation: &kernel_dilation,
                input_dilation: &input_dilation,
                groups,
                flip: bytes.flag(),
            };
            x.conv_general(weight, &options)
        }
    };
    // A far place is refused, or makes an intermediate that takes long.
    if far { result.map(|_| Vec::new()) } else { one(result) }
}
