// SPDX-License-Identifier: EUPL-1.2
//! Writing: whole, or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorInfo;

use super::dtype_to_file;
use crate::Array;
use crate::error::{Error, Result};

/// Writes arrays as a safetensors file. Evaluates them.
///
/// The file appears whole under `path`, replacing what was there, or not at all.
///
/// # Errors
/// [`Error::Argument`] when a name occurs twice or is reserved, [`Error::Io`] when the disk refuses,
/// [`Error::Mlx`] when a computation fails.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mlx_core::{Array, io};
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("weights.safetensors");
/// let w = Array::from_slice(&[1.0f32, 2.0], &[2])?;
/// io::save_safetensors(&path, [("w", &w)], &Default::default())?;
/// assert_eq!(io::load_safetensors(&path)?.tensors["w"].to_vec::<f32>()?, [1.0, 2.0]);
/// # Ok(()) }
/// ```
pub fn save_safetensors<'a, N: AsRef<str>>(
    path: impl AsRef<Path>,
    tensors: impl IntoIterator<Item = (N, &'a Array)>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let content = Content::new("save_safetensors", tensors, metadata)?;
    atomically(path, |file| {
        let path = file.path.clone();
        content.write(&path, file)
    })
}

/// Writes arrays in the format of safetensors files to wherever `writer` leads. Evaluates them.
///
/// What was written when an error comes up stays where it is; nothing was when an argument is refused.
///
/// # Errors
/// As [`save_safetensors`].
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, io};
/// let mut bytes = Vec::new();
/// io::write_safetensors(&mut bytes, [("x", &Array::scalar(1.0f32)?)], &Default::default())?;
/// assert_eq!(bytes.len() % 4, 0);
/// # Ok(()) }
/// ```
pub fn write_safetensors<'a, N: AsRef<str>>(
    mut writer: impl Write,
    tensors: impl IntoIterator<Item = (N, &'a Array)>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let path = Path::new(super::WRITER);
    Content::new("write_safetensors", tensors, metadata)?.write(path, &mut writer)?;
    writer.flush().map_err(|source| Error::io(path, source))
}

/// What a file is to have, evaluated.
struct Content<'a> {
    header: Vec<u8>,
    tensors: BTreeMap<String, &'a Array>,
}

impl<'a> Content<'a> {
    fn new<N: AsRef<str>>(
        op: &'static str,
        tensors: impl IntoIterator<Item = (N, &'a Array)>,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let tensors = unique(op, tensors)?;
        if tensors.contains_key("__metadata__") {
            let message = "the name \"__metadata__\" is reserved by the format";
            return Err(Error::argument(op, "tensors", message));
        }
        crate::eval(tensors.values().copied())?;
        let header = header(&tensors, metadata).map_err(|message| Error::argument(op, "tensors", message))?;
        Ok(Self { header, tensors })
    }

    fn write(&self, path: &Path, writer: &mut impl Write) -> Result<()> {
        let io = |source| Error::io(path, source);
        writer.write_all(&(self.header.len() as u64).to_le_bytes()).map_err(io)?;
        writer.write_all(&self.header).map_err(io)?;
        for array in self.tensors.values() {
            array.with_bytes(|bytes| writer.write_all(bytes))?.map_err(io)?;
        }
        Ok(())
    }
}

/// Arrays by name, in the order of the names.
pub(super) fn unique<'a, N: AsRef<str>>(
    op: &'static str,
    tensors: impl IntoIterator<Item = (N, &'a Array)>,
) -> Result<BTreeMap<String, &'a Array>> {
    let mut sorted = BTreeMap::new();
    for (name, array) in tensors {
        let name = name.as_ref();
        if sorted.insert(name.to_owned(), array).is_some() {
            return Err(Error::argument(op, "tensors", format!("{name:?} occurs twice")));
        }
    }
    Ok(sorted)
}

