// SPDX-License-Identifier: EUPL-1.2
//! Reductions along axes, traces, and softmax.

use std::borrow::Cow;

use crate::cpu::reduce::{Over, along};
use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::ops::create::within;
use crate::ops::node::{axis_of, example};
use crate::{Array, Dtype};

/// What a reduction reads: of an empty array another one in row-major order. The processor's reductions never return from
/// some empty arrays in another layout, such as `[0, 1, 7]` transposed and reduced along its last axis.
fn fresh(array: &Array) -> Result<Cow<'_, Array>> {
    if array.size() > 0 {
        Ok(Cow::Borrowed(array))
    } else {
        Array::zeros(array.shape(), array.dtype()).map(Cow::Owned)
    }
}

/// A reduction in its three forms: one axis, several, all.
macro_rules! reduction {
    (dtype $dtype:literal, empty $empty:literal, none $none:literal; $($(#[$doc:meta])* $one:ident $several:ident $all:ident
        => $f_one:ident $f_several:ident $f_all:ident $(through $over:ident)?
        ($x:tt gives $rows:tt and $total:literal)),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// - shape: without `axis`, or with length 1 there when `keepdims`; a negative axis counts from the end
        #[doc = concat!("- dtype: ", $dtype)]
        #[doc = concat!("- an axis of length 0: ", $empty)]
        #[doc = concat!("- source: `", stringify!($f_one), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when `axis` is out of range.
        ///
        #[doc = example!(concat!(
            "let x = Array::from_slice(&", stringify!($x), ", &[2, 2])?;\n",
            "let rows = x.", stringify!($one), "(1, false)?;\n",
            "let wanted = Array::from_slice(&", stringify!($rows), ", &[2])?;\n",
            "assert_eq!(rows.shape(), [2]);\n",
            "assert!(rows.allclose(&wanted, 1e-5, 1e-6, false)?.item::<bool>()?);\n",
            "assert_eq!(x.", stringify!($one), "(-1, true)?.shape(), [2, 1]);"
        ))]
        pub fn $one(&self, axis: i32, keepdims: bool) -> Result<Array> {
            $(if let Some(result) = along(Over::$over, self, axis, keepdims) {
                return result;
            })?
            // SAFETY: op contract.
            unsafe { call!(Array = $f_one(fresh(self)?.as_raw(), axis, keepdims, stream())) }
        }

        #[doc = concat!("[`Array::", stringify!($one), "`] over several axes together.")]
        ///
        #[doc = concat!("- shape: without `axes`, or with length 1 there when `keepdims`; no axes ", $none)]
        #[doc = concat!("- dtype: ", $dtype)]
        #[doc = concat!("- source: `", stringify!($f_several), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when an axis is out of range or occurs twice.
        ///
        #[doc = example!(concat!(
            "let x = Array::from_slice(&", stringify!($x), ", &[2, 1, 2])?;\n",
            "let total = x.", stringify!($several), "(&[0, -1], true)?;\n",
            "assert_eq!(total.shape(), [1, 1, 1]);\n",
            "let wanted = Array::scalar(", stringify!($total), ")?;\n",
            "assert!(total.allclose(&wanted, 1e-5, 1e-6, false)?.item::<bool>()?);"
        ))]
        pub fn $several(&self, axes: &[i32], keepdims: bool) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_several(fresh(self)?.as_raw(), axes.as_ptr(), axes.len(), keepdims, stream())) }
        }

        #[doc = concat!("[`Array::", stringify!($one), "`] over all elements.")]
        ///
        /// - shape: `[]`
        #[doc = concat!("- dtype: ", $dtype)]
        #[doc = concat!("- no elements: ", $empty)]
        #[doc = concat!("- source: `", stringify!($f_all), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when the library fails.
        ///
        #[doc = example!(concat!(
            "let x = Array::from_slice(&", stringify!($x), ", &[2, 2])?;\n",
            "let wanted = Array::scalar(", stringify!($total), ")?;\n",
            "assert!(x.", stringify!($all), "()?.allclose(&wanted, 1e-5, 1e-6, false)?.item::<bool>()?);"
        ))]
        pub fn $all(&self) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_all(fresh(self)?.as_raw(), false, stream())) }
        }
    )*};
}

