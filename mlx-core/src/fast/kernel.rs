// SPDX-License-Identifier: EUPL-1.2
//! Kernels for a GPU, from their source text.

use std::ffi::{CStr, CString, c_char, c_int};
use std::fmt;

use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{self, Handle, c_string, call, handle, sys};
use crate::ops::node::fits;
use crate::vector::VectorArray;
use crate::{Array, Dtype};

handle! {
    /// A vector of strings on the C side.
    Strings(mlx_vector_string): mlx_vector_string_new, mlx_vector_string_free
}

impl Strings {
    fn new(texts: &[CString]) -> Result<Self> {
        let mut raw: Vec<*const c_char> = texts.iter().map(|text| text.as_ptr()).collect();
        // SAFETY: op contract. The strings end in NUL, and mlx-c copies them.
        unsafe { call!(new Strings = mlx_vector_string_new_data(raw.as_mut_ptr(), raw.len())) }
    }
}

/// The names of a kernel, checked: MLX writes them into the text of a function.
struct Names {
    name: CString,
    inputs: Vec<CString>,
    outputs: Vec<CString>,
}

impl Names {
    fn new(op: &'static str, name: &str, inputs: &[&str], outputs: &[&str]) -> Result<Self> {
        let each = |argument: &'static str, names: &[&str]| {
            names.iter().map(|name| identifier(op, argument, name)).collect::<Result<Vec<_>>>()
        };
        let names = Self {
            name: identifier(op, "name", name)?,
            inputs: each("inputs", inputs)?,
            outputs: each("outputs", outputs)?,
        };
        if names.outputs.is_empty() {
            return Err(Error::argument(op, "outputs", "expected one or more, found none"));
        }
        let mut all: Vec<&CString> = names.inputs.iter().chain(&names.outputs).collect();
        all.sort_unstable();
        match all.windows(2).find(|pair| pair.first() == pair.last()).and_then(|pair| pair.first()) {
            Some(twice) => Err(Error::argument(op, "inputs", format!("{twice:?} is named twice"))),
            None => Ok(names),
        }
    }
}

/// A name that can stand in the source.
fn identifier(op: &'static str, argument: &'static str, name: &str) -> Result<CString> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(word) {
        let message = format!("expected letters, digits and underscores, found {name:?}");
        return Err(Error::argument(op, argument, message));
    }
    c_string(op, argument, name)
}

/// What a template parameter stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TemplateValue {
    /// A type of the source.
    Dtype(Dtype),
    /// A constant.
    Int(i32),
    /// A constant.
    Bool(bool),
}

/// How a kernel is run once.
#[derive(Clone, Copy, Debug)]
pub struct KernelLaunch<'a> {
    /// The shape and dtype of each output, in the order of their names.
    pub outputs: &'a [(&'a [i32], Dtype)],
    /// How many threads run along each of three axes, in all.
    pub grid: [i32; 3],
    /// How many of these make up a group; 1024 together at most.
    pub thread_group: [i32; 3],
    /// The template parameters, by name.
    pub template: &'a [(&'a str, TemplateValue)],
    /// What outputs hold before the kernel runs; `None`, the default, for whatever was in memory there.
    pub init_value: Option<f32>,
    /// Whether MLX prints the whole source; not by default.
    pub verbose: bool,
}

impl Default for KernelLaunch<'_> {
    /// No outputs, which must be replaced, and one thread.
    fn default() -> Self {
        Self {
            outputs: &[],
            grid: [1; 3],
            thread_group: [1; 3],
            template: &[],
            init_value: None,
            verbose: false,
        }
    }
}

impl KernelLaunch<'_> {
    fn check(&self, op: &'static str, outputs: usize) -> Result<()> {
        if self.outputs.len() != outputs {
            let message = format!("expected {outputs}, as the kernel has, found {}", self.outputs.len());
            return Err(Error::argument(op, "outputs", message));
        }
        for (shape, dtype) in self.outputs {
            fits(op, shape, *dtype)?;
        }
        if self.grid.iter().any(|&n| n <= 0) {
            return Err(Error::argument(
                op,
                "grid",
                format!("expected 1 or more each, found {:?}", self.grid),
            ));
        }
        let threads = self.thread_group.iter().try_fold(1i32, |n, &m| n.checked_mul(m));
        if self.thread_group.iter().any(|&n| n <= 0) || threads.is_none_or(|threads| threads > 1024) {
            let message = format!("expected 1 to 1024 threads in all, found {:?}", self.thread_group);
            return Err(Error::argument(op, "thread_group", message));
        }
        Ok(())
    }
}

