// SPDX-License-Identifier: EUPL-1.2
//! Reading one safetensors file.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::{MmapMut, MmapOptions, UncheckedAdvice};
use safetensors::SafeTensors;
use safetensors::tensor::Metadata;

use super::{Tensors, dtype_from_file};
use crate::array::element_count;
use crate::error::{Error, Result};
use crate::ffi::{Handle, c_len, call};
use crate::memory::Mapped;
use crate::{Array, DeviceKind, Dtype, Stream};

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
    path: PathBuf,
    file: File,
    map: Arc<MmapMut>,
    /// Where the tensors' bytes begin.
    data_start: usize,
    header: Metadata,
    /// Names in the order of their bytes, which is the order to read them in.
    names: Vec<String>,
}

impl SafetensorsFile {
    /// Maps the file at `path` and reads its header. No tensor is read yet.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be opened, [`Error::File`] when it is not a whole, consistent safetensors file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        let length = file.metadata().map_err(|source| Error::io(path, source))?;
        if !length.is_file() {
            return Err(Error::file(path, "not a regular file"));
        }
        if length.len() < 8 {
            return Err(Error::file(
                path,
                format!("not a safetensors file: only {} bytes long", length.len()),
            ));
        }
        // A private, writable map: where the backend uses the pages in place and an op may overwrite its operand, the
        // file stays as it is. Nothing is reserved for copies that nearly never happen.
        // SAFETY: the map is private, so nobody sees writes to it. That the file is not shortened meanwhile is
        // required in the module's documentation, and checked before each tensor.
        let map = unsafe { MmapOptions::new().no_reserve_swap().map_copy(&file) }
            .map_err(|source| Error::io(path, source))?;
        // The weights are wanted soon, and mostly in the order of the file. What is in memory already costs nothing.
        #[cfg(unix)]
        let _ = map.advise(memmap2::Advice::WillNeed);
        let (header_length, header) = SafeTensors::read_metadata(&map)
            .map_err(|e| Error::file(path, format!("not a safetensors file: {e}")))?;
        let names = header.offset_keys();
        Ok(Self {
            path: path.to_path_buf(),
            file,
            map: Arc::new(map),
            data_start: header_length + size_of::<u64>(),
            header,
            names,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors' names, in the order of their bytes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The free text of the header.
    #[must_use]
    pub fn metadata(&self) -> BTreeMap<String, String> {
        self.header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// What the header says of `name`.
    ///
    /// # Errors
    /// [`Error::Tensor`] when the file has no such tensor, or when its element type or shape fits no array.
    pub fn info(&self, name: &str) -> Result<TensorInfo> {
        let info = self.header.info(name).ok_or_else(|| self.wrong(name, "there is none of this name"))?;
        let dtype = dtype_from_file(info.dtype).ok_or_else(|| {
            self.wrong(name, format!("elements of type {:?} are not supported", info.dtype))
        })?;
        let shape = info.shape.iter().map(|&dim| i32::try_from(dim)).collect::<Result<Vec<_>, _>>().map_err(
            |_| self.wrong(name, format!("shape {:?} has an axis longer than {}", info.shape, i32::MAX)),
        )?;
        let nbytes =
            element_count("load", &shape, dtype).map_err(|e| self.wrong(name, e.to_string()))? * dtype.size();
        Ok(TensorInfo { dtype, shape, nbytes })
    }

    /// Takes over one tensor.
    ///
    /// # Errors
    /// As [`SafetensorsFile::info`]; [`Error::File`] when the file has become shorter since it was opened.
    pub fn tensor(&self, name: &str) -> Result<Array> {
        let TensorInfo { dtype, shape, nbytes } = self.info(name)?;
        let begin = self.header.info(name).map_or(0, |info| info.data_offsets.0) + self.data_start;
        let bytes = self
            .map
            .get(begin..begin + nbytes)
            .ok_or_else(|| self.wrong(name, "its bytes lie outside the file"))?;
        let length = self.file.metadata().map_err(|source| Error::io(&self.path, source))?.len();
        if length < self.map.len() as u64 {
            return Err(Error::file(&self.path, "the file has become shorter while it was read"));
        }
        if nbytes == 0 || bytes.as_ptr().align_offset(dtype.size()) != 0 {
            return Array::from_bytes(bytes, &shape, dtype);
        }
        if Stream::current()?.device()?.kind()? == DeviceKind::Cpu
            && let Some(array) = self.lend(bytes, &shape, dtype)
        {
            return Ok(array);
        }
        let (array, copied) = self.take_over(bytes, &shape, dtype)?;
        if copied {
            self.release(begin, nbytes);
        }
        Ok(array)
    }

    /// An array in the mapped bytes themselves. `None` where the backend's arrays are not in plain memory.
    fn lend(&self, bytes: &[u8], shape: &[i32], dtype: Dtype) -> Option<Array> {
        struct Loan {
            _map: Arc<MmapMut>,
            _counted: Mapped,
        }
        unsafe extern "C" fn give_back(loan: *mut c_void) {
            // SAFETY: the pointer of a boxed `Loan`, given away below, which comes back once.
            drop(unsafe { Box::from_raw(loan.cast::<Loan>()) });
        }
        let loan = Loan { _map: self.map.clone(), _counted: Mapped::new(bytes.len()) };
        let loan = Box::into_raw(Box::new(loan)).cast::<c_void>();
        let mut array = <Array as Handle>::empty();
        // SAFETY: op contract, except that mlx keeps the pointer: the map behind it lives until it is given back, and the
        // pages are private to this process and writable. `bytes` holds the elements of `shape`, aligned, and a header
        // of more than eight bytes is in front of it.
        let lent = unsafe {
            call!(mlx_custom_lend(
                array.as_mut_raw(),
                bytes.as_ptr().cast_mut().cast(),
                shape.as_ptr(),
                shape.len(),
                dtype.to_raw(),
                loan,
                Some(give_back),
            ))
        };
        if lent.is_err() {
            // SAFETY: a failure leaves the loan with the caller.
            unsafe { give_back(loan) };
        }
        lent.ok().map(|()| array)
    }

    /// Gives the mapped bytes to mlx, which copies them or, where the backend can, uses them in place.
    fn take_over(&self, bytes: &[u8], shape: &[i32], dtype: Dtype) -> Result<(Array, bool)> {
        struct Loan {
            _map: Arc<MmapMut>,
            returned: Arc<AtomicBool>,
        }
        unsafe extern "C" fn give_back(loan: *mut c_void) {
            // SAFETY: the pointer of a boxed `Loan`, given to mlx below, which hands it back once.
            let loan = unsafe { Box::from_raw(loan.cast::<Loan>()) };
            loan.returned.store(true, Ordering::Release);
        }
        let dims = c_len("load", shape.len())?;
        let returned = Arc::new(AtomicBool::new(false));
        let loan = Box::into_raw(Box::new(Loan { _map: self.map.clone(), returned: returned.clone() }));
        // SAFETY: op contract, except that mlx may keep the pointer: the map behind it lives as long as the loan, and
        // the pages are private to this process and writable. `bytes` holds the elements of `shape`, aligned.
        let array = unsafe {
            call!(new Array = mlx_array_new_data_managed_payload(
                bytes.as_ptr().cast_mut().cast(),
                shape.as_ptr(),
                dims,
                dtype.to_raw(),
                loan.cast(),
                Some(give_back),
            ))
        }?;
        Ok((array, returned.load(Ordering::Acquire)))
    }

    /// Releases the pages that lie wholly inside a tensor that has been copied.
    fn release(&self, begin: usize, length: usize) {
        // The largest page in use; a range too small for it is not worth a system call.
        const PAGE: usize = 1 << 16;
        let (first, last) = (begin.next_multiple_of(PAGE), (begin + length) / PAGE * PAGE);
        if first < last {
            // A failure costs memory, not correctness.
            // SAFETY: the pages are clean (nothing writes to the map of a tensor that was copied) and backed by the
            // file, so that a later read finds the same bytes.
            let _ =
                unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, first, last - first) };
        }
    }

    fn wrong(&self, name: &str, message: impl Into<String>) -> Error {
        Error::Tensor { path: self.path.clone(), name: name.to_owned(), message: message.into() }
    }
}

impl std::fmt::Debug for SafetensorsFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SafetensorsFile")
            .field("path", &self.path)
            .field("tensors", &self.names.len())
            .finish()
    }
}

/// Takes over the named tensors, each of its file, in that order.
///
/// - `progress`: called with the bytes taken over so far and the bytes there are
///
/// # Errors
/// As [`SafetensorsFile::tensor`]; headers are checked first, so that a bad one is found before a gigabyte is read.
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
pub fn load_safetensors(path: impl AsRef<Path>) -> Result<Tensors> {
    let file = SafetensorsFile::open(path)?;
    let names: Vec<_> = file.names().map(|name| (&file, name)).collect();
    let arrays = load_tensors(&names, |_, _| ())?;
    let tensors = names.iter().map(|(_, name)| (*name).to_owned()).zip(arrays).collect();
    Ok(Tensors { tensors, metadata: file.metadata() })
}
