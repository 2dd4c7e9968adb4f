// SPDX-License-Identifier: EUPL-1.2
//! Slices, indices, gathers and scatters. Expected values are NumPy 2's for the same expression on `arange`.

use mlx_core::{Array, Dtype, Ellipsis, Error, Index, IndexList, NewAxis, Result, bf16, step};

fn ints(values: &[i32]) -> Array {
    Array::from_slice(values, &[i32::try_from(values.len()).unwrap()]).unwrap()
}

fn arange(shape: &[i32]) -> Array {
    let n: i32 = shape.iter().product();
    Array::from_slice(&(0..n).collect::<Vec<_>>(), shape).unwrap()
}

/// The same values, still to be computed.
fn lazy(array: &Array) -> Array {
    let zero = Array::full(&[], 0.0, array.dtype()).unwrap();
    let lazy = (array + &zero).unwrap();
    assert!(!lazy.is_available().unwrap());
    lazy
}

fn values(array: &Array) -> Vec<i32> {
    array.to_vec::<i32>().unwrap()
}

/// Reads with `indices`, and writes there. Every element is its own position, so that what is read tells what is written.
fn check<'a>(indices: impl IndexList<'a> + Clone, shape: &[i32], read: &[i32]) {
    let a = arange(&[2, 3, 4]);
    let part = a.index(indices.clone()).unwrap();
    assert_eq!((part.shape(), values(&part).as_slice()), (shape, read));

    let update = (&arange(shape) + 100).unwrap();
    let written = values(&a.index_update(indices.clone(), &update).unwrap());
    for (place, &value) in written.iter().enumerate() {
        let place = i32::try_from(place).unwrap();
        if read.contains(&place) {
            // Where a place is named twice, either update may be there.
            assert!(value >= 100 && read[usize::try_from(value - 100).unwrap()] == place, "{written:?}");
        } else {
            assert_eq!(value, place);
        }
    }
    let filled = values(&a.index_update(indices, &Array::scalar(-1).unwrap()).unwrap());
    assert!(
        (0..24).zip(filled).all(|(place, value)| value == if read.contains(&place) { -1 } else { place })
    );
}

#[test]
#[expect(clippy::reversed_empty_ranges, reason = "empty slices and slices backwards are among the cases")]
fn index_and_index_update_agree_with_numpy() {
    let i = ints(&[1, 0, -1]);
    let i2 = ints(&[1, 0, 1]);
    let j = Array::from_slice(&[0, 2, -1, 1], &[2, 2]).unwrap();
    let k = ints(&[3, 0, -4]);
    let (k0, one, e) = (ints(&[1]), Array::scalar(1).unwrap(), ints(&[]));
    check(0, &[3, 4], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    check(-1, &[3, 4], &[12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]);
    check((0, -1), &[4], &[8, 9, 10, 11]);
    check((1, 2, 3), &[], &[23]);
    check(
        ..,
        &[2, 3, 4],
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23],
    );
    check(1.., &[1, 3, 4], &[12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]);
    check(..-1, &[1, 3, 4], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    check((.., 1..3), &[2, 2, 4], &[4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23]);
    check((.., -2.., ..-1), &[2, 2, 3], &[4, 5, 6, 8, 9, 10, 16, 17, 18, 20, 21, 22]);
    check((.., ..=1), &[2, 2, 4], &[0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15, 16, 17, 18, 19]);
    check((.., 1..=-1), &[2, 2, 4], &[4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23]);
    check((.., 2..1), &[2, 0, 4], &[]);
    check(
        (.., -9..9),
        &[2, 3, 4],
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23],
    );
    check(
        step(.., -1),
        &[2, 3, 4],
        &[12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    );
    check((.., .., step(.., 2)), &[2, 3, 2], &[0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22]);
    check((Ellipsis, step(.., -3)), &[2, 3, 2], &[3, 0, 7, 4, 11, 8, 15, 12, 19, 16, 23, 20]);
    check((Ellipsis, step(3..0, -2)), &[2, 3, 2], &[3, 1, 7, 5, 11, 9, 15, 13, 19, 17, 23, 21]);
    check(
        (.., step(-1..-9, -1)),
        &[2, 3, 4],
        &[8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3, 20, 21, 22, 23, 16, 17, 18, 19, 12, 13, 14, 15],
    );
    check((Ellipsis, step(1.., 5)), &[2, 3, 1], &[1, 5, 9, 13, 17, 21]);
    check(
        Ellipsis,
        &[2, 3, 4],
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23],
    );
    check((Ellipsis, 0), &[2, 3], &[0, 4, 8, 12, 16, 20]);
    check((0, Ellipsis), &[3, 4], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    check((0, Ellipsis, 1..), &[3, 3], &[1, 2, 3, 5, 6, 7, 9, 10, 11]);
    check((0, 1, 2, Ellipsis), &[], &[6]);
    check(
        NewAxis,
        &[1, 2, 3, 4],
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23],
    );
    check(
        (NewAxis, 0, NewAxis, Ellipsis, NewAxis),
        &[1, 1, 3, 4, 1],
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    );
    check((0, NewAxis, 1..), &[1, 2, 4], &[4, 5, 6, 7, 8, 9, 10, 11]);
    check(
        &i2,
        &[3, 3, 4],
        &[
            12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
            15, 16, 17, 18, 19, 20, 21, 22, 23,
        ],
    );
    check(
        (.., &i),
        &[2, 3, 4],
        &[4, 5, 6, 7, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 12, 13, 14, 15, 20, 21, 22, 23],
    );
    check(
        (.., &j),
        &[2, 2, 2, 4],
        &[
            0, 1, 2, 3, 8, 9, 10, 11, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 20, 21, 22,
            23, 16, 17, 18, 19,
        ],
    );
    check((Ellipsis, &k), &[2, 3, 3], &[3, 0, 0, 7, 4, 4, 11, 8, 8, 15, 12, 12, 19, 16, 16, 23, 20, 20]);
    check((0, &i), &[3, 4], &[4, 5, 6, 7, 0, 1, 2, 3, 8, 9, 10, 11]);
    check((&one,), &[3, 4], &[12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]);
    check((.., &one), &[2, 4], &[4, 5, 6, 7, 16, 17, 18, 19]);
    check((.., &i, &k), &[2, 3], &[7, 0, 8, 19, 12, 20]);
    check((.., &j, &one), &[2, 2, 2], &[1, 9, 9, 5, 13, 21, 21, 17]);
    check((&one, .., &k), &[3, 3], &[15, 19, 23, 12, 16, 20, 12, 16, 20]);
    check((0, .., &k), &[3, 3], &[3, 7, 11, 0, 4, 8, 0, 4, 8]);
    check((.., &i, 0), &[2, 3], &[4, 0, 8, 16, 12, 20]);
    check((.., 0, &k), &[2, 3], &[3, 0, 0, 15, 12, 12]);
    check(
        (step(.., -1), &i, 1..),
        &[2, 3, 3],
        &[17, 18, 19, 13, 14, 15, 21, 22, 23, 5, 6, 7, 1, 2, 3, 9, 10, 11],
    );
    check((NewAxis, &one, &i), &[1, 3, 4], &[16, 17, 18, 19, 12, 13, 14, 15, 20, 21, 22, 23]);
    check((&one, NewAxis, &i), &[3, 1, 4], &[16, 17, 18, 19, 12, 13, 14, 15, 20, 21, 22, 23]);
    check((&one, Ellipsis, &k), &[3, 3], &[15, 19, 23, 12, 16, 20, 12, 16, 20]);
    check((.., &e), &[2, 0, 4], &[]);
    check((.., &e, &k0), &[2, 0], &[]);
    check((1, &i, &k), &[3], &[19, 12, 20]);
}

