// SPDX-License-Identifier: EUPL-1.2
//! The graph of arrays that are not computed yet, as text.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::fmt;

use crate::Array;
use crate::error::{Error, Result};
use crate::ffi::{self, Handle, c_string, call, handle, sys};
use crate::vector::VectorArray;

/// The transformations that walk a graph by calling themselves.
#[derive(Clone, Copy)]
pub(crate) enum Walk {
    /// `vjp` and `jvp`.
    Derivative,
    Vmap,
    Compile,
    Text,
}

impl Walk {
    /// What one op takes of the stack, in bytes: twice what was measured.
    fn frame(self) -> usize {
        match self {
            Self::Derivative => 200,
            Self::Vmap | Self::Text => 230,
            Self::Compile => 300,
        }
    }
}

/// Refuses results whose graph is too deep for a walk on this thread.
pub(crate) fn shallow(walk: Walk, results: &[Array]) -> Result<()> {
    let results = VectorArray::from_arrays(results)?;
    // SAFETY: op contract.
    unsafe { call!(mlx_checked_depth(results.as_raw(), walk.frame())) }
}

/// What a transformation gave, with nothing left to be computed of arrays without elements.
///
/// Ops keep empty arrays from kernels that are not made for them, by the shapes that they see. What MLX derives from an op
/// passes them by, and under [`vmap`](super::vmap) nobody sees that the mapped axis has no elements.
pub(crate) fn settled(results: &VectorArray) -> Result<Vec<Array>> {
    // SAFETY: op contract. What takes another array's place has the same shape, dtype and, without elements, value.
    unsafe { call!(mlx_checked_fill_empty(results.as_raw())) }?;
    results.to_arrays()
}

handle! {
    /// What C calls the nodes of a graph.
    Namer(mlx_node_namer): mlx_node_namer_new, mlx_node_namer_free
}

/// Names for the arrays of a graph that is shown. Those that have none are called `A`, `B`, and so on, as they occur.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::Array;
/// use mlx_core::transform::{NodeNames, print_graph};
/// let x = Array::scalar(1.0f32)?;
/// let y = (&x + &x)?;
/// let mut names = NodeNames::new();
/// names.set(&x, "x")?;
/// names.set(&y, "sum")?;
/// assert!(print_graph([&y], &names)?.contains("sum"));
/// assert_eq!(names.get(&x)?, "x");
/// # Ok(()) }
/// ```
pub struct NodeNames {
    namer: Namer,
    /// A name belongs to a node's address, which is another node's when the node is gone.
    kept: Vec<Array>,
}

impl NodeNames {
    /// No names so far.
    ///
    /// # Examples
    /// See [`NodeNames`].
    #[must_use]
    pub fn new() -> Self {
        Self { namer: Namer::empty(), kept: Vec::new() }
    }

    /// Names `array`. Quotation marks, backslashes and line breaks become underscores, so that the text stays what it is
    /// to other programs.
    ///
    /// - source: `mlx_node_namer_set_name`
    ///
    /// # Errors
    /// [`Error::Argument`] when the name holds a NUL byte.
    ///
    /// # Examples
    /// See [`NodeNames`].
    pub fn set(&mut self, array: &Array, name: &str) -> Result<()> {
        let name = name.replace(['"', '\\', '\n', '\r'], "_");
        let name = c_string("node_names", "name", &name)?;
        // SAFETY: op contract; the name is copied.
        unsafe { call!(mlx_node_namer_set_name(self.namer.as_raw(), array.as_raw(), name.as_ptr())) }?;
        self.kept.push(array.clone());
        Ok(())
    }

    /// The name of `array`, which is given one if it has none.
    ///
    /// - source: `mlx_node_namer_get_name`
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    ///
    /// # Examples
    /// See [`NodeNames`].
    pub fn get(&mut self, array: &Array) -> Result<String> {
        ffi::prepare();
        let mut name: *const c_char = std::ptr::null();
        // SAFETY: op contract.
        let status =
            unsafe { sys::mlx_node_namer_get_name(&raw mut name, self.namer.as_raw(), array.as_raw()) };
        ffi::check("mlx_node_namer_get_name", status)?;
        if name.is_null() {
            return Err(Error::Mlx { op: "node_names", message: "gave no name".to_owned() });
        }
        self.kept.push(array.clone());
        // SAFETY: the name ends in a NUL, and lies in the namer, which nobody changes meanwhile.
        Ok(unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
    }
}

impl Default for NodeNames {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for NodeNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeNames").field("arrays", &self.kept.len()).finish_non_exhaustive()
    }
}

