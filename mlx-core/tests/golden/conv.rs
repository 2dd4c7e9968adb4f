// SPDX-License-Identifier: EUPL-1.2
//! Convolutions.

use mlx_core::{Array, ConvGeneralOptions, ConvOptions, ConvTransposeOptions, Result};

use super::Params;

pub(super) fn run(op: &str, x: &[Array], p: &Params) -> Result<Vec<Array>> {
    let (x, w) = (&x[0], &x[1]);
    let out = match op {
        "conv1d" => x.conv1d(w, &forward(p)),
        "conv2d" => x.conv2d(w, &forward(p)),
        "conv3d" => x.conv3d(w, &forward(p)),
        "conv_transpose1d" => x.conv_transpose1d(w, &transposed(p)),
        "conv_transpose2d" => x.conv_transpose2d(w, &transposed(p)),
        "conv_transpose3d" => x.conv_transpose3d(w, &transposed(p)),
        "conv_general" => general(x, w, p),
        other => panic!("no op {other}"),
    }?;
    Ok(vec![out])
}

fn each<const N: usize>(p: &Params, name: &str, default: i32) -> [i32; N] {
    if p.has(name) { p.ints(name).try_into().unwrap() } else { [default; N] }
}

fn groups(p: &Params) -> i32 {
    if p.has("groups") { p.int("groups") } else { 1 }
}

fn forward<const N: usize>(p: &Params) -> ConvOptions<N> {
    ConvOptions {
        stride: each(p, "stride", 1),
        padding: each(p, "padding", 0),
        dilation: each(p, "dilation", 1),
        groups: groups(p),
    }
}

fn transposed<const N: usize>(p: &Params) -> ConvTransposeOptions<N> {
    ConvTransposeOptions {
        stride: each(p, "stride", 1),
        padding: each(p, "padding", 0),
        dilation: each(p, "dilation", 1),
        output_padding: each(p, "output_padding", 0),
        groups: groups(p),
    }
}

fn general(x: &Array, w: &Array, p: &Params) -> Result<Array> {
    let list = |name: &str, default: i32| if p.has(name) { p.ints(name) } else { vec![default] };
    x.conv_general(
        w,
        &ConvGeneralOptions {
            stride: &list("stride", 1),
            padding_low: &list("padding_low", 0),
            padding_high: &list("padding_high", 0),
            kernel_dilation: &list("kernel_dilation", 1),
            input_dilation: &list("input_dilation", 1),
            groups: groups(p),
            flip: p.has("flip") && p.flag("flip"),
        },
    )
}
