// SPDX-License-Identifier: EUPL-1.2
//! Indices against ndarray, and against anything at all.

use mlx_core::{Array, Dtype, Index, Result};
use ndarray::{ArrayD, Dimension, IxDyn, SliceInfo, SliceInfoElem};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{assert_same, check, counted, narrow, shapes};

/// An index before it is known which axis it is for.
#[derive(Clone, Debug)]
enum Item {
    At(u8),
    Slice(Option<i32>, Option<i32>, i32),
    Ellipsis,
    New,
    /// Places, to be taken modulo the axis, with a shape.
    Take(Vec<u8>, u8),
}

fn basic() -> impl Strategy<Value = Item> {
    let bound = || option::of(-7..7i32);
    prop_oneof![
        2 => any::<u8>().prop_map(Item::At),
        5 => (bound(), bound(), prop_oneof![-3..0i32, 1..4i32])
            .prop_map(|(start, stop, step)| Item::Slice(start, stop, step)),
        1 => Just(Item::New),
    ]
}

fn with_arrays() -> impl Strategy<Value = Item> {
    prop_oneof![3 => basic(), 2 => (vec(any::<u8>(), 0..5), any::<u8>()).prop_map(|(p, s)| Item::Take(p, s))]
}

/// `items` as far as there are axes for them, with an ellipsis at one place or at none.
fn fitted(shape: &[usize], items: &[Item], ellipsis: Option<usize>) -> Vec<Item> {
    let mut left = shape.len();
    let mut fitted: Vec<Item> = items
        .iter()
        .filter(|item| match item {
            Item::New => true,
            _ if left == 0 => false,
            _ => {
                left -= 1;
                true
            }
        })
        .cloned()
        .collect();
    if let Some(place) = ellipsis {
        fitted.insert(place % (fitted.len() + 1), Item::Ellipsis);
    }
    fitted
}

/// Python's slice, one place at a time.
fn walk(start: Option<i32>, stop: Option<i32>, step: i32, size: usize) -> Vec<usize> {
    let size = i64::try_from(size).unwrap();
    let from_front = |bound: i32| if bound < 0 { i64::from(bound) + size } else { i64::from(bound) };
    let up = step > 0;
    let first = start.map_or(if up { 0 } else { size - 1 }, from_front);
    let mut place = if up { first.max(0) } else { first.min(size - 1) };
    let mut places = vec![];
    while (0..size).contains(&place)
        && stop.is_none_or(|stop| if up { place < from_front(stop) } else { place > from_front(stop) })
    {
        places.push(usize::try_from(place).unwrap());
        place += i64::from(step);
    }
    places
}

/// What each item means for its axis.
#[derive(Clone, Debug)]
enum Meant {
    At(usize),
    Run(Vec<usize>),
    New,
    Take(ArrayD<usize>),
}

/// The items with their axes, and where the array is too short for one of them, nothing.
fn meant(shape: &[usize], items: &[Item]) -> Option<Vec<Meant>> {
    let named = items.iter().filter(|item| !matches!(item, Item::New | Item::Ellipsis)).count();
    let whole = |n: usize| Meant::Run((0..n).collect());
    let mut axes = shape.iter().copied();
    let mut out = vec![];
    for item in items {
        match item {
            Item::New => out.push(Meant::New),
            Item::Ellipsis => out.extend(axes.by_ref().take(shape.len() - named).map(whole)),
            Item::At(place) => {
                let n = axes.next().unwrap();
                out.push(Meant::At(usize::from(*place).checked_rem(n)?));
            }
            Item::Slice(start, stop, step) => {
                let n = axes.next().unwrap();
                out.push(Meant::Run(walk(*start, *stop, *step, n)));
            }
            Item::Take(places, kind) => {
                let n = axes.next().unwrap();
                let places: Vec<usize> =
                    places.iter().map(|&p| usize::from(p).checked_rem(n)).collect::<Option<_>>()?;
                out.push(Meant::Take(shaped(places, *kind)));
            }
        }
    }
    out.extend(axes.map(whole));
    Some(out)
}

