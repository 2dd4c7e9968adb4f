// SPDX-License-Identifier: EUPL-1.2
//! Order. Expected values follow NumPy's rules, NaN last.

use mlx_core::{Array, Dtype, Error, Result, Side, bf16, f16};

const NAN: f32 = f32::NAN;

fn floats(values: &[f32]) -> Array {
    Array::from_slice(values, &[i32::try_from(values.len()).unwrap()]).unwrap()
}

fn read(array: &Array) -> Vec<f32> {
    array.astype(Dtype::Float32).unwrap().to_vec::<f32>().unwrap()
}

fn indices(array: &Array) -> Vec<u32> {
    array.to_vec::<u32>().unwrap()
}

/// Equality under which NaN equals NaN.
fn same(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x == y || (x.is_nan() && y.is_nan()))
}

#[test]
fn sort_is_ascending_and_stable_with_nans_last() {
    for (values, sorted, order) in [
        (&[3.0, 1.0, 2.0][..], &[1.0, 2.0, 3.0][..], &[1, 2, 0][..]),
        (&[2.0, 1.0, 2.0, 1.0], &[1.0, 1.0, 2.0, 2.0], &[1, 3, 0, 2]),
        (&[NAN, 1.0, NAN, -1.0], &[-1.0, 1.0, NAN, NAN], &[3, 1, 0, 2]),
        (&[f32::INFINITY, f32::NEG_INFINITY, 0.0], &[f32::NEG_INFINITY, 0.0, f32::INFINITY], &[1, 2, 0]),
        (&[5.0], &[5.0], &[0]),
        (&[], &[], &[]),
    ] {
        let a = floats(values);
        assert!(same(&read(&a.sort(0).unwrap()), sorted), "{values:?}");
        assert_eq!(indices(&a.argsort(-1).unwrap()), order, "{values:?}");
    }
}

#[test]
fn sort_keeps_every_dtype() {
    for dtype in Dtype::ALL {
        let a = floats(&[1.0, 0.0, 1.0, 0.0]).astype(dtype).unwrap();
        assert_eq!(a.sort(0).unwrap().dtype(), dtype);
        assert_eq!(indices(&a.argsort(0).unwrap()), [1, 3, 0, 2], "{dtype}");
        assert_eq!(read(&a.sort(0).unwrap()), [0.0, 0.0, 1.0, 1.0], "{dtype}");
        assert_eq!(read(&a.topk(2, 0).unwrap()), [1.0, 1.0], "{dtype}");
        a.partition(1, 0).unwrap().eval().unwrap();
    }
    let half = Array::from_slice(&[2.0, -1.0, 0.5].map(f16::from_f32), &[3]).unwrap();
    assert_eq!(half.sort(0).unwrap().to_vec::<f16>().unwrap(), [-1.0, 0.5, 2.0].map(f16::from_f32));
    let brain = Array::from_slice(&[2.0, f32::NAN, 0.5].map(bf16::from_f32), &[3]).unwrap();
    assert!(brain.sort(0).unwrap().to_vec::<bf16>().unwrap()[2].is_nan());
}

#[test]
fn sort_runs_along_the_axis_of_a_view() {
    let a = Array::from_slice(&[3.0f32, 0.0, 1.0, 5.0, 4.0, 2.0], &[2, 3]).unwrap();
    assert_eq!(read(&a.sort(1).unwrap()), [0.0, 1.0, 3.0, 2.0, 4.0, 5.0]);
    assert_eq!(read(&a.sort(0).unwrap()), [3.0, 0.0, 1.0, 5.0, 4.0, 2.0]);
    assert_eq!(read(&a.transpose().unwrap().sort(-2).unwrap()), [0.0, 2.0, 1.0, 4.0, 3.0, 5.0]);
    assert_eq!(
        indices(&a.index((.., mlx_core::step(.., -1))).unwrap().argsort(1).unwrap()),
        [1, 0, 2, 0, 1, 2]
    );
}

