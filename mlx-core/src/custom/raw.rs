// SPDX-License-Identifier: EUPL-1.2
//! What ops of this crate's own are made of: raw views, layouts, and the functions that C calls.

use std::any::{Any, TypeId};
use std::ffi::{CStr, c_int, c_void};
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::closure::{Inside, argnums, fill, mapped_axes};
use crate::error::{Error, Result};
use crate::ffi::{self, Handle, call, guard, sys};
use crate::ops::node::fits;
use crate::vector::VectorArray;
use crate::{Array, Dtype};

/// An operand or a result of a [`RawOp`] while it is computed.
///
/// What an op may rely on: `data` points to the first element (it is null when there are none), an element of `dtype`
/// lies at every sum of an index within `shape` times `strides`, aligned to the element's size unless the operand is a
/// view of smaller elements (and to no more: buffers begin 8 bytes after a multiple of 16), and all of it stays where
/// it is until `eval` returns. Nobody writes to operands meanwhile, but the op itself through an alias. Nobody else
/// touches results; those that are new are not initialised, unless [`Layout::Zeroed`] asks for it.
#[repr(transparent)]
pub(crate) struct View<'a>(sys::mlx_custom_view, PhantomData<&'a ()>);

impl<'a> View<'a> {
    #[inline]
    pub(crate) fn data(&self) -> *mut u8 {
        self.0.data.cast()
    }

    #[inline]
    pub(crate) fn shape(&self) -> &'a [i32] {
        // SAFETY: C made the view, and keeps what it points to for the call, which is `'a`.
        unsafe { ffi::slice(self.0.shape, self.0.ndim) }
    }

    /// In elements.
    #[inline]
    pub(crate) fn strides(&self) -> &'a [i64] {
        // SAFETY: as for `shape`.
        unsafe { ffi::slice(self.0.strides, self.0.ndim) }
    }

    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.0.size
    }

    #[inline]
    pub(crate) fn dtype(&self) -> Dtype {
        Dtype::from_raw(self.0.dtype)
    }

    #[inline]
    pub(crate) fn is_row_contiguous(&self) -> bool {
        self.0.row_contiguous
    }

    /// How many matrices the axes before the last two hold.
    pub(crate) fn matrices(&self) -> usize {
        let (outer, _) = self.shape().split_at(self.0.ndim.saturating_sub(2));
        outer.iter().map(|&dim| usize::try_from(dim).unwrap_or(0)).product()
    }

    /// The last two axes of an operand at the place `index`, counted along the axes before them; nothing where there is
    /// no such place, or there are no two axes.
    pub(crate) fn matrix(&self, index: usize) -> Option<View<'a>> {
        let axes = self.0.ndim.checked_sub(2)?;
        let ((outer, inner), (outer_strides, strides)) =
            (self.shape().split_at(axes), self.strides().split_at(axes));
        let mut rest = i64::try_from(index).ok()?;
        let mut offset = 0;
        for (&dim, &stride) in outer.iter().zip(outer_strides).rev() {
            let dim = i64::from(dim);
            offset += rest.checked_rem(dim)? * stride;
            rest = rest.checked_div(dim)?;
        }
        let ([rows, columns], [row, step]) = (inner, strides) else { return None };
        if rest > 0 {
            return None;
        }
        let bytes = isize::try_from(offset).ok()?.checked_mul(self.dtype().size().cast_signed())?;
        let size = usize::try_from(*rows).ok()? * usize::try_from(*columns).ok()?;
        let row_contiguous = (*step == 1 || *columns == 1) && (*row == i64::from(*columns) || *rows == 1);
        Some(View(
            sys::mlx_custom_view {
                // Where there are elements, this is that of an index within the shape.
                data: if size == 0 { self.0.data } else { self.0.data.wrapping_byte_offset(bytes) },
                shape: inner.as_ptr(),
                strides: strides.as_ptr(),
                ndim: 2,
                size,
                row_contiguous,
                ..self.0
            },
            PhantomData,
        ))
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("shape", &self.shape())
            .field("strides", &self.strides())
            .field("dtype", &format_args!("{}", self.dtype()))
            .finish()
    }
}

