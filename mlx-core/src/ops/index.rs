// SPDX-License-Identifier: EUPL-1.2
//! Parts of an array, named as in NumPy: by range, by place, by array.
//!
//! [`Array::index`] follows NumPy. What it takes is a tuple or a list of [`Index`]es, one for each axis from the first
//! on; axes that are not named are kept whole.

use std::ops::{Bound, Range, RangeBounds, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

use super::gather::Meet;
use super::shape::broadcast_shapes;
use super::slice::{Run, broadcast_update};
use super::sort::position;
use crate::error::{Error, Result};
use crate::{Array, Dtype};

/// What to take of one axis.
///
/// Made from an `i32`, a range of `i32`, [`step`], [`Ellipsis`], [`NewAxis`] or an `&Array`.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, Index};
/// // Indices that are only known at run time go into a vector.
/// let a = Array::from_slice(&[0, 1, 2, 3, 4, 5], &[2, 3])?;
/// let indices = vec![Index::from(..), Index::At(-1)];
/// assert_eq!(a.index(indices)?.to_vec::<i32>()?, [2, 5]);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Index<'a> {
    /// One place, negative from the end; the axis is left out of the result.
    At(i32),
    /// Places from `start` on and before `stop`, every `step`-th; negative bounds count from the end, and bounds
    /// outside the axis are moved to its ends, as in Python.
    Slice {
        /// The first place; without one, the first in the direction of `step`.
        start: Option<i32>,
        /// The place before which to stop; without one, the axis is followed to its end.
        stop: Option<i32>,
        /// How far it is from one place to the next; negative to go backwards, never 0.
        step: i32,
    },
    /// All axes that no other index names.
    Ellipsis,
    /// An axis of 1 that the array does not have.
    NewAxis,
    /// The places that an array of integers names; its shape takes the place of the axis. See [`Array::take`] for indices out of range.
    Take(&'a Array),
}

/// The index that stands for all axes not named: NumPy's `...`.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, Dtype, Ellipsis};
/// let a = Array::zeros(&[2, 3, 4, 5], Dtype::Float32)?;
/// assert_eq!(a.index((0, Ellipsis, 1))?.shape(), [3, 4]);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ellipsis;

/// The index that inserts an axis of 1: NumPy's `None`.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, Dtype, NewAxis};
/// let a = Array::zeros(&[2, 3], Dtype::Float32)?;
/// assert_eq!(a.index((.., NewAxis))?.shape(), [2, 1, 3]);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewAxis;

/// Every `step`-th place of a range: `step(.., -1)` goes backwards, `step(1.., 2)` takes every second one.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, step};
/// let a = Array::from_slice(&[0, 1, 2, 3, 4, 5], &[6])?;
/// assert_eq!(a.index((step(1.., 2),))?.to_vec::<i32>()?, [1, 3, 5]);
/// assert_eq!(a.index((step(.., -2),))?.to_vec::<i32>()?, [5, 3, 1]);
/// # Ok(()) }
/// ```
pub fn step(range: impl RangeBounds<i32>, step: i32) -> Index<'static> {
    let start = match range.start_bound() {
        Bound::Included(&start) => Some(start),
        // No range of Rust's own excludes its start.
        Bound::Excluded(&start) => Some(start.saturating_add(1)),
        Bound::Unbounded => None,
    };
    let stop = match range.end_bound() {
        // `..=-1` reaches the last place, behind which there is no index.
        Bound::Included(&-1) => None,
        Bound::Included(&stop) => Some(stop.saturating_add(1)),
        Bound::Excluded(&stop) => Some(stop),
        Bound::Unbounded => None,
    };
    Index::Slice { start, stop, step }
}

impl From<i32> for Index<'_> {
    fn from(index: i32) -> Self {
        Self::At(index)
    }
}

impl From<Ellipsis> for Index<'_> {
    fn from(_: Ellipsis) -> Self {
        Self::Ellipsis
    }
}

impl From<NewAxis> for Index<'_> {
    fn from(_: NewAxis) -> Self {
        Self::NewAxis
    }
}

impl<'a> From<&'a Array> for Index<'a> {
    fn from(indices: &'a Array) -> Self {
        Self::Take(indices)
    }
}

