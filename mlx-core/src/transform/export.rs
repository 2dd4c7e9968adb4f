// SPDX-License-Identifier: EUPL-1.2
//! Functions in files: their graphs, with the arrays that they capture.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::graph::{Walk, shallow};
use crate::Array;
use crate::closure::{Closure, NamedClosure};
use crate::error::{Error, Result};
use crate::ffi::{self, Handle, c_string, call, sys};
use crate::vector::{ArrayMap, VectorArray};

/// Writes the graph of `function` at `inputs` to a file, in MLX's own format, for [`import_function`] and for MLX in other
/// languages.
///
/// Arrays that the function captures are evaluated and written too. The file appears whole, or not at all.
///
/// - `shapeless`: whether the graph may be called with inputs of other shapes; an op that cannot find its shapes anew is
///   an error then
/// - source: `mlx_export_function`
///
/// # Errors
/// Whatever `function` returns, as it is; [`Error::Mlx`] when an op cannot be written, such as one written in Rust;
/// [`Error::Io`] when the disk refuses. A panic in `function` goes on in the caller.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mlx_core::{Array, transform};
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("double.mlxfn");
/// let x = Array::from_slice(&[1.0f32, 2.0], &[2])?;
/// transform::export_function(&path, |x| Ok(vec![(&x[0] * 2.0)?]), &[x.clone()], false)?;
/// // SAFETY: the file was written by this version of the library, and nobody has changed it.
/// let double = unsafe { transform::import_function(&path)? };
/// assert_eq!(double.call(&[x])?[0].to_vec::<f32>()?, [2.0, 4.0]);
/// # Ok(()) }
/// ```
pub fn export_function(
    path: impl AsRef<Path>,
    function: impl FnOnce(&[Array]) -> Result<Vec<Array>>,
    inputs: &[Array],
    shapeless: bool,
) -> Result<()> {
    let op = "export_function";
    let inputs = VectorArray::from_arrays(inputs)?;
    let plain = |inputs: &[Array]| {
        let results = crate::cpu::without_kernels(|| function(inputs))?;
        shallow(Walk::Compile, &results).map(|()| results)
    };
    let target = Target::new(path.as_ref())?;
    let partial = target.c_path(op)?;
    alone(op, || {
        Closure::scoped(plain, |closure| {
            // SAFETY: op contract; the path ends in a NUL.
            unsafe {
                call!(mlx_export_function(partial.as_ptr(), closure.as_raw(), inputs.as_raw(), shapeless))
            }
        })
    })?;
    target.finish()
}

/// As [`export_function`], for a function that has inputs by name too.
///
/// - source: `mlx_export_function_kwargs`
///
/// # Errors
/// As [`export_function`]; [`Error::Argument`] when a name holds a NUL byte.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::collections::BTreeMap;
///
/// use mlx_core::{Array, transform};
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("scale.mlxfn");
/// let x = [Array::from_slice(&[1.0f32, 2.0], &[2])?];
/// let by = BTreeMap::from([("by".to_owned(), Array::scalar(3.0f32)?)]);
/// transform::export_function_named(&path, |x, named| Ok(vec![(&x[0] * &named["by"])?]), &x, &by, false)?;
/// // SAFETY: the file was written by this version of the library, and nobody has changed it.
/// let scale = unsafe { transform::import_function(&path)? };
/// assert_eq!(scale.call_named(&x, &by)?[0].to_vec::<f32>()?, [3.0, 6.0]);
/// # Ok(()) }
/// ```
pub fn export_function_named(
    path: impl AsRef<Path>,
    function: impl Fn(&[Array], &BTreeMap<String, Array>) -> Result<Vec<Array>> + 'static,
    inputs: &[Array],
    named: &BTreeMap<String, Array>,
    shapeless: bool,
) -> Result<()> {
    let op = "export_function_named";
    let inputs = VectorArray::from_arrays(inputs)?;
    let named = ArrayMap::from_arrays(op, named)?;
    let closure = NamedClosure::new(move |inputs, named| {
        let results = crate::cpu::without_kernels(|| function(inputs, named))?;
        shallow(Walk::Compile, &results).map(|()| results)
    })?;
    let target = Target::new(path.as_ref())?;
    let partial = target.c_path(op)?;
    alone(op, || {
        // SAFETY: op contract; the path ends in a NUL.
        unsafe {
            call!(mlx_export_function_kwargs(
                partial.as_ptr(),
                closure.as_raw(),
                inputs.as_raw(),
                named.as_raw(),
                shapeless
            ))
        }
    })?;
    target.finish()
}