/// An op of this crate's own, on raw views: nothing is checked, copied or filled for it.
pub(crate) trait RawOp: Send + Sync + 'static {
    /// The op's name in errors and graphs.
    fn name(&self) -> &'static CStr;

    /// Computes the outputs, on the thread of the stream. Errors and panics come back from what waits for the outputs.
    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()>;

    /// See [`CpuOp::vjp`](super::CpuOp::vjp).
    fn vjp(
        &self,
        primals: &[Array],
        cotangents: &[Array],
        argnums: &[usize],
        outputs: &[Array],
    ) -> Result<Vec<Array>> {
        let _ = (primals, cotangents, argnums, outputs);
        Err(no_vjp(self.name()))
    }

    /// `tangents` of the inputs that `argnums` names, pushed forward to each output.
    fn jvp(&self, primals: &[Array], tangents: &[Array], argnums: &[usize]) -> Result<Vec<Array>> {
        let _ = (primals, tangents, argnums);
        Err(no_jvp(self.name()))
    }

    /// The outputs for every example along the mapped axis of each input (`None` where it is the same for all), and that
    /// axis in the outputs.
    fn vmap(&self, inputs: &[Array], axes: &[Option<usize>]) -> Result<(Vec<Array>, usize)> {
        let _ = (inputs, axes);
        Err(Error::Mlx { op: text(self.name()), message: "has no vmap".to_owned() })
    }

    /// See [`CpuOp::is_equivalent`](super::CpuOp::is_equivalent).
    fn is_equivalent(&self, other: &Self) -> bool {
        let _ = other;
        false
    }

    /// The shape of each output, for functions compiled for any shape.
    fn output_shapes(&self, inputs: &[&Array]) -> Result<Vec<Vec<i32>>> {
        let _ = inputs;
        Err(Error::Mlx { op: text(self.name()), message: "cannot tell its shapes".to_owned() })
    }
}

/// Where the elements of an output lie.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Layout<'a> {
    /// In a new buffer, row-major, not initialised.
    RowMajor,
    /// In a new buffer, row-major, zero.
    Zeroed,
    /// In a new buffer, not initialised, with these strides in elements: those of a permuted row-major array.
    Strides(&'a [i64]),
    /// In the buffer of an operand, which the op writes to in place. The operand must be row-contiguous when it is
    /// computed. `offset` and `strides` are in elements of the output and not negative.
    ///
    /// The caller answers for it that the operand's old values are of no use to anybody where the output lies: the
    /// operand, and whatever else shares its buffer, shows the new ones.
    Alias { input: usize, offset: usize, strides: &'a [i64] },
}

/// What an output is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spec<'a> {
    pub(crate) shape: &'a [i32],
    pub(crate) dtype: Dtype,
    pub(crate) layout: Layout<'a>,
}

impl<'a> Spec<'a> {
    /// A new buffer in row-major order.
    pub(crate) fn new(shape: &'a [i32], dtype: Dtype) -> Self {
        Self { shape, dtype, layout: Layout::RowMajor }
    }

    /// Checks everything that can be known before the op is computed.
    fn to_raw(self, name: &'static CStr) -> Result<sys::mlx_custom_spec> {
        let op = text(name);
        fits(op, self.shape, self.dtype)?;
        let (layout, strides, input, offset) = match self.layout {
            Layout::RowMajor => (sys::MLX_CUSTOM_ROW_MAJOR, &[][..], 0, 0),
            Layout::Zeroed => (sys::MLX_CUSTOM_ZEROED, &[][..], 0, 0),
            Layout::Strides(strides) => (sys::MLX_CUSTOM_STRIDED, strides, 0, 0),
            Layout::Alias { input, offset, strides } => (sys::MLX_CUSTOM_ALIAS, strides, input, offset),
        };
        let fitting = match self.layout {
            Layout::Strides(strides) => is_dense(self.shape, strides),
            Layout::Alias { strides, .. } => {
                strides.len() == self.shape.len() && strides.iter().all(|&stride| stride >= 0)
            }
            Layout::RowMajor | Layout::Zeroed => true,
        };
        let offset = i64::try_from(offset).ok().filter(|_| fitting);
        let offset = offset
            .ok_or_else(|| Error::shape(op, format!("{:?} does not lay out {:?}", strides, self.shape)))?;
        Ok(sys::mlx_custom_spec {
            shape: self.shape.as_ptr(),
            ndim: self.shape.len(),
            dtype: self.dtype.to_raw(),
            layout,
            strides: strides.as_ptr(),
            input,
            offset,
        })
    }
}

