// SPDX-License-Identifier: EUPL-1.2
//! Slices that start and stop where numbers say, or start where an array says.

use super::gather::{Meet, bounded_starts};
use crate::Array;
use crate::device::stream;
use crate::error::{Error, Result};
use crate::few::Few;
use crate::ffi::{Handle, call};

/// A regular run of places on one axis, all of which exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) start: i32,
    pub(super) step: i32,
    pub(super) count: i32,
}

impl Run {
    pub(super) fn whole(size: i32) -> Self {
        Self { start: 0, step: 1, count: size }
    }

    /// Python's slice of an axis of `size`; `step` is not 0.
    pub(super) fn slice(start: Option<i32>, stop: Option<i32>, step: i32, size: i32) -> Self {
        let (size, step) = (i64::from(size), i64::from(step));
        // The places at which a run in this direction may begin or stop.
        let (lowest, highest) = if step > 0 { (0, size) } else { (-1, size - 1) };
        let place = |bound: Option<i32>, absent: i64| {
            bound.map_or(absent, |bound| {
                let bound = i64::from(bound);
                (if bound < 0 { bound + size } else { bound }).clamp(lowest, highest)
            })
        };
        let (start, stop) = if step > 0 {
            (place(start, lowest), place(stop, highest))
        } else {
            (place(start, highest), place(stop, lowest))
        };
        let count = if step == 1 {
            stop - start // the usual case, without a division
        } else if step > 0 {
            (stop - start + step - 1) / step
        } else {
            (stop - start + step + 1) / step
        };
        // All of these lie between −1 and the size of the axis, or are the step that was given as an `i32`.
        match i32::try_from(count) {
            Ok(count) if count > 1 => Self {
                start: i32::try_from(start).unwrap_or(0),
                step: i32::try_from(step).unwrap_or(1),
                count,
            },
            Ok(1) => Self { start: i32::try_from(start).unwrap_or(0), step: 1, count: 1 },
            _ => Self { start: 0, step: 1, count: 0 },
        }
    }

    /// Where the run stops, as MLX wants it: exclusive, and below every negative index for "before the first".
    fn stop(self, size: i32) -> i32 {
        let last = i64::from(self.start) + i64::from(self.step) * (i64::from(self.count) - 1);
        let stop = last + i64::from(self.step.signum());
        match self.count {
            0 => 0,
            _ if stop < 0 => -size - 1,
            _ => i32::try_from(stop).unwrap_or(i32::MAX),
        }
    }

    fn is_whole(self, size: i32) -> bool {
        self == Self::whole(size)
    }
}

impl Array {
    /// The places from `start` on and before `stop` of each axis, as in Python: negative ones count from the end, and
    /// bounds outside an axis are moved to its ends.
    ///
    /// - shape: `[N..]` → `[stop − start ..]`; one bound each for every axis
    /// - dtype: any, kept
    /// - source: `mlx_slice`
    ///
    /// # Errors
    /// [`Error::Argument`] when there is not one bound for each axis.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[0, 1, 2, 3, 4, 5], &[2, 3])?;
    /// assert_eq!(a.slice(&[0, -2], &[2, 3])?.to_vec::<i32>()?, [1, 2, 4, 5]);
    /// # Ok(()) }
    /// ```
    pub fn slice(&self, start: &[i32], stop: &[i32]) -> Result<Array> {
        self.runs(&self.plan_slices("slice", start, stop, None)?)
    }

    /// [`Array::slice`] with a step for each axis; a negative one goes backwards, from `start` down to above `stop`.
    ///
    /// - shape: `[N..]` → `[⌈(stop − start) / strides⌉ ..]`
    /// - dtype: any, kept
    /// - source: `mlx_slice`
    ///
    /// # Errors
    /// [`Error::Argument`] when there is not one bound and stride for each axis or a stride is 0.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[0, 1, 2, 3, 4, 5], &[6])?;
    /// assert_eq!(a.slice_strided(&[1], &[6], &[2])?.to_vec::<i32>()?, [1, 3, 5]);
    /// assert_eq!(a.slice_strided(&[4], &[1], &[-1])?.to_vec::<i32>()?, [4, 3, 2]);
    /// # Ok(()) }
    /// ```
    pub fn slice_strided(&self, start: &[i32], stop: &[i32], strides: &[i32]) -> Result<Array> {
        self.runs(&self.plan_slices("slice_strided", start, stop, Some(strides))?)
    }

