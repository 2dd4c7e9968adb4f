// SPDX-License-Identifier: EUPL-1.2
//! Shape ops. The expected orders are worked out by hand.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails as they do")]

use mlx_core::{
    Array, Dtype, Error, Indexing, Padding, Result, broadcast_arrays, concatenate, concatenate_flat,
    meshgrid, stack,
};

use crate::arith::{check, refused, vector, whole};

/// `0, 1, ..` in row-major order.
fn count(shape: &[i32]) -> Array {
    let n = shape.iter().product::<i32>();
    Array::arange(0.0, f64::from(n), 1.0, Dtype::Int32).unwrap().reshape(shape).unwrap()
}

/// Axes that an array of three axes does not have.
const OUTSIDE: [i32; 4] = [3, -4, i32::MAX, i32::MIN];

fn empty() -> Array {
    Array::zeros(&[2, 0, 3], Dtype::Int32).unwrap()
}

#[test]
fn reshape_infers_one_length() {
    let x = count(&[2, 3]);
    let order = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    check("reshape", x.reshape(&[3, 2]), Dtype::Int32, &[3, 2], &order);
    check("infers", x.reshape(&[1, -1, 2]), Dtype::Int32, &[1, 3, 2], &order);
    check(
        "strided",
        x.transpose().unwrap().reshape(&[-1]),
        Dtype::Int32,
        &[6],
        &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0],
    );
    check("scalar", Array::scalar(1i32).unwrap().reshape(&[1, 1]), Dtype::Int32, &[1, 1], &[1.0]);
    check("empty", empty().reshape(&[0]), Dtype::Int32, &[0], &[]);
    check("half", x.astype(Dtype::Bfloat16).unwrap().reshape(&[6]), Dtype::Bfloat16, &[6], &order);
    let hostile: [&[i32]; 8] =
        [&[-1, -1], &[7], &[], &[-2, -3], &[4, -1], &[i32::MAX; 4], &[1 << 16; 4], &[i32::MIN, -1]];
    for shape in hostile {
        assert!(x.reshape(shape).is_err(), "{shape:?}");
    }
    // The product of the lengths wraps to 0, which is what the array has.
    for shape in [&[1 << 16; 4][..], &[i32::MAX, i32::MAX, i32::MAX, 0]] {
        assert!(empty().reshape(shape).is_err(), "{shape:?}");
    }
}

#[test]
fn flatten_and_unflatten_undo_each_other() {
    let x = count(&[2, 3, 2]);
    let order: Vec<f64> = (0..12).map(f64::from).collect();
    check("all", x.flatten(0, -1), Dtype::Int32, &[12], &order);
    check("some", x.flatten(1, 2), Dtype::Int32, &[2, 6], &order);
    check("one", x.flatten(1, 1), Dtype::Int32, &[2, 3, 2], &order);
    check("scalar", Array::scalar(7i32).unwrap().flatten(0, -1), Dtype::Int32, &[1], &[7.0]);
    check("empty", empty().flatten(0, -1), Dtype::Int32, &[0], &[]);
    check("unflatten", x.flatten(1, 2).unwrap().unflatten(1, &[3, -1]), Dtype::Int32, &[2, 3, 2], &order);
    check("unflatten", x.flatten(0, -1).unwrap().unflatten(-1, &[4, 3]), Dtype::Int32, &[4, 3], &order);
    refused("flatten", x.flatten(2, 1), "flatten");
    refused("flatten", x.flatten(3, 5), "flatten");
    let wide = Array::scalar(true).unwrap().broadcast_to(&[1 << 16, 1 << 15]).unwrap();
    refused("flatten", wide.flatten(0, -1), "");
    for shape in [&[5, 2][..], &[-1, -1], &[], &[7]] {
        assert!(x.unflatten(1, shape).is_err(), "{shape:?}");
    }
    for shape in [&[-1, 0][..], &[0, -1], &[2, -1, 0]] {
        refused("unflatten", empty().unflatten(1, shape), "beside a 0");
    }
    assert!(empty().unflatten(1, &[1 << 16; 4]).is_err());
    for axis in OUTSIDE {
        refused("unflatten", x.unflatten(axis, &[1, -1]), "out of range");
    }
}

#[test]
fn transposes_change_the_order_and_nothing_else() {
    let x = count(&[2, 1, 3]);
    let turned = [0.0, 3.0, 1.0, 4.0, 2.0, 5.0];
    check("transpose", x.transpose(), Dtype::Int32, &[3, 1, 2], &turned);
    check("transpose_axes", x.transpose_axes(&[2, 0, -2]), Dtype::Int32, &[3, 2, 1], &turned);
    check("swap_axes", x.swap_axes(0, -1), Dtype::Int32, &[3, 1, 2], &turned);
    check("move_axis", x.move_axis(2, 0), Dtype::Int32, &[3, 2, 1], &turned);
    check(
        "back",
        x.transpose().unwrap().transpose(),
        Dtype::Int32,
        &[2, 1, 3],
        &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
    );
    check("half", x.astype(Dtype::Float16).unwrap().transpose(), Dtype::Float16, &[3, 1, 2], &turned);
    check("scalar", Array::scalar(1i32).unwrap().transpose(), Dtype::Int32, &[], &[1.0]);
    check("empty", empty().transpose(), Dtype::Int32, &[3, 0, 2], &[]);
    for axes in [&[0, 1][..], &[0, 0, 1], &[0, 1, 3], &[0, 1, -4], &[0, 1, 2, 2], &[]] {
        let nothing = axes.is_empty();
        assert!(nothing || x.transpose_axes(axes).is_err(), "{axes:?}");
    }
    for axis in OUTSIDE {
        assert!(x.swap_axes(axis, 0).is_err() && x.swap_axes(0, axis).is_err());
        assert!(x.move_axis(axis, 0).is_err() && x.move_axis(0, axis).is_err());
    }
}