/// Variance and standard deviation, which have one more parameter.
macro_rules! deviation {
    ($($(#[$doc:meta])* $one:ident $several:ident $all:ident
        => $f_one:ident $f_several:ident $f_all:ident
        ($x:tt gives $rows:tt and $total:literal)),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// - `ddof`: taken off the number of elements that the sum of squares is divided by, but not below 0
        /// - shape: without `axis`, or with length 1 there when `keepdims`
        /// - dtype: floating, kept; others give float32
        #[doc = concat!("- source: `", stringify!($f_one), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when `axis` is out of range.
        ///
        #[doc = example!(concat!(
            "let x = Array::from_slice(&", stringify!($x), ", &[2, 2])?;\n",
            "let rows = x.", stringify!($one), "(1, false, 0)?;\n",
            "let wanted = Array::from_slice(&", stringify!($rows), ", &[2])?;\n",
            "assert!(rows.allclose(&wanted, 1e-5, 1e-6, false)?.item::<bool>()?);\n",
            "assert_eq!(x.", stringify!($one), "(-1, true, 1)?.shape(), [2, 1]);"
        ))]
        pub fn $one(&self, axis: i32, keepdims: bool, ddof: i32) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_one(fresh(self)?.as_raw(), axis, keepdims, ddof, stream())) }
        }

        #[doc = concat!("[`Array::", stringify!($one), "`] over several axes together.")]
        ///
        /// - shape: without `axes`, or with length 1 there when `keepdims`
        /// - dtype: floating, kept; others give float32
        #[doc = concat!("- source: `", stringify!($f_several), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when an axis is out of range or occurs twice.
        ///
        #[doc = example!(concat!(
            "let x = Array::from_slice(&", stringify!($x), ", &[2, 1, 2])?;\n",
            "let total = x.", stringify!($several), "(&[0, -1], true, 0)?;\n",
            "assert_eq!(total.shape(), [1, 1, 1]);\n",
            "let wanted = Array::scalar(", stringify!($total), ")?;\n",
            "assert!(total.allclose(&wanted, 1e-5, 1e-6, false)?.item::<bool>()?);"
        ))]
        pub fn $several(&self, axes: &[i32], keepdims: bool, ddof: i32) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_several(fresh(self)?.as_raw(), axes.as_ptr(), axes.len(), keepdims, ddof, stream())) }
        }

        #[doc = concat!("[`Array::", stringify!($one), "`] over all elements.")]
        ///
        /// - shape: `[]`
        /// - dtype: floating, kept; others give float32
        #[doc = concat!("- source: `", stringify!($f_all), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when the library fails.
        ///
        #[doc = example!(concat!(
            "let x = Array::from_slice(&", stringify!($x), ", &[2, 2])?;\n",
            "let wanted = Array::scalar(", stringify!($total), ")?;\n",
            "assert!(x.", stringify!($all), "(0)?.allclose(&wanted, 1e-5, 1e-6, false)?.item::<bool>()?);"
        ))]
        pub fn $all(&self, ddof: i32) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_all(fresh(self)?.as_raw(), false, ddof, stream())) }
        }
    )*};
}

/// The place of an extreme value.
macro_rules! place {
    ($($(#[$doc:meta])* $one:ident $all:ident => $f_one:ident $f_all:ident $(through $over:ident)?
        ($x:tt gives $rows:tt and $total:literal)),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// - shape: without `axis`, or with length 1 there when `keepdims`
        /// - dtype: any; gives uint32
        #[doc = concat!("- source: `", stringify!($f_one), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when `axis` is out of range or the array is empty.
        ///
        #[doc = example!(concat!(
            "let x = Array::from_slice(&", stringify!($x), ", &[2, 2])?;\n",
            "assert_eq!(x.", stringify!($one), "(1, false)?.to_vec::<u32>()?, ", stringify!($rows), ");"
        ))]
        pub fn $one(&self, axis: i32, keepdims: bool) -> Result<Array> {
            $(if let Some(result) = along(Over::$over, self, axis, keepdims) {
                return result;
            })?
            // SAFETY: op contract.
            unsafe { call!(Array = $f_one(fresh(self)?.as_raw(), axis, keepdims, stream())) }
        }

        #[doc = concat!("[`Array::", stringify!($one), "`] in the flattened array.")]
        ///
        /// - shape: `[]`
        /// - dtype: any; gives uint32
        #[doc = concat!("- source: `", stringify!($f_all), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when the array is empty.
        ///
        #[doc = example!(concat!(
            "let x = Array::from_slice(&", stringify!($x), ", &[2, 2])?;\n",
            "assert_eq!(x.", stringify!($all), "()?.item::<u32>()?, ", stringify!($total), ");"
        ))]
        pub fn $all(&self) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_all(fresh(self)?.as_raw(), false, stream())) }
        }
    )*};
}