/// The JSON header, padded so that the tensors begin at a multiple of eight bytes.
fn header(
    tensors: &BTreeMap<String, &Array>,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, String> {
    /// What readers take at most.
    const MOST: usize = 100_000_000;
    let mut end = 0usize;
    // The same content gives the same bytes: entries stand in the order of their names, the free text first.
    let mut json = b"{".to_vec();
    let mut entry = |key: &str, value: serde_json::Result<Vec<u8>>| -> Result<(), String> {
        if json.len() > 1 {
            json.push(b',');
        }
        json.extend(serde_json::to_vec(key).map_err(|e| e.to_string())?);
        json.push(b':');
        json.extend(value.map_err(|e| e.to_string())?);
        Ok(())
    };
    if !metadata.is_empty() {
        entry("__metadata__", serde_json::to_vec(metadata))?;
    }
    for (name, array) in tensors {
        let begin = end;
        end += array.nbytes();
        let shape = array.shape().iter().map(|&dim| usize::try_from(dim).unwrap_or_default()).collect();
        let info = TensorInfo { dtype: dtype_to_file(array.dtype()), shape, data_offsets: (begin, end) };
        entry(name, serde_json::to_vec(&info))?;
    }
    json.push(b'}');
    json.resize(json.len().next_multiple_of(8), b' ');
    if json.len() > MOST {
        return Err(format!("names and shapes take {} bytes, more than the format allows", json.len()));
    }
    Ok(json)
}

/// A file being written by [`atomically`]. Its errors should name [`PartialFile::path`].
#[derive(Debug)]
pub struct PartialFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl PartialFile {
    /// The path that the file will have.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Write for PartialFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Writes a file so that it appears whole under `path`, or not at all.
///
/// The bytes go to a temporary file in the same folder, reach the disk, and are then renamed. What is not a regular file,
/// such as a pipe or a device, is written to directly. A symbolic link stays one: what it points to is replaced.
///
/// # Errors
/// What `write` returns; [`Error::Io`] when the disk refuses. Nothing is left behind then.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::io::Write;
/// use mlx_core::{Error, io};
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("note.txt");
/// io::atomically(&path, |file| {
///     let name = file.path().to_path_buf();
///     file.write_all(b"whole").map_err(|source| Error::Io { path: name, source })
/// })?;
/// assert_eq!(std::fs::read(&path)?, b"whole");
/// # Ok(()) }
/// ```
pub fn atomically(path: impl AsRef<Path>, write: impl FnOnce(&mut PartialFile) -> Result<()>) -> Result<()> {
    let path = path.as_ref();
    let io = |source| Error::io(path, source);
    let target = follow(path);
    if fs::metadata(&target).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        let file = File::options().write(true).open(&target).map_err(io)?;
        let mut partial = PartialFile { path: path.to_path_buf(), file: BufWriter::new(file) };
        write(&mut partial)?;
        return partial.flush().map_err(io);
    }
    let dir = match target.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let temporary = builder().tempfile_in(dir).map_err(io)?;
    let (file, temporary) = temporary.into_parts();
    let mut partial = PartialFile { path: path.to_path_buf(), file: BufWriter::with_capacity(1 << 20, file) };
    write(&mut partial)?;
    partial.flush().map_err(io)?;
    partial.file.get_ref().sync_all().map_err(io)?;
    drop(partial);
    temporary.persist(&target).map_err(|e| io(e.error))
}

/// Where `path` leads. A link whose target is yet to be made leads there all the same.
fn follow(path: &Path) -> PathBuf {
    // As many links in a row as Linux follows.
    const MOST_LINKS: usize = 40;
    if let Ok(target) = fs::canonicalize(path) {
        return target;
    }
    let mut target = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&target) {
            Ok(next) => target = target.parent().unwrap_or(Path::new("")).join(next),
            Err(_) => break,
        }
    }
    target
}

/// Temporary files get the permissions that any new file would get.
fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(".partial");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder
}