    /// [`Array::slice`] of one axis; the others are kept whole.
    ///
    /// - shape: `[A.., N, B..]` → `[A.., stop − start, B..]`
    /// - dtype: any, kept
    /// - source: `mlx_slice`
    ///
    /// # Errors
    /// [`Error::Argument`] when `axis` is out of range.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[0, 1, 2, 3, 4, 5], &[2, 3])?;
    /// assert_eq!(a.slice_axis(1, 0, -1)?.to_vec::<i32>()?, [0, 1, 3, 4]);
    /// # Ok(()) }
    /// ```
    pub fn slice_axis(&self, axis: i32, start: i32, stop: i32) -> Result<Array> {
        self.runs(&self.plan_axis("slice_axis", axis, start, stop)?)
    }

    /// This array with the part that [`Array::slice`] would give replaced by `update`, which broadcasts to it.
    ///
    /// - shape: kept
    /// - dtype: any, kept, the update converted to it
    /// - source: `mlx_slice_update`
    ///
    /// # Errors
    /// As [`Array::slice`]; [`Error::Shape`] when the update does not broadcast.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[0, 1, 2, 3], &[2, 2])?;
    /// assert_eq!(a.slice_update(&Array::scalar(9)?, &[0, 0], &[2, 1])?.to_vec::<i32>()?, [9, 1, 9, 3]);
    /// # Ok(()) }
    /// ```
    pub fn slice_update(&self, update: &Array, start: &[i32], stop: &[i32]) -> Result<Array> {
        let runs = self.plan_slices("slice_update", start, stop, None)?;
        self.update_slice("slice_update", Meet::Replace, update, &runs)
    }

    /// This array with the part that [`Array::slice_strided`] would give replaced by `update`, which broadcasts to it.
    ///
    /// - shape: kept
    /// - dtype: any, kept, the update converted to it
    /// - source: `mlx_slice_update`
    ///
    /// # Errors
    /// As [`Array::slice_strided`]; [`Error::Shape`] when the update does not broadcast.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[0, 1, 2, 3], &[4])?;
    /// let pair = Array::from_slice(&[8, 9], &[2])?;
    /// assert_eq!(a.slice_update_strided(&pair, &[3], &[-5], &[-2])?.to_vec::<i32>()?, [0, 9, 2, 8]);
    /// # Ok(()) }
    /// ```
    pub fn slice_update_strided(
        &self,
        update: &Array,
        start: &[i32],
        stop: &[i32],
        strides: &[i32],
    ) -> Result<Array> {
        let runs = self.plan_slices("slice_update_strided", start, stop, Some(strides))?;
        self.update_slice("slice_update_strided", Meet::Replace, update, &runs)
    }

    /// This array with the part that [`Array::slice_axis`] would give replaced by `update`, which broadcasts to it.
    ///
    /// - shape: kept
    /// - dtype: any, kept, the update converted to it
    /// - source: `mlx_slice_update`
    ///
    /// # Errors
    /// As [`Array::slice_axis`]; [`Error::Shape`] when the update does not broadcast.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[0, 1, 2, 3], &[2, 2])?;
    /// assert_eq!(a.slice_update_axis(&Array::scalar(9)?, -1, 1, 2)?.to_vec::<i32>()?, [0, 9, 2, 9]);
    /// # Ok(()) }
    /// ```
    pub fn slice_update_axis(&self, update: &Array, axis: i32, start: i32, stop: i32) -> Result<Array> {
        let runs = self.plan_axis("slice_update_axis", axis, start, stop)?;
        self.update_slice("slice_update_axis", Meet::Replace, update, &runs)
    }