#[test]
fn lists_arrays_and_vectors_of_indices_are_taken_too() {
    let a = arange(&[2, 3, 4]);
    let list = vec![Index::At(1), Index::Ellipsis, Index::Slice { start: Some(1), stop: None, step: 2 }];
    let expected = a.index((1, Ellipsis, step(1.., 2))).unwrap();
    assert_eq!(values(&a.index(list.as_slice()).unwrap()), values(&expected));
    assert_eq!(values(&a.index(list).unwrap()), values(&expected));
    assert_eq!(values(&a.index([1, 2, 3]).unwrap()), [23]);
    let six = arange(&[1, 1, 1, 1, 1, 2]);
    assert_eq!(values(&six.index((0, 0, 0, 0, 0, 1)).unwrap()), [1]);
}

#[test]
fn index_rejects_what_does_not_fit() {
    let a = arange(&[2, 3]);
    let floats = Array::scalar(1.0f32).unwrap();
    let mask = Array::scalar(true).unwrap();
    let three = ints(&[0, 1, 1]);
    let two = ints(&[0, 1]);
    let cases: [(&str, Result<Array>); 12] = [
        ("index 2 is out of range for an axis of 2", a.index((2,))),
        ("index -4 is out of range for an axis of 3", a.index((0, -4))),
        ("index -2147483648 is out of range", a.index(i32::MIN)),
        ("3 indices are too many", a.index((0, 0, 0))),
        ("only one ellipsis", a.index((Ellipsis, Ellipsis))),
        ("step other than 0", a.index((step(.., 0),))),
        ("expected integers, found float32", a.index((&floats,))),
        ("mask", a.index((&mask,))),
        ("do not broadcast", a.index((&two, &three))),
        ("index 2 is out of range for an axis of 2", a.index((&ints(&[0, 2]),))),
        ("index -4 is out of range for an axis of 3", a.index((.., &ints(&[0, -4])))),
        ("too many", Array::scalar(1).unwrap().index(0)),
    ];
    for (expected, result) in cases {
        let error = result.unwrap_err().to_string();
        assert!(
            error.starts_with("index: ") || error.starts_with("take: ") || error.starts_with("gather: "),
            "{error}"
        );
        assert!(error.contains(expected), "{error}");
    }
    for (update, indices) in [(arange(&[2]), Index::from(0)), (arange(&[2, 2]), Index::from(..))] {
        let error = a.index_update((indices,), &update).unwrap_err().to_string();
        assert!(error.contains("does not broadcast"), "{error}");
    }
    assert!(matches!(
        a.index_update((5,), &Array::scalar(1).unwrap()),
        Err(Error::Index { index: 5, size: 2, .. })
    ));
}

