// SPDX-License-Identifier: EUPL-1.2
//! Files give back what was written.

use std::collections::BTreeMap;

use mlx_core::{Array, Dtype, io};
use proptest::collection::btree_map;
use proptest::prelude::*;

use super::{check, narrow, shapes};

#[test]
fn safetensors_come_back_as_they_went() {
    let text = || {
        prop_oneof![
            4 => "[a-z]{1,6}(\\.[a-z0-9]{1,4}){0,3}",
            1 => any::<String>(),
            1 => Just("%s%n\"\\{}".to_owned()),
            1 => Just(String::new()),
        ]
    };
    let tensor = (shapes(4), 0..Dtype::ALL.len(), any::<u64>(), any::<bool>());
    let arguments = (btree_map(text(), tensor, 0..5), btree_map(text(), text(), 0..4));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    check(200, arguments, |(tensors, metadata)| {
        let tensors: BTreeMap<String, Array> = tensors
            .into_iter()
            .filter(|(name, _)| name != "__metadata__")
            .map(|(name, (shape, dtype, seed, turned))| {
                (name, array(&shape, Dtype::ALL[dtype], seed, turned))
            })
            .collect();
        io::save_safetensors(&path, &tensors, &metadata).unwrap();
        let found = io::load_safetensors(&path).unwrap();
        assert_eq!(found.metadata, metadata);
        assert_eq!(found.tensors.keys().collect::<Vec<_>>(), tensors.keys().collect::<Vec<_>>());
        for (name, array) in &tensors {
            let found = &found.tensors[name];
            assert_eq!((found.shape(), found.dtype()), (array.shape(), array.dtype()), "{name:?}");
            let bytes = |array: &Array| array.with_bytes(<[u8]>::to_vec).unwrap();
            assert_eq!(bytes(found), bytes(array), "{name:?}");
        }
        // Mapped pages must not be written over while arrays lie in them.
        drop(found);
        std::fs::remove_file(&path).unwrap();
    });
}

/// Any bits at all, as a view when `turned`.
fn array(shape: &[usize], dtype: Dtype, seed: u64, turned: bool) -> Array {
    let count = shape.iter().product::<usize>() * dtype.size();
    let mut state = seed;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(count)
    .collect();
    let array = Array::from_bytes(&bytes, &narrow(shape), dtype).unwrap();
    if turned { array.transpose().unwrap() } else { array }
}
