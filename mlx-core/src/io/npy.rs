// SPDX-License-Identifier: EUPL-1.2
//! NumPy's `.npy`: one array, behind a header that is a Python literal.
//!
//! ```text
//! \x93NUMPY, major, minor, length of the header (2 bytes, or 4 from version 2 on),
//! {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } padded with spaces, \n, elements
//! ```

use std::io::{Read, Write};
use std::path::Path;

use super::atomically;
use super::map::{Mapping, read_words};
use crate::array::element_count;
use crate::error::{Error, Result};
use crate::ops::node::fits;
use crate::{Array, Dtype};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// No header of a plain array is nearly as long.
const MOST_HEADER: usize = 1 << 20;

/// The array of a `.npy` file.
///
/// Versions 1 to 3 of the format are read, elements of either byte order, row-major and column-major arrays. An element
/// type without a counterpart here, such as `float128`, text or records, is refused; two bytes of no type are bfloat16, as
/// MLX's Python package writes them. Where arrays live in plain memory, on the CPU, the array lies in the mapped file, and
/// what is said of mapped files at the top of this module goes for it.
///
/// # Errors
/// [`Error::Io`] when the file cannot be opened, [`Error::File`] when it is not a whole `.npy` file of such an array.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mlx_core::{Array, io};
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("a.npy");
/// io::save_npy(&path, &Array::from_slice(&[1i64, 2, 3], &[3])?)?;
/// assert_eq!(io::load_npy(&path)?.to_vec::<i64>()?, [1, 2, 3]);
/// # Ok(()) }
/// ```
pub fn load_npy(path: impl AsRef<Path>) -> Result<Array> {
    let path = path.as_ref();
    let map = Mapping::open(path, "a .npy file", 0)?;
    let mut rest = map.bytes();
    let header = Header::read(&mut rest, path)?;
    let begin = map.bytes().len() - rest.len();
    let nbytes = header.nbytes(path)?;
    if rest.len() < nbytes {
        return Err(header.short(path, rest.len()));
    }
    if header.big_endian {
        return header.array(read_words(&mut rest, nbytes).map_err(|source| Error::io(path, source))?);
    }
    let (array, _) = map.array(begin, nbytes, &header.stored_shape(), header.dtype, false)?;
    header.in_order(array)
}

/// As [`load_npy`], from anything that can be read, which then stands behind the array.
///
/// A header that claims more than there is makes nothing be allocated. The reader is asked for small pieces first, so
/// an unbuffered one should be wrapped.
///
/// # Errors
/// As [`load_npy`].
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, io};
/// let mut bytes = Vec::new();
/// io::write_npy(&mut bytes, &Array::scalar(1.5f32)?)?;
/// io::write_npy(&mut bytes, &Array::scalar(2.5f32)?)?;
///
/// let mut rest = bytes.as_slice();
/// assert_eq!(io::read_npy(&mut rest)?.item::<f32>()?, 1.5);
/// assert_eq!(io::read_npy(&mut rest)?.item::<f32>()?, 2.5);
/// assert!(rest.is_empty());
/// # Ok(()) }
/// ```
pub fn read_npy(mut reader: impl Read) -> Result<Array> {
    read_from(&mut reader, Path::new(super::READER))
}

/// `read_npy`, whose errors name `path`.
pub(super) fn read_from(reader: &mut impl Read, path: &Path) -> Result<Array> {
    let header = Header::read(reader, path)?;
    let words = read_words(reader, header.nbytes(path)?).map_err(|source| cut(path, source))?;
    header.array(words)
}

/// Writes an array as a `.npy` file, whole or not at all. Evaluates it.
///
/// The file is of version 1, row-major and little-endian, whatever the array's strides. NumPy has no bfloat16: it is
/// written as two bytes of no type, as MLX's Python package does, which also reads it as bfloat16 again.
///
/// # Errors
/// [`Error::Io`] when the disk refuses, [`Error::Mlx`] when the computation fails.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mlx_core::{Array, Dtype, io};
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("a.npy");
/// io::save_npy(&path, &Array::zeros(&[2, 3], Dtype::Bfloat16)?)?;
/// assert_eq!(io::load_npy(&path)?.dtype(), Dtype::Bfloat16);
/// # Ok(()) }
/// ```
pub fn save_npy(path: impl AsRef<Path>, array: &Array) -> Result<()> {
    array.eval()?;
    atomically(path, |file| {
        let path = file.path().to_path_buf();
        write_to(file, array, &path)
    })
}