#[test]
fn empty_and_scalar_arrays_are_indexed() {
    let empty = arange(&[0, 3]);
    assert_eq!(empty.index((.., 1)).unwrap().shape(), [0]);
    assert_eq!(empty.index((step(.., -1), NewAxis)).unwrap().shape(), [0, 1, 3]);
    assert!(empty.index((0,)).is_err() && empty.index((&ints(&[0]),)).is_err());
    assert_eq!(empty.index((&ints(&[]),)).unwrap().shape(), [0, 3]);
    assert_eq!(empty.index_update((.., 0), &Array::scalar(1).unwrap()).unwrap().shape(), [0, 3]);
    let scalar = Array::scalar(7).unwrap();
    assert_eq!(values(&scalar.index(Ellipsis).unwrap()), [7]);
    assert_eq!(scalar.index(NewAxis).unwrap().shape(), [1]);
    assert_eq!(values(&scalar.index_update(Ellipsis, &Array::scalar(8).unwrap()).unwrap()), [8]);
}

#[test]
fn updates_take_the_dtype_of_the_array() {
    let a = Array::zeros(&[2, 2], Dtype::Bfloat16).unwrap();
    for updated in [
        a.index_update((0,), &Array::scalar(1.5f32).unwrap()).unwrap(),
        a.index_update((Ellipsis,), &Array::scalar(1.5f32).unwrap()).unwrap(),
        a.index_update((&ints(&[0]),), &Array::scalar(1.5f32).unwrap()).unwrap(),
        a.put_along_axis(&arange(&[1, 2]), &Array::scalar(1.5f32).unwrap(), 0).unwrap_or(a.clone()),
    ] {
        assert_eq!(updated.dtype(), Dtype::Bfloat16);
        updated.eval().unwrap();
    }
    let first = a.index_update((0, 1), &Array::scalar(1.5f32).unwrap()).unwrap();
    assert_eq!(first.to_vec::<bf16>().unwrap().map_f32(), [0.0, 1.5, 0.0, 0.0]);
}

trait MapF32 {
    fn map_f32(&self) -> Vec<f32>;
}

impl MapF32 for Vec<bf16> {
    fn map_f32(&self) -> Vec<f32> {
        self.iter().map(|x| x.to_f32()).collect()
    }
}

#[test]
fn views_are_sliced_like_what_they_show() {
    let t = arange(&[3, 2]).transpose().unwrap();
    assert_eq!(values(&t.index((1, step(.., -1))).unwrap()), [5, 3, 1]);
    assert_eq!(values(&t.index((.., &ints(&[2, 0]))).unwrap()), [4, 0, 5, 1]);
    let updated = t.index_update((.., 1), &ints(&[-1, -2])).unwrap();
    assert_eq!(values(&updated), [0, -1, 4, 1, -2, 5]);
    let row = arange(&[1, 3]).broadcast_to(&[2, 3]).unwrap();
    assert_eq!(values(&row.index_update((0, 0), &Array::scalar(9).unwrap()).unwrap()), [9, 1, 2, 0, 1, 2]);
}

#[test]
fn slices_follow_python() {
    let a = arange(&[6]);
    for (start, stop, stride, expected) in [
        (0, 6, 1, &[0, 1, 2, 3, 4, 5][..]),
        (-2, 99, 1, &[4, 5]),
        (-99, -4, 1, &[0, 1]),
        (4, 2, 1, &[]),
        (1, 6, 2, &[1, 3, 5]),
        (5, -99, -2, &[5, 3, 1]),
        (-1, 0, -1, &[5, 4, 3, 2, 1]),
        (i32::MIN, i32::MAX, i32::MAX, &[0]),
        (i32::MAX, i32::MIN, i32::MIN, &[5]),
        (9, 12, 1, &[]),
    ] {
        let part = a.slice_strided(&[start], &[stop], &[stride]).unwrap();
        assert_eq!(values(&part), expected, "{start}..{stop} by {stride}");
        let updated =
            a.slice_update_strided(&Array::scalar(-1).unwrap(), &[start], &[stop], &[stride]).unwrap();
        let holes: Vec<i32> = (0..6).map(|i| if expected.contains(&i) { -1 } else { i }).collect();
        assert_eq!(values(&updated), holes);
    }
    let m = arange(&[2, 3]);
    assert_eq!(values(&m.slice(&[0, 1], &[2, 3]).unwrap()), [1, 2, 4, 5]);
    assert_eq!(values(&m.slice_axis(-1, 0, -1).unwrap()), [0, 1, 3, 4]);
    assert_eq!(values(&m.slice_update(&ints(&[8, 9]), &[0, 1], &[2, 3]).unwrap()), [0, 8, 9, 3, 8, 9]);
    assert_eq!(
        values(&m.slice_update_axis(&Array::scalar(7).unwrap(), 0, 1, 2).unwrap()),
        [0, 1, 2, 7, 7, 7]
    );
    assert_eq!(Array::scalar(3).unwrap().slice(&[], &[]).unwrap().item::<i32>().unwrap(), 3);
    for result in [
        m.slice(&[0], &[1]),
        m.slice(&[0, 0], &[1]),
        m.slice_strided(&[0, 0], &[1, 1], &[1]),
        m.slice_strided(&[0, 0], &[1, 1], &[1, 0]),
        m.slice_axis(2, 0, 1),
        m.slice_update(&arange(&[5]), &[0, 0], &[2, 3]),
        m.slice_update_axis(&arange(&[2]), 5, 0, 1),
    ] {
        assert!(result.is_err());
    }
}

