// SPDX-License-Identifier: EUPL-1.2
//! A file in the format of checkpoints, or nothing like one.

use std::io::Write;

use mlx_core::io::{SafetensorsFile, load_safetensors, save_safetensors};

use super::read;

pub(crate) fn run(data: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("there is a folder for temporary files");
    // Half of the inputs say how long the header is, which is hard to guess; for the others it is put right.
    let header = match data.split_first() {
        Some((&first, rest)) if first != 0 => {
            let len = rest.windows(2).position(|pair| pair == b"}}").map_or(rest.len(), |at| at + 2);
            [&(len as u64).to_le_bytes()[..], rest].concat()
        }
        Some((_, rest)) => rest.to_vec(),
        None => Vec::new(),
    };
    file.write_all(&header).expect("the file can be written");
    if let Ok(opened) = SafetensorsFile::open(file.path()) {
        let _ = opened.metadata();
        let names: Vec<String> = opened.names().map(str::to_owned).collect();
        for name in &names {
            let info = opened.info(name);
            if let Ok(tensor) = opened.tensor(name) {
                read(&tensor);
                drop(info);
                if let Ok(sum) = tensor.astype(mlx_core::Dtype::Float32).and_then(|x| x.sum_all()) {
                    read(&sum);
                }
            }
        }
        assert!(opened.tensor("\u{0}there is no such tensor").is_err());
    }
    let Ok(loaded) = load_safetensors(file.path()) else { return };
    // What was read can be written, and is the same when it is read again.
    let copy = tempfile::NamedTempFile::new().expect("there is a folder for temporary files");
    if save_safetensors(
        copy.path(),
        loaded.tensors.iter().map(|(name, x)| (name.as_str(), x)),
        &loaded.metadata,
    )
    .is_ok()
    {
        let again = load_safetensors(copy.path()).expect("what was written can be read");
        assert_eq!(again.tensors.len(), loaded.tensors.len());
        for (name, tensor) in &again.tensors {
            let known = &loaded.tensors[name];
            assert_eq!((tensor.shape(), tensor.dtype()), (known.shape(), known.dtype()));
            let bytes = |x: &mlx_core::Array| x.with_bytes(<[u8]>::to_vec).expect("it is in memory");
            assert_eq!(bytes(tensor), bytes(known));
        }
    }
}