#[test]
fn axes_of_length_one_come_and_go() {
    let x = count(&[1, 2, 1]);
    check("squeeze", x.squeeze(), Dtype::Int32, &[2], &[0.0, 1.0]);
    check("squeeze_axes", x.squeeze_axes(&[-1]), Dtype::Int32, &[1, 2], &[0.0, 1.0]);
    check("squeeze_axes", x.squeeze_axes(&[2, 0]), Dtype::Int32, &[2], &[0.0, 1.0]);
    check("expand_dims", x.expand_dims(-1), Dtype::Int32, &[1, 2, 1, 1], &[0.0, 1.0]);
    check("expand_dims_axes", x.expand_dims_axes(&[0, 2]), Dtype::Int32, &[1, 1, 1, 2, 1], &[0.0, 1.0]);
    check("scalar", Array::scalar(1i32).unwrap().expand_dims(0), Dtype::Int32, &[1], &[1.0]);
    check("scalar", count(&[1, 1]).squeeze(), Dtype::Int32, &[], &[0.0]);
    check("empty", empty().expand_dims(1), Dtype::Int32, &[2, 1, 0, 3], &[]);
    check("half", x.astype(Dtype::Bfloat16).unwrap().squeeze(), Dtype::Bfloat16, &[2], &[0.0, 1.0]);
    for axes in [&[1][..], &[0, 0], &[0, -3], &[3], &[-4], &[i32::MAX], &[i32::MIN]] {
        assert!(x.squeeze_axes(axes).is_err(), "{axes:?}");
    }
    for axis in [4, -5, i32::MAX, i32::MIN] {
        assert!(x.expand_dims(axis).is_err() && x.expand_dims_axes(&[axis]).is_err(), "{axis}");
    }
    assert!(x.expand_dims_axes(&[1, 1]).is_err() && x.expand_dims_axes(&[0, -5]).is_err());
}

#[test]
fn atleast_adds_axes_only_where_they_lack() {
    let (scalar, row, table) = (Array::scalar(5i32).unwrap(), count(&[2]), count(&[2, 1]));
    check("1d", scalar.atleast_1d(), Dtype::Int32, &[1], &[5.0]);
    check("1d", table.atleast_1d(), Dtype::Int32, &[2, 1], &[0.0, 1.0]);
    check("2d", scalar.atleast_2d(), Dtype::Int32, &[1, 1], &[5.0]);
    check("2d", row.atleast_2d(), Dtype::Int32, &[1, 2], &[0.0, 1.0]);
    check("3d", scalar.atleast_3d(), Dtype::Int32, &[1, 1, 1], &[5.0]);
    check("3d", row.atleast_3d(), Dtype::Int32, &[1, 2, 1], &[0.0, 1.0]);
    check("3d", table.atleast_3d(), Dtype::Int32, &[2, 1, 1], &[0.0, 1.0]);
    check("3d", empty().atleast_3d(), Dtype::Int32, &[2, 0, 3], &[]);
}

