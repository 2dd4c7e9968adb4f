// SPDX-License-Identifier: EUPL-1.2
#![doc = include_str!("../../../docs/custom-ops.md")]

use std::ffi::CStr;
use std::fmt;
use std::sync::Arc;

use crate::element::Sealed;
use crate::error::{Error, Result};
use crate::{Array, Dtype, Element, ffi, stack, transform};

mod raw;

pub(crate) use raw::{Layout, RawOp, Spec, View, apply_raw, apply_to};

/// An op that runs on the CPU.
///
/// It is shared with the thread of the stream that it runs on, and dropped there or on the caller's.
pub trait CpuOp: Send + Sync + 'static {
    /// The op's name in errors and graphs.
    fn name(&self) -> &'static CStr;

    /// Shape and dtype of each output, or why there are none for these inputs. Called when the op is applied.
    ///
    /// # Errors
    /// Whatever speaks against the inputs: it comes back from [`apply`] as it is.
    fn outputs(&self, inputs: &[&Array]) -> Result<Vec<OutputSpec>>;

    /// Computes the outputs, which are filled with zeros at first. Called on the thread of the stream, once for each
    /// evaluation of the node.
    ///
    /// # Errors
    /// An error, or a panic, comes back from what waits for the outputs: as [`Error::Mlx`] with its text.
    fn eval(&self, inputs: &[Input<'_>], outputs: &mut [Output<'_>]) -> Result<()>;

    /// `cotangents`, one for each output, pulled back to the inputs that `argnums` names: one array for each, of that
    /// input's shape. Called on the thread that differentiates; builds arrays, and must not evaluate.
    ///
    /// # Errors
    /// An error comes back as it is; without this method it says that the op has no vjp.
    fn vjp(
        &self,
        primals: &[Array],
        cotangents: &[Array],
        argnums: &[usize],
        outputs: &[Array],
    ) -> Result<Vec<Array>> {
        let _ = (primals, cotangents, argnums, outputs);
        Err(raw::no_vjp(self.name()))
    }

    /// `tangents` of the inputs that `argnums` names, pushed forward: one array for each output, of that output's shape.
    /// Called on the thread that differentiates; builds arrays, and must not evaluate.
    ///
    /// Without this method the pushforward is found from [`CpuOp::vjp`], which is linear in its cotangents: as the pullback
    /// of the pullback. What it is made of must then have gradients of its own, by the cotangents.
    ///
    /// # Errors
    /// An error comes back as it is; without a vjp it says that the op has no jvp.
    fn jvp(
        &self,
        primals: &[Array],
        tangents: &[Array],
        argnums: &[usize],
        outputs: &[Array],
    ) -> Result<Vec<Array>> {
        let pullback = |cotangents: &[Array]| self.vjp(primals, cotangents, argnums, outputs);
        let anywhere =
            outputs.iter().map(|y| Array::zeros(y.shape(), y.dtype())).collect::<Result<Vec<_>>>()?;
        transform::vjp(pullback, &anywhere, tangents).map(|(_, pushed)| pushed).map_err(|error| match error {
            Error::Mlx { op, message } if raw::is_no_vjp(self.name(), op, &message) => {
                raw::no_jvp(self.name())
            }
            other => other,
        })
    }

    /// The outputs for every example along the mapped axis of each input, and the place of that axis in the outputs; `None`
    /// among `axes` stands for an input that is the same for all. Called by [`transform::vmap`].
    ///
    /// Without this method, and where it gives `None`, the op is applied to one example after the other.
    ///
    /// # Errors
    /// An error comes back as it is.
    fn vmap(&self, inputs: &[Array], axes: &[Option<usize>]) -> Result<Option<(Vec<Array>, usize)>> {
        let _ = (inputs, axes);
        Ok(None)
    }

    /// Whether `other` computes the same for the same inputs, so that a compiled function may use one for both.
    fn is_equivalent(&self, other: &Self) -> bool {
        let _ = other;
        false
    }
}

/// Puts `op` into the graph, on the thread's current stream.
///
/// # Errors
/// What [`CpuOp::outputs`] says; [`Error::Shape`] when an output does not fit in memory; [`Error::Mlx`] when the
/// current stream is not on the CPU.
///
/// # Examples
/// See the [module's page](self).
pub fn apply<O: CpuOp>(op: O, inputs: &[&Array]) -> Result<Vec<Array>> {
    apply_shared(&Arc::new(op), inputs)
}

fn apply_shared<O: CpuOp>(op: &Arc<O>, inputs: &[&Array]) -> Result<Vec<Array>> {
    let outputs = op.outputs(inputs)?;
    let specs: Vec<Spec<'_>> = outputs
        .iter()
        .map(|output| Spec { shape: &output.shape, dtype: output.dtype, layout: Layout::Zeroed })
        .collect();
    apply_to(Safe(Arc::clone(op)), inputs, &specs)
}

/// Shape and dtype of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputSpec {
    /// The length of each axis.
    pub shape: Vec<i32>,
    /// The element type.
    pub dtype: Dtype,
}