#[test]
fn partition_puts_the_kth_where_sorting_would() {
    let values: Vec<f32> = (0..101u8).map(|i| f32::from(i) * 37.0 % 101.0).collect();
    let a = floats(&values);
    for kth in [0, 1, 50, 99, 100, -1, -101] {
        let place = usize::try_from(if kth < 0 { kth + 101 } else { kth }).unwrap();
        let expected = f32::from(u8::try_from(place).unwrap());
        let parted = read(&a.partition(kth, 0).unwrap());
        let by_index: Vec<f32> =
            indices(&a.argpartition(kth, 0).unwrap()).iter().map(|&i| values[i as usize]).collect();
        for parted in [parted, by_index] {
            assert_eq!(parted[place], expected);
            assert!(
                parted[..place].iter().all(|&x| x < expected)
                    && parted[place + 1..].iter().all(|&x| x > expected)
            );
        }
    }
}

#[test]
fn topk_gives_the_largest_in_any_order() {
    let a = floats(&[5.0, 1.0, 4.0, 2.0, 3.0]);
    for k in 0..=5 {
        let top = a.topk(k, 0).unwrap();
        assert_eq!(top.shape(), [k]);
        let expected: Vec<f32> = (6 - k..=5).map(|x| f32::from(i8::try_from(x).unwrap())).collect();
        assert_eq!(read(&top.sort(0).unwrap()), expected, "{k}");
    }
    let with_nan = read(&floats(&[1.0, NAN, 3.0, 2.0]).topk(2, 0).unwrap().sort(0).unwrap());
    assert!(same(&with_nan, &[3.0, NAN]));
    let rows = Array::from_slice(&[1.0f32, 9.0, 3.0, 4.0], &[2, 2]).unwrap();
    assert_eq!(read(&rows.topk(1, 0).unwrap()), [3.0, 9.0]);
    assert_eq!(read(&rows.transpose().unwrap().topk(1, -1).unwrap()), [3.0, 9.0]);
}

/// On these the native sort divides by zero.
#[test]
fn empty_arrays_are_sorted_without_ending_the_process() {
    for (shape, axis) in
        [(&[0][..], 0), (&[2, 0], 1), (&[2, 0], 0), (&[0, 3], 0), (&[0, 3], 1), (&[0, 0], -1)]
    {
        let a = Array::zeros(shape, Dtype::Float32).unwrap();
        for sorted in [a.sort(axis), a.argsort(axis)] {
            let sorted = sorted.unwrap();
            sorted.eval().unwrap();
            assert_eq!(sorted.shape(), shape);
        }
        let top = a.topk(0, axis).unwrap();
        top.eval().unwrap();
        assert_eq!(top.dim(axis).unwrap(), 0);
        let size = a.dim(axis).unwrap();
        assert_eq!(a.partition(0, axis).is_ok(), size > 0);
        assert_eq!(a.argpartition(0, axis).map(|p| p.eval().unwrap()).is_ok(), size > 0);
        assert_eq!(a.argsort(axis).unwrap().dtype(), Dtype::Uint32);
    }
}

#[test]
fn sorting_rejects_places_that_are_not_there() {
    let a = floats(&[1.0, 2.0]);
    let scalar = Array::scalar(1.0f32).unwrap();
    type Op = fn(&Array, i32) -> Result<Array>;
    let ops: [Op; 5] = [
        |a, axis| a.sort(axis),
        |a, axis| a.argsort(axis),
        |a, axis| a.partition(0, axis),
        |a, axis| a.argpartition(0, axis),
        |a, axis| a.topk(1, axis),
    ];
    for op in ops {
        for axis in [1, -2, i32::MIN, i32::MAX] {
            assert!(matches!(op(&a, axis), Err(Error::Argument { argument: "axis", .. })));
        }
        assert!(op(&scalar, 0).is_err() && op(&scalar, -1).is_err());
    }
    for kth in [2, -3, i32::MIN, i32::MAX] {
        assert!(matches!(a.partition(kth, 0), Err(Error::Index { size: 2, .. })));
        assert!(matches!(a.argpartition(kth, 0), Err(Error::Index { size: 2, .. })));
    }
    for k in [3, -1, i32::MIN, i32::MAX] {
        let error = a.topk(k, 0).unwrap_err().to_string();
        assert!(error.starts_with("topk: k: expected 0 to 2"), "{error}");
    }
}