/// Runs `body` while nothing else in the process is exported: the library counts exports in a plain number that all threads
/// share.
fn alone<R>(op: &'static str, body: impl FnOnce() -> Result<R>) -> Result<R> {
    static EXPORTING: Mutex<()> = Mutex::new(());
    thread_local! {
        static MINE: Cell<bool> = const { Cell::new(false) };
    }
    struct Done;
    impl Drop for Done {
        fn drop(&mut self) {
            MINE.set(false);
        }
    }
    if MINE.get() {
        let message = "cannot be called by a function that is being exported".to_owned();
        return Err(Error::Mlx { op, message });
    }
    // A panic in another export leaves nothing half done that this one needs.
    let _turn = EXPORTING.lock().unwrap_or_else(PoisonError::into_inner);
    MINE.set(true);
    let _done = Done;
    body()
}

/// A file in the making, which takes its name when it is whole.
struct Target {
    partial: tempfile::TempPath,
    path: PathBuf,
}

impl Target {
    fn new(path: &Path) -> Result<Self> {
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".").suffix(".partial");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let partial = builder.tempfile_in(dir).map_err(|source| Error::io(path, source))?;
        Ok(Self { partial: partial.into_temp_path(), path: path.to_path_buf() })
    }

    fn c_path(&self, op: &'static str) -> Result<CString> {
        c_path(op, &self.partial)
    }

    fn finish(self) -> Result<()> {
        let Self { partial, path } = self;
        partial.persist(&path).map_err(|error| Error::io(&path, error.error))
    }
}

fn c_path(op: &'static str, path: &Path) -> Result<CString> {
    let text = path.to_str();
    let text = text.ok_or_else(|| Error::argument(op, "path", format!("{} is not UTF-8", path.display())))?;
    c_string(op, "path", text)
}

/// A file that is given the graphs of one function for several kinds of input.
///
/// Arrays that the function captures are written once. The file appears when [`Exporter::finish`] is called.
///
/// - source: `mlx_function_exporter`
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use mlx_core::{Array, Dtype, transform};
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("sum.mlxfn");
/// let mut exporter = transform::Exporter::new(&path, |x| Ok(vec![x[0].sum_all()?]), false)?;
/// for n in 1..3 {
///     exporter.trace(&[Array::ones(&[n], Dtype::Float32)?])?;
/// }
/// exporter.finish()?;
/// // SAFETY: the file was written by this version of the library, and nobody has changed it.
/// let sum = unsafe { transform::import_function(&path)? };
/// assert_eq!(sum.call(&[Array::ones(&[2], Dtype::Float32)?])?[0].item::<f32>()?, 2.0);
/// assert!(sum.call(&[Array::ones(&[3], Dtype::Float32)?]).is_err());
/// # Ok(()) }
/// ```
pub struct Exporter {
    raw: RawExporter,
    target: Target,
    /// After a failure there may be half a graph in the file.
    broken: bool,
}

struct RawExporter(sys::mlx_function_exporter);

impl Drop for RawExporter {
    fn drop(&mut self) {
        // SAFETY: the exporter is owned by `self`, and this is the only place that frees it.
        unsafe {
            sys::mlx_function_exporter_free(self.0);
        }
    }
}

impl Exporter {
    /// A file at `path` for `function`, without a graph so far.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses.
    ///
    /// # Examples
    /// See [`Exporter`].
    pub fn new(
        path: impl AsRef<Path>,
        function: impl Fn(&[Array]) -> Result<Vec<Array>> + 'static,
        shapeless: bool,
    ) -> Result<Self> {
        let op = "function_exporter";
        let closure = Closure::new(move |inputs| {
            let results = crate::cpu::without_kernels(|| function(inputs))?;
            shallow(Walk::Compile, &results).map(|()| results)
        })?;
        let target = Target::new(path.as_ref())?;
        let partial = target.c_path(op)?;
        // SAFETY: op contract; the path ends in a NUL, and the exporter holds what it needs of `closure`.
        let raw = RawExporter(unsafe {
            sys::mlx_function_exporter_new(partial.as_ptr(), closure.as_raw(), shapeless)
        });
        ffi::check("mlx_function_exporter_new", i32::from(raw.0.ctx.is_null()))?;
        Ok(Self { raw, target, broken: false })
    }