impl OutputSpec {
    /// An output of this shape and dtype.
    ///
    /// # Examples
    /// ```
    /// use mlx_core::{Dtype, custom::OutputSpec};
    /// assert_eq!(OutputSpec::new([2, 3], Dtype::Int8).shape, [2, 3]);
    /// ```
    pub fn new(shape: impl Into<Vec<i32>>, dtype: Dtype) -> Self {
        Self { shape: shape.into(), dtype }
    }
}

/// An operand while its op is computed.
///
/// # Examples
/// A sum of float32 that copies nothing where the elements are in order:
/// ```
/// use mlx_core::{Result, custom::Input};
/// fn sum(input: &Input<'_>) -> Result<f32> {
///     match input.as_slice::<f32>() {
///         Some(values) => Ok(values.iter().sum()),
///         None => Ok(input.to_vec::<f32>()?.iter().sum()),
///     }
/// }
/// ```
/// The last axis of each row, whatever the strides:
/// ```
/// use mlx_core::{Result, custom::Input};
/// fn rows(input: &Input<'_>) -> Result<Vec<Vec<f32>>> {
///     let width = input.shape().last().map_or(1, |&n| usize::try_from(n).unwrap_or(0));
///     Ok(input.to_vec::<f32>()?.chunks(width.max(1)).map(<[f32]>::to_vec).collect())
/// }
/// ```
#[repr(transparent)]
pub struct Input<'a>(View<'a>);

impl Input<'_> {
    /// The length of each axis.
    #[must_use]
    pub fn shape(&self) -> &[i32] {
        self.0.shape()
    }

    /// For each axis, how many elements lie between neighbours on it: 0 where it is broadcast, negative where reversed.
    #[must_use]
    pub fn strides(&self) -> &[i64] {
        self.0.strides()
    }

    /// The number of elements.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size()
    }

    /// The element type.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        self.0.dtype()
    }

    /// The elements where they lie, if `T` is their type and they lie in row-major order without gaps.
    ///
    /// Otherwise, and for truth values that are stored as something else than 0 and 1, there is [`Input::to_vec`].
    #[must_use]
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        if self.dtype() != T::DTYPE || !self.0.is_row_contiguous() {
            return None;
        }
        let (data, size) = (self.0.data().cast_const(), self.size());
        if data.align_offset(align_of::<T>()) != 0 {
            return None; // A view of smaller elements that begins between two of these.
        }
        if T::DTYPE == Dtype::Bool {
            // SAFETY: there are `size` bytes, as in the last line.
            let bytes = unsafe { ffi::slice(data, size) };
            if bytes.iter().any(|&byte| byte > 1) {
                return None;
            }
        }
        // SAFETY: by the contract of `View` there are `size` elements one after the other, which nobody writes to
        // during the call; `T` is their type, they are aligned for it, and every bit pattern that is there is one.
        Some(unsafe { ffi::slice(data.cast::<T>(), size) })
    }

    /// The elements in row-major order, wherever they lie.
    ///
    /// # Errors
    /// [`Error::Dtype`] when `T` is not the element type.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        let found = self.dtype();
        if found != T::DTYPE {
            return Err(Error::Dtype { op: "Input::to_vec", expected: T::DTYPE, found });
        }
        if let Some(slice) = self.as_slice::<T>() {
            return Ok(slice.to_vec());
        }
        let mut values = Vec::with_capacity(self.size());
        let mut index = vec![0; self.shape().len()];
        let mut place = 0i64;
        for _ in 0..self.size() {
            let data = self.0.data().cast::<<T as Sealed>::Storage>().cast_const();
            // SAFETY: `place` is the sum of an index within the shape times the strides, so by the contract of `View`
            // an element of this type lies there. It may be anywhere.
            let storage = unsafe { data.offset(place as isize).read_unaligned() };
            values.push(T::from_storage(storage));
            for ((i, &dim), &stride) in index.iter_mut().zip(self.shape()).zip(self.strides()).rev() {
                *i += 1;
                place += stride;
                if *i < dim {
                    break;
                }
                place -= stride * i64::from(dim);
                *i = 0;
            }
        }
        Ok(values)
    }
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A result while its op is computed: row-major, without gaps, zero at first.
///
/// # Examples
/// ```
/// use mlx_core::{Result, custom::Output};
/// fn count(output: &mut Output<'_>) -> Result<()> {
///     assert_eq!(output.size(), output.as_mut_slice::<f32>()?.len());
///     for (i, value) in (0u16..).zip(output.as_mut_slice::<f32>()?) {
///         *value = f32::from(i);
///     }
///     Ok(())
/// }
/// ```
#[repr(transparent)]
pub struct Output<'a>(View<'a>);

