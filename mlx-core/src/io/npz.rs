// SPDX-License-Identifier: EUPL-1.2
//! NumPy's `.npz`: a ZIP archive of `.npy` files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::path::Path;

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::write::unique;
use super::{atomically, npy};
use crate::Array;
use crate::error::{Error, Result};

/// The ending that members have and arrays' names lack.
const ENDING: &str = ".npy";

/// How the members of an archive lie in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As they are, what `numpy.savez` and MLX's `savez` do.
    #[default]
    None,
    /// With the DEFLATE method, what `numpy.savez_compressed` and MLX's `savez_compressed` do.
    Deflate,
}

/// The arrays of a `.npz` file by name; those saved without one are called `arr_0`, `arr_1` and so on.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::File`] when it is not a whole archive, [`Error::Tensor`] when a
/// member of it is not a `.npy` file that [`load_npy`](super::load_npy) would take, or its checksum does not fit.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mlx_core::{Array, io};
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("a.npz");
/// let (x, y) = (Array::scalar(1i32)?, Array::scalar(2.0f32)?);
/// io::save_npz(&path, [("x", &x), ("y", &y)], io::Compression::Deflate)?;
/// assert_eq!(io::load_npz(&path)?["y"].item::<f32>()?, 2.0);
/// # Ok(()) }
/// ```
pub fn load_npz(path: impl AsRef<Path>) -> Result<BTreeMap<String, Array>> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    read_from(BufReader::new(file), path)
}

/// As [`load_npz`], from anything that can be read at any place.
///
/// # Errors
/// As [`load_npz`].
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use std::io::Cursor;
/// use mlx_core::{Array, io};
/// let mut bytes = Cursor::new(Vec::new());
/// io::write_npz(&mut bytes, [("x", &Array::scalar(7u8)?)], io::Compression::None)?;
/// assert_eq!(io::read_npz(bytes)?["x"].item::<u8>()?, 7);
/// # Ok(()) }
/// ```
pub fn read_npz(reader: impl Read + Seek) -> Result<BTreeMap<String, Array>> {
    read_from(reader, Path::new(super::READER))
}

fn read_from(reader: impl Read + Seek, path: &Path) -> Result<BTreeMap<String, Array>> {
    let mut archive = ZipArchive::new(reader).map_err(|e| refused(path, e))?;
    let mut out = BTreeMap::new();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(|e| refused(path, e))?;
        let member_name = member.name().map_err(|e| refused(path, e))?.into_owned();
        let wrong =
            |message: String| Error::Tensor { path: path.to_path_buf(), name: member_name.clone(), message };
        let name = member_name
            .strip_suffix(ENDING)
            .ok_or_else(|| wrong("the name does not end in .npy".to_owned()))?;
        let array = npy::read_from(&mut member, path).map_err(|error| match error {
            Error::File { message, .. } => wrong(message),
            Error::Io { source, .. } => wrong(source.to_string()),
            other => wrong(other.to_string()),
        })?;
        // The checksum is looked at where the member ends.
        match member.read(&mut [0]) {
            Ok(0) => {}
            Ok(_) => return Err(wrong("something follows the array".to_owned())),
            Err(e) => return Err(wrong(e.to_string())),
        }
        if out.insert(name.to_owned(), array).is_some() {
            return Err(wrong("another array has this name".to_owned()));
        }
    }
    Ok(out)
}

/// Writes arrays as a `.npz` file, whole or not at all. Evaluates them.
///
/// # Errors
/// [`Error::Argument`] when a name occurs twice, [`Error::Io`] when the disk refuses, [`Error::Mlx`] when a computation
/// fails.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mlx_core::{Array, Dtype, io};
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("zeros.npz");
/// io::save_npz(&path, [("x", &Array::zeros(&[10_000], Dtype::Float32)?)], io::Compression::Deflate)?;
/// assert!(std::fs::metadata(&path)?.len() < 1000);
/// # Ok(()) }
/// ```
pub fn save_npz<'a, N: AsRef<str>>(
    path: impl AsRef<Path>,
    arrays: impl IntoIterator<Item = (N, &'a Array)>,
    compression: Compression,
) -> Result<()> {
    let arrays = unique("save_npz", arrays)?;
    crate::eval(arrays.values().copied())?;
    atomically(path, |file| {
        let path = file.path().to_path_buf();
        // The archive is written from front to back; sizes and checksums that are known late follow each member.
        write_to(ZipWriter::new_stream(file), &arrays, compression, &path)
    })
}

/// As [`save_npz`], to anything that can be written at any place.
///
/// # Errors
/// As [`save_npz`]; what was written before an error stays where it is.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use std::io::Cursor;
/// use mlx_core::{Array, io};
/// let mut bytes = Cursor::new(Vec::new());
/// let twice = [("x", &Array::scalar(1u8)?), ("x", &Array::scalar(2u8)?)];
/// assert!(io::write_npz(&mut bytes, twice, io::Compression::None).is_err());
/// # Ok(()) }
/// ```
pub fn write_npz<'a, N: AsRef<str>>(
    writer: impl Write + Seek,
    arrays: impl IntoIterator<Item = (N, &'a Array)>,
    compression: Compression,
) -> Result<()> {
    let arrays = unique("write_npz", arrays)?;
    crate::eval(arrays.values().copied())?;
    write_to(ZipWriter::new(writer), &arrays, compression, Path::new(super::WRITER))
}

fn write_to<W: Write + Seek>(
    mut zip: ZipWriter<W>,
    arrays: &BTreeMap<String, &Array>,
    compression: Compression,
    path: &Path,
) -> Result<()> {
    // A member of 4 GiB needs longer fields, which are announced before its size is known.
    const LARGE: usize = 1 << 31;
    for (name, array) in arrays {
        let method = match compression {
            Compression::None => CompressionMethod::Stored,
            Compression::Deflate => CompressionMethod::Deflated,
        };
        let options =
            SimpleFileOptions::default().compression_method(method).large_file(array.nbytes() >= LARGE);
        zip.start_file(format!("{name}{ENDING}"), options).map_err(|e| refused(path, e))?;
        npy::write_to(&mut zip, array, path)?;
    }
    let mut writer = zip.finish().map_err(|e| refused(path, e))?;
    writer.flush().map_err(|source| Error::io(path, source))
}

fn refused(path: &Path, error: ZipError) -> Error {
    match error {
        ZipError::Io(source) => Error::io(path, source),
        other => Error::file(path, format!("not a .npz file: {other}")),
    }
}
