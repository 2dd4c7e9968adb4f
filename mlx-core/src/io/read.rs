// SPDX-License-Identifier: EUPL-1.2
//! Reading one safetensors file.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use safetensors::SafeTensors;
use safetensors::tensor::Metadata;

use super::map::{Mapping, read_words};
use super::{Tensors, dtype_from_file};
use crate::array::element_count;
use crate::error::{Error, Result};
use crate::{Array, Dtype};

/// What the header of a file says of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The element type.
    pub dtype: Dtype,
    /// The length of each axis.
    pub shape: Vec<i32>,
    /// The bytes of the elements.
    pub nbytes: usize,
}

/// A mapped safetensors file whose header has been read and checked.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mlx_core::{Array, io};
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("a.safetensors");
/// io::save_safetensors(&path, [("x", &Array::scalar(1.0f32)?)], &Default::default())?;
///
/// let file = io::SafetensorsFile::open(&path)?;
/// assert_eq!(file.names().collect::<Vec<_>>(), ["x"]);
/// assert_eq!(file.tensor("x")?.item::<f32>()?, 1.0);
/// # Ok(()) }
/// ```
pub struct SafetensorsFile {
    map: Mapping,
    header: Header,
    /// The tensors that lie in the map since they were asked for.
    lent: Mutex<HashSet<String>>,
}

impl SafetensorsFile {
    /// Maps the file at `path` and reads its header. No tensor is read yet.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be opened, [`Error::File`] when it is not a whole, consistent safetensors file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let map = Mapping::open(path, "a safetensors file", size_of::<u64>() as u64)?;
        let (header_length, header) = SafeTensors::read_metadata(map.bytes())
            .map_err(|e| Error::file(path, format!("not a safetensors file: {e}")))?;
        let header = Header::new(path, header_length, header);
        Ok(Self { map, header, lent: Mutex::default() })
    }

    /// The file.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use mlx_core::{Array, io};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("a.safetensors");
    /// # io::save_safetensors(&path, [("x", &Array::scalar(1.0f32)?)], &Default::default())?;
    /// let file = io::SafetensorsFile::open(&path)?;
    /// assert!(file.path().ends_with("a.safetensors"));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn path(&self) -> &Path {
        self.map.path()
    }

    /// The tensors' names, in the order of their bytes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.header.names.iter().map(String::as_str)
    }

    /// The free text of the header.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use mlx_core::{Array, io};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("a.safetensors");
    /// # io::save_safetensors(&path, [("x", &Array::scalar(1.0f32)?)], &Default::default())?;
    /// let file = io::SafetensorsFile::open(&path)?;
    /// assert!(file.metadata().is_empty());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn metadata(&self) -> BTreeMap<String, String> {
        self.header.metadata()
    }

    /// What the header says of `name`.
    ///
    /// # Errors
    /// [`Error::Tensor`] when the file has no such tensor, or when its element type or shape fits no array.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use mlx_core::{Array, Dtype, io};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("a.safetensors");
    /// # io::save_safetensors(&path, [("x", &Array::zeros(&[2, 3], Dtype::Float16)?)], &Default::default())?;
    /// let info = io::SafetensorsFile::open(&path)?.info("x")?;
    /// assert_eq!((info.dtype, info.shape, info.nbytes), (Dtype::Float16, vec![2, 3], 12));
    /// # Ok(()) }
    /// ```
    pub fn info(&self, name: &str) -> Result<TensorInfo> {
        self.header.info(name).map(|(info, _)| info)
    }

    /// Takes over one tensor.
    ///
    /// # Errors
    /// As [`SafetensorsFile::info`]; [`Error::File`] when the file has become shorter since it was opened.
    pub fn tensor(&self, name: &str) -> Result<Array> {
        let (TensorInfo { dtype, shape, nbytes }, begin) = self.header.info(name)?;
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        let (array, kept) = self.map.array(begin, nbytes, &shape, dtype, lent.contains(name))?;
        if kept {
            lent.insert(name.to_owned());
        }
        Ok(array)
    }
}

/// A header that has been checked.
struct Header {
    path: PathBuf,
    /// Where the tensors' bytes begin.
    data_start: usize,
    header: Metadata,
    /// Names in the order of their bytes, which is the order to read them in.
    names: Vec<String>,
}

impl Header {
    fn new(path: &Path, length: usize, header: Metadata) -> Self {
        let names = header.offset_keys();
        Self { path: path.to_path_buf(), data_start: length + size_of::<u64>(), header, names }
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        self.header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// What the header says of `name`, and where its bytes begin.
    fn info(&self, name: &str) -> Result<(TensorInfo, usize)> {
        let wrong =
            |message: String| Error::Tensor { path: self.path.clone(), name: name.to_owned(), message };
        let info = self.header.info(name).ok_or_else(|| wrong("there is none of this name".to_owned()))?;
        let dtype = dtype_from_file(info.dtype)
            .ok_or_else(|| wrong(format!("elements of type {:?} are not supported", info.dtype)))?;
        let shape = info
            .shape
            .iter()
            .map(|&dim| i32::try_from(dim))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| wrong(format!("shape {:?} has an axis longer than {}", info.shape, i32::MAX)))?;
        let nbytes = element_count("load", &shape, dtype).map_err(|e| wrong(e.to_string()))? * dtype.size();
        Ok((TensorInfo { dtype, shape, nbytes }, info.data_offsets.0 + self.data_start))
    }
}

impl std::fmt::Debug for SafetensorsFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SafetensorsFile")
            .field("path", &self.path())
            .field("tensors", &self.header.names.len())
            .finish()
    }
}

