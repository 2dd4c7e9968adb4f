// SPDX-License-Identifier: EUPL-1.2
//! Ops that move elements, or only change how they are laid out.

use mlx_core::{
    Array, Indexing, Padding, Result, broadcast_arrays, concatenate, concatenate_flat, meshgrid, stack,
};

use super::Params;

fn padding(p: &Params) -> Padding {
    match p.text("mode") {
        "constant" => Padding::Constant(p.float("value")),
        "edge" => Padding::Edge,
        "reflect" => Padding::Reflect,
        _ => Padding::Symmetric,
    }
}

pub(super) fn run(op: &str, x: &[Array], p: &Params) -> Result<Vec<Array>> {
    let all: Vec<&Array> = x.iter().collect();
    let x = &x[0];
    let result = match op {
        "reshape" => x.reshape(&p.ints("shape")),
        "flatten" => x.flatten(p.int("start"), p.int("end")),
        "unflatten" => x.unflatten(p.int("axis"), &p.ints("shape")),
        "transpose" if p.has("axes") => x.transpose_axes(&p.ints("axes")),
        "transpose" => x.transpose(),
        "swap_axes" => x.swap_axes(p.int("a"), p.int("b")),
        "move_axis" => x.move_axis(p.int("a"), p.int("b")),
        "squeeze" => x.squeeze(),
        "squeeze_axis" => x.squeeze_axis(p.int("axis")),
        "squeeze_axes" => x.squeeze_axes(&p.ints("axes")),
        "expand_dims" => x.expand_dims(p.int("axis")),
        "expand_dims_axes" => x.expand_dims_axes(&p.ints("axes")),
        "atleast_1d" => x.atleast_1d(),
        "atleast_2d" => x.atleast_2d(),
        "atleast_3d" => x.atleast_3d(),
        "broadcast_to" => x.broadcast_to(&p.ints("shape")),
        "broadcast_arrays" => return broadcast_arrays(&all),
        "tile" => x.tile(&p.ints("reps")),
        "repeat" => x.repeat(p.int("count"), p.int("axis")),
        "repeat_all" => x.repeat_all(p.int("count")),
        "pad" => {
            let widths: Vec<_> = p.ints("widths").chunks(2).map(|pair| (pair[0], pair[1])).collect();
            x.pad(&widths, padding(p))
        }
        "pad_symmetric" => x.pad_symmetric(p.int("width"), padding(p)),
        "roll" => x.roll(p.int("shift"), p.int("axis")),
        "roll_axes" => {
            let pairs: Vec<_> = p.ints("shifts").into_iter().zip(p.ints("axes")).collect();
            x.roll_axes(&pairs)
        }
        "roll_all" => x.roll_all(p.int("shift")),
        "flip" => x.flip(p.int("axis")),
        "flip_axes" => x.flip_axes(&p.ints("axes")),
        "flip_all" => x.flip_all(),
        "contiguous" => x.contiguous(),
        "diag" => x.diag(p.int("k")),
        "diagonal" => x.diagonal(p.int("k"), p.int("axis1"), p.int("axis2")),
        "as_strided" => {
            let strides: Vec<i64> = p.ints("strides").into_iter().map(i64::from).collect();
            x.as_strided(&p.ints("shape"), &strides, usize::try_from(p.int("offset")).unwrap())
        }
        "split" => return x.split(p.int("count"), p.int("axis")),
        "split_at" => return x.split_at(&p.ints("places"), p.int("axis")),
        "unstack" => return x.unstack(p.int("axis")),
        "concatenate" => concatenate(&all, p.int("axis")),
        "concatenate_flat" => concatenate_flat(&all),
        "stack" => stack(&all, p.int("axis")),
        "meshgrid" => {
            let indexing = if p.text("indexing") == "ij" { Indexing::Ij } else { Indexing::Xy };
            return meshgrid(&all, p.flag("sparse"), indexing);
        }
        other => panic!("no op {other}"),
    };
    Ok(vec![result?])
}