impl Array {
    reduction! {
        dtype "kept; bool, int8 and int16 give int32, uint8 and uint16 give uint32", empty "the sum is 0", none "leave it as it is";
        /// Sum.
        sum sum_axes sum_all => mlx_sum_axis mlx_sum_axes mlx_sum
            ([1.0f32, 2.0, 3.0, 4.0] gives [3.0f32, 7.0] and 10.0f32),
    }
    reduction! {
        dtype "kept; bool, int8 and int16 give int32, uint8 and uint16 give uint32", empty "the product is 1", none "leave it as it is";
        /// Product.
        prod prod_axes prod_all => mlx_prod_axis mlx_prod_axes mlx_prod
            ([1.0f32, 2.0, 3.0, 4.0] gives [2.0f32, 12.0] and 24.0f32),
    }
    reduction! { dtype "floating and complex64, kept; others give float32", empty "the mean is NaN", none "leave it as it is";
        /// Mean.
        mean mean_axes mean_all => mlx_mean_axis mlx_mean_axes mlx_mean
            ([1.0f32, 2.0, 3.0, 4.0] gives [1.5f32, 3.5] and 2.5f32),
    }
    reduction! { dtype "any, kept", empty "an error, unless the result is empty too", none "leave it as it is";
        /// Largest; NaN if there is one.
        max max_axes max_all => mlx_max_axis mlx_max_axes mlx_max
            ([1.0f32, 2.0, 3.0, 4.0] gives [2.0f32, 4.0] and 4.0f32),
        /// Smallest; NaN if there is one.
        min min_axes min_all => mlx_min_axis mlx_min_axes mlx_min
            ([1.0f32, 2.0, 3.0, 4.0] gives [1.0f32, 3.0] and 1.0f32),
    }
    reduction! { dtype "any; gives bool", empty "true", none "leave it as it is";
        /// Whether all are true, which means not zero.
        all all_axes all_all => mlx_all_axis mlx_all_axes mlx_all
            ([true, true, true, false] gives [true, false] and false),
    }
    reduction! { dtype "any; gives bool", empty "false", none "leave it as it is";
        /// Whether any is true, which means not zero.
        any any_axes any_all => mlx_any_axis mlx_any_axes mlx_any
            ([false, false, true, false] gives [false, true] and true),
    }
    reduction! { dtype "floating and complex64, kept; others give float32", empty "an error", none "leave it as it is";
        /// `ln Σ eˣ` without overflow.
        logsumexp logsumexp_axes logsumexp_all => mlx_logsumexp_axis mlx_logsumexp_axes mlx_logsumexp
            through LogSumExp
            ([0.0f32, 0.0, 1000.0, 1000.0] gives [0.6931472f32, 1000.6931] and 1000.6931f32),
    }
    reduction! { dtype "floating, kept; others give float32", empty "an error", none "are an error";
        /// Median; of an even number of elements the mean of the middle two; NaN if there is one.
        median median_axes median_all => mlx_median_axis mlx_median_axes mlx_median
            ([1.0f32, 2.0, 3.0, 4.0] gives [1.5f32, 3.5] and 2.5f32),
    }
    reduction! { dtype "any; gives int32", empty "0", none "leave it as it is";
        /// How many are not zero.
        count_nonzero count_nonzero_axes count_nonzero_all
            => mlx_count_nonzero_axis mlx_count_nonzero_axes mlx_count_nonzero
            ([0.0f32, 2.0, 3.0, 4.0] gives [1i32, 2] and 3i32),
    }

    deviation! {
        /// Variance: the mean squared distance from the mean.
        var var_axes var_all => mlx_var_axis mlx_var_axes mlx_var
            ([1.0f32, 2.0, 3.0, 4.0] gives [0.25f32, 0.25] and 1.25f32),
        /// Standard deviation: the root of [`Array::var`].
        std std_axes std_all => mlx_std_axis mlx_std_axes mlx_std
            ([1.0f32, 2.0, 3.0, 4.0] gives [0.5f32, 0.5] and 1.118034f32),
    }

    place! {
        /// Where the largest is; the first of equals, or of NaNs.
        argmax argmax_all => mlx_argmax_axis mlx_argmax through Argmax ([1.0f32, 5.0, 9.0, 2.0] gives [1, 0] and 2),
        /// Where the smallest is; the first of equals, or of NaNs.
        argmin argmin_all => mlx_argmin_axis mlx_argmin ([1.0f32, 5.0, 9.0, 2.0] gives [0, 1] and 0),
    }