/// A kernel type of one backend: its handle, its configuration, and the road to both.
macro_rules! backend {
    (
        $handle:ident($raw:ident): $free:ident; $config:ident($raw_config:ident): $new_config:ident, $free_config:ident;
        $output:ident $grid:ident $group:ident $init:ident $verbose:ident $dtype:ident $int:ident $bool:ident $apply:ident
    ) => {
        /// A compiled kernel on the C side, which has no empty one.
        struct $handle(sys::$raw);

        impl Handle for $handle {
            type Raw = sys::$raw;
            fn empty() -> Self {
                ffi::prepare();
                Self::from_raw(sys::$raw { ctx: std::ptr::null_mut() })
            }
            fn from_raw(raw: Self::Raw) -> Self {
                #[cfg(test)]
                ffi::live::add(1);
                Self(raw)
            }
            fn as_raw(&self) -> Self::Raw {
                self.0
            }
            fn as_mut_raw(&mut self) -> *mut Self::Raw {
                &raw mut self.0
            }
            fn is_empty(&self) -> bool {
                self.0.ctx.is_null()
            }
        }

        impl Drop for $handle {
            fn drop(&mut self) {
                #[cfg(test)]
                ffi::live::add(-1);
                // SAFETY: the handle is owned by `self`, and this is the only place that frees it.
                unsafe { sys::$free(self.0) }
            }
        }

        handle! {
            /// How a kernel is run, on the C side.
            $config($raw_config): $new_config, $free_config
        }

        impl $config {
            fn new(op: &'static str, launch: &KernelLaunch<'_>) -> Result<Self> {
                // SAFETY: op contract.
                let config = unsafe { call!(new $config = $new_config()) }?;
                let raw = config.as_raw();
                for &(shape, dtype) in launch.outputs {
                    // SAFETY: op contract.
                    unsafe { call!($output(raw, shape.as_ptr(), shape.len(), dtype.to_raw())) }?;
                }
                let ([x, y, z], [a, b, c]) = (launch.grid, launch.thread_group);
                // SAFETY: op contract.
                unsafe { call!($grid(raw, x, y, z)) }?;
                // SAFETY: op contract.
                unsafe { call!($group(raw, a, b, c)) }?;
                if let Some(value) = launch.init_value {
                    // SAFETY: op contract.
                    unsafe { call!($init(raw, value)) }?;
                }
                // SAFETY: op contract.
                unsafe { call!($verbose(raw, launch.verbose)) }?;
                for &(name, value) in launch.template {
                    let name = identifier(op, "template", name)?;
                    let name: &CStr = &name;
                    // SAFETY: op contract. The name ends in NUL, and mlx-c copies it.
                    unsafe {
                        match value {
                            TemplateValue::Dtype(dtype) => call!($dtype(raw, name.as_ptr(), dtype.to_raw())),
                            TemplateValue::Int(value) => call!($int(raw, name.as_ptr(), value)),
                            TemplateValue::Bool(value) => call!($bool(raw, name.as_ptr(), value)),
                        }
                    }?;
                }
                Ok(config)
            }
        }

        impl $handle {
            /// # Safety
            /// The kernel's source keeps to its buffers in this launch.
            unsafe fn launch(
                &self,
                op: &'static str,
                names: &Names,
                inputs: &[&Array],
                launch: &KernelLaunch<'_>,
            ) -> Result<Vec<Array>> {
                if inputs.len() != names.inputs.len() {
                    let message = format!("expected {}, found {}", names.inputs.len(), inputs.len());
                    return Err(Error::argument(op, "inputs", message));
                }
                launch.check(op, names.outputs.len())?;
                let config = $config::new(op, launch)?;
                let inputs = VectorArray::from_arrays(inputs.iter().copied())?;
                // SAFETY: op contract, and this function's own.
                unsafe {
                    call!(VectorArray = $apply(self.as_raw(), inputs.as_raw(), config.as_raw(), stream()))
                }?
                .to_arrays()
            }
        }
    };
}