/// A list of indices, one for each axis: a tuple of up to six, an array, a slice or a vector of [`Index`], or a single
/// index.
///
/// # Examples
/// ```
/// use mlx_core::{Index, IndexList};
/// assert_eq!((0, .., 2).into_indices().len(), 3);
/// assert_eq!([1, 2].into_indices().len(), 2);
/// assert!(matches!(7i32.into_indices()[..], [Index::At(7)]));
/// ```
pub trait IndexList<'a> {
    /// The indices in order.
    #[must_use]
    fn into_indices(self) -> Vec<Index<'a>>;
}

macro_rules! single {
    ($($range:ty),* $(,)?) => {$(
        impl From<$range> for Index<'_> {
            fn from(range: $range) -> Self {
                step(range, 1)
            }
        }
        single!(list $range);
    )*};
    (list $index:ty) => {
        impl<'a> IndexList<'a> for $index {
            fn into_indices(self) -> Vec<Index<'a>> {
                vec![self.into()]
            }
        }
    };
}

single!(Range<i32>, RangeFrom<i32>, RangeTo<i32>, RangeInclusive<i32>, RangeToInclusive<i32>, RangeFull,);
single!(list i32);
single!(list Ellipsis);
single!(list NewAxis);
single!(list &'a Array);
single!(list Index<'a>);

macro_rules! tuples {
    ($($name:ident)*) => {
        impl<'a, $($name: Into<Index<'a>>),*> IndexList<'a> for ($($name,)*) {
            #[expect(non_snake_case, reason = "each variable has the name of its type")]
            fn into_indices(self) -> Vec<Index<'a>> {
                let ($($name,)*) = self;
                vec![$($name.into()),*]
            }
        }
    };
}

tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);

impl<'a, T: Into<Index<'a>>, const N: usize> IndexList<'a> for [T; N] {
    fn into_indices(self) -> Vec<Index<'a>> {
        self.into_iter().map(Into::into).collect()
    }
}

impl<'a> IndexList<'a> for &[Index<'a>] {
    fn into_indices(self) -> Vec<Index<'a>> {
        self.to_vec()
    }
}

impl<'a> IndexList<'a> for Vec<Index<'a>> {
    fn into_indices(self) -> Vec<Index<'a>> {
        self
    }
}

/// What a list of indices means for one array.
struct Plan<'a> {
    /// One for each axis of the array.
    runs: Vec<Run>,
    /// The arrays among the indices, with the axis that each is for.
    arrays: Vec<(i32, &'a Array)>,
    /// The axes that an integer names.
    at: Vec<i32>,
    /// The axes of the result, in order.
    layout: Vec<Place>,
}

/// An axis of the result.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// What is left of this axis of the array.
    Kept(i32),
    /// One of length 1 that the array does not have.
    New,
    /// The axes that all arrays broadcast to.
    Taken,
}

