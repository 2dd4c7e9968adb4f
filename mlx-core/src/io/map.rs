// SPDX-License-Identifier: EUPL-1.2
//! Files whose bytes are arrays without being read.

use std::ffi::c_void;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::{MmapMut, MmapOptions, UncheckedAdvice};

use crate::error::{Error, Result};
use crate::ffi::{Handle, c_len, call};
use crate::memory::Foreign;
use crate::{Array, DeviceKind, Dtype, Stream};

/// A mapped file.
#[derive(Debug)]
pub(super) struct Mapping {
    path: PathBuf,
    file: File,
    map: Arc<MmapMut>,
}

impl Mapping {
    /// Maps the file at `path`, a `kind` of file that has at least `least` bytes, and at least one.
    pub(super) fn open(path: &Path, kind: &str, least: u64) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        let metadata = file.metadata().map_err(|source| Error::io(path, source))?;
        if !metadata.is_file() {
            return Err(Error::file(path, "not a regular file"));
        }
        if metadata.len() < least.max(1) {
            return Err(Error::file(path, format!("not {kind}: only {} bytes long", metadata.len())));
        }
        let map = Arc::new(private(path, &file)?);
        Ok(Self { path: path.to_path_buf(), file, map })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All bytes of the file. Where tensors were lent, they may have been written over since.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The array whose elements lie from `begin` on, and whether it lies in the mapped pages, where an op that is the last
    /// to need it may put its result: then the same bytes must not be asked for again. `again` says that they were, and
    /// takes them from another mapping.
    ///
    /// The caller has checked that `nbytes` is what `shape` and `dtype` need.
    pub(super) fn array(
        &self,
        begin: usize,
        nbytes: usize,
        shape: &[i32],
        dtype: Dtype,
        again: bool,
    ) -> Result<(Array, bool)> {
        let length = self.file.metadata().map_err(|source| Error::io(&self.path, source))?.len();
        if length < self.map.len() as u64 {
            return Err(Error::file(&self.path, "the file has become shorter while it was read"));
        }
        let map = if again { &Arc::new(private(&self.path, &self.file)?) } else { &self.map };
        let bytes = begin
            .checked_add(nbytes)
            .and_then(|end| map.get(begin..end))
            .ok_or_else(|| Error::file(&self.path, "the elements lie outside the file"))?;
        // What is lent begins eight bytes into the map at least.
        if nbytes == 0 || begin < size_of::<u64>() || bytes.as_ptr().align_offset(dtype.size()) != 0 {
            return Ok((Array::from_bytes(bytes, shape, dtype)?, false));
        }
        if Stream::current()?.device()?.kind()? == DeviceKind::Cpu
            && let Some(array) = lend(map, bytes, shape, dtype)
        {
            return Ok((array, true));
        }
        let (array, copied) = take_over(map, bytes, shape, dtype)?;
        if copied {
            release(map, begin, nbytes);
        }
        Ok((array, !copied))
    }
}

/// A private, writable map: where the backend uses the pages in place and an op overwrites its operand, the file stays
/// as it is. Nothing is reserved for copies that nearly never happen.
fn private(path: &Path, file: &File) -> Result<MmapMut> {
    // SAFETY: the map is private, so nobody sees writes to it. That the file is not shortened meanwhile is required in
    // the module's documentation, and checked before each tensor.
    let map = unsafe { MmapOptions::new().no_reserve_swap().map_copy(file) }
        .map_err(|source| Error::io(path, source))?;
    // The weights are wanted soon, and mostly in the order of the file. What is in memory already costs nothing.
    #[cfg(unix)]
    let _ = map.advise(memmap2::Advice::WillNeed);
    Ok(map)
}

/// An array in the mapped bytes themselves. `None` where the backend's arrays are not in plain memory.
fn lend(map: &Arc<MmapMut>, bytes: &[u8], shape: &[i32], dtype: Dtype) -> Option<Array> {
    struct Loan {
        _map: Arc<MmapMut>,
        _counted: Foreign,
    }
    unsafe extern "C" fn give_back(loan: *mut c_void) {
        // SAFETY: the pointer of a boxed `Loan`, given away below, which comes back once.
        drop(unsafe { Box::from_raw(loan.cast::<Loan>()) });
    }
    let loan = Loan { _map: map.clone(), _counted: Foreign::new(bytes.len()) };
    let loan = Box::into_raw(Box::new(loan)).cast::<c_void>();
    let mut array = <Array as Handle>::empty();
    // SAFETY: op contract, except that mlx keeps the pointer: the map behind it lives until it is given back, and the pages
    // are private to this process and writable. `bytes` holds the elements of `shape`, aligned, and eight bytes of the
    // map at least are in front of it.
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
fn take_over(map: &Arc<MmapMut>, bytes: &[u8], shape: &[i32], dtype: Dtype) -> Result<(Array, bool)> {
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
    let loan = Box::into_raw(Box::new(Loan { _map: map.clone(), returned: returned.clone() }));
    // SAFETY: op contract, except that mlx may keep the pointer: the map behind it lives as long as the loan, and the pages
    // are private to this process and writable. `bytes` holds the elements of `shape`, aligned.
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
fn release(map: &MmapMut, begin: usize, length: usize) {
    // The largest page in use; a range too small for it is not worth a system call.
    const PAGE: usize = 1 << 16;
    let (first, last) = (begin.next_multiple_of(PAGE), (begin + length) / PAGE * PAGE);
    if first < last {
        // A failure costs memory, not correctness.
        // SAFETY: the pages are clean (nothing writes to the bytes of a tensor that was copied) and backed by the file, so
        // that a later read finds the same bytes.
        let _ = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, first, last - first) };
    }
}

/// Reads `nbytes` bytes into memory that is aligned for any element. What is allocated grows with what is really there.
pub(super) fn read_words(reader: &mut impl Read, nbytes: usize) -> io::Result<Vec<u64>> {
    const FIRST: usize = 1 << 20;
    let mut words: Vec<u64> = Vec::new();
    let mut done = 0;
    while done < nbytes {
        let end = nbytes.min(done.saturating_mul(2).max(FIRST));
        let len = end.div_ceil(size_of::<u64>());
        words.try_reserve_exact(len - words.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        words.resize(len, 0);
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        match bytes.get_mut(done..end) {
            Some(place) => reader.read_exact(place)?,
            None => return Err(io::ErrorKind::InvalidInput.into()),
        }
        done = end;
    }
    Ok(words)
}