    /// This array with `update`, which broadcasts to it, added to the part that [`Array::slice`] would give.
    ///
    /// - shape: kept
    /// - dtype: any, kept, the update converted to it
    /// - source: `mlx_slice_update_add`
    ///
    /// # Errors
    /// As [`Array::slice`]; [`Error::Shape`] when the update does not broadcast.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[1, 2, 3], &[3])?;
    /// assert_eq!(a.slice_update_add(&Array::scalar(3)?, &[1], &[3])?.to_vec::<i32>()?, [1, 5, 6]);
    /// # Ok(()) }
    /// ```
    pub fn slice_update_add(&self, update: &Array, start: &[i32], stop: &[i32]) -> Result<Array> {
        const OP: &str = "slice_update_add";
        let runs = self.plan_slices(OP, start, stop, None)?;
        self.update_slice(OP, Meet::Add, update, &runs)
    }

    /// [`Array::slice_update_add`] with a step for each axis, as in [`Array::slice_strided`].
    ///
    /// - shape: kept
    /// - dtype: any, kept, the update converted to it
    /// - source: `mlx_slice_update_add`
    ///
    /// # Errors
    /// As [`Array::slice_strided`]; [`Error::Shape`] when the update does not broadcast.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[1, 2, 3, 4], &[4])?;
    /// let every_other = a.slice_update_add_strided(&Array::scalar(5)?, &[1], &[4], &[2])?;
    /// assert_eq!(every_other.to_vec::<i32>()?, [1, 7, 3, 9]);
    /// # Ok(()) }
    /// ```
    pub fn slice_update_add_strided(
        &self,
        update: &Array,
        start: &[i32],
        stop: &[i32],
        strides: &[i32],
    ) -> Result<Array> {
        const OP: &str = "slice_update_add_strided";
        let runs = self.plan_slices(OP, start, stop, Some(strides))?;
        self.update_slice(OP, Meet::Add, update, &runs)
    }

    /// This array with the larger of element and `update`, which broadcasts to it, in the part that [`Array::slice`] would give. NaN stays NaN.
    ///
    /// - shape: kept
    /// - dtype: any, kept, the update converted to it
    /// - source: `mlx_slice_update_max`
    ///
    /// # Errors
    /// As [`Array::slice`]; [`Error::Shape`] when the update does not broadcast.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[1, 2, 3], &[3])?;
    /// assert_eq!(a.slice_update_max(&Array::scalar(3)?, &[1], &[3])?.to_vec::<i32>()?, [1, 3, 3]);
    /// # Ok(()) }
    /// ```
    pub fn slice_update_max(&self, update: &Array, start: &[i32], stop: &[i32]) -> Result<Array> {
        const OP: &str = "slice_update_max";
        let runs = self.plan_slices(OP, start, stop, None)?;
        self.update_slice(OP, Meet::Max, update, &runs)
    }

    /// [`Array::slice_update_max`] with a step for each axis, as in [`Array::slice_strided`].
    ///
    /// - shape: kept
    /// - dtype: any, kept, the update converted to it
    /// - source: `mlx_slice_update_max`
    ///
    /// # Errors
    /// As [`Array::slice_strided`]; [`Error::Shape`] when the update does not broadcast.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[1, 2, 3, 4], &[4])?;
    /// let every_other = a.slice_update_max_strided(&Array::scalar(5)?, &[1], &[4], &[2])?;
    /// assert_eq!(every_other.to_vec::<i32>()?, [1, 5, 3, 5]);
    /// # Ok(()) }
    /// ```
    pub fn slice_update_max_strided(
        &self,
        update: &Array,
        start: &[i32],
        stop: &[i32],
        strides: &[i32],
    ) -> Result<Array> {
        const OP: &str = "slice_update_max_strided";
        let runs = self.plan_slices(OP, start, stop, Some(strides))?;
        self.update_slice(OP, Meet::Max, update, &runs)
    }