impl Output<'_> {
    /// The length of each axis.
    #[must_use]
    pub fn shape(&self) -> &[i32] {
        self.0.shape()
    }

    /// The number of elements.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size()
    }

    /// The element type.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        self.0.dtype()
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// [`Error::Dtype`] when `T` is not the element type.
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T]> {
        let found = self.dtype();
        if found != T::DTYPE {
            return Err(Error::Dtype { op: "Output::as_mut_slice", expected: T::DTYPE, found });
        }
        let (data, size) = (self.0.data().cast::<T>(), self.size());
        if data.is_null() || size == 0 {
            return Ok(&mut []);
        }
        // SAFETY: the buffer is new, filled with zeros (a value of every element type), holds `size` elements, is
        // aligned to 8 bytes, and this view of it is borrowed mutably.
        Ok(unsafe { std::slice::from_raw_parts_mut(data, size) })
    }
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A [`CpuOp`] behind the crate's own interface. Shared, because the op is applied again where it is mapped.
struct Safe<O>(Arc<O>);

impl<O: CpuOp> RawOp for Safe<O> {
    fn name(&self) -> &'static CStr {
        self.0.name()
    }

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        // SAFETY: an `Input` is a `View`, and so is an `Output`, which `apply` asked to be new and zeroed.
        let (inputs, outputs) = unsafe {
            (
                std::slice::from_raw_parts(inputs.as_ptr().cast::<Input<'_>>(), inputs.len()),
                std::slice::from_raw_parts_mut(outputs.as_mut_ptr().cast::<Output<'_>>(), outputs.len()),
            )
        };
        self.0.eval(inputs, outputs)
    }

    fn vjp(
        &self,
        primals: &[Array],
        cotangents: &[Array],
        argnums: &[usize],
        outputs: &[Array],
    ) -> Result<Vec<Array>> {
        self.0.vjp(primals, cotangents, argnums, outputs)
    }

    fn jvp(&self, primals: &[Array], tangents: &[Array], argnums: &[usize]) -> Result<Vec<Array>> {
        // The library does not hand the outputs on here. They are computed only if the pushforward uses them.
        let outputs = apply_shared(&self.0, &primals.iter().collect::<Vec<_>>())?;
        self.0.jvp(primals, tangents, argnums, &outputs)
    }

    fn vmap(&self, inputs: &[Array], axes: &[Option<usize>]) -> Result<(Vec<Array>, usize)> {
        let length =
            inputs.iter().zip(axes).find_map(|(x, axis)| x.shape().get((*axis)?).copied()).unwrap_or(0);
        let axis_of = |axis: usize| i32::try_from(axis).unwrap_or(i32::MAX);
        // What the op sees of each example. Only its shape counts here, and it is never computed.
        let single = |x: &Array, axis: &Option<usize>| match *axis {
            Some(axis) => {
                let mut shape = x.shape().to_vec();
                shape.remove(axis);
                Array::zeros(&shape, x.dtype())
            }
            None => Ok(x.clone()),
        };
        let singles = inputs.iter().zip(axes).map(|(x, axis)| single(x, axis)).collect::<Result<Vec<_>>>()?;
        let specs = self.0.outputs(&singles.iter().collect::<Vec<_>>())?;
        if let Some((mapped, place)) = self.0.vmap(inputs, axes)? {
            let expected = specs.iter().map(|spec| {
                let mut shape = spec.shape.clone();
                shape.insert(place.min(shape.len()), length);
                (shape, spec.dtype)
            });
            if !mapped.iter().map(|y| (y.shape().to_vec(), y.dtype())).eq(expected) {
                let message = format!("the vmap gave {mapped:?} for {length} times {specs:?}");
                return Err(raw::failed(self.name(), message));
            }
            return Ok((mapped, place));
        }
        if length == 0 {
            let empty = |spec: &OutputSpec| Array::zeros(&[&[0], spec.shape.as_slice()].concat(), spec.dtype);
            return Ok((specs.iter().map(empty).collect::<Result<_>>()?, 0));
        }
        let mut columns: Vec<Vec<Array>> = specs.iter().map(|_| Vec::new()).collect();
        for i in 0..length {
            let example = |x: &Array, axis: &Option<usize>| match *axis {
                Some(axis) => x.slice_axis(axis_of(axis), i, i + 1)?.squeeze_axes(&[axis_of(axis)]),
                None => Ok(x.clone()),
            };
            let example =
                inputs.iter().zip(axes).map(|(x, axis)| example(x, axis)).collect::<Result<Vec<_>>>()?;
            let outputs = apply_shared(&self.0, &example.iter().collect::<Vec<_>>())?;
            for (column, output) in columns.iter_mut().zip(outputs) {
                column.push(output);
            }
        }
        let stacked = columns.iter().map(|column| stack(&column.iter().collect::<Vec<_>>(), 0));
        Ok((stacked.collect::<Result<_>>()?, 0))
    }

    fn is_equivalent(&self, other: &Self) -> bool {
        self.0.is_equivalent(&other.0)
    }

    fn output_shapes(&self, inputs: &[&Array]) -> Result<Vec<Vec<i32>>> {
        Ok(self.0.outputs(inputs)?.into_iter().map(|output| output.shape).collect())
    }
}