backend! {
    MetalHandle(mlx_fast_metal_kernel): mlx_fast_metal_kernel_free;
    MetalConfig(mlx_fast_metal_kernel_config):
        mlx_fast_metal_kernel_config_new, mlx_fast_metal_kernel_config_free;
    mlx_fast_metal_kernel_config_add_output_arg mlx_fast_metal_kernel_config_set_grid
    mlx_fast_metal_kernel_config_set_thread_group mlx_fast_metal_kernel_config_set_init_value
    mlx_fast_metal_kernel_config_set_verbose mlx_fast_metal_kernel_config_add_template_arg_dtype
    mlx_fast_metal_kernel_config_add_template_arg_int mlx_fast_metal_kernel_config_add_template_arg_bool
    mlx_fast_metal_kernel_apply
}

backend! {
    CudaHandle(mlx_fast_cuda_kernel): mlx_fast_cuda_kernel_free;
    CudaConfig(mlx_fast_cuda_kernel_config):
        mlx_fast_cuda_kernel_config_new, mlx_fast_cuda_kernel_config_free;
    mlx_fast_cuda_kernel_config_add_output_arg mlx_fast_cuda_kernel_config_set_grid
    mlx_fast_cuda_kernel_config_set_thread_group mlx_fast_cuda_kernel_config_set_init_value
    mlx_fast_cuda_kernel_config_set_verbose mlx_fast_cuda_kernel_config_add_template_arg_dtype
    mlx_fast_cuda_kernel_config_add_template_arg_int mlx_fast_cuda_kernel_config_add_template_arg_bool
    mlx_fast_cuda_kernel_apply
}

/// The text of a Metal kernel, for [`MetalKernel::new`].
///
/// `source` is the body of a function that MLX writes the head of. In it, an input `a` is `const device T* a`, or a
/// reference where it has no axes, with `a_shape`, `a_strides` and `a_ndim` where the body names them; an output is
/// `device T*`; the attributes of a thread that the body names, such as `thread_position_in_grid`, are parameters;
/// template parameters are types and constants.
#[derive(Clone, Copy, Debug)]
pub struct MetalSource<'a> {
    /// The kernel's name; letters, digits and underscores.
    pub name: &'a str,
    /// The names of the inputs.
    pub inputs: &'a [&'a str],
    /// The names of the outputs; one or more.
    pub outputs: &'a [&'a str],
    /// The body of the kernel.
    pub source: &'a str,
    /// What stands before the kernel: functions, includes. Empty by default.
    pub header: &'a str,
    /// Whether inputs are copied into row-major order first where they are not, which is so by default. A body that does not
    /// want that must heed the strides.
    pub row_contiguous: bool,
    /// Whether outputs are `device atomic<T>*`; not by default.
    pub atomic_outputs: bool,
}

impl Default for MetalSource<'_> {
    fn default() -> Self {
        Self {
            name: "",
            inputs: &[],
            outputs: &[],
            source: "",
            header: "",
            row_contiguous: true,
            atomic_outputs: false,
        }
    }
}

/// A kernel in the Metal language, compiled when it first runs.
///
/// It has no gradient; [`crate::custom`] can give it one.
pub struct MetalKernel {
    handle: MetalHandle,
    names: Names,
}

impl MetalKernel {
    /// A kernel from its source, which is not compiled yet.
    ///
    /// - source: `mlx_fast_metal_kernel_new`
    ///
    /// # Errors
    /// [`Error::Argument`] when a name is no identifier or is given twice, there is no output, or a text holds a NUL byte.
    /// Where the library has no Metal, [`MetalKernel::launch`] says so.
    ///
    /// # Examples
    /// ```
    /// use mlx_core::fast::{MetalKernel, MetalSource};
    /// let kernel = MetalKernel::new(&MetalSource {
    ///     name: "double_it",
    ///     inputs: &["x"],
    ///     outputs: &["y"],
    ///     source: "uint i = thread_position_in_grid.x; y[i] = 2 * x[i];",
    ///     ..Default::default()
    /// })?;
    /// assert!(format!("{kernel:?}").contains("double_it"));
    /// # Ok::<(), mlx_core::Error>(())
    /// ```
    pub fn new(source: &MetalSource<'_>) -> Result<Self> {
        const OP: &str = "metal_kernel";
        let &MetalSource { name, inputs, outputs, source, header, row_contiguous, atomic_outputs } = source;
        let names = Names::new(OP, name, inputs, outputs)?;
        let (source, header) = (c_string(OP, "source", source)?, c_string(OP, "header", header)?);
        let (inputs, outputs) = (Strings::new(&names.inputs)?, Strings::new(&names.outputs)?);
        // SAFETY: op contract. The texts end in NUL, and mlx-c copies them.
        let handle = unsafe {
            call!(
                new MetalHandle = mlx_fast_metal_kernel_new(
                    names.name.as_ptr(),
                    inputs.as_raw(),
                    outputs.as_raw(),
                    source.as_ptr(),
                    header.as_ptr(),
                    row_contiguous,
                    atomic_outputs,
                )
            )
        }?;
        Ok(Self { handle, names })
    }