/// The graph behind `outputs` in the DOT language of Graphviz.
///
/// What was evaluated has no graph any more.
///
/// - source: `mlx_export_to_dot`
///
/// # Errors
/// [`Error::Mlx`] when memory is exhausted.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::Array;
/// use mlx_core::transform::{NodeNames, export_to_dot};
/// let x = Array::scalar(1.0f32)?;
/// let dot = export_to_dot([&x.exp()?], &NodeNames::new())?;
/// assert!(dot.starts_with("digraph {") && dot.contains("Exp"));
/// # Ok(()) }
/// ```
pub fn export_to_dot<'a>(outputs: impl IntoIterator<Item = &'a Array>, names: &NodeNames) -> Result<String> {
    let outputs = shown(outputs)?;
    // SAFETY: op contract; the stream is open for the whole call.
    written(|stream| unsafe { call!(mlx_export_to_dot(stream, names.namer.as_raw(), outputs.as_raw())) })
}

/// The graph behind `outputs` as a list of its ops, each with the names of its operands and results.
///
/// What was evaluated has no graph any more.
///
/// - source: `mlx_print_graph`
///
/// # Errors
/// [`Error::Mlx`] when memory is exhausted.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::Array;
/// use mlx_core::transform::{NodeNames, print_graph};
/// let x = Array::scalar(1.0f32)?;
/// let text = print_graph([&x.exp()?], &NodeNames::new())?;
/// assert!(text.contains("Exp"));
/// # Ok(()) }
/// ```
pub fn print_graph<'a>(outputs: impl IntoIterator<Item = &'a Array>, names: &NodeNames) -> Result<String> {
    let outputs = shown(outputs)?;
    // SAFETY: op contract; the stream is open for the whole call.
    written(|stream| unsafe { call!(mlx_print_graph(stream, names.namer.as_raw(), outputs.as_raw())) })
}

/// Arrays whose graph can be walked here.
fn shown<'a>(outputs: impl IntoIterator<Item = &'a Array>) -> Result<VectorArray> {
    let outputs: Vec<Array> = outputs.into_iter().cloned().collect();
    shallow(Walk::Text, &outputs)?;
    VectorArray::from_arrays(&outputs)
}

// The C library's, which every Rust program on these systems is linked to.
unsafe extern "C" {
    fn open_memstream(buffer: *mut *mut c_char, len: *mut usize) -> *mut sys::FILE;
    fn fclose(stream: *mut sys::FILE) -> c_int;
    fn free(memory: *mut c_void);
}

/// What `write` writes to the stream that it is lent.
fn written(write: impl FnOnce(*mut sys::FILE) -> Result<()>) -> Result<String> {
    let (mut buffer, mut len) = (std::ptr::null_mut::<c_char>(), 0usize);
    // SAFETY: both places outlive the stream, which is closed below.
    let stream = unsafe { open_memstream(&raw mut buffer, &raw mut len) };
    if stream.is_null() {
        return Err(Error::Mlx { op: "open_memstream", message: "out of memory".to_owned() });
    }
    let result = write(stream);
    // SAFETY: the stream is open, and nobody has it any more. Closing it settles `buffer` and `len`.
    let closed = unsafe { fclose(stream) };
    // SAFETY: the buffer holds `len` bytes, or is null.
    let text =
        String::from_utf8_lossy(unsafe { ffi::slice(buffer.cast::<u8>().cast_const(), len) }).into_owned();
    // SAFETY: the buffer is the C library's, and nothing refers to it any more.
    unsafe { free(buffer.cast()) };
    result?;
    if closed != 0 {
        return Err(Error::Mlx { op: "open_memstream", message: "out of memory".to_owned() });
    }
    Ok(text)
}