    /// This array with the smaller of element and `update`, which broadcasts to it, in the part that [`Array::slice`] would give. NaN stays NaN.
    ///
    /// - shape: kept
    /// - dtype: any, kept, the update converted to it
    /// - source: `mlx_slice_update_min`
    ///
    /// # Errors
    /// As [`Array::slice`]; [`Error::Shape`] when the update does not broadcast.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[1, 2, 3], &[3])?;
    /// assert_eq!(a.slice_update_min(&Array::scalar(3)?, &[1], &[3])?.to_vec::<i32>()?, [1, 2, 3]);
    /// # Ok(()) }
    /// ```
    pub fn slice_update_min(&self, update: &Array, start: &[i32], stop: &[i32]) -> Result<Array> {
        const OP: &str = "slice_update_min";
        let runs = self.plan_slices(OP, start, stop, None)?;
        self.update_slice(OP, Meet::Min, update, &runs)
    }

    /// [`Array::slice_update_min`] with a step for each axis, as in [`Array::slice_strided`].
    ///
    /// - shape: kept
    /// - dtype: any, kept, the update converted to it
    /// - source: `mlx_slice_update_min`
    ///
    /// # Errors
    /// As [`Array::slice_strided`]; [`Error::Shape`] when the update does not broadcast.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[1, 2, 3, 4], &[4])?;
    /// let every_other = a.slice_update_min_strided(&Array::scalar(5)?, &[1], &[4], &[2])?;
    /// assert_eq!(every_other.to_vec::<i32>()?, [1, 2, 3, 4]);
    /// # Ok(()) }
    /// ```
    pub fn slice_update_min_strided(
        &self,
        update: &Array,
        start: &[i32],
        stop: &[i32],
        strides: &[i32],
    ) -> Result<Array> {
        const OP: &str = "slice_update_min_strided";
        let runs = self.plan_slices(OP, start, stop, Some(strides))?;
        self.update_slice(OP, Meet::Min, update, &runs)
    }

    /// This array with the part that [`Array::slice`] would give multiplied by `update`, which broadcasts to it.
    ///
    /// - shape: kept
    /// - dtype: any, kept, the update converted to it
    /// - source: `mlx_slice_update_prod`
    ///
    /// # Errors
    /// As [`Array::slice`]; [`Error::Shape`] when the update does not broadcast.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[1, 2, 3], &[3])?;
    /// assert_eq!(a.slice_update_prod(&Array::scalar(3)?, &[1], &[3])?.to_vec::<i32>()?, [1, 6, 9]);
    /// # Ok(()) }
    /// ```
    pub fn slice_update_prod(&self, update: &Array, start: &[i32], stop: &[i32]) -> Result<Array> {
        const OP: &str = "slice_update_prod";
        let runs = self.plan_slices(OP, start, stop, None)?;
        self.update_slice(OP, Meet::Prod, update, &runs)
    }

    /// [`Array::slice_update_prod`] with a step for each axis, as in [`Array::slice_strided`].
    ///
    /// - shape: kept
    /// - dtype: any, kept, the update converted to it
    /// - source: `mlx_slice_update_prod`
    ///
    /// # Errors
    /// As [`Array::slice_strided`]; [`Error::Shape`] when the update does not broadcast.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[1, 2, 3, 4], &[4])?;
    /// let every_other = a.slice_update_prod_strided(&Array::scalar(5)?, &[1], &[4], &[2])?;
    /// assert_eq!(every_other.to_vec::<i32>()?, [1, 10, 3, 20]);
    /// # Ok(()) }
    /// ```
    pub fn slice_update_prod_strided(
        &self,
        update: &Array,
        start: &[i32],
        stop: &[i32],
        strides: &[i32],
    ) -> Result<Array> {
        const OP: &str = "slice_update_prod_strided";
        let runs = self.plan_slices(OP, start, stop, Some(strides))?;
        self.update_slice(OP, Meet::Prod, update, &runs)
    }