/// As [`save_npy`], to anything that can be written.
///
/// # Errors
/// As [`save_npy`]; what was written before an error stays where it is.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// let mut bytes = Vec::new();
/// mlx_core::io::write_npy(&mut bytes, &mlx_core::Array::scalar(true)?)?;
/// assert_eq!((bytes.len(), bytes.last()), (129, Some(&1)));
/// # Ok(()) }
/// ```
pub fn write_npy(mut writer: impl Write, array: &Array) -> Result<()> {
    write_to(&mut writer, array, Path::new(super::WRITER))
}

/// `write_npy`, whose errors name `path`.
pub(super) fn write_to(writer: &mut impl Write, array: &Array, path: &Path) -> Result<()> {
    array.eval()?;
    let io = |source| Error::io(path, source);
    writer.write_all(&header(array)).map_err(io)?;
    array.with_bytes(|bytes| writer.write_all(bytes))?.map_err(io)?;
    writer.flush().map_err(io)
}

/// Everything before the elements, which begin at a multiple of 64 bytes.
fn header(array: &Array) -> Vec<u8> {
    const ALIGNMENT: usize = 64;
    let shape: String = array.shape().iter().map(|dim| format!("{dim}, ")).collect();
    // A tuple of one has a comma; NumPy takes one for the others too, but not for none.
    let shape = if array.ndim() == 1 { shape.trim_end() } else { shape.trim_end_matches(", ") };
    let mut text =
        format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({shape}), }}", descr(array.dtype()));
    let wide = text.len() + ALIGNMENT > usize::from(u16::MAX);
    let prefix = MAGIC.len() + 2 + if wide { 4 } else { 2 };
    let total = (prefix + text.len() + 1).next_multiple_of(ALIGNMENT);
    text.extend(std::iter::repeat_n(' ', total - prefix - text.len() - 1));
    text.push('\n');
    let mut out = MAGIC.to_vec();
    match u16::try_from(text.len()) {
        Ok(length) if !wide => {
            out.extend([1, 0]);
            out.extend(length.to_le_bytes());
        }
        _ => {
            out.extend([2, 0]);
            // An array of so many axes cannot be made.
            out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        }
    }
    out.extend(text.into_bytes());
    out
}

/// What the format calls an element type.
fn descr(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bool => "|b1",
        Dtype::Uint8 => "|u1",
        Dtype::Uint16 => "<u2",
        Dtype::Uint32 => "<u4",
        Dtype::Uint64 => "<u8",
        Dtype::Int8 => "|i1",
        Dtype::Int16 => "<i2",
        Dtype::Int32 => "<i4",
        Dtype::Int64 => "<i8",
        Dtype::Float16 => "<f2",
        Dtype::Float32 => "<f4",
        Dtype::Float64 => "<f8",
        Dtype::Bfloat16 => "<V2",
        Dtype::Complex64 => "<c8",
    }
}

/// A header that has been checked.
#[derive(Debug)]
struct Header {
    dtype: Dtype,
    big_endian: bool,
    column_major: bool,
    shape: Vec<i32>,
}