impl<'a> Plan<'a> {
    fn new(op: &'static str, shape: &[i32], indices: &[Index<'a>]) -> Result<Self> {
        let named = indices.iter().filter(|i| !matches!(i, Index::Ellipsis | Index::NewAxis)).count();
        let ellipses = indices.iter().filter(|i| matches!(i, Index::Ellipsis)).count();
        let Some(unnamed) = shape.len().checked_sub(named) else {
            let message = format!("{named} indices are too many for shape {shape:?}");
            return Err(Error::argument(op, "indices", message));
        };
        if ellipses > 1 {
            return Err(Error::argument(op, "indices", "only one ellipsis can stand for the other axes"));
        }
        let mut plan =
            Self { runs: Vec::with_capacity(shape.len()), arrays: vec![], at: vec![], layout: vec![] };
        let takes = indices.iter().any(|i| matches!(i, Index::Take(_)));
        // NumPy's rule: beside an array an integer is an array too, and what arrays give stands where they stand if
        // they stand together, else in front.
        let is_taken = |i: &Index<'_>| matches!(i, Index::Take(_)) || (takes && matches!(i, Index::At(_)));
        let first = indices.iter().position(is_taken);
        let together = match (first, indices.iter().rposition(is_taken)) {
            (Some(first), Some(last)) => indices.iter().take(last).skip(first).all(is_taken),
            _ => true,
        };
        if takes && !together {
            plan.layout.push(Place::Taken);
        }
        let rest = if ellipses == 0 { Some(Index::Ellipsis) } else { None };
        for (i, index) in indices.iter().chain(&rest).enumerate() {
            if takes && together && Some(i) == first {
                plan.layout.push(Place::Taken);
            }
            plan.push(op, shape, *index, unnamed)?;
        }
        Ok(plan)
    }

    fn push(&mut self, op: &'static str, shape: &[i32], index: Index<'a>, unnamed: usize) -> Result<()> {
        if let Index::Ellipsis = index {
            for _ in 0..unnamed {
                let (axis, size) = self.next_axis(op, shape)?;
                self.layout.push(Place::Kept(axis));
                self.runs.push(Run::whole(size));
            }
            return Ok(());
        }
        if let Index::NewAxis = index {
            self.layout.push(Place::New);
            return Ok(());
        }
        let (axis, size) = self.next_axis(op, shape)?;
        match index {
            Index::Slice { step: 0, .. } => {
                return Err(Error::argument(op, "step", "expected a step other than 0"));
            }
            Index::Slice { start, stop, step } => {
                self.layout.push(Place::Kept(axis));
                self.runs.push(Run::slice(start, stop, step, size));
            }
            Index::At(index) => {
                self.at.push(axis);
                self.runs.push(Run { start: position(op, index, size)?, step: 1, count: 1 });
            }
            Index::Take(indices) => {
                if indices.dtype() == Dtype::Bool {
                    let message = "a mask selects a number of elements that only its values tell: use `where_`, `masked_fill` or `masked_scatter`";
                    return Err(Error::argument(op, "indices", message));
                }
                self.arrays.push((axis, indices));
                self.runs.push(Run::whole(size));
            }
            Index::Ellipsis | Index::NewAxis => {}
        }
        Ok(())
    }

    fn next_axis(&self, op: &'static str, shape: &[i32]) -> Result<(i32, i32)> {
        let axis = self.runs.len();
        match (i32::try_from(axis), shape.get(axis)) {
            (Ok(axis), Some(&size)) => Ok((axis, size)),
            _ => Err(Error::argument(op, "indices", format!("too many for shape {shape:?}"))),
        }
    }

    /// The shape that the arrays broadcast to.
    fn taken_shape(&self, op: &'static str) -> Result<Vec<i32>> {
        broadcast_shapes(op, &self.arrays.iter().map(|(_, array)| *array).collect::<Vec<_>>())
    }

    /// Whether `axis` is one that an array names.
    fn is_taken(&self, axis: i32) -> bool {
        self.arrays.iter().any(|&(taken, _)| taken == axis)
    }
}