/// Arrays of indices that broadcast with each other: as many as there are along one of two axes, or only the first one.
fn shaped(places: Vec<usize>, kind: u8) -> ArrayD<usize> {
    let n = places.len();
    let shape: Vec<usize> = match kind % 4 {
        0 if n > 0 => vec![],
        1 if n > 1 => return ArrayD::from_shape_vec(vec![2, 1], places[..2].to_vec()).unwrap(),
        2 if n > 2 => return ArrayD::from_shape_vec(vec![1, 3], places[..3].to_vec()).unwrap(),
        _ if n > 2 => return ArrayD::from_shape_vec(vec![3], places[..3].to_vec()).unwrap(),
        _ => vec![n],
    };
    let count = shape.iter().product();
    ArrayD::from_shape_vec(shape, places[..count].to_vec()).unwrap()
}

/// For each element of the result the place it comes from; nothing when the arrays do not broadcast.
fn sources(shape: &[usize], items: &[Item], meant: &[Meant]) -> Option<ArrayD<i32>> {
    let takes = meant.iter().any(|m| matches!(m, Meant::Take(_)));
    let is_taken = |m: &Meant| matches!(m, Meant::Take(_)) || (takes && matches!(m, Meant::At(_)));
    let mut common: Vec<usize> = vec![];
    for take in meant.iter().filter_map(|m| if let Meant::Take(take) = m { Some(take) } else { None }) {
        let ndim = common.len().max(take.ndim());
        let dim = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(ndim).map_or(1, |i| shape[i]);
        common = (0..ndim)
            .map(|i| match (dim(&common, i), dim(take.shape(), i)) {
                (a, b) if a == b || b == 1 => Some(a),
                (1, b) => Some(b),
                _ => None,
            })
            .collect::<Option<_>>()?;
    }
    // In the list as it was written: an ellipsis for no axis at all still stands between two arrays.
    let written = |item: &Item| matches!(item, Item::Take(..)) || (takes && matches!(item, Item::At(_)));
    let first = items.iter().position(written);
    let last = items.iter().rposition(written);
    let together = first.zip(last).is_none_or(|(first, last)| items[first..=last].iter().all(written));
    let mut out: Vec<usize> = if takes && !together { common.clone() } else { vec![] };
    let mut begin = (takes && !together).then_some(0);
    for m in meant {
        match m {
            m if is_taken(m) && begin.is_none() => {
                begin = Some(out.len());
                out.extend(&common);
            }
            Meant::Run(places) => out.push(places.len()),
            Meant::New => out.push(1),
            Meant::At(_) | Meant::Take(_) => {}
        }
    }
    let begin = begin.unwrap_or(0);
    let strides: Vec<usize> = (0..shape.len()).map(|i| shape[i + 1..].iter().product()).collect();
    Some(ArrayD::from_shape_fn(out, |at| {
        let taken: Vec<usize> = (begin..begin + common.len()).map(|i| at[i]).collect();
        let mut rest = (0..at.ndim()).filter(|i| !takes || !(begin..begin + common.len()).contains(i));
        let mut axis = 0;
        let mut place = 0;
        for m in meant {
            let own = match m {
                Meant::At(at) => *at,
                Meant::Run(places) => places[at[rest.next().unwrap()]],
                Meant::New => {
                    rest.next();
                    continue;
                }
                Meant::Take(take) => take.broadcast(common.clone()).unwrap()[IxDyn(&taken)],
            };
            place += own * strides[axis];
            axis += 1;
        }
        i32::try_from(place).unwrap()
    }))
}

/// The arrays of indices, every second place counted from the end.
fn arrays(shape: &[usize], items: &[Item], meant: &[Meant], lazy: bool) -> Vec<Array> {
    // The axes that items stand for, in order.
    let mut axis = 0;
    let mut out = vec![];
    for m in meant {
        if let Meant::Take(take) = m {
            let n = i32::try_from(shape[axis]).unwrap();
            let turned =
                |(i, &place): (usize, &usize)| i32::try_from(place).unwrap() - n * i32::from(i % 2 == 1);
            let values: Vec<i32> = take.iter().enumerate().map(turned).collect();
            let array = Array::from_slice(&values, &narrow(take.shape())).unwrap();
            out.push(if lazy { (&array + &Array::scalar(0).unwrap()).unwrap() } else { array });
        }
        axis += usize::from(!matches!(m, Meant::New));
    }
    assert_eq!(out.len(), items.iter().filter(|item| matches!(item, Item::Take(..))).count());
    out
}

