// SPDX-License-Identifier: EUPL-1.2
//! Broadcasting, and views of views, against ndarray.

use mlx_core::Array;
use ndarray::{ArrayD, Axis};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{assert_same, check, counted, narrow, shapes};

#[test]
fn operands_broadcast_as_in_ndarray() {
    // Lengths of 1 and 2 meet often enough, and clash often enough.
    let shape =
        || vec(prop_oneof![3 => Just(1usize), 3 => Just(2usize), 1 => Just(0usize), 1 => Just(3usize)], 0..4);
    check(600, (shape(), shape(), any::<u8>(), any::<u8>()), |(left, right, order, other)| {
        let ((a, x), (b, y)) = (counted(&left, order), counted(&right, other));
        let ndim = left.len().max(right.len());
        let dim = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(ndim).map_or(1, |i| shape[i]);
        let common: Option<Vec<usize>> = (0..ndim)
            .map(|i| match (dim(&left, i), dim(&right, i)) {
                (a, b) if a == b || b == 1 => Some(a),
                (1, b) => Some(b),
                _ => None,
            })
            .collect();
        let Some(common) = common else {
            assert!((&a + &b).is_err() && mlx_core::broadcast_arrays(&[&a, &b]).is_err());
            return;
        };
        let (x, y) = (x.broadcast(common.clone()).unwrap(), y.broadcast(common.clone()).unwrap());
        assert_same(&(&a + &b).unwrap(), &(&x + &y));
        assert_same(&(&a * &b).unwrap(), &(&x * &y));
        assert_same(&a.broadcast_to(&narrow(&common)).unwrap(), &x.to_owned());
        let both = mlx_core::broadcast_arrays(&[&a, &b]).unwrap();
        assert_same(&both[0], &x.to_owned());
        assert_same(&both[1], &y.to_owned());
    });
}

/// One step of a chain, which `n` and `m` fit to the shape that there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Reshape,
    Transpose,
    Expand,
    Squeeze,
    Flip,
    Flatten,
    Part,
    MoveAxis,
}

const STEPS: [Step; 8] = [
    Step::Reshape,
    Step::Transpose,
    Step::Expand,
    Step::Squeeze,
    Step::Flip,
    Step::Flatten,
    Step::Part,
    Step::MoveAxis,
];

#[test]
fn chains_of_views_are_those_of_ndarray() {
    let step = (0..STEPS.len(), any::<u16>(), any::<u16>());
    check(800, (shapes(4), vec(step, 0..10), any::<u8>()), |(shape, steps, order)| {
        let (mut array, mut reference) = counted(&shape, order);
        for (kind, n, m) in steps {
            (array, reference) = walk(STEPS[kind], usize::from(n), usize::from(m), array, reference);
            assert_eq!(array.shape(), narrow(reference.shape()));
        }
        assert_same(&array, &reference);
    });
}

fn walk(step: Step, n: usize, m: usize, array: Array, reference: ArrayD<i32>) -> (Array, ArrayD<i32>) {
    let ndim = reference.ndim();
    let axis = n % ndim.max(1);
    // Counted from either end.
    let signed = |axis: usize, of: usize| {
        let axis = i32::try_from(axis).unwrap();
        if m.is_multiple_of(2) { axis } else { axis - i32::try_from(of).unwrap() }
    };
    match step {
        Step::Reshape => {
            let size = reference.len();
            let divisors: Vec<usize> = (1..=size.max(1)).filter(|d| size.is_multiple_of(*d)).collect();
            let first = divisors[n % divisors.len()];
            let rest = size / first;
            let divisors: Vec<usize> = (1..=rest.max(1)).filter(|d| rest.is_multiple_of(*d)).collect();
            let second = divisors[m % divisors.len()];
            let shape = vec![first, second, rest / second];
            let mut ours = narrow(&shape);
            if size > 0 && n.is_multiple_of(3) {
                ours[m % 3] = -1;
            }
            let in_order: Vec<i32> = reference.iter().copied().collect();
            (array.reshape(&ours).unwrap(), ArrayD::from_shape_vec(shape, in_order).unwrap())
        }
        Step::Transpose if n.is_multiple_of(3) => (array.transpose().unwrap(), reference.reversed_axes()),
        Step::Transpose => {
            let mut axes: Vec<usize> = (0..ndim).collect();
            axes.rotate_left(axis);
            if ndim > 1 {
                axes.swap(0, m % ndim);
            }
            let ours: Vec<i32> = axes.iter().map(|&axis| i32::try_from(axis).unwrap()).collect();
            (array.transpose_axes(&ours).unwrap(), reference.permuted_axes(axes))
        }
        Step::Expand if ndim < 6 => {
            let place = n % (ndim + 1);
            (array.expand_dims(signed(place, ndim + 1)).unwrap(), reference.insert_axis(Axis(place)))
        }
        Step::Squeeze => {
            let ones: Vec<usize> = (0..ndim).filter(|&axis| reference.shape()[axis] == 1).collect();
            let Some(&axis) = ones.get(n % ones.len().max(1)) else { return (array, reference) };
            (array.squeeze_axes(&[signed(axis, ndim)]).unwrap(), reference.index_axis_move(Axis(axis), 0))
        }
        Step::Flip if ndim > 0 => {
            let mut reference = reference;
            reference.invert_axis(Axis(axis));
            (array.flip(signed(axis, ndim)).unwrap(), reference)
        }
        Step::Flatten if ndim > 0 => {
            let last = axis + m % (ndim - axis);
            let shape = reference.shape();
            let joined: Vec<usize> =
                [&shape[..axis], &[shape[axis..=last].iter().product()], &shape[last + 1..]].concat();
            let in_order: Vec<i32> = reference.iter().copied().collect();
            let ours = array.flatten(i32::try_from(axis).unwrap(), signed(last, ndim)).unwrap();
            (ours, ArrayD::from_shape_vec(joined, in_order).unwrap())
        }
        Step::Part if ndim > 0 => {
            let length = reference.shape()[axis];
            let (from, to) = (m % (length + 1), (n / 7) % (length + 1));
            let (from, to) = (from.min(to), from.max(to));
            let slice = ndarray::Slice::from(from..to);
            let ours = array.slice_axis(
                signed(axis, ndim),
                i32::try_from(from).unwrap(),
                i32::try_from(to).unwrap(),
            );
            (ours.unwrap(), reference.slice_axis(Axis(axis), slice).to_owned())
        }
        Step::MoveAxis if ndim > 0 => {
            let to = m % ndim;
            let mut axes: Vec<usize> = (0..ndim).filter(|&other| other != axis).collect();
            axes.insert(to, axis);
            (array.move_axis(signed(axis, ndim), signed(to, ndim)).unwrap(), reference.permuted_axes(axes))
        }
        _ => (array, reference),
    }
}