    /// The outputs of the kernel for these inputs. Lazy, as ops are: an error in the source shows when they are computed.
    ///
    /// - `inputs`: one for each name, in order
    /// - source: `mlx_fast_metal_kernel_apply`
    ///
    /// # Errors
    /// [`Error::Argument`] when there are more or fewer inputs or outputs than names, or a grid or group is empty or too large,
    /// [`Error::Shape`] when an output does not fit in memory, [`Error::Mlx`] when the library lacks the backend or the current
    /// stream is not on a GPU.
    ///
    /// # Safety
    /// The GPU runs the source as it is, on raw pointers. For inputs of these shapes and dtypes, outputs of those, this
    /// grid and these template parameters, no thread may read outside the inputs, read an output before it is written or
    /// initialised, or write outside the outputs; no two threads may race; and all must come to an end.
    ///
    /// # Examples
    /// ```no_run
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::fast::{KernelLaunch, MetalKernel, MetalSource, TemplateValue};
    /// use mlx_core::{Array, Dtype};
    /// let kernel = MetalKernel::new(&MetalSource {
    ///     name: "double_it",
    ///     inputs: &["x"],
    ///     outputs: &["y"],
    ///     source: "uint i = thread_position_in_grid.x; y[i] = T(2) * x[i];",
    ///     ..Default::default()
    /// })?;
    /// let x = Array::ones(&[4], Dtype::Float32)?;
    /// let launch = KernelLaunch {
    ///     outputs: &[(&[4], Dtype::Float32)],
    ///     grid: [4, 1, 1],
    ///     thread_group: [4, 1, 1],
    ///     template: &[("T", TemplateValue::Dtype(Dtype::Float32))],
    ///     ..Default::default()
    /// };
    /// // SAFETY: four threads read and write one element each of arrays of four.
    /// let y = unsafe { kernel.launch(&[&x], &launch) }?;
    /// # Ok(()) }
    /// ```
    pub unsafe fn launch(&self, inputs: &[&Array], launch: &KernelLaunch<'_>) -> Result<Vec<Array>> {
        // SAFETY: this function's own contract.
        unsafe { self.handle.launch("metal_kernel", &self.names, inputs, launch) }
    }
}

impl fmt::Debug for MetalKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetalKernel").field("name", &self.names.name).finish_non_exhaustive()
    }
}

/// The text of a CUDA kernel, for [`CudaKernel::new`].
///
/// `source` is the body of a function that MLX writes the head of. In it, an input `a` is `const T* a`, with `a_shape`,
/// `a_strides` and `a_ndim` where the body names them; an output is `T*`; template parameters are types and constants. A
/// thread finds its place through `cooperative_groups` or CUDA's own variables.
#[derive(Clone, Copy, Debug)]
pub struct CudaSource<'a> {
    /// The kernel's name; letters, digits and underscores.
    pub name: &'a str,
    /// The names of the inputs.
    pub inputs: &'a [&'a str],
    /// The names of the outputs; one or more.
    pub outputs: &'a [&'a str],
    /// The body of the kernel.
    pub source: &'a str,
    /// What stands before the kernel: functions, includes. Empty by default.
    pub header: &'a str,
    /// Whether inputs are copied into row-major order first where they are not, which is so by default. A body that does not
    /// want that must heed the strides.
    pub row_contiguous: bool,
    /// Bytes of shared memory that a group has beyond what the source declares; 0 by default.
    pub shared_memory: i32,
}

impl Default for CudaSource<'_> {
    fn default() -> Self {
        Self {
            name: "",
            inputs: &[],
            outputs: &[],
            source: "",
            header: "",
            row_contiguous: true,
            shared_memory: 0,
        }
    }
}

/// A kernel in CUDA C++, compiled when it first runs.
///
/// It has no gradient; [`crate::custom`] can give it one.
pub struct CudaKernel {
    handle: CudaHandle,
    names: Names,
}