/// The items in our terms.
fn ours<'a>(shape: &[usize], items: &[Item], meant: &[Meant], arrays: &'a [Array]) -> Vec<Index<'a>> {
    let mut arrays = arrays.iter();
    let mut ats = (0..).zip(meant.iter().filter(|m| !matches!(m, Meant::New)));
    let mut axis = 0;
    items
        .iter()
        .map(|item| {
            match item {
                Item::At(_) => {
                    let place = ats.find_map(|(i, m)| match m {
                        Meant::At(at) if i >= axis => Some((i, *at)),
                        _ => None,
                    });
                    let (i, at) = place.unwrap();
                    axis = i + 1;
                    let at = i32::try_from(at).unwrap();
                    // Either way of naming it.
                    Index::At(if at % 2 == 0 { at } else { at - i32::try_from(shape[i]).unwrap() })
                }
                Item::Slice(start, stop, step) => Index::Slice { start: *start, stop: *stop, step: *step },
                Item::Ellipsis => Index::Ellipsis,
                Item::New => Index::NewAxis,
                Item::Take(..) => Index::Take(arrays.next().unwrap()),
            }
        })
        .collect()
}

#[test]
fn basic_indices_read_and_write_what_ndarray_does() {
    let arguments = (shapes(4), vec(basic(), 0..5), option::of(0..6usize), any::<u8>());
    check(600, arguments, |(shape, items, ellipsis, order)| {
        let (array, reference) = counted(&shape, order);
        let items = fitted(&shape, &items, ellipsis);
        let Some(meant) = meant(&shape, &items) else { return };
        let elements: Vec<SliceInfoElem> = meant.iter().map(element).collect();
        let info = SliceInfo::<_, IxDyn, IxDyn>::try_from(elements).unwrap();
        let wanted = reference.slice(&info).to_owned();
        let indices = ours(&shape, &items, &meant, &[]);
        assert_same(&array.index(indices.as_slice()).unwrap(), &wanted);
        assert_same(&array.index(indices.as_slice()).unwrap(), &sources(&shape, &items, &meant).unwrap());

        let update = wanted.mapv(|place| 1000 + place);
        let values: Vec<i32> = update.iter().copied().collect();
        let update_array = Array::from_slice(&values, &narrow(update.shape())).unwrap();
        type Ours = fn(&Array, &[Index<'_>], &Array) -> Result<Array>;
        type Theirs = fn(i32, i32) -> i32;
        let kinds: [(Ours, Theirs); 6] = [
            (|a, i, u| a.index_update(i, u), |_, u| u),
            (|a, i, u| a.index_add(i, u), |a, u| a + u),
            (|a, i, u| a.index_subtract(i, u), |a, u| a - u),
            (|a, i, u| a.index_multiply(i, u), |a, u| a * u),
            (|a, i, u| a.index_maximum(i, u), |a, u| a.max(u)),
            (|a, i, u| a.index_minimum(i, u), |a, u| a.min(u)),
        ];
        for (ours, theirs) in kinds {
            let mut wanted = reference.clone();
            wanted.slice_mut(&info).zip_mut_with(&update, |a, &u| *a = theirs(*a, u));
            assert_same(&ours(&array, &indices, &update_array).unwrap(), &wanted);
        }
        let mut filled = reference.clone();
        filled.slice_mut(&info).fill(-5);
        assert_same(&array.index_update(indices.as_slice(), &Array::scalar(-5).unwrap()).unwrap(), &filled);
    });
}

/// A run of places, as ndarray says it: a negative step begins at the end of its range.
fn element(meant: &Meant) -> SliceInfoElem {
    let signed = |n: usize| isize::try_from(n).unwrap();
    match meant {
        Meant::At(place) => SliceInfoElem::Index(signed(*place)),
        Meant::New => SliceInfoElem::NewAxis,
        Meant::Run(places) => match places.as_slice() {
            [] => SliceInfoElem::Slice { start: 0, end: Some(0), step: 1 },
            [first, .., last] => {
                let step = signed(places[1]) - signed(*first);
                let (low, high) = (*first.min(last), *first.max(last));
                SliceInfoElem::Slice { start: signed(low), end: Some(signed(high) + 1), step }
            }
            [one] => SliceInfoElem::Slice { start: signed(*one), end: Some(signed(*one) + 1), step: 1 },
        },
        Meant::Take(_) => panic!("not a slice"),
    }
}

#[test]
fn arrays_among_indices_follow_numpy() {
    let arguments = (shapes(4), vec(with_arrays(), 0..5), option::of(0..6usize), any::<u8>(), any::<bool>());
    check(800, arguments, |(shape, items, ellipsis, order, lazy)| {
        let (array, reference) = counted(&shape, order);
        let items = fitted(&shape, &items, ellipsis);
        let Some(meant) = meant(&shape, &items) else { return };
        let arrays = arrays(&shape, &items, &meant, lazy);
        let indices = ours(&shape, &items, &meant, &arrays);
        let Some(sources) = sources(&shape, &items, &meant) else {
            assert!(array.index(indices).is_err());
            return;
        };
        assert_same(&array.index(indices.as_slice()).unwrap(), &sources);

        // Every update says where it belongs, so that it does not matter which of two for one place comes last.
        let values: Vec<i32> = sources.iter().map(|place| 1000 + place).collect();
        let update = Array::from_slice(&values, &narrow(sources.shape())).unwrap();
        let written = |place: i32| sources.iter().filter(|&&source| source == place).count();
        let expect = |f: &dyn Fn(i32, i32) -> i32| {
            reference.mapv(|place| f(place, i32::try_from(written(place)).unwrap()))
        };
        let wanted = expect(&|place, times| if times > 0 { 1000 + place } else { place });
        assert_same(&array.index_update(indices.as_slice(), &update).unwrap(), &wanted);
        let wanted = expect(&|place, times| place + times * (1000 + place));
        assert_same(&array.index_add(indices.as_slice(), &update).unwrap(), &wanted);
        let wanted = expect(&|place, times| place - times * (1000 + place));
        assert_same(&array.index_subtract(indices.as_slice(), &update).unwrap(), &wanted);
        let wanted = expect(&|place, times| if times > 0 { place.max(1000 + place) } else { place });
        assert_same(&array.index_maximum(indices.as_slice(), &update).unwrap(), &wanted);
        let two = Array::scalar(2).unwrap();
        let wanted = expect(&|place, times| (0..times).fold(place, |x, _| x.wrapping_mul(2)));
        assert_same(&array.index_multiply(indices.as_slice(), &two).unwrap(), &wanted);
    });
}

/// Whole numbers of the kind that breaks things.
fn extreme() -> impl Strategy<Value = i32> {
    prop_oneof![
        4 => -6..6i32,
        1 => Just(i32::MIN),
        1 => Just(i32::MAX),
        1 => Just(i32::MIN + 1),
        1 => Just(i32::MAX - 1),
        1 => any::<i32>(),
    ]
}

#[derive(Clone, Debug)]
enum Wild {
    At(i32),
    Slice(Option<i32>, Option<i32>, i32),
    Ellipsis,
    New,
    Take(Vec<i32>, usize, Dtype, bool),
}

fn wild() -> impl Strategy<Value = Wild> {
    let bound = || option::of(extreme());
    prop_oneof![
        2 => extreme().prop_map(Wild::At),
        3 => (bound(), bound(), extreme()).prop_map(|(a, b, c)| Wild::Slice(a, b, c)),
        1 => Just(Wild::Ellipsis),
        1 => Just(Wild::New),
        3 => (vec(extreme(), 0..4), 0..3usize, 0..Dtype::ALL.len(), any::<bool>())
            .prop_map(|(v, n, d, lazy)| Wild::Take(v, n, Dtype::ALL[d], lazy)),
    ]
}

fn wild_array(values: &[i32], axes: usize, dtype: Dtype, lazy: bool) -> Array {
    let n = i32::try_from(values.len()).unwrap();
    let shape: &[i32] = match axes {
        0 if n == 1 => &[],
        2 => &[1, n],
        _ => &[n],
    };
    let array = Array::from_slice(values, shape).unwrap().astype(dtype).unwrap();
    if !lazy {
        array.eval().unwrap();
    }
    array
}

/// Whatever it is, it is an error or it can be computed.
fn computed(result: Result<Array>) {
    if let Ok(array) = result {
        array.eval().unwrap();
        assert_eq!(
            array.size(),
            array.shape().iter().map(|&n| usize::try_from(n).unwrap()).product::<usize>()
        );
        array.with_bytes(|bytes| assert_eq!(bytes.len(), array.nbytes())).unwrap();
    }
}

#[test]
fn any_index_gives_a_value_or_an_error() {
    let arguments = (shapes(3), vec(wild(), 0..5), any::<u8>(), shapes(3));
    check(1500, arguments, |(shape, items, order, update)| {
        let (array, _) = counted(&shape, order);
        let (update, _) = counted(&update, 0);
        let arrays: Vec<Array> = items
            .iter()
            .filter_map(|item| match item {
                Wild::Take(values, axes, dtype, lazy) => Some(wild_array(values, *axes, *dtype, *lazy)),
                _ => None,
            })
            .collect();
        let mut next = arrays.iter();
        let indices: Vec<Index<'_>> = items
            .iter()
            .map(|item| match item {
                Wild::At(place) => Index::At(*place),
                Wild::Slice(start, stop, step) => Index::Slice { start: *start, stop: *stop, step: *step },
                Wild::Ellipsis => Index::Ellipsis,
                Wild::New => Index::NewAxis,
                Wild::Take(..) => Index::Take(next.next().unwrap()),
            })
            .collect();
        let i = indices.as_slice();
        computed(array.index(i));
        computed(array.index_update(i, &update));
        computed(array.index_add(i, &update));
        computed(array.index_multiply(i, &Array::scalar(3).unwrap()));
        computed(array.index_maximum(i, &update));
        computed(array.index_minimum(i, &Array::scalar(0).unwrap()));
    });
}

#[test]
fn any_gather_or_scatter_gives_a_value_or_an_error() {
    let take = || (vec(extreme(), 0..4), 0..3usize, 0..Dtype::ALL.len(), any::<bool>());
    let arguments =
        (shapes(3), vec(take(), 0..3), vec(extreme(), 0..4), vec(extreme(), 0..4), shapes(4), any::<u8>());
    check(1500, arguments, |(shape, takes, axes, sizes, update, order)| {
        let (array, _) = counted(&shape, order);
        let (update, _) = counted(&update, 0);
        let arrays: Vec<Array> =
            takes.iter().map(|(v, n, d, lazy)| wild_array(v, *n, Dtype::ALL[*d], *lazy)).collect();
        let lent: Vec<&Array> = arrays.iter().collect();
        computed(array.gather(&lent, &axes, &sizes));
        computed(array.scatter(&lent, &update, &axes));
        computed(array.scatter_add(&lent, &update, &axes));
        computed(array.scatter_prod(&lent, &update, &axes));
        if let [indices, ..] = lent.as_slice() {
            let axis = axes.first().copied().unwrap_or(0);
            computed(array.take(indices, axis));
            computed(array.take_flat(indices));
            computed(array.take_along_axis(indices, axis));
            computed(array.put_along_axis(indices, &update, axis));
            computed(array.scatter_add_axis(indices, &update, axis));
            computed(array.slice_dynamic(indices, &axes, &sizes));
            computed(array.slice_update_dynamic(&update, indices, &axes));
            computed(array.masked_fill(&indices.astype(Dtype::Bool).unwrap(), &update));
            computed(array.masked_scatter(&indices.astype(Dtype::Bool).unwrap(), &update));
        }
    });
}

#[test]
fn any_slice_gives_a_value_or_an_error() {
    let list = || vec(extreme(), 0..4);
    check(1500, (shapes(3), list(), list(), list(), any::<u8>()), |(shape, start, stop, strides, order)| {
        let (array, _) = counted(&shape, order);
        let one = Array::scalar(1).unwrap();
        computed(array.slice(&start, &stop));
        computed(array.slice_strided(&start, &stop, &strides));
        computed(array.slice_update(&one, &start, &stop));
        computed(array.slice_update_strided(&one, &start, &stop, &strides));
        computed(array.slice_update_add(&one, &start, &stop));
        computed(array.slice_update_max_strided(&one, &start, &stop, &strides));
        computed(array.slice_update_prod_strided(&one, &start, &stop, &strides));
        if let ([axis, ..], [from, ..], [to, ..]) = (&start[..], &stop[..], &strides[..]) {
            computed(array.slice_axis(*axis, *from, *to));
            computed(array.slice_update_axis(&one, *axis, *from, *to));
        }
    });
}