impl Header {
    fn read(reader: &mut impl Read, path: &Path) -> Result<Self> {
        let wrong = |message: String| Error::file(path, format!("not a .npy file: {message}"));
        let mut start = [0; 8];
        reader.read_exact(&mut start).map_err(|source| cut(path, source))?;
        let [magic @ .., major, minor] = start;
        if &magic != MAGIC {
            return Err(wrong("it does not begin with \\x93NUMPY".to_owned()));
        }
        let length = match major {
            1 => {
                let mut length = [0; 2];
                reader.read_exact(&mut length).map_err(|source| cut(path, source))?;
                usize::from(u16::from_le_bytes(length))
            }
            2 | 3 => {
                let mut length = [0; 4];
                reader.read_exact(&mut length).map_err(|source| cut(path, source))?;
                usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX)
            }
            _ => return Err(wrong(format!("version {major}.{minor} of the format is not known"))),
        };
        if length > MOST_HEADER {
            return Err(wrong(format!("a header of {length} bytes")));
        }
        let mut text = vec![0; length];
        reader.read_exact(&mut text).map_err(|source| cut(path, source))?;
        let (descr, column_major, shape) =
            Literal(&text).header().map_err(|message| wrong(format!("header: {message}")))?;
        let (dtype, big_endian) = element_type(&descr)
            .ok_or_else(|| Error::file(path, format!("elements of type {descr:?} are not supported")))?;
        let shape =
            shape.iter().map(|&dim| i32::try_from(dim)).collect::<Result<Vec<_>, _>>().map_err(|_| {
                Error::file(path, format!("shape {shape:?} has an axis longer than {}", i32::MAX))
            })?;
        Ok(Self { dtype, big_endian, column_major, shape })
    }

    /// The bytes of the elements, if an array can have so many.
    fn nbytes(&self, path: &Path) -> Result<usize> {
        let wrong = |error: Error| Error::file(path, error.to_string());
        fits("npy", &self.shape, self.dtype).map_err(wrong)?;
        Ok(element_count("npy", &self.shape, self.dtype).map_err(wrong)? * self.dtype.size())
    }

    /// The shape of the elements as they lie, the last axis fastest.
    fn stored_shape(&self) -> Vec<i32> {
        let mut shape = self.shape.clone();
        if self.column_major {
            shape.reverse();
        }
        shape
    }

    /// An array of [`stored_shape`](Self::stored_shape) as it was meant.
    fn in_order(&self, array: Array) -> Result<Array> {
        if self.column_major && self.shape.len() > 1 { array.transpose() } else { Ok(array) }
    }

    fn array(&self, mut words: Vec<u64>) -> Result<Array> {
        if self.big_endian {
            // A complex number is two numbers.
            let size = if self.dtype == Dtype::Complex64 { size_of::<f32>() } else { self.dtype.size() };
            bytemuck::cast_slice_mut::<u64, u8>(&mut words).chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        self.in_order(Array::from_words(words, &self.stored_shape(), self.dtype)?)
    }

    fn short(&self, path: &Path, found: usize) -> Error {
        let message =
            format!("{:?} of {} does not fit in the {found} bytes there are", self.shape, self.dtype);
        Error::file(path, message)
    }
}

/// What a reader says that has come to its end.
fn cut(path: &Path, source: std::io::Error) -> Error {
    match source.kind() {
        std::io::ErrorKind::UnexpectedEof => Error::file(path, "not a .npy file: it ends too early"),
        _ => Error::io(path, source),
    }
}

/// The element type behind one of the format's names, and whether its bytes are in the other order.
fn element_type(descr: &str) -> Option<(Dtype, bool)> {
    let (order, name) = descr.split_at_checked(1)?;
    let dtype = match name {
        "b1" => Dtype::Bool,
        "u1" => Dtype::Uint8,
        "u2" => Dtype::Uint16,
        "u4" => Dtype::Uint32,
        "u8" => Dtype::Uint64,
        "i1" => Dtype::Int8,
        "i2" => Dtype::Int16,
        "i4" => Dtype::Int32,
        "i8" => Dtype::Int64,
        "f2" => Dtype::Float16,
        "f4" => Dtype::Float32,
        "f8" => Dtype::Float64,
        "V2" if order != ">" => Dtype::Bfloat16,
        "c8" => Dtype::Complex64,
        _ => return None,
    };
    match order {
        "<" | "=" => Some((dtype, false)),
        ">" => Some((dtype, dtype.size() > 1)),
        "|" if dtype.size() == 1 || dtype == Dtype::Bfloat16 => Some((dtype, false)),
        _ => None,
    }
}

/// What is left of a Python literal.
struct Literal<'a>(&'a [u8]);