#[test]
fn broadcasting_repeats_without_a_copy() {
    check("row", count(&[3]).broadcast_to(&[2, 3]), Dtype::Int32, &[2, 3], &[0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    check("column", count(&[2, 1]).broadcast_to(&[2, 2]), Dtype::Int32, &[2, 2], &[0.0, 0.0, 1.0, 1.0]);
    check("scalar", Array::scalar(4i32).unwrap().broadcast_to(&[0, 2]), Dtype::Int32, &[0, 2], &[]);
    check(
        "half",
        Array::scalar(mlx_core::bf16::ONE).unwrap().broadcast_to(&[2]),
        Dtype::Bfloat16,
        &[2],
        &[1.0, 1.0],
    );
    let x = count(&[3]);
    assert!(
        x.broadcast_to(&[2]).is_err() && x.broadcast_to(&[3, 1]).is_err() && x.broadcast_to(&[]).is_err()
    );
    for shape in [
        &[-1, 3][..],
        &[i32::MAX, i32::MAX, 3],
        &[i32::MAX, i32::MAX, i32::MAX, 3],
        &[0, i32::MAX, i32::MAX, i32::MAX, 3],
    ] {
        assert!(matches!(x.broadcast_to(shape), Err(Error::Shape { .. })), "{shape:?}");
    }
    let views = broadcast_arrays(&[&count(&[2, 1]), &count(&[2]), &Array::scalar(9i32).unwrap()]).unwrap();
    for (view, expected) in views.into_iter().zip([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0], [9.0; 4]]) {
        check("broadcast_arrays", Ok(view), Dtype::Int32, &[2, 2], &expected);
    }
    assert!(broadcast_arrays(&[]).unwrap().is_empty());
    refused("broadcast_arrays", broadcast_arrays(&[&count(&[2]), &count(&[3])]), "broadcast");
    let row = Array::scalar(1.0f32).unwrap().broadcast_to(&[1, 1 << 30]).unwrap();
    let column = row.reshape(&[1 << 30, 1]).unwrap();
    refused("broadcast_arrays", broadcast_arrays(&[&row, &column]), "memory limit");
}

#[test]
fn tile_and_repeat_multiply_lengths() {
    let x = count(&[2]);
    check("tile", x.tile(&[2]), Dtype::Int32, &[4], &[0.0, 1.0, 0.0, 1.0]);
    check("tile", x.tile(&[2, 1]), Dtype::Int32, &[2, 2], &[0.0, 1.0, 0.0, 1.0]);
    check("tile", count(&[1, 2]).tile(&[2]), Dtype::Int32, &[1, 4], &[0.0, 1.0, 0.0, 1.0]);
    check("tile", x.tile(&[]), Dtype::Int32, &[2], &[0.0, 1.0]);
    check("tile", x.tile(&[0]), Dtype::Int32, &[0], &[]);
    check("tile", Array::scalar(3i32).unwrap().tile(&[2]), Dtype::Int32, &[2], &[3.0, 3.0]);
    check("tile", empty().tile(&[2]), Dtype::Int32, &[2, 0, 6], &[]);
    check("repeat", x.repeat(2, 0), Dtype::Int32, &[4], &[0.0, 0.0, 1.0, 1.0]);
    check(
        "repeat",
        count(&[2, 2]).repeat(2, -1),
        Dtype::Int32,
        &[2, 4],
        &[0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0],
    );
    check(
        "strided",
        count(&[2, 2]).transpose().unwrap().repeat(2, 1),
        Dtype::Int32,
        &[2, 4],
        &[0.0, 0.0, 2.0, 2.0, 1.0, 1.0, 3.0, 3.0],
    );
    check("repeat", x.repeat(0, 0), Dtype::Int32, &[0], &[]);
    check(
        "half",
        x.astype(Dtype::Float16).unwrap().repeat(2, 0),
        Dtype::Float16,
        &[4],
        &[0.0, 0.0, 1.0, 1.0],
    );
    for reps in [&[-1][..], &[2, -1], &[i32::MAX], &[i32::MAX, i32::MAX, 1], &[i32::MIN]] {
        assert!(x.tile(reps).is_err(), "{reps:?}");
    }
    for count in [-1, i32::MIN, i32::MAX] {
        assert!(x.repeat(count, 0).is_err(), "{count}");
    }
    for axis in [1, -2, i32::MAX, i32::MIN] {
        refused("repeat", x.repeat(2, axis), "repeat: axis");
    }
}

#[test]
fn pad_surrounds_with_a_value_of_the_dtype() {
    let x = count(&[2]);
    check("pad", x.pad(&[(1, 2)], 9.0), Dtype::Int32, &[5], &[9.0, 0.0, 1.0, 9.0, 9.0]);
    check("pad", x.pad(&[(0, 0)], 9.0), Dtype::Int32, &[2], &[0.0, 1.0]);
    check(
        "table",
        count(&[1, 2]).pad(&[(0, 1), (1, 0)], 7.0),
        Dtype::Int32,
        &[2, 3],
        &[7.0, 0.0, 1.0, 7.0, 7.0, 7.0],
    );
    check(
        "half",
        vector(&[1.0]).astype(Dtype::Bfloat16).unwrap().pad(&[(1, 0)], -0.5),
        Dtype::Bfloat16,
        &[2],
        &[-0.5, 1.0],
    );
    check("empty", empty().pad(&[(0, 0), (1, 0), (0, 0)], 1.0), Dtype::Int32, &[2, 1, 3], &[1.0; 6]);
    check("scalar", Array::scalar(1i32).unwrap().pad(&[], 0.0), Dtype::Int32, &[], &[1.0]);
    for widths in
        [&[][..], &[(1, 1), (1, 1)], &[(-1, 0)], &[(2, -1)], &[(i32::MAX, i32::MAX)], &[(i32::MIN, 0)]]
    {
        assert!(x.pad(widths, 0.0).is_err(), "{widths:?}");
    }
    let big = (0, 1 << 30);
    refused("pad", count(&[1, 1]).pad(&[big, big], 0.0), "memory limit");
}

#[test]
fn roll_and_flip_keep_every_element() {
    let x = count(&[5]);
    for (shift, expected) in [
        (0, [0.0, 1.0, 2.0, 3.0, 4.0]),
        (2, [3.0, 4.0, 0.0, 1.0, 2.0]),
        (-1, [1.0, 2.0, 3.0, 4.0, 0.0]),
        (7, [3.0, 4.0, 0.0, 1.0, 2.0]),
        // 2³¹ − 1 is 2 beyond a multiple of 5, and −2³¹ is 3 short of one.
        (i32::MAX, [3.0, 4.0, 0.0, 1.0, 2.0]),
        (i32::MIN, [3.0, 4.0, 0.0, 1.0, 2.0]),
    ] {
        check("roll", x.roll(shift, 0), Dtype::Int32, &[5], &expected);
    }
    let table = count(&[2, 2]);
    check("flip", table.flip(0), Dtype::Int32, &[2, 2], &[2.0, 3.0, 0.0, 1.0]);
    check("flip", table.transpose().unwrap().flip(-1), Dtype::Int32, &[2, 2], &[2.0, 0.0, 3.0, 1.0]);
    check("roll", table.transpose().unwrap().roll(1, 0), Dtype::Int32, &[2, 2], &[1.0, 3.0, 0.0, 2.0]);
    check("empty", empty().roll(1, 1), Dtype::Int32, &[2, 0, 3], &[]);
    check("empty", empty().roll(1, 0), Dtype::Int32, &[2, 0, 3], &[]);
    check("empty", empty().flip(1), Dtype::Int32, &[2, 0, 3], &[]);
    check(
        "half",
        x.astype(Dtype::Float16).unwrap().flip(0),
        Dtype::Float16,
        &[5],
        &[4.0, 3.0, 2.0, 1.0, 0.0],
    );
    for axis in [1, -2, i32::MAX, i32::MIN] {
        refused("roll", x.roll(1, axis), "out of range");
        refused("flip", x.flip(axis), "out of range");
    }
    assert!(Array::scalar(1i32).unwrap().roll(1, 0).is_err());
}

#[test]
fn copies_are_in_order() {
    let x = count(&[2, 2]).transpose().unwrap();
    let order = [0.0, 2.0, 1.0, 3.0];
    check("contiguous", x.contiguous(), Dtype::Int32, &[2, 2], &order);
    check("copy", x.copy(), Dtype::Int32, &[2, 2], &order);
    check(
        "broadcast",
        Array::scalar(1i32).unwrap().broadcast_to(&[2]).unwrap().contiguous(),
        Dtype::Int32,
        &[2],
        &[1.0, 1.0],
    );
    check("scalar", Array::scalar(1i32).unwrap().contiguous(), Dtype::Int32, &[], &[1.0]);
    check("empty", empty().contiguous(), Dtype::Int32, &[2, 0, 3], &[]);
    check("empty", empty().copy(), Dtype::Int32, &[2, 0, 3], &[]);
}

#[test]
fn diagonals_are_taken_and_made() {
    let x = count(&[2, 3]);
    for (k, expected) in
        [(0, &[0.0, 4.0][..]), (1, &[1.0, 5.0]), (2, &[2.0]), (-1, &[3.0]), (3, &[]), (-2, &[])]
    {
        let n = i32::try_from(expected.len()).unwrap();
        check("diagonal", x.diagonal(k, 0, 1), Dtype::Int32, &[n], expected);
        check("diag", x.diag(k), Dtype::Int32, &[n], expected);
        check("turned", x.transpose().unwrap().diagonal(k, -1, -2), Dtype::Int32, &[n], expected);
    }
    for k in [i32::MAX, i32::MIN, -i32::MAX] {
        check("outside", x.diagonal(k, 0, 1), Dtype::Int32, &[0], &[]);
        check("outside", x.diag(k), Dtype::Int32, &[0], &[]);
        refused("diag", count(&[2]).diag(k), "diag");
        refused("diag", vector(&[]).diag(k), "diag");
    }
    check("batch", count(&[2, 2, 2]).diagonal(0, 1, 2), Dtype::Int32, &[2, 2], &[0.0, 3.0, 4.0, 7.0]);
    check(
        "matrix",
        count(&[2]).diag(1),
        Dtype::Int32,
        &[3, 3],
        &[0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
    );
    check(
        "matrix",
        vector(&[2.0]).astype(Dtype::Bfloat16).unwrap().diag(-1),
        Dtype::Bfloat16,
        &[2, 2],
        &[0.0, 0.0, 2.0, 0.0],
    );
    check("empty", vector(&[]).diag(0), Dtype::Float32, &[0, 0], &[]);
    check("empty", empty().diagonal(0, 0, 1), Dtype::Int32, &[3, 0], &[]);
    refused("diagonal", x.diagonal(0, 0, 0), "diagonal");
    refused("diagonal", x.diagonal(0, 0, 2), "out of range");
    refused("diagonal", Array::scalar(1i32).unwrap().diagonal(0, 0, 1), "out of range");
    refused("diag", count(&[1, 1, 1]).diag(0), "one or two axes");
    refused("diag", Array::scalar(1i32).unwrap().diag(0), "one or two axes");
}

#[test]
fn as_strided_never_leaves_its_array() {
    let x = count(&[6]);
    check(
        "windows",
        x.as_strided(&[3, 2], &[2, 1], 0),
        Dtype::Int32,
        &[3, 2],
        &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
    );
    check(
        "overlap",
        x.as_strided(&[3, 3], &[1, 1], 1),
        Dtype::Int32,
        &[3, 3],
        &[1.0, 2.0, 3.0, 2.0, 3.0, 4.0, 3.0, 4.0, 5.0],
    );
    check("backwards", x.as_strided(&[6], &[-1], 5), Dtype::Int32, &[6], &[5.0, 4.0, 3.0, 2.0, 1.0, 0.0]);
    check("repeats", x.as_strided(&[2], &[0], 4), Dtype::Int32, &[2], &[4.0, 4.0]);
    check("scalar", x.as_strided(&[], &[], 3), Dtype::Int32, &[], &[3.0]);
    check("empty", x.as_strided(&[0, 9], &[i64::MAX, i64::MIN], usize::MAX), Dtype::Int32, &[0, 9], &[]);
    // The strides count in row-major order, whatever the layout of the array is.
    let turned = count(&[2, 3]).transpose().unwrap();
    check("of a view", turned.as_strided(&[6], &[1], 0), Dtype::Int32, &[6], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    let part = x.slice_axis(0, 2, 4).unwrap();
    check("of a part", part.as_strided(&[2], &[1], 0), Dtype::Int32, &[2], &[2.0, 3.0]);
    check(
        "half",
        x.astype(Dtype::Float16).unwrap().as_strided(&[2], &[3], 1),
        Dtype::Float16,
        &[2],
        &[1.0, 4.0],
    );
    let outside: [(&[i32], &[i64], usize); 10] = [
        (&[7], &[1], 0),
        (&[6], &[1], 1),
        (&[2], &[6], 0),
        (&[2], &[-1], 0),
        (&[1], &[1], 6),
        (&[], &[], 6),
        (&[], &[], usize::MAX),
        (&[2], &[i64::MAX], 0),
        (&[3], &[i64::MIN], 5),
        (&[2, 2], &[i64::MAX, i64::MAX], 0),
    ];
    for (shape, strides, offset) in outside {
        refused("as_strided", x.as_strided(shape, strides, offset), "outside");
        assert!(part.as_strided(shape, strides, offset).is_err());
    }
    refused("as_strided", part.as_strided(&[3], &[1], 0), "outside");
    refused("as_strided", vector(&[]).as_strided(&[1], &[1], 0), "outside");
    refused("as_strided", x.as_strided(&[2], &[1, 1], 0), "strides");
    refused("as_strided", x.as_strided(&[2, -1], &[1, 1], 0), "negative");
    refused("as_strided", x.as_strided(&[1 << 20, 1 << 20, 1 << 10], &[0, 0, 0], 0), "memory limit");
}

#[test]
fn parts_and_wholes() {
    let x = count(&[2, 4]);
    let parts = |result: Result<Vec<Array>>| -> Vec<Vec<i32>> {
        result.unwrap().iter().map(|part| part.to_vec().unwrap()).collect()
    };
    assert_eq!(parts(x.split(2, 1)), [[0, 1, 4, 5], [2, 3, 6, 7]]);
    assert_eq!(parts(x.split(2, -2)), [[0, 1, 2, 3], [4, 5, 6, 7]]);
    assert_eq!(parts(x.split_at(&[1, 1], 1)), [vec![0, 4], vec![], vec![1, 2, 3, 5, 6, 7]]);
    assert_eq!(parts(x.split_at(&[0, 4], 1)), [vec![], vec![0, 1, 2, 3, 4, 5, 6, 7], vec![]]);
    assert_eq!(parts(x.split_at(&[], 1)).len(), 1);
    assert_eq!(parts(x.transpose().unwrap().split(4, 0)), [[0, 4], [1, 5], [2, 6], [3, 7]]);
    assert_eq!(parts(x.unstack(0)), [[0, 1, 2, 3], [4, 5, 6, 7]]);
    assert_eq!(x.unstack(1).unwrap()[3].shape(), [2]);
    assert_eq!(parts(count(&[2]).unstack(0)), [[0], [1]]);
    assert!(parts(empty().unstack(1)).is_empty());
    assert_eq!(empty().split(1, 1).unwrap().len(), 1);
    let half = x.astype(Dtype::Bfloat16).unwrap().split(2, 0).unwrap();
    assert!(half.iter().all(|part| part.dtype() == Dtype::Bfloat16));
    for n in [0, -1, 3, 5, i32::MAX, i32::MIN] {
        assert!(x.split(n, 1).is_err(), "{n}");
    }
    refused("split", empty().split(i32::MAX, 1), "count");
    for places in [&[2, 1][..], &[-1], &[5], &[i32::MIN], &[i32::MAX]] {
        refused("split_at", x.split_at(places, 1), "places");
    }
    for axis in [2, -3, i32::MAX, i32::MIN] {
        refused("split", x.split(1, axis), "out of range");
        refused("split_at", x.split_at(&[1], axis), "out of range");
        refused("unstack", x.unstack(axis), "out of range");
    }
    assert!(Array::scalar(1i32).unwrap().split(1, 0).is_err());
}

#[test]
fn concatenate_and_stack_promote() {
    let (a, b) = (count(&[1, 2]), whole(&[7, 8], Dtype::Int8).reshape(&[1, 2]).unwrap());
    check("rows", concatenate(&[&a, &b], 0), Dtype::Int32, &[2, 2], &[0.0, 1.0, 7.0, 8.0]);
    check("columns", concatenate(&[&a, &b], -1), Dtype::Int32, &[1, 4], &[0.0, 1.0, 7.0, 8.0]);
    check("one", concatenate(&[&a], 0), Dtype::Int32, &[1, 2], &[0.0, 1.0]);
    check(
        "strided",
        concatenate(&[&a.transpose().unwrap(), &b.transpose().unwrap()], 1),
        Dtype::Int32,
        &[2, 2],
        &[0.0, 7.0, 1.0, 8.0],
    );
    check(
        "empty",
        concatenate(&[&Array::zeros(&[0, 2], Dtype::Int32).unwrap(), &a], 0),
        Dtype::Int32,
        &[1, 2],
        &[0.0, 1.0],
    );
    let half = a.astype(Dtype::Bfloat16).unwrap();
    check("half", concatenate(&[&half, &half], 0), Dtype::Bfloat16, &[2, 2], &[0.0, 1.0, 0.0, 1.0]);
    check("stack", stack(&[&a, &b], 0), Dtype::Int32, &[2, 1, 2], &[0.0, 1.0, 7.0, 8.0]);
    check("stack", stack(&[&a, &b], -1), Dtype::Int32, &[1, 2, 2], &[0.0, 7.0, 1.0, 8.0]);
    let one = Array::scalar(1i32).unwrap();
    check("scalars", stack(&[&one, &one], 0), Dtype::Int32, &[2], &[1.0, 1.0]);
    check("empty", stack(&[&empty(), &empty()], 1), Dtype::Int32, &[2, 2, 0, 3], &[]);
    refused("none", concatenate(&[], 0), "there are none");
    refused("none", stack(&[], 0), "there are none");
    refused("scalars", concatenate(&[&one, &one], 0), "out of range");
    for axis in [2, -3, i32::MAX, i32::MIN] {
        refused("concatenate", concatenate(&[&a, &b], axis), "out of range");
        assert!(axis == 2 || axis == -3 || stack(&[&a, &b], axis).is_err());
    }
    assert!(concatenate(&[&a, &count(&[1, 2, 1])], 0).is_err());
    assert!(concatenate(&[&a, &count(&[1, 3])], 0).is_err());
    assert!(stack(&[&a, &count(&[1, 3])], 0).is_err());
    let long = Array::scalar(true).unwrap().broadcast_to(&[1 << 30]).unwrap();
    refused("concatenate", concatenate(&[&long, &long], 0), "longer than an axis");
    let many = [&long; 64];
    refused("stack", stack(&many, 0), "memory limit");
}

#[test]
fn meshgrid_runs_along_rows_or_columns() {
    let (x, y) = (count(&[2]), whole(&[7, 8, 9], Dtype::Int32));
    let grids = |sparse, indexing| meshgrid(&[&x, &y], sparse, indexing).unwrap();
    let [a, b] = <[Array; 2]>::try_from(grids(false, Indexing::Xy)).unwrap();
    check("xy", Ok(a), Dtype::Int32, &[3, 2], &[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
    check("xy", Ok(b), Dtype::Int32, &[3, 2], &[7.0, 7.0, 8.0, 8.0, 9.0, 9.0]);
    let [a, b] = <[Array; 2]>::try_from(grids(false, Indexing::Ij)).unwrap();
    check("ij", Ok(a), Dtype::Int32, &[2, 3], &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    check("ij", Ok(b), Dtype::Int32, &[2, 3], &[7.0, 8.0, 9.0, 7.0, 8.0, 9.0]);
    let [a, b] = <[Array; 2]>::try_from(grids(true, Indexing::Ij)).unwrap();
    check("sparse", Ok(a), Dtype::Int32, &[2, 1], &[0.0, 1.0]);
    check("sparse", Ok(b), Dtype::Int32, &[1, 3], &[7.0, 8.0, 9.0]);
    let nothing = meshgrid(&[&vector(&[]), &x], false, Indexing::Ij).unwrap();
    assert_eq!(nothing[1].shape(), [0, 2]);
    refused("meshgrid", meshgrid(&[], false, Indexing::Xy), "there are none");
    let long = Array::scalar(1u8).unwrap().broadcast_to(&[1 << 30]).unwrap();
    refused("meshgrid", meshgrid(&[&long, &long], false, Indexing::Ij), "memory limit");
}

const MODES: [Padding; 4] = [Padding::Constant(0.0), Padding::Edge, Padding::Reflect, Padding::Symmetric];

#[test]
fn padding_takes_its_elements_from_the_array() {
    let x = count(&[3]);
    for (padding, expected) in [
        (Padding::Constant(7.0), [7.0, 7.0, 0.0, 1.0, 2.0, 7.0]),
        (Padding::Edge, [0.0, 0.0, 0.0, 1.0, 2.0, 2.0]),
        (Padding::Reflect, [2.0, 1.0, 0.0, 1.0, 2.0, 1.0]),
        (Padding::Symmetric, [1.0, 0.0, 0.0, 1.0, 2.0, 2.0]),
    ] {
        check("pad", x.pad(&[(2, 1)], padding), Dtype::Int32, &[6], &expected);
    }
    let table = count(&[2, 2]).transpose().unwrap();
    check(
        "strided",
        table.pad(&[(1, 0), (0, 1)], Padding::Edge),
        Dtype::Int32,
        &[3, 3],
        &[0.0, 2.0, 2.0, 0.0, 2.0, 2.0, 1.0, 3.0, 3.0],
    );
    check(
        "every side",
        count(&[1, 1]).pad_symmetric(1, 5.0),
        Dtype::Int32,
        &[3, 3],
        &[5.0, 5.0, 5.0, 5.0, 0.0, 5.0, 5.0, 5.0, 5.0],
    );
    for padding in MODES {
        check("none", x.pad_symmetric(0, padding), Dtype::Int32, &[3], &[0.0, 1.0, 2.0]);
        check("scalar", Array::scalar(1i32).unwrap().pad_symmetric(9, padding), Dtype::Int32, &[], &[1.0]);
    }
}

/// The library would add one length of the array at a time, each in a node of its own.
#[test]
fn padding_much_longer_than_the_array_is_one_step() {
    let side = 1_000_000;
    for (padding, period) in [(Padding::Reflect, 4usize), (Padding::Symmetric, 6)] {
        let wide = count(&[3]).pad(&[(side, side)], padding).unwrap().to_vec::<i32>().unwrap();
        assert_eq!(wide.len(), 2_000_003);
        assert!(wide.windows(period + 1).all(|part| part[0] == part[period]), "{padding:?}");
        let one = count(&[1]).pad_symmetric(side, padding).unwrap().to_vec::<i32>().unwrap();
        assert!(one.iter().all(|&value| value == 0) && one.len() == 2_000_001);
    }
    let folded = count(&[2, 3]).pad(&[(3, 0), (1, 1)], Padding::Reflect);
    let rows = [[4.0, 3.0, 4.0, 5.0, 4.0], [1.0, 0.0, 1.0, 2.0, 1.0]];
    check(
        "one of two",
        folded,
        Dtype::Int32,
        &[5, 5],
        &[rows[0], rows[1], rows[0], rows[1], rows[0]].concat(),
    );
}

/// The library's own derivative of mirrored padding leaves elements out.
#[test]
fn derivative_of_padding_sums_over_all_copies() {
    let counted: Vec<f32> = (1..=7).map(|i: i8| f32::from(i)).collect();
    for (padding, expected) in [
        (Padding::Constant(0.0), [3.0, 4.0, 5.0]),
        (Padding::Edge, [6.0, 4.0, 18.0]),
        (Padding::Reflect, [10.0, 12.0, 6.0]),
        (Padding::Symmetric, [5.0, 12.0, 11.0]),
    ] {
        let pad = move |x: &[Array]| Ok(vec![x[0].pad(&[(2, 2)], padding)?]);
        let (_, grads) =
            mlx_core::transform::vjp(pad, &[vector(&[1.0, 2.0, 3.0])], &[vector(&counted)]).unwrap();
        check("derivative", Ok(grads[0].clone()), Dtype::Float32, &[3], &expected);
        // Of a sum over everything it says how often each element occurs.
        let copies = move |x: &[Array]| Ok(vec![x[0].pad(&[(3, 1), (2, 2)], padding)?.sum_all()?]);
        let (sum, grads) = mlx_core::transform::vjp(
            copies,
            &[Array::ones(&[2, 3], Dtype::Float32).unwrap()],
            &[Array::scalar(1.0f32).unwrap()],
        )
        .unwrap();
        let total = grads[0].sum_all().unwrap();
        check("copies", Ok(total), Dtype::Float32, &[], &[f64::from(sum[0].item::<f32>().unwrap())]);
    }
}

#[test]
fn padding_that_cannot_be_is_refused() {
    let x = count(&[2]);
    for padding in MODES {
        for widths in [&[(-1, 0)][..], &[(0, i32::MIN)], &[], &[(1, 1), (1, 1)]] {
            refused("pad", x.pad(widths, padding), "pad: widths");
        }
        for width in [i32::MAX, 1 << 30] {
            assert!(matches!(x.pad_symmetric(width, padding), Err(Error::Shape { .. })));
        }
        assert!(matches!(count(&[1, 1]).pad_symmetric(1 << 29, padding), Err(Error::Shape { .. })));
        refused("pad_symmetric", x.pad_symmetric(-1, padding), "negative");
        refused("pad_symmetric", x.pad_symmetric(i32::MIN, padding), "negative");
        let untouched = empty().pad(&[(1, 1), (0, 0), (0, 0)], padding);
        check("beside an empty axis", untouched, Dtype::Int32, &[4, 0, 3], &[]);
    }
    for padding in [Padding::Edge, Padding::Reflect, Padding::Symmetric] {
        refused("empty", empty().pad(&[(0, 0), (1, 0), (0, 0)], padding), "no element");
        refused("empty", empty().pad_symmetric(1, padding), "no element");
    }
}

#[test]
fn rolls_and_flips_of_several_axes_are_those_of_each() {
    let x = count(&[2, 3]);
    check("roll", x.roll_axes(&[(1, 0), (1, -1)]), Dtype::Int32, &[2, 3], &[5.0, 3.0, 4.0, 2.0, 0.0, 1.0]);
    check("twice", x.roll_axes(&[(1, 1), (2, 1)]), Dtype::Int32, &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    for (shift, expected) in [
        (1, [5.0, 0.0, 1.0, 2.0, 3.0, 4.0]),
        (-1, [1.0, 2.0, 3.0, 4.0, 5.0, 0.0]),
        // 1 and 4 beyond multiples of 6.
        (i32::MAX, [5.0, 0.0, 1.0, 2.0, 3.0, 4.0]),
        (i32::MIN, [2.0, 3.0, 4.0, 5.0, 0.0, 1.0]),
    ] {
        check("roll_all", x.roll_all(shift), Dtype::Int32, &[2, 3], &expected);
    }
    check("flip_all", x.flip_all(), Dtype::Int32, &[2, 3], &[5.0, 4.0, 3.0, 2.0, 1.0, 0.0]);
    check("flip_axes", x.flip_axes(&[1, -1]), Dtype::Int32, &[2, 3], &[2.0, 1.0, 0.0, 5.0, 4.0, 3.0]);
    check("none", x.flip_axes(&[]), Dtype::Int32, &[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let extreme = x.roll_axes(&[(i32::MIN, 0), (i32::MAX, 1)]);
    check("extreme", extreme, Dtype::Int32, &[2, 3], &[2.0, 0.0, 1.0, 5.0, 3.0, 4.0]);
    for shift in [0, 1, i32::MIN] {
        check("empty", empty().roll_all(shift), Dtype::Int32, &[2, 0, 3], &[]);
        check("empty", empty().roll_axes(&[(shift, 1), (shift, 0)]), Dtype::Int32, &[2, 0, 3], &[]);
        check("scalar", Array::scalar(4i32).unwrap().roll_all(shift), Dtype::Int32, &[], &[4.0]);
    }
    for axis in OUTSIDE {
        refused("roll_axes", empty().roll_axes(&[(1, 0), (1, axis)]), "out of range");
        refused("flip_axes", empty().flip_axes(&[0, axis]), "out of range");
        refused("squeeze_axis", empty().squeeze_axis(axis), "out of range");
    }
    refused("squeeze_axis", empty().squeeze_axis(0), "squeeze");
}

/// The library's own derivative of a reversed axis of length 1 is 0.
#[test]
fn derivative_of_a_flip_is_a_flip_along_short_axes_too() {
    type Flip = fn(&Array) -> Result<Array>;
    let flips: [(Flip, [f32; 3]); 5] = [
        (|x| x.flip(0), [1.0, 2.0, 3.0]),
        (|x| x.flip(-1), [3.0, 2.0, 1.0]),
        (|x| x.flip_axes(&[0]), [1.0, 2.0, 3.0]),
        (|x| x.flip_axes(&[0, 1]), [3.0, 2.0, 1.0]),
        (|x| x.flip_all(), [3.0, 2.0, 1.0]),
    ];
    for (flip, expected) in flips {
        let cotangent = vector(&[1.0, 2.0, 3.0]).reshape(&[1, 3]).unwrap();
        let function = move |x: &[Array]| Ok(vec![flip(&x[0])?]);
        let x = Array::ones(&[1, 3], Dtype::Float32).unwrap();
        let (_, grads) = mlx_core::transform::vjp(function, &[x], &[cotangent]).unwrap();
        check("flip", Ok(grads[0].clone()), Dtype::Float32, &[1, 3], &expected.map(f64::from));
    }
}

#[test]
fn flattened_forms_stop_at_the_longest_axis() {
    let long = Array::scalar(true).unwrap().broadcast_to(&[1 << 16, 1 << 15]).unwrap();
    refused("repeat_all", count(&[2, 2]).repeat_all(i32::MAX), "longer than an axis");
    refused("repeat_all", count(&[2]).repeat_all(-1), "negative");
    refused("repeat_all", long.repeat_all(1), "more than an axis");
    refused("roll_all", long.roll_all(1), "more than an axis");
    refused("concatenate_flat", concatenate_flat(&[&long]), "longer than an axis");
    refused("concatenate_flat", concatenate_flat(&[]), "there are none");
    check("repeat_all", count(&[2, 2]).repeat_all(0), Dtype::Int32, &[0], &[]);
    let parts = [&count(&[1, 2]), &Array::scalar(9i8).unwrap(), &empty()];
    check("concatenate_flat", concatenate_flat(&parts), Dtype::Int32, &[3], &[0.0, 1.0, 9.0]);
}
