// SPDX-License-Identifier: EUPL-1.2
//! A file of NumPy's, or nothing like one.

use mlx_core::io::{read_npy, write_npy};

use super::read;

pub(crate) fn run(data: &[u8]) {
    // The beginning that all such files share is hard to guess, so inputs may leave it out; then the length of the header
    // is put right too.
    let file = match data.split_first() {
        Some((&first, rest)) if first < 128 => {
            let len = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |at| at + 1);
            let len = u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes();
            [b"\x93NUMPY\x01\x00", &len[..], rest].concat()
        }
        _ => data.to_vec(),
    };
    let Ok(array) = read_npy(&file[..]) else { return };
    read(&array);
    let mut again = Vec::new();
    write_npy(&mut again, &array).expect("what was read can be written");
    let known = read_npy(&again[..]).expect("what was written can be read");
    assert_eq!((known.shape(), known.dtype()), (array.shape(), array.dtype()));
    let bytes = |x: &mlx_core::Array| x.with_bytes(<[u8]>::to_vec).expect("it is in memory");
    assert_eq!(bytes(&known), bytes(&array));
}