/// Takes over the named tensors, each of its file, in that order.
///
/// - `progress`: called with the bytes taken over so far and the bytes there are
///
/// # Errors
/// As [`SafetensorsFile::tensor`]; headers are checked first, so that a bad one is found before a gigabyte is read.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use mlx_core::{Array, io};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("a.safetensors");
/// # let (x, y) = (Array::scalar(1.0f32)?, Array::scalar(2.0f32)?);
/// # io::save_safetensors(&path, [("x", &x), ("y", &y)], &Default::default())?;
/// let file = io::SafetensorsFile::open(&path)?;
/// let mut seen = 0;
/// let arrays = io::load_tensors(&[(&file, "y")], |done, total| seen = 100 * done / total)?;
/// assert_eq!((arrays[0].item::<f32>()?, seen), (2.0, 100));
/// # Ok(()) }
/// ```
pub fn load_tensors(
    tensors: &[(&SafetensorsFile, &str)],
    mut progress: impl FnMut(u64, u64),
) -> Result<Vec<Array>> {
    let sizes = tensors.iter().map(|(file, name)| Ok(file.info(name)?.nbytes)).collect::<Result<Vec<_>>>()?;
    let total = sizes.iter().map(|&nbytes| nbytes as u64).sum();
    let mut done = 0;
    tensors
        .iter()
        .zip(sizes)
        .map(|((file, name), nbytes)| {
            let array = file.tensor(name)?;
            done += nbytes as u64;
            progress(done, total);
            Ok(array)
        })
        .collect()
}

/// All tensors of one safetensors file.
///
/// # Errors
/// As [`SafetensorsFile::open`] and [`SafetensorsFile::tensor`].
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use mlx_core::{Array, io};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("a.safetensors");
/// # io::save_safetensors(&path, [("x", &Array::scalar(1.0f32)?)], &Default::default())?;
/// let loaded = io::load_safetensors(&path)?;
/// assert_eq!(loaded.tensors["x"].item::<f32>()?, 1.0);
/// # Ok(()) }
/// ```
pub fn load_safetensors(path: impl AsRef<Path>) -> Result<Tensors> {
    let file = SafetensorsFile::open(path)?;
    let names: Vec<_> = file.names().map(|name| (&file, name)).collect();
    let arrays = load_tensors(&names, |_, _| ())?;
    let tensors = names.iter().map(|(_, name)| (*name).to_owned()).zip(arrays).collect();
    Ok(Tensors { tensors, metadata: file.metadata() })
}

/// All tensors of a safetensors file that lies anywhere: from where `reader` stands to its end.
///
/// Bytes in memory are read through [`std::io::Cursor`]. Each tensor is read into memory of its own; a header that claims
/// more than there is makes nothing be allocated.
///
/// # Errors
/// [`Error::Io`] when the reader fails, [`Error::File`] when this is not a whole, consistent safetensors file,
/// [`Error::Tensor`] when an element type or a shape fits no array.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use std::io::Cursor;
/// use mlx_core::{Array, io};
/// let mut bytes = Vec::new();
/// let note = [("format".to_owned(), "mlx".to_owned())].into();
/// io::write_safetensors(&mut bytes, [("x", &Array::scalar(1.0f32)?)], &note)?;
///
/// let read = io::read_safetensors(Cursor::new(&bytes))?;
/// assert_eq!(read.tensors["x"].item::<f32>()?, 1.0);
/// assert_eq!(read.metadata, note);
/// # Ok(()) }
/// ```
pub fn read_safetensors(mut reader: impl Read + Seek) -> Result<Tensors> {
    // More than the format allows for a header.
    const MOST: u64 = 100_000_000;
    let path = Path::new(super::READER);
    let io = |source| Error::io(path, source);
    let wrong = |message: String| Error::file(path, format!("not a safetensors file: {message}"));
    let start = reader.stream_position().map_err(io)?;
    let end = reader.seek(SeekFrom::End(0)).map_err(io)?;
    reader.seek(SeekFrom::Start(start)).map_err(io)?;
    let there = end.saturating_sub(start);
    let mut length = [0; size_of::<u64>()];
    if there < length.len() as u64 {
        return Err(wrong(format!("only {there} bytes long")));
    }
    reader.read_exact(&mut length).map_err(io)?;
    let (there, length) = (there - length.len() as u64, u64::from_le_bytes(length));
    if length > there.min(MOST) {
        return Err(wrong(format!("a header of {length} bytes, where {there} are left")));
    }
    let mut json = Vec::new();
    reader.by_ref().take(length).read_to_end(&mut json).map_err(io)?;
    if (json.len() as u64) < length {
        return Err(wrong(format!("the header ends after {} of {length} bytes", json.len())));
    }
    let header: Metadata = serde_json::from_slice(&json).map_err(|e| wrong(e.to_string()))?;
    if header.data_len() as u64 != there - length {
        let (expected, found) = (header.data_len(), there - length);
        return Err(wrong(format!("the tensors take {expected} bytes, but {found} follow the header")));
    }
    let header = Header::new(path, json.len(), header);
    // All are looked at first, so that a bad one is found before a gigabyte is read.
    let infos = header.names.iter().map(|name| header.info(name)).collect::<Result<Vec<_>>>()?;
    let mut tensors = BTreeMap::new();
    for (name, (TensorInfo { dtype, shape, nbytes }, _)) in header.names.iter().zip(infos) {
        let words = read_words(&mut reader, nbytes).map_err(io)?;
        tensors.insert(name.clone(), Array::from_words(words, &shape, dtype)?);
    }
    Ok(Tensors { tensors, metadata: header.metadata() })
}
