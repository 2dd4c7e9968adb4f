// SPDX-License-Identifier: EUPL-1.2
//! Files of NumPy and MLX are read, and ours are what those read.

use std::io::Cursor;

use mlx_core::io::{self, Compression};
use mlx_core::{Array, Dtype, Result};

use super::Params;

pub(super) fn run(op: &str, x: &[Array], p: &Params) -> Result<Vec<Array>> {
    match (op, p.text("kind")) {
        ("read", kind) => read(kind, &bytes(p.text("file"))),
        ("write", kind) => Ok(vec![write(kind, x)?]),
        other => panic!("no op {other:?}"),
    }
}

/// The arrays of a file, from memory and from the disk, which must agree.
fn read(kind: &str, file: &[u8]) -> Result<Vec<Array>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("case");
    std::fs::write(&path, file).unwrap();
    let (from_memory, from_disk): (Result<Vec<Array>>, Result<Vec<Array>>) = match kind {
        "npy" => (io::read_npy(file).map(|a| vec![a]), io::load_npy(&path).map(|a| vec![a])),
        "npz" => (
            io::read_npz(Cursor::new(file)).map(|all| all.into_values().collect()),
            io::load_npz(&path).map(|all| all.into_values().collect()),
        ),
        "safetensors" => (
            io::read_safetensors(Cursor::new(file)).map(|all| all.tensors.into_values().collect()),
            io::load_safetensors(&path).map(|all| all.tensors.into_values().collect()),
        ),
        other => panic!("no kind {other}"),
    };
    if let (Ok(a), Ok(b)) = (&from_memory, &from_disk) {
        for (a, b) in a.iter().zip(b) {
            assert_eq!((a.shape(), a.dtype()), (b.shape(), b.dtype()));
            assert_eq!(a.with_bytes(<[u8]>::to_vec)?, b.with_bytes(<[u8]>::to_vec)?);
            through_an_archive(a)?;
        }
    }
    assert_eq!(from_memory.is_ok(), from_disk.is_ok());
    from_memory.and(from_disk)
}

/// An array comes out of our own archives as it went in.
fn through_an_archive(a: &Array) -> Result<()> {
    for compression in [Compression::None, Compression::Deflate] {
        let mut archive = Cursor::new(Vec::new());
        io::write_npz(&mut archive, [("a", a)], compression)?;
        let back = io::read_npz(archive)?;
        assert_eq!((back["a"].shape(), back["a"].dtype()), (a.shape(), a.dtype()));
        assert_eq!(back["a"].with_bytes(<[u8]>::to_vec)?, a.with_bytes(<[u8]>::to_vec)?);
    }
    Ok(())
}

/// The bytes of a file with these arrays.
fn write(kind: &str, x: &[Array]) -> Result<Array> {
    let mut file = Vec::new();
    match (kind, x) {
        ("npy", [array]) => io::write_npy(&mut file, array)?,
        ("safetensors", _) => {
            let named = x.iter().enumerate().map(|(i, array)| (format!("t{i}"), array));
            io::write_safetensors(&mut file, named, &[("format".to_owned(), "mlx".to_owned())].into())?;
        }
        other => panic!("no kind {other:?}"),
    }
    let size = i32::try_from(file.len()).unwrap();
    Array::from_bytes(&file, &[size], Dtype::Uint8)
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u8> = hexadecimal.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|pair| 16 * pair[0] + pair[1]).collect()
}