    /// The slice of `sizes` that begins at `start[i]` on axis `axes[i]` and at 0 on all others, where `start` may still
    /// have to be computed.
    ///
    /// A start that is known must leave room for the slice; one to be computed is clamped to where it does, as
    /// [`Array::take`] says of indices.
    ///
    /// - shape: `[N..]` → `sizes`, one for each axis
    /// - dtype: any, kept; `start` integer, `[axes]`, counted from the front
    /// - source: `mlx_slice_dynamic`
    ///
    /// # Errors
    /// [`Error::Index`] when a known start leaves no room, [`Error::Argument`] when an axis is out of range or named
    /// twice, there is not one start for each of `axes`, or a size is longer than its axis.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[0, 1, 2, 3, 4], &[5])?;
    /// let start = (&Array::scalar(1)? + &Array::scalar(2)?)?;
    /// assert_eq!(a.slice_dynamic(&start, &[0], &[2])?.to_vec::<i32>()?, [3, 4]);
    /// # Ok(()) }
    /// ```
    pub fn slice_dynamic(&self, start: &Array, axes: &[i32], sizes: &[i32]) -> Result<Array> {
        const OP: &str = "slice_dynamic";
        let shape = self.shape();
        if sizes.len() != shape.len() || sizes.iter().zip(shape).any(|(size, dim)| !(0..=*dim).contains(size))
        {
            let message = format!("expected a size up to {shape:?} for each axis, found {sizes:?}");
            return Err(Error::argument(OP, "sizes", message));
        }
        let (axes, start) = self.dynamic_start(OP, start, axes, sizes)?;
        if axes.is_empty() {
            return self.slice(&vec![0; sizes.len()], sizes);
        }
        // SAFETY: op contract. The slice lies within the array, or is clamped into it.
        unsafe {
            call!(
                Array = mlx_slice_dynamic(
                    self.as_raw(),
                    start.as_raw(),
                    axes.as_ptr(),
                    axes.len(),
                    sizes.as_ptr(),
                    sizes.len(),
                    stream(),
                )
            )
        }
    }

    /// This array with the slice that [`Array::slice_dynamic`] would give for the shape of `update` replaced by it.
    ///
    /// - shape: kept; `update` has as many axes, none longer
    /// - dtype: any, kept, the update converted to it; `start` as in [`Array::slice_dynamic`]
    /// - source: `mlx_slice_update_dynamic`
    ///
    /// # Errors
    /// As [`Array::slice_dynamic`]; [`Error::Shape`] when the update does not fit.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    /// let cache = Array::zeros(&[4, 2], Dtype::Int32)?;
    /// let (row, place) = (Array::from_slice(&[5, 6], &[1, 2])?, Array::scalar(2)?);
    /// let cache = cache.slice_update_dynamic(&row, &place, &[0])?;
    /// assert_eq!(cache.to_vec::<i32>()?, [0, 0, 0, 0, 5, 6, 0, 0]);
    /// # Ok(()) }
    /// ```
    pub fn slice_update_dynamic(&self, update: &Array, start: &Array, axes: &[i32]) -> Result<Array> {
        const OP: &str = "slice_update_dynamic";
        let (shape, sizes) = (self.shape(), update.shape());
        if sizes.len() != shape.len() || sizes.iter().zip(shape).any(|(size, dim)| size > dim) {
            let message = format!("an update of {sizes:?} does not fit into {shape:?}");
            return Err(Error::shape(OP, message));
        }
        let (axes, start) = self.dynamic_start(OP, start, axes, sizes)?;
        if update.size() == 0 {
            return Ok(self.clone());
        }
        if axes.is_empty() {
            return self.slice_update(update, &vec![0; sizes.len()], sizes);
        }
        // SAFETY: op contract. The slice lies within the array, or is clamped into it.
        unsafe {
            call!(
                Array = mlx_slice_update_dynamic(
                    self.as_raw(),
                    update.as_raw(),
                    start.as_raw(),
                    axes.as_ptr(),
                    axes.len(),
                    stream(),
                )
            )
        }
    }