#[test]
fn take_reads_along_an_axis() {
    let a = arange(&[2, 3]);
    for dtype in
        [Dtype::Uint8, Dtype::Uint16, Dtype::Uint32, Dtype::Uint64, Dtype::Int8, Dtype::Int16, Dtype::Int64]
    {
        let indices = ints(&[2, 0]).astype(dtype).unwrap();
        assert_eq!(values(&a.take(&indices, 1).unwrap()), [2, 0, 5, 3], "{dtype}");
        indices.eval().unwrap();
        assert_eq!(values(&a.take(&indices, -1).unwrap()), [2, 0, 5, 3], "{dtype}");
    }
    assert_eq!(values(&a.take(&Array::scalar(-1).unwrap(), 0).unwrap()), [3, 4, 5]);
    assert_eq!(values(&a.take_flat(&ints(&[-1, 4, 0])).unwrap()), [5, 4, 0]);
    assert_eq!(values(&a.transpose().unwrap().take(&ints(&[1, 1]), 0).unwrap()), [1, 4, 1, 4]);
    assert_eq!(a.take(&arange(&[2, 0]), 1).unwrap().shape(), [2, 2, 0]);
    for dtype in Dtype::ALL {
        let taken = a.astype(dtype).unwrap().take(&ints(&[1]), 0).unwrap();
        taken.eval().unwrap();
        assert_eq!(taken.dtype(), dtype);
    }
}