#[test]
fn searchsorted_agrees_with_numpy() {
    let a = floats(&[1.0, 2.0, 2.0, 3.0]);
    let values = Array::from_slice(&[0.0f32, 2.0, 2.5, 9.0, NAN, 1.0], &[2, 3]).unwrap();
    let left = a.searchsorted(&values, Side::Left).unwrap();
    assert_eq!((left.shape(), indices(&left)), (&[2, 3][..], vec![0, 1, 3, 4, 4, 0]));
    assert_eq!(indices(&a.searchsorted(&values, Side::Right).unwrap()), [0, 3, 3, 4, 4, 1]);
    let integers = Array::from_slice(&[1, 5, 9], &[3]).unwrap();
    assert_eq!(indices(&integers.searchsorted(&floats(&[5.5, 5.0]), Side::default()).unwrap()), [2, 1]);
    let every_second = floats(&[1.0, 0.0, 2.0, 0.0, 3.0]).index((mlx_core::step(.., 2),)).unwrap();
    assert_eq!(indices(&every_second.searchsorted(&floats(&[2.5]), Side::Left).unwrap()), [2]);
    assert_eq!(indices(&floats(&[]).searchsorted(&floats(&[2.5]), Side::Left).unwrap()), [0]);
    assert_eq!(a.searchsorted(&floats(&[]), Side::Left).unwrap().shape(), [0]);
    assert!(a.searchsorted(&Array::scalar(2.0f32).unwrap(), Side::Left).unwrap().shape().is_empty());
    for sequence in [Array::scalar(1.0f32).unwrap(), Array::zeros(&[2, 2], Dtype::Float32).unwrap()] {
        assert!(sequence.searchsorted(&a, Side::Left).unwrap_err().to_string().contains("one axis"));
    }
}

#[test]
fn flattened_forms_take_any_shape_and_the_empty_one() {
    let a = Array::from_slice(&[3.0f32, 0.0, 1.0, 5.0, 4.0, 2.0], &[2, 3]).unwrap();
    for view in [&a, &a.transpose().unwrap(), &a.reshape(&[1, 6, 1]).unwrap()] {
        assert_eq!(read(&view.sort_all().unwrap()), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(read(&view.topk_all(2).unwrap().sort(0).unwrap()), [4.0, 5.0]);
        let flat = read(&view.reshape(&[-1]).unwrap());
        for kth in [0i32, 3, 5, -1, -6] {
            let place = usize::try_from(kth.rem_euclid(6)).unwrap();
            assert_eq!(
                read(&view.partition_all(kth).unwrap())[place],
                f32::from(u8::try_from(place).unwrap())
            );
            let index = indices(&view.argpartition_all(kth).unwrap())[place] as usize;
            assert_eq!(flat[index], f32::from(u8::try_from(place).unwrap()));
        }
        for (i, index) in indices(&view.argsort_all().unwrap()).into_iter().enumerate() {
            assert_eq!(flat[index as usize], f32::from(u8::try_from(i).unwrap()));
        }
    }
    for kth in [6, -7, i32::MIN, i32::MAX] {
        assert!(matches!(a.partition_all(kth), Err(Error::Index { size: 6, .. })));
        assert!(matches!(a.argpartition_all(kth), Err(Error::Index { size: 6, .. })));
    }
    for k in [7, -1, i32::MIN, i32::MAX] {
        assert!(matches!(a.topk_all(k), Err(Error::Argument { argument: "k", .. })));
    }
    for shape in [&[0][..], &[0, 3], &[2, 0]] {
        for dtype in [Dtype::Float32, Dtype::Bfloat16, Dtype::Int8] {
            let empty = Array::zeros(shape, dtype).unwrap();
            for (result, wanted) in
                [(empty.sort_all(), dtype), (empty.argsort_all(), Dtype::Uint32), (empty.topk_all(0), dtype)]
            {
                let result = result.unwrap();
                result.eval().unwrap();
                assert_eq!((result.shape(), result.dtype()), (&[0][..], wanted));
            }
            assert!(empty.partition_all(0).is_err() && empty.argpartition_all(0).is_err());
        }
    }
    let one = Array::scalar(1.0f32).unwrap();
    assert_eq!((read(&one.sort_all().unwrap()), indices(&one.argsort_all().unwrap())), (vec![1.0], vec![0]));
    let long = Array::scalar(true).unwrap().broadcast_to(&[1 << 16, 1 << 15]).unwrap();
    for result in [long.sort_all(), long.argsort_all(), long.partition_all(0), long.topk_all(1)] {
        assert!(result.unwrap_err().to_string().contains("more than an axis"));
    }
}