    /// Adds the graph of the function at `inputs`.
    ///
    /// # Errors
    /// As [`export_function`]; after one, the exporter is of no use. [`Error::Mlx`] when there is a graph for such inputs.
    ///
    /// # Examples
    /// See [`Exporter`].
    pub fn trace(&mut self, inputs: &[Array]) -> Result<()> {
        if self.broken {
            let message = "an earlier graph could not be written".to_owned();
            return Err(Error::Mlx { op: "function_exporter", message });
        }
        let inputs = VectorArray::from_arrays(inputs)?;
        self.broken = true;
        alone("function_exporter", || {
            // SAFETY: op contract.
            unsafe { call!(mlx_function_exporter_apply(self.raw.0, inputs.as_raw())) }
        })?;
        self.broken = false;
        Ok(())
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// [`Error::Mlx`] when a graph could not be written, [`Error::Io`] when the disk refuses.
    ///
    /// # Examples
    /// See [`Exporter`].
    pub fn finish(self) -> Result<()> {
        let Self { raw, target, broken } = self;
        // Closes the file.
        drop(raw);
        if broken {
            let message = "a graph could not be written".to_owned();
            return Err(Error::Mlx { op: "function_exporter", message });
        }
        target.finish()
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("path", &self.target.path).finish_non_exhaustive()
    }
}

/// A function from a file. It belongs to its thread.
pub struct ImportedFunction {
    raw: sys::mlx_imported_function,
    path: PathBuf,
}

/// The function in a file that [`export_function`] or an [`Exporter`] wrote, or MLX in another language.
///
/// The arrays in the file are read when they are needed.
///
/// - source: `mlx_imported_function_new`
///
/// # Safety
/// The file is one that MLX wrote, whole and unchanged, and stays so as long as the function or a result of it is there.
/// MLX takes the shapes, places and parameters in it as they are: with others it reads and writes memory that is not its
/// own. Where the function was exported as shapeless, its inputs must suit it as [`compile_shapeless`] demands.
///
/// What is obviously something else, is empty or ends too early is an error all the same.
///
/// [`compile_shapeless`]: super::compile_shapeless
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::File`] when it is something else, [`Error::Mlx`] when the library
/// cannot make sense of it.
///
/// # Examples
/// See [`export_function`].
pub unsafe fn import_function(path: impl AsRef<Path>) -> Result<ImportedFunction> {
    let path = path.as_ref();
    let text = c_path("import_function", path)?;
    check_header(path)?;
    ffi::prepare();
    // SAFETY: op contract, and this function's own.
    let raw = unsafe { sys::mlx_imported_function_new(text.as_ptr()) };
    let function = ImportedFunction { raw, path: path.to_path_buf() };
    ffi::check("mlx_imported_function_new", i32::from(raw.ctx.is_null()))?;
    Ok(function)
}

/// Whether a file begins as exported functions do: with the library's version, behind its length.
fn check_header(path: &Path) -> Result<()> {
    const LONGEST: u64 = 64;
    let mut start = Vec::new();
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    file.take(8 + LONGEST).read_to_end(&mut start).map_err(|source| Error::io(path, source))?;
    let version = start.split_first_chunk::<8>().and_then(|(len, rest)| {
        let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
        rest.get(..len)
    });
    let plausible = version.is_some_and(|version| {
        let mut parts = version.split(|&byte| byte == b'.');
        !version.is_empty()
            && parts.by_ref().take(2).all(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit))
    });
    if plausible { Ok(()) } else { Err(Error::file(path, "is not an exported function")) }
}

impl ImportedFunction {
    /// The results of the function at `inputs`.
    ///
    /// - source: `mlx_imported_function_apply`
    ///
    /// # Errors
    /// [`Error::Mlx`] when the file has no graph for such inputs.
    ///
    /// # Examples
    /// See [`export_function`].
    pub fn call(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let inputs = VectorArray::from_arrays(inputs)?;
        // SAFETY: op contract, and what `import_function` demands.
        let results = unsafe { call!(VectorArray = mlx_imported_function_apply(self.raw, inputs.as_raw())) }?;
        here(&results, &inputs)
    }

    /// The results of the function at `inputs`, and at more of them by name.
    ///
    /// - source: `mlx_imported_function_apply_kwargs`
    ///
    /// # Errors
    /// As [`ImportedFunction::call`]; [`Error::Argument`] when a name holds a NUL byte.
    ///
    /// # Examples
    /// See [`export_function_named`].
    pub fn call_named(&self, inputs: &[Array], named: &BTreeMap<String, Array>) -> Result<Vec<Array>> {
        let all = VectorArray::from_arrays(inputs.iter().chain(named.values()))?;
        let inputs = VectorArray::from_arrays(inputs)?;
        let named = ArrayMap::from_arrays("imported_function", named)?;
        // SAFETY: op contract, and what `import_function` demands.
        let results = unsafe {
            call!(VectorArray = mlx_imported_function_apply_kwargs(self.raw, inputs.as_raw(), named.as_raw()))
        }?;
        here(&results, &all)
    }
}

/// Results of an imported function, on the thread's current stream.
fn here(results: &VectorArray, inputs: &VectorArray) -> Result<Vec<Array>> {
    // SAFETY: op contract. What lies between is the function's own, and this thread's alone.
    unsafe { call!(mlx_checked_rehome(results.as_raw(), inputs.as_raw(), crate::device::stream())) }?;
    results.to_arrays()
}

impl Drop for ImportedFunction {
    fn drop(&mut self) {
        // SAFETY: the handle is owned by `self`, and this is the only place that frees it.
        unsafe {
            sys::mlx_imported_function_free(self.raw);
        }
    }
}

impl fmt::Debug for ImportedFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportedFunction").field("path", &self.path).finish_non_exhaustive()
    }
}