impl Literal<'_> {
    /// The three entries that a header has, each once, in any order.
    fn header(mut self) -> Result<(String, bool, Vec<u64>), String> {
        let (mut descr, mut column_major, mut shape) = (None, None, None);
        self.expect(b'{')?;
        while !self.take(b'}') {
            let key = self.text()?;
            self.expect(b':')?;
            let known = match key.as_str() {
                "descr" if self.peek() == Some(b'[') => {
                    return Err("records of several fields are not supported".to_owned());
                }
                "descr" => descr.replace(self.text()?).is_some(),
                "fortran_order" => column_major.replace(self.truth()?).is_some(),
                "shape" => shape.replace(self.tuple()?).is_some(),
                _ => return Err(format!("{key:?} is no entry of it")),
            };
            if known {
                return Err(format!("{key:?} occurs twice"));
            }
            if !self.take(b',') && self.peek() != Some(b'}') {
                return Err("a comma is missing".to_owned());
            }
        }
        if self.peek().is_some() {
            return Err("something follows the closing brace".to_owned());
        }
        match (descr, column_major, shape) {
            (Some(descr), Some(column_major), Some(shape)) => Ok((descr, column_major, shape)),
            _ => Err("'descr', 'fortran_order' or 'shape' is missing".to_owned()),
        }
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        self.0 = self.0.trim_ascii_start();
        self.0.first().copied()
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.skip(1);
        }
        found
    }

    fn expect(&mut self, wanted: u8) -> Result<(), String> {
        if self.take(wanted) { Ok(()) } else { Err(format!("{:?} is missing", char::from(wanted))) }
    }

    fn skip(&mut self, count: usize) {
        self.0 = self.0.get(count..).unwrap_or_default();
    }

    /// A string without escapes.
    fn text(&mut self) -> Result<String, String> {
        let quote = self.peek().filter(|byte| matches!(byte, b'\'' | b'"')).ok_or("a string is missing")?;
        self.skip(1);
        let end = self.0.iter().position(|&byte| byte == quote).ok_or("a string does not end")?;
        let text = String::from_utf8_lossy(&self.0[..end]).into_owned();
        self.skip(end + 1);
        Ok(text)
    }

    fn truth(&mut self) -> Result<bool, String> {
        self.peek();
        for (name, value) in [("True", true), ("False", false)] {
            if self.0.starts_with(name.as_bytes()) {
                self.skip(name.len());
                return Ok(value);
            }
        }
        Err("True or False is missing".to_owned())
    }

    fn tuple(&mut self) -> Result<Vec<u64>, String> {
        self.expect(b'(')?;
        let mut out = Vec::new();
        while !self.take(b')') {
            self.peek();
            let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let number = std::str::from_utf8(&self.0[..digits]).ok().and_then(|text| text.parse().ok());
            out.push(number.ok_or("a length is not a number, negative or too large")?);
            self.skip(digits);
            // Python 2 wrote some numbers so.
            self.take(b'L');
            if !self.take(b',') && self.peek() != Some(b')') {
                return Err("a comma is missing in the shape".to_owned());
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dtype_has_a_name_in_the_format() {
        for dtype in Dtype::ALL {
            assert_eq!(element_type(descr(dtype)), Some((dtype, false)));
        }
        for other in ["", "<", "é1", ">V2", "|f4", "<f16", "<c16", "|O", "<U3", "<M8[ns]", "|S4", "|V4", "f4"]
        {
            assert_eq!(element_type(other), None, "{other}");
        }
        assert_eq!(element_type(">c8"), Some((Dtype::Complex64, true)));
        assert_eq!(element_type(">u1"), Some((Dtype::Uint8, false)));
    }

    #[test]
    fn headers_are_read_as_python_writes_them() {
        let read = |text: &str| Literal(text.as_bytes()).header();
        let plain = ("<f4".to_owned(), false, vec![2, 3]);
        for text in [
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, )}",
            "{\"shape\":(2L,3L),\"fortran_order\":False,\"descr\":\"<f4\"}",
        ] {
            assert_eq!(read(text).unwrap(), plain, "{text}");
        }
        assert_eq!(read("{'descr': '|b1', 'fortran_order': True, 'shape': ()}").unwrap().2, [0u64; 0]);
        for text in [
            "",
            "{",
            "{}",
            "[]",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': 2}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}",
            "{'descr': '<f4, 'fortran_order': False, 'shape': (2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x",
            "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
            "{'descr': '<f4' 'fortran_order': False, 'shape': (2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}",
            "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