    /// Softmax along `axis`: `exp(x − max x) / Σ exp(x − max x)`, accumulated in float32.
    ///
    /// - shape: `[.., N, ..]` → the same
    /// - dtype: floating and complex64, kept; others give float32
    /// - source: `mlx_softmax_axis`
    ///
    /// # Errors
    /// [`crate::Error::Mlx`] when `axis` is outside `-ndim..ndim`.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let p = mlx_core::Array::from_slice(&[0.0f32, 0.0], &[2])?.softmax(-1)?;
    /// assert_eq!(p.to_vec::<f32>()?, [0.5, 0.5]);
    /// # Ok(()) }
    /// ```
    pub fn softmax(&self, axis: i32) -> Result<Array> {
        if let Some(result) = along(Over::Softmax, self, axis, true) {
            return result;
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_softmax_axis(self.as_raw(), axis, true, stream())) }
    }

    /// Softmax over several axes together, accumulated in float32.
    ///
    /// - shape: kept
    /// - dtype: floating and complex64, kept; others give float32
    /// - source: `mlx_softmax_axes`
    ///
    /// # Errors
    /// [`crate::Error::Mlx`] when an axis is out of range or occurs twice.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let p = Array::from_slice(&[0.0f32; 4], &[2, 2])?.softmax_axes(&[0, 1])?;
    /// assert_eq!(p.to_vec::<f32>()?, [0.25; 4]);
    /// # Ok(()) }
    /// ```
    pub fn softmax_axes(&self, axes: &[i32]) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_softmax_axes(self.as_raw(), axes.as_ptr(), axes.len(), true, stream())) }
    }

    /// Softmax over all elements together, accumulated in float32.
    ///
    /// - shape: kept
    /// - dtype: floating and complex64, kept; others give float32
    /// - source: `mlx_softmax`
    ///
    /// # Errors
    /// [`crate::Error::Mlx`] when the library fails.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let p = Array::from_slice(&[0.0f32; 4], &[2, 2])?.softmax_all()?;
    /// assert_eq!(p.to_vec::<f32>()?, [0.25; 4]);
    /// # Ok(()) }
    /// ```
    pub fn softmax_all(&self) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_softmax(self.as_raw(), true, stream())) }
    }

    /// The sum of the diagonal of the first two axes.
    ///
    /// - shape: `[N, M, ..]` → `[..]`
    /// - dtype: as [`Array::sum`] gives it
    /// - source: `mlx_trace`
    ///
    /// # Errors
    /// [`Error::Shape`] when there are fewer than two axes.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4], &[2, 2])?;
    /// assert_eq!(x.trace()?.item::<i32>()?, 5);
    /// # Ok(()) }
    /// ```
    pub fn trace(&self) -> Result<Array> {
        let [_, _, rest @ ..] = self.shape() else {
            return Err(Error::shape("trace", format!("expected two axes, found shape {:?}", self.shape())));
        };
        if self.size() == 0 {
            return Array::zeros(rest, sum_dtype(self.dtype()));
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_trace(self.as_raw(), stream())) }
    }

    /// The sum of the diagonal that begins `offset` places along `axis2` (or `−offset` along `axis1`), as `dtype`.
    ///
    /// - shape: without the two axes
    /// - dtype: x in `dtype` is summed, which gives what [`Array::sum`] makes of that
    /// - source: `mlx_trace_axes`, which never returns from some diagonals of no elements
    ///
    /// # Errors
    /// [`Error::Argument`] when an axis is out of range or both are the same.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4], &[1, 2, 2])?;
    /// assert_eq!(x.trace_axes(1, 1, 2, Dtype::Float32)?.to_vec::<f32>()?, [2.0]);
    /// # Ok(()) }
    /// ```
    pub fn trace_axes(&self, offset: i32, axis1: i32, axis2: i32, dtype: Dtype) -> Result<Array> {
        let op = "trace_axes";
        let (first, second) = (axis_of(op, axis1, self.ndim())?, axis_of(op, axis2, self.ndim())?);
        if first == second {
            return Err(Error::argument(op, "axis2", format!("{axis2} is the same as axis1")));
        }
        let offset = within(offset, self.shape()[first], self.shape()[second]);
        if self.size() == 0 || offset == -self.shape()[first] || offset == self.shape()[second] {
            let kept = self.shape().iter().enumerate().filter(|&(axis, _)| axis != first && axis != second);
            return Array::zeros(&kept.map(|(_, &dim)| dim).collect::<Vec<_>>(), sum_dtype(dtype));
        }
        // SAFETY: op contract.
        unsafe {
            call!(Array = mlx_trace_axes(self.as_raw(), offset, axis1, axis2, dtype.to_raw(), stream()))
        }
    }
}

/// What the sum of elements of this dtype has.
fn sum_dtype(dtype: Dtype) -> Dtype {
    match dtype {
        Dtype::Bool | Dtype::Int8 | Dtype::Int16 => Dtype::Int32,
        Dtype::Uint8 | Dtype::Uint16 => Dtype::Uint32,
        other => other,
    }
}