    /// The axes of a dynamic slice of `sizes` counted from the front, and a start that leaves room for it.
    fn dynamic_start(
        &self,
        op: &'static str,
        start: &Array,
        axes: &[i32],
        sizes: &[i32],
    ) -> Result<(Vec<i32>, Array)> {
        let mut resolved = Vec::with_capacity(axes.len());
        let mut fits = Vec::with_capacity(axes.len());
        for &axis in axes {
            let (axis, dim) = self.axis(op, axis)?;
            if resolved.contains(&axis) {
                return Err(Error::argument(op, "axes", format!("axis {axis} is named twice")));
            }
            resolved.push(axis);
            fits.push((
                dim,
                usize::try_from(axis).ok().and_then(|axis| sizes.get(axis)).copied().unwrap_or(dim),
            ));
        }
        let start = bounded_starts(op, start, &fits)?;
        Ok((resolved, start))
    }

    fn plan_slices(
        &self,
        op: &'static str,
        start: &[i32],
        stop: &[i32],
        strides: Option<&[i32]>,
    ) -> Result<Few<Run>> {
        let shape = self.shape();
        let lists = [("start", Some(start)), ("stop", Some(stop)), ("strides", strides)];
        for (argument, list) in lists.into_iter().filter_map(|(name, list)| Some((name, list?))) {
            if list.len() != shape.len() {
                let message = format!("expected one for each axis of {shape:?}, found {list:?}");
                return Err(Error::argument(op, argument, message));
            }
        }
        if strides.is_some_and(|strides| strides.contains(&0)) {
            return Err(Error::argument(op, "strides", "expected strides other than 0"));
        }
        let strides = strides.unwrap_or(&[]).iter().copied().chain(std::iter::repeat(1));
        let bounds = start.iter().zip(stop).zip(strides).zip(shape);
        Ok(bounds.map(|(((&a, &b), step), &size)| Run::slice(Some(a), Some(b), step, size)).collect())
    }

    fn plan_axis(&self, op: &'static str, axis: i32, start: i32, stop: i32) -> Result<Few<Run>> {
        let (axis, _) = self.axis(op, axis)?;
        let run = |(i, &size)| {
            if i == axis { Run::slice(Some(start), Some(stop), 1, size) } else { Run::whole(size) }
        };
        Ok((0..).zip(self.shape()).map(run).collect())
    }

    pub(super) fn runs(&self, runs: &[Run]) -> Result<Array> {
        let shape = self.shape();
        if runs.iter().zip(shape).all(|(run, &size)| run.is_whole(size)) {
            return Ok(self.clone());
        }
        let (start, stop, step) = bounds(runs, shape);
        // SAFETY: op contract.
        unsafe {
            call!(
                Array = mlx_slice(
                    self.as_raw(),
                    start.as_ptr(),
                    start.len(),
                    stop.as_ptr(),
                    stop.len(),
                    step.as_ptr(),
                    step.len(),
                    stream(),
                )
            )
        }
    }

    fn update_slice(&self, op: &'static str, meet: Meet, update: &Array, runs: &[Run]) -> Result<Array> {
        let shape: Vec<i32> = runs.iter().map(|run| run.count).collect();
        self.update_runs(meet, &broadcast_update(op, update, &shape)?, runs)
    }