impl CudaKernel {
    /// A kernel from its source, which is not compiled yet.
    ///
    /// - source: `mlx_fast_cuda_kernel_new`
    ///
    /// # Errors
    /// [`Error::Argument`] when a name is no identifier or is given twice, there is no output, a text holds a NUL byte, or the
    /// shared memory is negative; [`Error::Mlx`] where the library has no CUDA.
    ///
    /// # Examples
    /// ```no_run
    /// use mlx_core::fast::{CudaKernel, CudaSource};
    /// let kernel = CudaKernel::new(&CudaSource {
    ///     name: "double_it",
    ///     inputs: &["x"],
    ///     outputs: &["y"],
    ///     source: "auto i = cooperative_groups::this_grid().thread_rank(); y[i] = 2 * x[i];",
    ///     ..Default::default()
    /// })?;
    /// assert!(format!("{kernel:?}").contains("double_it"));
    /// # Ok::<(), mlx_core::Error>(())
    /// ```
    pub fn new(source: &CudaSource<'_>) -> Result<Self> {
        const OP: &str = "cuda_kernel";
        let &CudaSource { name, inputs, outputs, source, header, row_contiguous, shared_memory } = source;
        let names = Names::new(OP, name, inputs, outputs)?;
        if shared_memory < 0 {
            let message = format!("expected 0 or more bytes, found {shared_memory}");
            return Err(Error::argument(OP, "shared_memory", message));
        }
        let (source, header) = (c_string(OP, "source", source)?, c_string(OP, "header", header)?);
        let (inputs, outputs) = (Strings::new(&names.inputs)?, Strings::new(&names.outputs)?);
        let shared_memory: c_int = shared_memory;
        // SAFETY: op contract. The texts end in NUL, and mlx-c copies them.
        let handle = unsafe {
            call!(
                new CudaHandle = mlx_fast_cuda_kernel_new(
                    names.name.as_ptr(),
                    inputs.as_raw(),
                    outputs.as_raw(),
                    source.as_ptr(),
                    header.as_ptr(),
                    row_contiguous,
                    shared_memory,
                )
            )
        }?;
        Ok(Self { handle, names })
    }

    /// The outputs of the kernel for these inputs. Lazy, as ops are: an error in the source shows when they are computed.
    ///
    /// - `inputs`: one for each name, in order
    /// - source: `mlx_fast_cuda_kernel_apply`
    ///
    /// # Errors
    /// As [`MetalKernel::launch`].
    ///
    /// # Safety
    /// As [`MetalKernel::launch`].
    ///
    /// # Examples
    /// ```no_run
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::fast::{CudaKernel, CudaSource, KernelLaunch};
    /// use mlx_core::{Array, Dtype};
    /// let kernel = CudaKernel::new(&CudaSource {
    ///     name: "double_it",
    ///     inputs: &["x"],
    ///     outputs: &["y"],
    ///     source: "auto i = cooperative_groups::this_grid().thread_rank(); y[i] = 2 * x[i];",
    ///     ..Default::default()
    /// })?;
    /// let x = Array::ones(&[32], Dtype::Float32)?;
    /// let launch = KernelLaunch {
    ///     outputs: &[(&[32], Dtype::Float32)],
    ///     grid: [32, 1, 1],
    ///     thread_group: [32, 1, 1],
    ///     ..Default::default()
    /// };
    /// // SAFETY: 32 threads read and write one element each of arrays of 32.
    /// let y = unsafe { kernel.launch(&[&x], &launch) }?;
    /// # Ok(()) }
    /// ```
    pub unsafe fn launch(&self, inputs: &[&Array], launch: &KernelLaunch<'_>) -> Result<Vec<Array>> {
        // SAFETY: this function's own contract.
        unsafe { self.handle.launch("cuda_kernel", &self.names, inputs, launch) }
    }
}

