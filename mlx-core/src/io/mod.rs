// SPDX-License-Identifier: EUPL-1.2
//! Arrays on disk and elsewhere in the formats of others: safetensors, single and sharded, and NumPy's `.npy` and `.npz`.
//!
//! `load_` and `save_` take a path, `read_` and `write_` anything that can be read or written, bytes in memory included.
//!
//! Files are mapped, and checked by the `safetensors` crate before anything is believed. Where arrays live in plain
//! memory, on the CPU, a tensor is an array in the mapped pages themselves: loading copies nothing, several processes
//! share one copy, and the system reads ahead what is not in memory yet. Elsewhere a tensor is copied. Writing goes
//! through a temporary file beside the target and a rename.
//!
//! As with every mapped file, nobody must shorten or rewrite one in place while arrays of it are alive: the system ends
//! a process that reads beyond the end of its file. The length is checked before each tensor. Writers that rename, as
//! [`save_safetensors`] and the tools of the model hubs do, never disturb a reader.

mod map;
mod npy;
#[cfg(feature = "npz")]
mod npz;
mod read;
mod shards;
mod write;

pub use npy::{load_npy, read_npy, save_npy, write_npy};
#[cfg(feature = "npz")]
pub use npz::{Compression, load_npz, read_npz, save_npz, write_npz};
pub use read::{SafetensorsFile, TensorInfo, load_safetensors, load_tensors, read_safetensors};
pub use shards::{load_sharded, open_sharded, shard_paths};
pub use write::{PartialFile, atomically, save_safetensors, write_safetensors};

use std::collections::BTreeMap;

use crate::{Array, Dtype};

/// What errors call a source and a target that have no path.
const READER: &str = "<reader>";
const WRITER: &str = "<writer>";

/// The content of one checkpoint: tensors by name, and the text that came with them.
#[derive(Debug, Default)]
pub struct Tensors {
    /// The arrays by name.
    pub tensors: BTreeMap<String, Array>,
    /// Free text by key, such as `format`.
    pub metadata: BTreeMap<String, String>,
}

/// Our element type for one of the format's, where there is one.
fn dtype_from_file(dtype: safetensors::Dtype) -> Option<Dtype> {
    use safetensors::Dtype as File;
    Some(match dtype {
        File::BOOL => Dtype::Bool,
        File::U8 => Dtype::Uint8,
        File::U16 => Dtype::Uint16,
        File::U32 => Dtype::Uint32,
        File::U64 => Dtype::Uint64,
        File::I8 => Dtype::Int8,
        File::I16 => Dtype::Int16,
        File::I32 => Dtype::Int32,
        File::I64 => Dtype::Int64,
        File::F16 => Dtype::Float16,
        File::F32 => Dtype::Float32,
        File::F64 => Dtype::Float64,
        File::BF16 => Dtype::Bfloat16,
        File::C64 => Dtype::Complex64,
        // The 8-bit and smaller floats have no array type; taking their bytes for integers would lose what they are.
        _ => return None,
    })
}

/// The format's element type for one of ours.
fn dtype_to_file(dtype: Dtype) -> safetensors::Dtype {
    use safetensors::Dtype as File;
    match dtype {
        Dtype::Bool => File::BOOL,
        Dtype::Uint8 => File::U8,
        Dtype::Uint16 => File::U16,
        Dtype::Uint32 => File::U32,
        Dtype::Uint64 => File::U64,
        Dtype::Int8 => File::I8,
        Dtype::Int16 => File::I16,
        Dtype::Int32 => File::I32,
        Dtype::Int64 => File::I64,
        Dtype::Float16 => File::F16,
        Dtype::Float32 => File::F32,
        Dtype::Float64 => File::F64,
        Dtype::Bfloat16 => File::BF16,
        Dtype::Complex64 => File::C64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dtype_has_a_counterpart_in_the_format() {
        for dtype in Dtype::ALL {
            assert_eq!(dtype_from_file(dtype_to_file(dtype)), Some(dtype));
        }
    }
}