#[test]
fn take_of_known_indices_out_of_range_is_an_error() {
    let a = arange(&[2, 3]);
    let strided = Array::from_slice(&[0, 5, 1, 5], &[2, 2]).unwrap().transpose().unwrap();
    strided.eval().unwrap();
    for (indices, bad) in [
        (ints(&[0, 2]), 2),
        (ints(&[-3, 0]), -3),
        (ints(&[i32::MAX]), i64::from(i32::MAX)),
        (Array::scalar(u32::MAX).unwrap(), i64::from(u32::MAX)),
        (Array::scalar(u64::MAX).unwrap(), i64::MAX),
        (Array::scalar(i64::MIN).unwrap(), i64::MIN),
        (Array::scalar(200u8).unwrap(), 200),
        (strided, 5),
    ] {
        match a.take(&indices, 0).unwrap_err() {
            Error::Index { op: "take", index, size: 2 } => assert_eq!(index, bad),
            error => panic!("{error}"),
        }
        assert_eq!(a.take_flat(&indices).is_ok(), (-6..6).contains(&bad));
    }
    for (result, expected) in [
        (a.take(&Array::scalar(0.0f32).unwrap(), 0), "expected integers, found float32"),
        (a.take(&Array::scalar(true).unwrap(), 0), "expected integers, found bool"),
        (a.take(&ints(&[0]), 2), "axis: 2 is out of range"),
        (arange(&[0, 2]).take(&ints(&[0]), 0), "do not fit into an axis of 0"),
        (Array::scalar(1).unwrap().take(&ints(&[0]), 0), "axis: 0 is out of range"),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// Indices that no kernel may see.
fn far() -> Vec<Array> {
    vec![
        ints(&[2, 1 << 30, -3, i32::MIN]),
        Array::from_slice(&[2u32, u32::MAX, 1 << 30, 1 << 31], &[4]).unwrap(),
        Array::from_slice(&[2u64, u64::MAX, 1 << 62, 1 << 63], &[4]).unwrap(),
        Array::from_slice(&[2i64, i64::MAX, i64::MIN, -3], &[4]).unwrap(),
        Array::from_slice(&[2i8, 127, -128, -3], &[4]).unwrap(),
        Array::from_slice(&[2u8, 255, 128, 3], &[4]).unwrap(),
    ]
}

#[test]
fn indices_still_to_be_computed_are_clamped_when_reading() {
    let a = arange(&[2]);
    for indices in far() {
        let exact = indices.astype(Dtype::Float64).unwrap().to_vec::<f64>().unwrap();
        let nearest: Vec<i32> = exact.iter().map(|&i| i32::from(i > 0.0)).collect();
        let dtype = indices.dtype();
        let lazily = || lazy(&indices);
        assert_eq!(values(&a.take(&lazily(), 0).unwrap()), nearest, "{dtype}");
        assert_eq!(values(&a.take_flat(&lazily()).unwrap()), nearest, "{dtype}");
        assert_eq!(values(&a.take_along_axis(&lazily(), 0).unwrap()), nearest, "{dtype}");
        assert_eq!(values(&a.index((&lazily(),)).unwrap()), nearest, "{dtype}");
        assert_eq!(values(&a.gather(&[&lazily()], &[0], &[1]).unwrap()), nearest, "{dtype}");
        // A slice of two has one place only, whatever the index.
        assert_eq!(values(&a.gather(&[&lazily()], &[0], &[2]).unwrap()), [0, 1].repeat(4), "{dtype}");
    }
    let negative = lazy(&ints(&[-1, -2]));
    assert_eq!(values(&a.take(&negative, 0).unwrap()), [1, 0]);
    let wrapping = arange(&[5]).gather(&[&lazy(&ints(&[-2, -1, -5, 1]))], &[0], &[2]).unwrap();
    assert_eq!(values(&wrapping), [3, 4, 3, 4, 0, 1, 1, 2]);
}

#[test]
fn indices_still_to_be_computed_are_clamped_when_writing() {
    let a = Array::zeros(&[2], Dtype::Int32).unwrap();
    for indices in far() {
        let lazily = || lazy(&indices);
        let dtype = indices.dtype();
        let four = ints(&[1; 4]);
        let slices = Array::ones(&[4, 1], Dtype::Int32).unwrap();
        let pairs = Array::ones(&[4, 2], Dtype::Int32).unwrap();
        let total = |array: Array| values(&array).iter().sum::<i32>();
        assert_eq!(total(a.scatter_add_axis(&lazily(), &four, 0).unwrap()), 4, "{dtype}");
        assert_eq!(total(a.scatter_add(&[&lazily()], &slices, &[0]).unwrap()), 4, "{dtype}");
        assert_eq!(total(a.scatter_add(&[&lazily()], &pairs, &[0]).unwrap()), 8, "{dtype}");
        for written in [
            a.put_along_axis(&lazily(), &four, 0),
            a.scatter(&[&lazily()], &slices, &[0]),
            a.scatter_max(&[&lazily()], &slices, &[0]),
            a.index_update((&lazily(),), &Array::scalar(1).unwrap()),
        ] {
            // 2 is clamped to 1 in every list.
            assert_eq!(values(&written.unwrap())[1], 1, "{dtype}");
        }
        a.scatter_min(&[&lazily()], &slices, &[0]).unwrap().eval().unwrap();
        a.scatter_prod(&[&lazily()], &pairs, &[0]).unwrap().eval().unwrap();
    }
}

#[test]
fn take_along_axis_and_its_inverse_agree_with_numpy() {
    let a = arange(&[2, 3]);
    let i = Array::from_slice(&[2, 0, -3, -1], &[2, 2]).unwrap();
    assert_eq!(values(&a.take_along_axis(&i, 1).unwrap()), [2, 0, 3, 5]);
    let down = Array::from_slice(&[1, 0, -1], &[1, 3]).unwrap();
    assert_eq!(values(&a.take_along_axis(&down, 0).unwrap()), [3, 1, 5]);
    assert_eq!(values(&a.put_along_axis(&i, &Array::scalar(9).unwrap(), 1).unwrap()), [9, 1, 9, 9, 4, 9]);
    let v = Array::from_slice(&[10, 20, 30, 40], &[2, 2]).unwrap();
    assert_eq!(values(&a.put_along_axis(&i, &v, -1).unwrap()), [20, 1, 10, 30, 4, 40]);
    assert_eq!(values(&a.scatter_add_axis(&i, &v, 1).unwrap()), [20, 1, 12, 33, 4, 45]);
    let same = Array::from_slice(&[1, 1, 1, 1], &[2, 2]).unwrap();
    assert_eq!(values(&a.scatter_add_axis(&same, &v, 1).unwrap()), [0, 31, 2, 3, 74, 5]);
    assert_eq!(
        values(
            &a.transpose().unwrap().take_along_axis(&ints(&[1, 0, 1]).expand_dims(1).unwrap(), 1).unwrap()
        ),
        [3, 1, 5]
    );
    // Axes of 1 broadcast.
    assert_eq!(values(&a.take_along_axis(&Array::from_slice(&[2], &[1, 1]).unwrap(), 1).unwrap()), [2, 5]);
    assert_eq!(values(&arange(&[1, 3]).take_along_axis(&i, 1).unwrap()), [2, 0, 0, 2]);
    assert_eq!(
        values(&a.put_along_axis(&Array::from_slice(&[0], &[1, 1]).unwrap(), &ints(&[7]), 1).unwrap()),
        [7, 1, 2, 7, 4, 5]
    );
}

#[test]
fn along_axis_rejects_what_does_not_fit() {
    let a = arange(&[2, 3]);
    let one = Array::scalar(1).unwrap();
    let bad = [
        (Array::zeros(&[2, 2], Dtype::Float32).unwrap(), 1),
        (Array::zeros(&[2, 2], Dtype::Bool).unwrap(), 1),
        (Array::zeros(&[2], Dtype::Int32).unwrap(), 1),
        (Array::zeros(&[3, 2], Dtype::Int32).unwrap(), 1),
        (Array::zeros(&[2, 2], Dtype::Int32).unwrap(), 2),
        (Array::from_slice(&[0, 3], &[2, 1]).unwrap(), 1),
        (Array::from_slice(&[0, -4], &[2, 1]).unwrap(), 1),
    ];
    for (indices, axis) in &bad {
        assert!(a.take_along_axis(indices, *axis).is_err(), "{indices:?}");
        assert!(a.put_along_axis(indices, &one, *axis).is_err(), "{indices:?}");
        assert!(a.scatter_add_axis(indices, &one, *axis).is_err(), "{indices:?}");
    }
    // The array of indices may not enlarge what is written to.
    assert!(arange(&[1, 3]).put_along_axis(&arange(&[2, 1]), &one, 1).is_err());
    let empty = arange(&[0, 3]);
    assert!(empty.take_along_axis(&arange(&[1, 3]), 0).is_err());
    assert!(empty.put_along_axis(&arange(&[1, 3]), &one, 0).is_err());
    let nothing = Array::zeros(&[0, 3], Dtype::Int32).unwrap();
    assert_eq!(values(&a.put_along_axis(&nothing, &one, 0).unwrap()), [0, 1, 2, 3, 4, 5]);
    assert_eq!(a.take_along_axis(&nothing, 0).unwrap().shape(), [0, 3]);
    assert!(Array::scalar(1).unwrap().take_along_axis(&one, 0).is_err());
    assert!(a.put_along_axis(&arange(&[2, 1]), &arange(&[5]), 1).is_err());
}

#[test]
fn gather_and_scatter_move_slices() {
    let a = arange(&[3, 4]);
    let (i, j) = (ints(&[0, 2]), Array::from_slice(&[1i64, -3], &[2]).unwrap());
    assert_eq!(values(&a.gather(&[&i], &[0], &[1, 4]).unwrap()), [0, 1, 2, 3, 8, 9, 10, 11]);
    assert_eq!(a.gather(&[&i], &[0], &[1, 2]).unwrap().shape(), [2, 1, 2]);
    assert_eq!(values(&a.gather(&[&i, &j], &[0, 1], &[1, 2]).unwrap()), [1, 2, 9, 10]);
    let unsigned = Array::from_slice(&[1u64, 0], &[2]).unwrap();
    assert_eq!(values(&a.gather(&[&unsigned, &i], &[1, 0], &[1, 1]).unwrap()), [1, 8]);
    assert_eq!(values(&a.gather(&[], &[], &[1, 2]).unwrap()), [0, 1]);
    assert_eq!(a.gather(&[&ints(&[])], &[0], &[1, 4]).unwrap().shape(), [0, 1, 4]);
    assert_eq!(a.gather(&[&i], &[0], &[0, 4]).unwrap().shape(), [2, 0, 4]);

    let zeros = Array::zeros(&[3, 4], Dtype::Int32).unwrap();
    let updates = Array::from_slice(&[1, 2, 3, 4], &[2, 1, 2]).unwrap();
    assert_eq!(
        values(&zeros.scatter(&[&i, &j], &updates, &[0, 1]).unwrap()),
        [0, 1, 2, 0, 0, 0, 0, 0, 0, 3, 4, 0]
    );
    let twice = ints(&[1, 1]);
    let rows = Array::from_slice(&[1, 2, 3, 4, 5, 6, 7, 8], &[2, 1, 4]).unwrap();
    let row = |array: Result<Array>| values(&array.unwrap())[4..8].to_vec();
    assert_eq!(row(zeros.scatter_add(&[&twice], &rows, &[0])), [6, 8, 10, 12]);
    assert_eq!(row(a.scatter_max(&[&twice], &rows, &[0])), [5, 6, 7, 8]);
    assert_eq!(row(a.scatter_min(&[&twice], &rows, &[0])), [1, 2, 3, 4]);
    assert_eq!(row(a.scatter_prod(&[&twice], &rows, &[0])), [20, 60, 126, 224]);
    assert_eq!(values(&zeros.scatter(&[], &arange(&[3, 4]), &[]).unwrap()), values(&a));
    let none = Array::zeros(&[0, 1, 4], Dtype::Int32).unwrap();
    assert_eq!(values(&a.scatter(&[&ints(&[])], &none, &[0]).unwrap()), values(&a));
    for dtype in Dtype::ALL {
        let (zeros, updates) = (zeros.astype(dtype).unwrap(), updates.astype(dtype).unwrap());
        let (indices, axes) = ([&i, &j], [0, 1]);
        for scattered in [
            zeros.scatter(&indices, &updates, &axes),
            zeros.scatter_add(&indices, &updates, &axes),
            zeros.scatter_max(&indices, &updates, &axes),
            zeros.scatter_min(&indices, &updates, &axes),
            zeros.scatter_prod(&indices, &updates, &axes),
            zeros.gather(&indices, &axes, &[1, 2]),
        ] {
            scattered.unwrap().eval().unwrap();
        }
    }
}

#[test]
fn gather_and_scatter_reject_what_does_not_fit() {
    let a = arange(&[3, 4]);
    let i = ints(&[0, 2]);
    for result in [
        a.gather(&[&i], &[0], &[1]),
        a.gather(&[&i], &[0], &[1, 5]),
        a.gather(&[&i], &[0], &[-1, 4]),
        a.gather(&[&i], &[2], &[1, 4]),
        a.gather(&[&i], &[], &[1, 4]),
        a.gather(&[&i, &i], &[0, -2], &[1, 1]),
        a.gather(&[&i, &ints(&[0, 0, 0])], &[0, 1], &[1, 1]),
        a.gather(&[&ints(&[3])], &[0], &[1, 4]),
        a.gather(&[&ints(&[-4])], &[0], &[1, 4]),
        // The second row is the last at which a slice of two can begin.
        a.gather(&[&ints(&[2])], &[0], &[2, 4]),
        a.gather(&[&ints(&[-1])], &[0], &[2, 4]),
        a.gather(&[&ints(&[-1, 0])], &[0], &[2, 4]),
        a.gather(&[&Array::scalar(0.5f32).unwrap()], &[0], &[1, 4]),
        a.scatter(&[&i], &arange(&[2, 4]), &[0]),
        a.scatter(&[&i], &arange(&[2, 1, 5]), &[0]),
        a.scatter(&[&i], &arange(&[3, 1, 4]), &[0]),
        a.scatter(&[&i], &arange(&[4]), &[0]),
        a.scatter(&[&i], &arange(&[2, 2, 4]), &[0]),
        a.scatter(&[&ints(&[0, 3])], &arange(&[2, 1, 4]), &[0]),
        a.scatter_add(&[&i, &i], &arange(&[2, 1, 1]), &[0, 0]),
        a.scatter_prod(&[&i], &arange(&[2, 1, 4]), &[5]),
    ] {
        assert!(result.is_err(), "{:?}", result.map(|a| a.to_vec::<i32>()));
    }
}

#[test]
fn masked_scatter_fills_in_order() {
    let a = arange(&[2, 3]);
    let mask = Array::from_slice(&[false, true, true, false, false, true], &[2, 3]).unwrap();
    let source = ints(&[10, 20, 30, 40]);
    for mask in [mask.clone(), mask.logical_not().unwrap().logical_not().unwrap()] {
        assert_eq!(values(&a.masked_scatter(&mask, &source).unwrap()), [0, 10, 20, 3, 4, 30]);
    }
    let rows = Array::from_slice(&[false, true], &[2]).unwrap();
    assert_eq!(values(&a.masked_scatter(&rows, &source).unwrap()), [0, 1, 2, 10, 20, 30]);
    let short = ints(&[10, 20]);
    assert!(a.masked_scatter(&mask, &short).unwrap_err().to_string().contains("expected 3 elements"));
    // Not known: the last is repeated.
    let unknown = mask.logical_not().unwrap().logical_not().unwrap();
    assert_eq!(values(&a.masked_scatter(&unknown, &short).unwrap()), [0, 10, 20, 3, 4, 20]);
    assert!(a.masked_scatter(&a, &source).is_err() && a.masked_scatter(&ints(&[1]), &source).is_err());
    assert!(a.masked_scatter(&Array::ones(&[3], Dtype::Bool).unwrap(), &source).is_err());
    assert!(a.masked_scatter(&mask, &ints(&[])).is_err());
    let never = Array::zeros(&[2, 3], Dtype::Bool).unwrap();
    never.eval().unwrap();
    assert_eq!(values(&a.masked_scatter(&never, &ints(&[])).unwrap()), [0, 1, 2, 3, 4, 5]);
    assert_eq!(
        arange(&[0]).masked_scatter(&Array::zeros(&[0], Dtype::Bool).unwrap(), &ints(&[])).unwrap().shape(),
        [0]
    );
}

#[test]
fn dynamic_slices_start_where_an_array_says() {
    let a = arange(&[3, 4]);
    let start = ints(&[1, 2]);
    assert_eq!(values(&a.slice_dynamic(&start, &[0, 1], &[2, 2]).unwrap()), [6, 7, 10, 11]);
    assert_eq!(values(&a.slice_dynamic(&lazy(&start), &[1, 0], &[1, 2]).unwrap()), [9, 10]);
    assert_eq!(values(&a.slice_dynamic(&Array::scalar(2u8).unwrap(), &[-2], &[1, 3]).unwrap()), [8, 9, 10]);
    assert_eq!(values(&a.slice_dynamic(&ints(&[]), &[], &[1, 2]).unwrap()), [0, 1]);
    assert_eq!(a.slice_dynamic(&start, &[0, 1], &[0, 2]).unwrap().shape(), [0, 2]);
    let update = Array::from_slice(&[-1, -2], &[1, 2]).unwrap();
    let updated = a.slice_update_dynamic(&update, &start, &[0, 1]).unwrap();
    assert_eq!(values(&updated), [0, 1, 2, 3, 4, 5, -1, -2, 8, 9, 10, 11]);
    let updated = a.slice_update_dynamic(&update, &ints(&[]), &[]).unwrap();
    assert_eq!(values(&updated)[..3], [-1, -2, 2]);
    for dtype in
        [Dtype::Int8, Dtype::Uint8, Dtype::Int16, Dtype::Uint16, Dtype::Uint32, Dtype::Int64, Dtype::Uint64]
    {
        let start = start.astype(dtype).unwrap();
        assert_eq!(values(&a.slice_dynamic(&start, &[0, 1], &[1, 1]).unwrap()), [6], "{dtype}");
        let updated = a.slice_update_dynamic(&update, &start, &[0, 1]).unwrap();
        assert_eq!(values(&updated)[6..8], [-1, -2], "{dtype}");
    }
}

#[test]
fn dynamic_starts_cannot_leave_the_array() {
    let a = arange(&[6]);
    for (start, clamped) in [(4, 3), (1 << 30, 3), (-2, 0), (i32::MIN, 0), (i32::MAX, 3)] {
        let known = ints(&[start]);
        assert!(matches!(a.slice_dynamic(&known, &[0], &[3]), Err(Error::Index { .. })), "{start}");
        assert!(
            matches!(a.slice_update_dynamic(&ints(&[9; 3]), &known, &[0]), Err(Error::Index { .. })),
            "{start}"
        );
        assert_eq!(values(&a.slice_dynamic(&lazy(&known), &[0], &[3]).unwrap())[0], clamped, "{start}");
        let updated = values(&a.slice_update_dynamic(&ints(&[9; 3]), &lazy(&known), &[0]).unwrap());
        assert_eq!(updated.iter().position(|&x| x == 9), usize::try_from(clamped).ok(), "{start}");
    }
    let huge = lazy(&Array::from_slice(&[u64::MAX], &[1]).unwrap());
    assert_eq!(values(&a.slice_dynamic(&huge, &[0], &[3]).unwrap()), [3, 4, 5]);
    let start = ints(&[0]);
    for result in [
        a.slice_dynamic(&start, &[0], &[7]),
        a.slice_dynamic(&start, &[0], &[-1]),
        a.slice_dynamic(&start, &[0], &[1, 1]),
        a.slice_dynamic(&start, &[1], &[1]),
        a.slice_dynamic(&start, &[], &[1]),
        a.slice_dynamic(&ints(&[0, 0]), &[0, -1], &[1]),
        a.slice_dynamic(&Array::scalar(0.0f32).unwrap(), &[0], &[1]),
        a.slice_dynamic(&arange(&[1, 1]), &[0], &[1]),
        a.slice_update_dynamic(&arange(&[7]), &start, &[0]),
        a.slice_update_dynamic(&Array::scalar(1).unwrap(), &start, &[0]),
    ] {
        assert!(result.is_err());
    }
}

#[test]
fn arrays_without_indices_read_and_write_nothing() {
    let a = arange(&[1, 0, 3]);
    let (none, one) = (ints(&[]), Array::scalar(9).unwrap());
    assert_eq!(a.index((0, &none)).unwrap().shape(), [0, 3]);
    assert_eq!(a.index((&none, &none)).unwrap().shape(), [0, 3]);
    assert_eq!(a.index((&ints(&[0]), &none)).unwrap().shape(), [0, 3]);
    assert_eq!(a.index_update((0, &none), &one).unwrap().shape(), [1, 0, 3]);
    assert_eq!(a.index_add((&none, &none, 0), &one).unwrap().shape(), [1, 0, 3]);
    // Out of range is an error even where nothing is read.
    assert!(a.index((&ints(&[1]), &none)).is_err() && a.index_update((&ints(&[1]), &none), &one).is_err());
    assert!(a.index((.., &ints(&[0]))).is_err() && a.index_add((.., &ints(&[0])), &one).is_err());
}

#[test]
fn updates_meet_what_is_there() {
    let a = arange(&[2, 3]);
    let three = Array::scalar(3).unwrap();
    assert_eq!(values(&a.slice_update_add(&three, &[0, 1], &[2, 2]).unwrap()), [0, 4, 2, 3, 7, 5]);
    assert_eq!(values(&a.slice_update_max(&three, &[0, 0], &[1, 3]).unwrap()), [3, 3, 3, 3, 4, 5]);
    assert_eq!(values(&a.slice_update_min(&three, &[1, 0], &[2, 3]).unwrap()), [0, 1, 2, 3, 3, 3]);
    assert_eq!(values(&a.slice_update_prod(&three, &[0, -1], &[2, 3]).unwrap()), [0, 1, 6, 3, 4, 15]);
    let pair = ints(&[10, 20]);
    let backwards = a.slice_update_add_strided(&pair, &[1, 2], &[-9, -9], &[-1, -2]).unwrap();
    assert_eq!(values(&backwards), [20, 1, 12, 23, 4, 15]);
    // All of the array, none of it, and a view of another one.
    assert_eq!(values(&a.index_multiply(.., &three).unwrap()), [0, 3, 6, 9, 12, 15]);
    assert_eq!(values(&a.index_add(5.., &three).unwrap()), [0, 1, 2, 3, 4, 5]);
    let row = arange(&[1, 3]).broadcast_to(&[2, 3]).unwrap();
    assert_eq!(values(&row.index_add((1, 0), &three).unwrap()), [0, 1, 2, 3, 1, 2]);
    assert_eq!(values(&row), [0, 1, 2, 0, 1, 2]);
    let half = Array::ones(&[2], Dtype::Bfloat16).unwrap().index_divide(0, &Array::scalar(2.0f32).unwrap());
    assert_eq!(half.unwrap().to_vec::<bf16>().unwrap().map_f32(), [0.5, 1.0]);
    let wrapped = Array::from_slice(&[1u8, 2], &[2]).unwrap().index_subtract(0, &three).unwrap();
    assert_eq!(wrapped.to_vec::<u8>().unwrap(), [254, 2]);
}

#[test]
fn updates_reject_what_does_not_fit() {
    let a = arange(&[2, 3]);
    let (five, one) = (arange(&[5]), Array::scalar(1).unwrap());
    let mask = Array::scalar(true).unwrap();
    for (expected, result) in [
        ("index_add: an update of [5] does not broadcast", a.index_add(0, &five)),
        ("index_subtract: index 2 is out of range", a.index_subtract(2, &one)),
        ("index_multiply: index 3 is out of range", a.index_multiply((.., &ints(&[3])), &one)),
        ("floating", a.index_divide(0, &one)),
        ("bool", mask.index_subtract(Ellipsis, &mask)),
        ("index_maximum: indices: 3 indices", a.index_maximum((0, 0, 0), &one)),
        ("masked_fill", a.index_minimum(&mask, &one)),
        ("slice_update_add: an update of [5]", a.slice_update_add(&five, &[0, 0], &[2, 3])),
        ("slice_update_prod_strided: strides", a.slice_update_prod_strided(&one, &[0, 0], &[2, 3], &[1, 0])),
        ("masked_fill: mask: expected bool", a.masked_fill(&one, &one)),
        (
            "masked_fill: mask: [3] does not lead",
            a.masked_fill(&Array::ones(&[3], Dtype::Bool).unwrap(), &one),
        ),
        ("masked_fill: an update of [5]", a.masked_fill(&mask, &five)),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "{error} for {expected}");
    }
}

#[test]
fn no_places_of_an_axis_without_any_are_read_and_written() {
    let a = Array::zeros(&[2, 0], Dtype::Float32).unwrap();
    let none = Array::from_slice::<i32>(&[], &[0]).unwrap();
    let part = a.index((.., &none)).unwrap();
    assert_eq!(part.shape(), [2, 0]);
    assert_eq!(a.index_update((.., &none), &part).unwrap().shape(), [2, 0]);
    assert!(a.index_update((.., &none), &Array::zeros(&[3, 0], Dtype::Float32).unwrap()).is_err());
}