impl Array {
    /// The part of this array that the indices name, as in NumPy.
    ///
    /// - shape: axis by axis; see [`Index`]. Several arrays of indices broadcast together, and what they give stands in the
    ///   place of the first, or in front of all axes when other indices stand between them
    /// - dtype: any, kept
    /// - source: `mlx_slice`, `mlx_take_axis`, `mlx_gather`
    ///
    /// # Errors
    /// [`Error::Index`] when an integer is out of range, [`Error::Argument`] when there are more indices than axes or a
    /// step is 0; for arrays as [`Array::take`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Ellipsis, NewAxis, step};
    /// let a = Array::from_slice(&[0, 1, 2, 3, 4, 5], &[2, 3])?;
    /// assert_eq!(a.index((.., -1))?.to_vec::<i32>()?, [2, 5]);
    /// assert_eq!(a.index((Ellipsis, step(.., -1)))?.to_vec::<i32>()?, [2, 1, 0, 5, 4, 3]);
    /// assert_eq!(a.index((0, NewAxis, 1..))?.shape(), [1, 2]);
    /// # Ok(()) }
    /// ```
    pub fn index<'a>(&self, indices: impl IndexList<'a>) -> Result<Array> {
        const OP: &str = "index";
        let plan = Plan::new(OP, self.shape(), &indices.into_indices())?;
        let part = self.runs(&plan.runs)?;
        let (part, mut axes) = part.take_arrays(OP, &plan)?;
        let part = if plan.at.is_empty() {
            part
        } else {
            let gone = |place: &Place| matches!(place, Place::Kept(axis) if plan.at.contains(axis));
            let positions = expand(&axes, &plan, OP)?;
            let squeezed: Vec<i32> =
                positions.iter().zip(0..).filter(|(place, _)| gone(place)).map(|(_, i)| i).collect();
            axes.retain(|place| !gone(place));
            part.squeeze_axes(&squeezed)?
        };
        // Arrays give their axes first where they were gathered; their place may be elsewhere.
        let wanted: Vec<Place> = plan.layout.iter().copied().filter(|place| *place != Place::New).collect();
        let part = if axes == wanted {
            part
        } else {
            let (have, want) = (expand(&axes, &plan, OP)?, expand(&wanted, &plan, OP)?);
            part.transpose_axes(&permutation(&have, &want))?
        };
        let new: Vec<i32> = expand(&plan.layout, &plan, OP)?
            .iter()
            .zip(0..)
            .filter(|(place, _)| **place == Place::New)
            .map(|(_, i)| i)
            .collect();
        if new.is_empty() { Ok(part) } else { part.expand_dims_axes(&new) }
    }

    /// Applies the arrays of a plan to a part that the runs have been applied to; also the axes of the result.
    fn take_arrays(&self, op: &'static str, plan: &Plan<'_>) -> Result<(Array, Vec<Place>)> {
        let kept = (0..).zip(self.shape()).map(|(axis, _)| Place::Kept(axis));
        match plan.arrays.as_slice() {
            [] => Ok((self.clone(), kept.collect())),
            &[(axis, indices)] => {
                let place = |p| if p == Place::Kept(axis) { Place::Taken } else { p };
                Ok((self.take(indices, axis)?, kept.map(place).collect()))
            }
            several => {
                let (axes, indices): (Vec<i32>, Vec<&Array>) = several.iter().copied().unzip();
                let sizes: Vec<i32> = (0..)
                    .zip(self.shape())
                    .map(|(axis, &size)| if plan.is_taken(axis) { 1 } else { size })
                    .collect();
                let rest = kept.filter(|p| !matches!(p, Place::Kept(axis) if plan.is_taken(*axis)));
                let places = std::iter::once(Place::Taken).chain(rest).collect();
                let mut common = broadcast_shapes(op, &indices)?;
                if common.contains(&0) {
                    self.check_arrays(plan)?;
                    let kept = (0..).zip(self.shape()).filter(|(axis, _)| !plan.is_taken(*axis));
                    common.extend(kept.map(|(_, &size)| size));
                    return Ok((Array::zeros(&common, self.dtype())?, places));
                }
                let leading = common.len();
                let gathered = self.gather(&indices, &axes, &sizes)?;
                let squeezed: Vec<i32> =
                    axes.iter().filter_map(|axis| axis.checked_add(i32::try_from(leading).ok()?)).collect();
                Ok((gathered.squeeze_axes(&squeezed)?, places))
            }
        }
    }

    /// Whether all arrays of a plan stay within their axes, as far as that is known.
    fn check_arrays(&self, plan: &Plan<'_>) -> Result<()> {
        plan.arrays.iter().try_for_each(|&(axis, indices)| self.take(indices, axis).map(|_| ()))
    }

    /// This array with the part that [`Array::index`] would give replaced by `update`, which broadcasts to it.
    ///
    /// Where arrays of indices name a place twice, one of the updates is there.
    ///
    /// - shape: kept
    /// - dtype: any, kept, the update converted to it
    /// - source: `mlx_slice_update`, `mlx_scatter`
    ///
    /// # Errors
    /// As [`Array::index`]; [`Error::Shape`] when the update does not broadcast to the part.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[0, 1, 2, 3], &[2, 2])?;
    /// let b = a.index_update((.., 1), &Array::scalar(9)?)?;
    /// assert_eq!(b.to_vec::<i32>()?, [0, 9, 2, 9]);
    /// # Ok(()) }
    /// ```
    pub fn index_update<'a>(&self, indices: impl IndexList<'a>, update: &Array) -> Result<Array> {
        self.update_places("index_update", Meet::Replace, indices.into_indices(), update)
    }

    /// This array with `update`, which broadcasts to it, added to the part that [`Array::index`] would give.
    ///
    /// Where arrays of indices name a place several times, every update for it is added, unlike in NumPy's `a[i] += b`.
    ///
    /// - shape: kept
    /// - dtype: any, kept, the update converted to it
    /// - source: `mlx_slice_update_add`, `mlx_scatter_add`
    ///
    /// # Errors
    /// As [`Array::index`]; [`Error::Shape`] when the update does not broadcast to the part.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let votes = Array::from_slice(&[2, 0, 2], &[3])?;
    /// let counts = Array::from_slice(&[0, 0, 0], &[3])?.index_add(&votes, &Array::scalar(1)?)?;
    /// assert_eq!(counts.to_vec::<i32>()?, [1, 0, 2]);
    /// # Ok(()) }
    /// ```
    pub fn index_add<'a>(&self, indices: impl IndexList<'a>, update: &Array) -> Result<Array> {
        self.update_places("index_add", Meet::Add, indices.into_indices(), update)
    }

    /// This array with `update`, which broadcasts to it, taken off the part that [`Array::index`] would give.
    ///
    /// Where arrays of indices name a place several times, every update for it is taken off.
    ///
    /// - shape: kept
    /// - dtype: any, kept, the update converted to it; a boolean array has nothing to take off
    /// - source: `mlx_negative`, `mlx_slice_update_add`, `mlx_scatter_add`
    ///
    /// # Errors
    /// As [`Array::index`]; [`Error::Shape`] when the update does not broadcast to the part, [`Error::Argument`] when the array is boolean.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[5, 6, 7], &[3])?.index_subtract(1.., &Array::scalar(4)?)?;
    /// assert_eq!(a.to_vec::<i32>()?, [5, 2, 3]);
    /// # Ok(()) }
    /// ```
    pub fn index_subtract<'a>(&self, indices: impl IndexList<'a>, update: &Array) -> Result<Array> {
        if self.dtype() == Dtype::Bool {
            return Err(Error::argument("index_subtract", "dtype", "there is no difference of bool"));
        }
        self.update_places(
            "index_subtract",
            Meet::Add,
            indices.into_indices(),
            &update.astype(self.dtype())?.negative()?,
        )
    }

    /// This array with the part that [`Array::index`] would give multiplied by `update`, which broadcasts to it.
    ///
    /// Where arrays of indices name a place several times, it is multiplied by every update for it. There is no derivative through arrays of indices.
    ///
    /// - shape: kept
    /// - dtype: any, kept, the update converted to it
    /// - source: `mlx_slice_update_prod`, `mlx_scatter_prod`
    ///
    /// # Errors
    /// As [`Array::index`]; [`Error::Shape`] when the update does not broadcast to the part.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
    /// let b = a.index_multiply((.., 0), &Array::scalar(10.0f32)?)?;
    /// assert_eq!(b.to_vec::<f32>()?, [10.0, 2.0, 30.0, 4.0]);
    /// # Ok(()) }
    /// ```
    pub fn index_multiply<'a>(&self, indices: impl IndexList<'a>, update: &Array) -> Result<Array> {
        self.update_places("index_multiply", Meet::Prod, indices.into_indices(), update)
    }

    /// This array with the part that [`Array::index`] would give divided by `update`, which broadcasts to it.
    ///
    /// Where arrays of indices name a place several times, it is divided by every update for it. What is computed is the product with the reciprocal. There is no derivative through arrays of indices.
    ///
    /// - shape: kept
    /// - dtype: any, kept, the update converted to it; floating or complex only
    /// - source: `mlx_reciprocal`, `mlx_slice_update_prod`, `mlx_scatter_prod`
    ///
    /// # Errors
    /// As [`Array::index`]; [`Error::Shape`] when the update does not broadcast to the part, [`Error::Argument`] when the array is of integers or boolean.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[8.0f32, 2.0], &[2])?;
    /// let twice = Array::from_slice(&[0, 0], &[2])?;
    /// assert_eq!(a.index_divide(&twice, &Array::scalar(2.0f32)?)?.to_vec::<f32>()?, [2.0, 2.0]);
    /// # Ok(()) }
    /// ```
    pub fn index_divide<'a>(&self, indices: impl IndexList<'a>, update: &Array) -> Result<Array> {
        if !self.dtype().is_float() && self.dtype() != Dtype::Complex64 {
            let message = format!("expected a floating or complex dtype, found {}", self.dtype());
            return Err(Error::argument("index_divide", "dtype", message));
        }
        self.update_places(
            "index_divide",
            Meet::Prod,
            indices.into_indices(),
            &update.astype(self.dtype())?.reciprocal()?,
        )
    }

    /// This array with the larger of element and `update`, which broadcasts to it, in the part that [`Array::index`] would give.
    ///
    /// Where arrays of indices name a place several times, the largest of all is there. What becomes of a NaN is not said.
    ///
    /// - shape: kept
    /// - dtype: any, kept, the update converted to it
    /// - source: `mlx_slice_update_max`, `mlx_scatter_max`
    ///
    /// # Errors
    /// As [`Array::index`]; [`Error::Shape`] when the update does not broadcast to the part.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[1, 5, 3], &[3])?.index_maximum(..2, &Array::scalar(4)?)?;
    /// assert_eq!(a.to_vec::<i32>()?, [4, 5, 3]);
    /// # Ok(()) }
    /// ```
    pub fn index_maximum<'a>(&self, indices: impl IndexList<'a>, update: &Array) -> Result<Array> {
        self.update_places("index_maximum", Meet::Max, indices.into_indices(), update)
    }

    /// This array with the smaller of element and `update`, which broadcasts to it, in the part that [`Array::index`] would give.
    ///
    /// Where arrays of indices name a place several times, the smallest of all is there. What becomes of a NaN is not said.
    ///
    /// - shape: kept
    /// - dtype: any, kept, the update converted to it
    /// - source: `mlx_slice_update_min`, `mlx_scatter_min`
    ///
    /// # Errors
    /// As [`Array::index`]; [`Error::Shape`] when the update does not broadcast to the part.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[1, 5, 3], &[3])?.index_minimum(-2, &Array::scalar(4)?)?;
    /// assert_eq!(a.to_vec::<i32>()?, [1, 4, 3]);
    /// # Ok(()) }
    /// ```
    pub fn index_minimum<'a>(&self, indices: impl IndexList<'a>, update: &Array) -> Result<Array> {
        self.update_places("index_minimum", Meet::Min, indices.into_indices(), update)
    }

    /// Lets `update` meet the part that [`Array::index`] would give.
    fn update_places(
        &self,
        op: &'static str,
        meet: Meet,
        indices: Vec<Index<'_>>,
        update: &Array,
    ) -> Result<Array> {
        let plan = Plan::new(op, self.shape(), &indices)?;
        let taken = plan.taken_shape(op)?;
        let dim = |place: &Place| match place {
            Place::Kept(axis) => {
                vec![usize::try_from(*axis).ok().and_then(|a| plan.runs.get(a)).map_or(1, |r| r.count)]
            }
            Place::New => vec![1],
            Place::Taken => taken.clone(),
        };
        let shape: Vec<i32> = plan.layout.iter().flat_map(dim).collect();
        let update = broadcast_update(op, update, &shape)?.astype(self.dtype())?;
        let part_shape: Vec<i32> = plan.runs.iter().map(|run| run.count).collect();
        if plan.arrays.is_empty() {
            // Only axes of 1 come and go.
            return self.update_runs(meet, &update.reshape(&part_shape)?, &plan.runs);
        }
        // Out of range is an error even where nothing is written.
        let part = self.runs(&plan.runs)?;
        if taken.contains(&0) {
            part.check_arrays(&plan)?;
            return Ok(self.clone());
        }
        let (axes, arrays): (Vec<i32>, Vec<&Array>) = plan.arrays.iter().copied().unzip();
        // The updates of a scatter begin with the axes of the indices.
        let want: Vec<Place> = {
            let kept = plan.layout.iter().copied().filter(|place| *place != Place::Taken);
            std::iter::once(Place::Taken).chain(kept).collect()
        };
        let (have, want) = (expand(&plan.layout, &plan, op)?, expand(&want, &plan, op)?);
        let update = update.transpose_axes(&permutation(&have, &want))?;
        let slice: Vec<i32> =
            (0..).zip(&part_shape).map(|(axis, &size)| if plan.is_taken(axis) { 1 } else { size }).collect();
        let updates = update.reshape(&[&taken[..], &slice].concat())?;
        let part = part.scatter_with(op, meet, &arrays, &updates, &axes)?;
        self.update_runs(Meet::Replace, &part, &plan.runs)
    }
}

/// `places` with one entry for each axis: what arrays give has as many as they broadcast to.
fn expand(places: &[Place], plan: &Plan<'_>, op: &'static str) -> Result<Vec<Place>> {
    let taken = plan.taken_shape(op)?.len();
    let repeat = |place: &Place| std::iter::repeat_n(*place, if *place == Place::Taken { taken } else { 1 });
    Ok(places.iter().flat_map(repeat).collect())
}

/// Where each axis of `want` is found in `have`; equal ones keep their order.
fn permutation(have: &[Place], want: &[Place]) -> Vec<i32> {
    let mut left: Vec<(i32, Place)> = (0..).zip(have.iter().copied()).collect();
    let find = |place: &Place| {
        let at = left.iter().position(|(_, have)| have == place)?;
        Some(left.remove(at).0)
    };
    want.iter().filter_map(find).collect()
}