    /// Lets `update`, which has the shape of the runs, meet what they name.
    pub(super) fn update_runs(&self, meet: Meet, update: &Array, runs: &[Run]) -> Result<Array> {
        let shape = self.shape();
        if runs.iter().any(|run| run.count == 0) {
            return Ok(self.clone());
        }
        let update = update.astype(self.dtype())?;
        if meet == Meet::Replace && runs.iter().zip(shape).all(|(run, &size)| run.is_whole(size)) {
            return Ok(update);
        }
        let (start, stop, step) = bounds(runs, shape);
        let (a, u, n) = (self.as_raw(), update.as_raw(), runs.len());
        let (i, j, k) = (start.as_ptr(), stop.as_ptr(), step.as_ptr());
        // SAFETY: op contract: `self`, `update` and the three lists outlive the call. All places exist.
        unsafe {
            match meet {
                Meet::Replace => call!(Array = mlx_slice_update(a, u, i, n, j, n, k, n, stream())),
                Meet::Add => call!(Array = mlx_slice_update_add(a, u, i, n, j, n, k, n, stream())),
                Meet::Max => call!(Array = mlx_slice_update_max(a, u, i, n, j, n, k, n, stream())),
                Meet::Min => call!(Array = mlx_slice_update_min(a, u, i, n, j, n, k, n, stream())),
                Meet::Prod => call!(Array = mlx_slice_update_prod(a, u, i, n, j, n, k, n, stream())),
            }
        }
    }
}

/// Start, stop and step of each run, as MLX wants them.
fn bounds(runs: &[Run], shape: &[i32]) -> (Few<i32>, Few<i32>, Few<i32>) {
    (
        runs.iter().map(|run| run.start).collect(),
        runs.iter().zip(shape).map(|(run, &size)| run.stop(size)).collect(),
        runs.iter().map(|run| run.step).collect(),
    )
}

/// `update` broadcast to `shape`; leading axes of 1 that `shape` does not have are dropped, as NumPy does.
pub(super) fn broadcast_update(op: &'static str, update: &Array, shape: &[i32]) -> Result<Array> {
    let found = update.shape();
    let surplus = found.len().saturating_sub(shape.len());
    let (extra, own) = found.split_at(surplus);
    let fits = extra.iter().all(|&dim| dim == 1)
        && own.iter().rev().zip(shape.iter().rev()).all(|(&n, &m)| n == m || n == 1);
    if !fits {
        return Err(Error::shape(op, format!("an update of {found:?} does not broadcast to {shape:?}")));
    }
    let update = if surplus == 0 { update.clone() } else { update.reshape(own)? };
    if update.shape() == shape { Ok(update) } else { update.broadcast_to(shape) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_pythons_slices() {
        let bounds = [
            None,
            Some(-7),
            Some(-3),
            Some(-1),
            Some(0),
            Some(1),
            Some(4),
            Some(9),
            Some(i32::MIN),
            Some(i32::MAX),
        ];
        for size in [0, 1, 5] {
            for start in bounds {
                for stop in bounds {
                    for step in [1, 2, -1, -3, 7, i32::MAX, i32::MIN] {
                        let run = Run::slice(start, stop, step, size);
                        let places: Vec<i64> = (0..run.count)
                            .map(|i| i64::from(run.start) + i64::from(run.step) * i64::from(i))
                            .collect();
                        assert_eq!(
                            places,
                            by_walking(start, stop, step, size),
                            "{start:?}..{stop:?} by {step} of {size}"
                        );
                    }
                }
            }
        }
    }

    /// Python's rule, one place at a time.
    fn by_walking(start: Option<i32>, stop: Option<i32>, step: i32, size: i32) -> Vec<i64> {
        let size = i64::from(size);
        let from_front = |bound: i32| if bound < 0 { i64::from(bound) + size } else { i64::from(bound) };
        let (mut place, step) = match start {
            Some(start) => (from_front(start), i64::from(step)),
            None if step > 0 => (0, i64::from(step)),
            None => (size - 1, i64::from(step)),
        };
        place = if step > 0 { place.max(0) } else { place.min(size - 1) };
        let mut places = vec![];
        while (0..size).contains(&place) {
            let before_stop =
                stop.is_none_or(
                    |stop| {
                        if step > 0 { place < from_front(stop) } else { place > from_front(stop) }
                    },
                );
            if !before_stop {
                break;
            }
            places.push(place);
            place += step;
        }
        places
    }
}
