// SPDX-License-Identifier: EUPL-1.2
//! Index expressions, read and assigned.

use mlx_core::{Array, Error, Index};

use super::{Bytes, read};

pub(crate) fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let Some(array) = bytes.array() else { return };
    let taken: Vec<Array> = (0..bytes.below(3)).filter_map(|_| indices(&mut bytes)).collect();
    let list: Vec<Index<'_>> = (0..bytes.below(6)).map(|_| index(&mut bytes, &taken)).collect();
    let Ok(part) = array.index(&list[..]) else { return };
    read(&part);
    // A value that has the shape of what is replaced fits; only places that are known by now may not be there.
    match array.index_update(&list[..], &part) {
        Ok(updated) => {
            assert_eq!(updated.shape(), array.shape());
            read(&updated);
        }
        Err(error) => assert!(matches!(error, Error::Index { .. }), "{error}"),
    }
    if let Some(other) = bytes.array()
        && let Ok(updated) = array.index_update(&list[..], &other)
    {
        assert_eq!((updated.shape(), updated.dtype()), (array.shape(), array.dtype()));
        read(&updated);
    }
}

/// An array of any integers, or of something that is no index.
fn indices(bytes: &mut Bytes<'_>) -> Option<Array> {
    let places: Vec<i32> = (0..bytes.below(7)).map(|_| bytes.int()).collect();
    let len = i32::try_from(places.len()).ok()?;
    let flat = Array::from_slice(&places, &[len]).ok()?.astype(bytes.dtype()).ok()?;
    if bytes.flag() { flat.reshape(&[-1, 2]).ok() } else { Some(flat) }
}

fn index<'a>(bytes: &mut Bytes<'_>, taken: &'a [Array]) -> Index<'a> {
    match bytes.below(6) {
        0 => Index::At(bytes.int()),
        1 | 2 => Index::Slice {
            start: bytes.flag().then(|| bytes.int()),
            stop: bytes.flag().then(|| bytes.int()),
            step: bytes.int(),
        },
        3 => Index::Ellipsis,
        4 => Index::NewAxis,
        _ => match taken.get(usize::from(bytes.below(3))) {
            Some(array) => Index::Take(array),
            None => Index::from(0),
        },
    }
}