/// Whether `strides` puts the elements of `shape` one after the other, in some order of the axes.
fn is_dense(shape: &[i32], strides: &[i64]) -> bool {
    if shape.len() != strides.len() {
        return false;
    }
    if shape.contains(&0) {
        return strides.iter().all(|&stride| stride >= 0);
    }
    let mut axes: Vec<(i64, i64)> = strides
        .iter()
        .zip(shape)
        .filter(|(_, dim)| **dim > 1)
        .map(|(&s, &dim)| (s, i64::from(dim)))
        .collect();
    axes.sort_unstable();
    let mut next = 1;
    axes.iter().all(|&(stride, dim)| {
        let fits = stride == next;
        next *= dim;
        fits
    }) && strides.iter().all(|&stride| stride >= 0)
}

/// Puts `op` into the graph with `N` outputs.
pub(crate) fn apply_raw<O: RawOp, const N: usize>(
    op: O,
    inputs: &[&Array],
    outputs: [Spec<'_>; N],
) -> Result<[Array; N]> {
    let mut specs = [NO_SPEC; N];
    for (raw, spec) in specs.iter_mut().zip(outputs) {
        *raw = spec.to_raw(op.name())?;
    }
    let mut slots = [NO_ARRAY; N];
    let done = submit(op, inputs, &specs, &mut slots);
    // Also after a failure, which may have filled some.
    let arrays = slots.map(Array::from_raw);
    done.map(|()| arrays)
}

/// Puts `op` into the graph with any number of outputs.
pub(crate) fn apply_to<O: RawOp>(op: O, inputs: &[&Array], outputs: &[Spec<'_>]) -> Result<Vec<Array>> {
    let specs = outputs.iter().map(|spec| spec.to_raw(op.name())).collect::<Result<Vec<_>>>()?;
    let mut slots = vec![NO_ARRAY; specs.len()];
    let done = submit(op, inputs, &specs, &mut slots);
    let arrays = slots.into_iter().map(Array::from_raw).collect();
    done.map(|()| arrays)
}

const NO_ARRAY: sys::mlx_array = sys::mlx_array { ctx: std::ptr::null_mut() };
const NO_SPEC: sys::mlx_custom_spec = sys::mlx_custom_spec {
    shape: std::ptr::null(),
    ndim: 0,
    dtype: sys::MLX_FLOAT32,
    layout: sys::MLX_CUSTOM_ROW_MAJOR,
    strides: std::ptr::null(),
    input: 0,
    offset: 0,
};

/// Inputs of more ops than not are as few as this, and need no allocation.
const FEW: usize = 8;

fn submit<O: RawOp>(
    op: O,
    inputs: &[&Array],
    specs: &[sys::mlx_custom_spec],
    slots: &mut [sys::mlx_array],
) -> Result<()> {
    let name = op.name();
    if specs.is_empty() || specs.len() != slots.len() {
        return Err(Error::shape(text(name), "an op must have an output"));
    }
    let mut few = [NO_ARRAY; FEW];
    let many: Vec<sys::mlx_array>;
    let raw = match few.get_mut(..inputs.len()) {
        Some(few) => {
            for (raw, input) in few.iter_mut().zip(inputs) {
                *raw = input.as_raw();
            }
            &*few
        }
        None => {
            many = inputs.iter().map(|input| input.as_raw()).collect();
            &many
        }
    };
    let state = Box::into_raw(Box::new(State { kind: TypeId::of::<O>(), op }));
    // SAFETY: op contract. There are as many specs as slots, each empty, and the specs point into what the caller
    // holds. `state` is a `State<O>`, given up to the call, and the table is that of `O`; both it and the name live for
    // ever.
    unsafe {
        call!(mlx_custom_apply(
            slots.as_mut_ptr(),
            specs.as_ptr(),
            specs.len(),
            raw.as_ptr(),
            raw.len(),
            name.as_ptr(),
            Table::<O>::TABLE,
            state.cast(),
            crate::device::stream(),
        ))
    }
}

/// The error of an op that has no gradient.
pub(super) fn no_vjp(name: &'static CStr) -> Error {
    failed(name, NO_VJP.to_owned())
}

/// Whether an error is that of `no_vjp` for this op.
pub(super) fn is_no_vjp(name: &'static CStr, op: &str, message: &str) -> bool {
    op == text(name) && message == NO_VJP
}

/// The error of an op that cannot be differentiated forwards.
pub(super) fn no_jvp(name: &'static CStr) -> Error {
    failed(name, "has no jvp".to_owned())
}

/// An error of the op of this name.
pub(super) fn failed(name: &'static CStr, message: String) -> Error {
    Error::Mlx { op: text(name), message }
}

const NO_VJP: &str = "has no vjp";

fn text(name: &'static CStr) -> &'static str {
    name.to_str().unwrap_or("custom op")
}

/// What the node carries.
#[repr(C)]
struct State<O> {
    /// First, so that it can be read before the rest is known.
    kind: TypeId,
    op: O,
}

/// The functions of `O` for C.
struct Table<O>(PhantomData<O>);

impl<O: RawOp> Table<O> {
    const TABLE: &'static sys::mlx_custom_table = &sys::mlx_custom_table {
        eval: Some(eval::<O>),
        vjp: Some(vjp::<O>),
        jvp: Some(jvp::<O>),
        vmap: Some(vmap::<O>),
        output_shapes: Some(output_shapes::<O>),
        is_equivalent: Some(is_equivalent::<O>),
        release: Some(release::<O>),
    };
}

/// # Safety
/// `state` is a live `State<O>`; each pointer to views has as many as the number beside it, valid for this call and by
/// the contract of `View`; `sink` is for `mlx_custom_message`.
unsafe extern "C" fn eval<O: RawOp>(
    state: *const c_void,
    inputs: *const sys::mlx_custom_view,
    inputs_num: usize,
    outputs: *mut sys::mlx_custom_view,
    outputs_num: usize,
    sink: *mut c_void,
) -> c_int {
    let result = catch_unwind(|| {
        // SAFETY: by this function's contract; a `View` is what it wraps.
        let (op, inputs, outputs) = unsafe {
            (
                &(*state.cast::<State<O>>()).op,
                ffi::slice(inputs.cast::<View<'_>>(), inputs_num),
                std::slice::from_raw_parts_mut(outputs.cast::<View<'_>>(), outputs_num),
            )
        };
        op.eval(inputs, outputs).map_err(|error| with_name(op.name(), &error.to_string()))
    });
    let message = match result {
        Ok(Ok(())) => return 0,
        Ok(Err(message)) => message,
        Err(payload) => {
            // SAFETY: by this function's contract.
            let name = catch_unwind(|| unsafe { (*state.cast::<State<O>>()).op.name() });
            let text =
                format!("{} panicked: {}", name.map_or("custom op", text), panic_text(payload.as_ref()));
            // A payload may panic when it is dropped; nothing may unwind from here.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
            text
        }
    };
    // SAFETY: by this function's contract; the text is copied.
    unsafe { sys::mlx_custom_message(sink, message.as_ptr().cast(), message.len()) };
    1
}

/// The text of an error, which names the op once.
fn with_name(name: &'static CStr, error: &str) -> String {
    let name = text(name);
    if error.starts_with(name) { error.to_owned() } else { format!("{name}: {error}") }
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// # Safety
/// `state` is a live `State<O>`; the vectors are live and lent; `argnums` points to `argnums_num` numbers; `res` is an
/// empty slot.
unsafe extern "C" fn vjp<O: RawOp>(
    state: *const c_void,
    primals: sys::mlx_vector_array,
    cotangents: sys::mlx_vector_array,
    numbers: *const c_int,
    len: usize,
    outputs: sys::mlx_vector_array,
    res: *mut sys::mlx_vector_array,
) -> c_int {
    guard(|| {
        let _inside = Inside::new();
        // SAFETY: by this function's contract.
        let (op, argnums, [primals, cotangents, outputs]) = unsafe {
            (
                &(*state.cast::<State<O>>()).op,
                argnums(numbers, len),
                [primals, cotangents, outputs].map(|raw| VectorArray::lent(raw)),
            )
        };
        let pulled = op.vjp(&primals?, &cotangents?, &argnums, &outputs?)?;
        if pulled.len() != argnums.len() {
            let message =
                format!("the vjp gave {} arrays where {} were asked for", pulled.len(), argnums.len());
            return Err(Error::Mlx { op: text(op.name()), message });
        }
        // SAFETY: by this function's contract.
        unsafe { fill(res, &pulled) }
    })
}

/// # Safety
/// As [`vjp`].
unsafe extern "C" fn jvp<O: RawOp>(
    state: *const c_void,
    primals: sys::mlx_vector_array,
    tangents: sys::mlx_vector_array,
    numbers: *const c_int,
    len: usize,
    res: *mut sys::mlx_vector_array,
) -> c_int {
    guard(|| {
        let _inside = Inside::new();
        // SAFETY: by this function's contract.
        let (op, argnums, [primals, tangents]) = unsafe {
            (
                &(*state.cast::<State<O>>()).op,
                argnums(numbers, len),
                [primals, tangents].map(|raw| VectorArray::lent(raw)),
            )
        };
        let pushed = op.jvp(&primals?, &tangents?, &argnums)?;
        // SAFETY: by this function's contract.
        unsafe { fill(res, &pushed) }
    })
}

/// # Safety
/// `state` is a live `State<O>`; `inputs` is live and lent; `axes` points to `len` numbers; both slots are empty.
unsafe extern "C" fn vmap<O: RawOp>(
    state: *const c_void,
    inputs: sys::mlx_vector_array,
    axes: *const c_int,
    len: usize,
    res: *mut sys::mlx_vector_array,
    res_axis: *mut c_int,
) -> c_int {
    guard(|| {
        let _inside = Inside::new();
        // SAFETY: by this function's contract.
        let (op, inputs, axes) =
            unsafe { (&(*state.cast::<State<O>>()).op, VectorArray::lent(inputs)?, mapped_axes(axes, len)) };
        let (mapped, axis) = op.vmap(&inputs, &axes)?;
        let length = inputs.iter().zip(&axes).find_map(|(x, axis)| x.shape().get((*axis)?).copied());
        if let Some(wrong) = mapped.iter().find(|output| output.shape().get(axis).copied() != length) {
            let message = format!("the vmap gave {wrong:?}, whose axis {axis} is not the mapped one");
            return Err(Error::Mlx { op: text(op.name()), message });
        }
        // SAFETY: by this function's contract.
        unsafe {
            *res_axis = c_int::try_from(axis).unwrap_or(0);
            fill(res, &mapped)
        }
    })
}

/// # Safety
/// `state` is a live `State<O>`; `inputs` is live and lent; `sink` is for `mlx_custom_shape`.
unsafe extern "C" fn output_shapes<O: RawOp>(
    state: *const c_void,
    inputs: sys::mlx_vector_array,
    sink: *mut c_void,
) -> c_int {
    guard(|| {
        let _inside = Inside::new();
        // SAFETY: by this function's contract.
        let (op, inputs) = unsafe { (&(*state.cast::<State<O>>()).op, VectorArray::lent(inputs)?) };
        for shape in op.output_shapes(&inputs.iter().collect::<Vec<_>>())? {
            // SAFETY: by this function's contract; the shape is copied.
            unsafe { call!(mlx_custom_shape(sink, shape.as_ptr(), shape.len())) }?;
        }
        Ok(())
    })
}

/// # Safety
/// `state` is a live `State<O>`; `other` is a live state of some op of this crate.
unsafe extern "C" fn is_equivalent<O: RawOp>(state: *const c_void, other: *const c_void) -> bool {
    // Two tables of the same content may be one, so the table does not tell what `other` is.
    // SAFETY: every `State` begins with its kind.
    let same = unsafe { *other.cast::<TypeId>() } == TypeId::of::<O>();
    // SAFETY: by this function's contract, and because the kinds are the same.
    same && catch_unwind(|| unsafe {
        (*state.cast::<State<O>>()).op.is_equivalent(&(*other.cast::<State<O>>()).op)
    })
    .unwrap_or(false)
}

/// # Safety
/// `state` is a `State<O>` that nobody uses any more.
unsafe extern "C" fn release<O: RawOp>(state: *mut c_void) {
    // What a panicking destructor wanted to say has no one to hear it.
    let dropped = ffi::aside(|| {
        catch_unwind(|| {
            // SAFETY: by this function's contract. The op is `Send`, so it may be dropped on any thread.
            drop(unsafe { Box::from_raw(state.cast::<State<O>>()) });
        })
    });
    if let Err(payload) = dropped {
        std::mem::forget(payload);
    }
}

#[cfg(test)]
mod tests;