impl fmt::Debug for CudaKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaKernel").field("name", &self.names.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_must_be_identifiers_and_unlike_each_other() {
        let check = |name, inputs: &[&str], outputs: &[&str]| Names::new("op", name, inputs, outputs).is_ok();
        assert!(check("k", &["x", "_y2"], &["z"]) && check("k", &[], &["z"]));
        for name in ["", "1k", "a b", "a\0b", "ä", "x;y"] {
            assert!(!check(name, &["x"], &["y"]), "{name:?}");
            assert!(!check("k", &[name], &["y"]) && !check("k", &["x"], &[name]), "{name:?}");
        }
        assert!(!check("k", &["x", "x"], &["y"]) && !check("k", &["x"], &["x"]) && !check("k", &["x"], &[]));
    }

    #[test]
    fn launches_are_checked_before_they_reach_a_gpu() {
        let good = KernelLaunch { outputs: &[(&[2, 3], Dtype::Float32)], ..Default::default() };
        assert!(good.check("op", 1).is_ok());
        assert!(good.check("op", 2).is_err() && good.check("op", 0).is_err());
        for grid in [[0, 1, 1], [1, -1, 1], [1, 1, i32::MIN]] {
            assert!(KernelLaunch { grid, ..good }.check("op", 1).is_err());
        }
        for thread_group in [[0, 1, 1], [1025, 1, 1], [32, 33, 1], [i32::MAX; 3], [1, -1, -1]] {
            assert!(KernelLaunch { thread_group, ..good }.check("op", 1).is_err());
        }
        for shape in [&[-1][..], &[i32::MAX, i32::MAX, i32::MAX]] {
            let outputs = [(shape, Dtype::Float32)];
            assert!(KernelLaunch { outputs: &outputs, ..good }.check("op", 1).is_err());
        }
    }

    #[test]
    fn configurations_are_made_and_freed() {
        let before = ffi::live::count();
        let launch = KernelLaunch {
            outputs: &[(&[2, 3], Dtype::Float32), (&[], Dtype::Int8)],
            template: &[
                ("T", TemplateValue::Dtype(Dtype::Bfloat16)),
                ("n", TemplateValue::Int(-3)),
                ("b", TemplateValue::Bool(true)),
            ],
            init_value: Some(0.0),
            ..Default::default()
        };
        assert!(MetalConfig::new("op", &launch).is_ok() && CudaConfig::new("op", &launch).is_ok());
        let bad = KernelLaunch { template: &[("a b", TemplateValue::Int(1))], ..launch };
        assert!(MetalConfig::new("op", &bad).is_err() && CudaConfig::new("op", &bad).is_err());
        assert_eq!(ffi::live::count(), before);
    }

    #[test]
    fn kernels_of_a_backend_that_is_not_there_are_refused_cleanly() {
        // The thread's stream stays.
        crate::Stream::current().unwrap();
        let before = ffi::live::count();
        let launch = KernelLaunch { outputs: &[(&[1], Dtype::Float32)], ..Default::default() };
        let on_cpu = || crate::Stream::default_on(&crate::Device::cpu().unwrap()).unwrap();
        let source = MetalSource { name: "k", outputs: &["y"], source: "y[0] = 1;", ..Default::default() };
        let kernel = MetalKernel::new(&source);
        // SAFETY: nothing runs on a stream of the processor.
        let launched = kernel.and_then(|kernel| on_cpu().scope(|| unsafe { kernel.launch(&[], &launch) }));
        let error = launched.unwrap_err().to_string();
        assert!(error.contains("Metal") || error.contains("GPU"), "{error}");
        let source = CudaSource { name: "k", outputs: &["y"], source: "y[0] = 1;", ..Default::default() };
        let kernel = CudaKernel::new(&source);
        // SAFETY: nothing runs on a stream of the processor.
        let launched = kernel.and_then(|kernel| on_cpu().scope(|| unsafe { kernel.launch(&[], &launch) }));
        let error = launched.unwrap_err().to_string();
        assert!(error.contains("CUDA") || error.contains("GPU"), "{error}");
        assert!(CudaKernel::new(&CudaSource { shared_memory: -1, ..source }).is_err());
        assert!(CudaKernel::new(&CudaSource { source: "a\0b", ..source }).is_err());
        assert_eq!(ffi::live::count(), before);
    }

    #[test]
    fn a_kernel_that_could_not_be_made_cannot_be_launched() {
        let names = Names::new("op", "k", &["x"], &["y"]).unwrap();
        let x = Array::scalar(1.0f32).unwrap();
        let launch = KernelLaunch { outputs: &[(&[1], Dtype::Float32)], ..Default::default() };
        // SAFETY: there is no kernel that could run.
        let launched = unsafe { MetalHandle::empty().launch("op", &names, &[&x], &launch) };
        assert!(launched.is_err());
        // SAFETY: there is no kernel that could run.
        let launched = unsafe { CudaHandle::empty().launch("op", &names, &[&x], &launch) };
        assert!(launched.is_err());
        // SAFETY: there is no kernel that could run.
        assert!(unsafe { CudaHandle::empty().launch("op", &names, &[], &launch) }.is_err());
    }
}
