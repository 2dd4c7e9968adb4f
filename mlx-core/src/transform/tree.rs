// SPDX-License-Identifier: EUPL-1.2
//! Arrays in a structure: lists, named parameters, tuples, and any nesting of these.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use crate::Array;
use crate::error::{Error, Result};

/// What transformations take and give: an array, or a structure of arrays.
///
/// Implemented for [`Array`], slices, `Vec<T>`, `[T; N]`, `Option<T>`, `Box<T>`, `BTreeMap<String, T>` and tuples of up to
/// eight, where `T` is a tree again. The arrays of a tree are its *leaves*, in the order in which they stand, those of a
/// map in the order of their names.
///
/// Sealed: a type of one's own turns itself into a tuple or a map of its parts, and back.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use std::collections::BTreeMap;
///
/// use mlx_core::Array;
/// use mlx_core::transform::Tree;
///
/// let layer = BTreeMap::from([
///     ("weight".to_owned(), Array::from_slice(&[1.0f32, 2.0], &[2])?),
///     ("bias".to_owned(), Array::scalar(0.5f32)?),
/// ]);
/// let model = (vec![layer], None::<Array>);
/// assert_eq!(model.leaves().len(), 2);
/// let halved = model.map_leaves(|leaf| leaf * 0.5)?;
/// assert_eq!(halved.0[0]["bias"].item::<f32>()?, 0.25);
/// # Ok(()) }
/// ```
pub trait Tree: Parts {
    /// Every array of the tree, in order. A clone of an array shares its values.
    fn leaves(&self) -> Vec<Array> {
        let mut leaves = Vec::new();
        self.collect(&mut leaves);
        leaves
    }

    /// A tree of the same structure with other arrays.
    ///
    /// # Errors
    /// [`Error::Shape`] when there are more or fewer of them than this tree has.
    fn with_leaves(&self, leaves: Vec<Array>) -> Result<Self::Owned> {
        self.structure().build::<Self>("with_leaves", leaves)
    }

    /// A tree of the same structure with `function` of each array.
    ///
    /// # Errors
    /// Whatever `function` returns.
    fn map_leaves(&self, function: impl FnMut(&Array) -> Result<Array>) -> Result<Self::Owned>
    where
        Self: Sized,
    {
        self.with_leaves(self.leaves().iter().map(function).collect::<Result<_>>()?)
    }
}

impl<T: Parts + ?Sized> Tree for T {}

/// One thing about a tree that its type does not say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// How many elements there are.
    Count(usize),
    /// The name of the next.
    Name(String),
}

/// What a tree is made of, in the order of its leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Structure(Vec<Part>);

impl Structure {
    /// The tree of this structure with these leaves.
    pub(crate) fn build<T: Parts + ?Sized>(&self, op: &'static str, leaves: Vec<Array>) -> Result<T::Owned> {
        let found = leaves.len();
        let unfit = || Error::shape(op, format!("{found} arrays do not fill the structure"));
        let (mut parts, mut leaves) = (self.0.iter(), leaves.into_iter());
        let tree = T::build(&mut parts, &mut leaves).ok_or_else(unfit)?;
        if leaves.next().is_some() || parts.next().is_some() {
            return Err(unfit());
        }
        Ok(tree)
    }
}

mod sealed {
    use super::{Array, Borrow, Part, Structure};

    /// How a tree comes apart and together. Here, so that it cannot be named outside.
    pub trait Parts {
        /// The tree itself where it has a size, else what owns it.
        type Owned: Borrow<Self>;
        fn collect(&self, leaves: &mut Vec<Array>);
        fn describe(&self, parts: &mut Vec<Part>);
        fn build(
            parts: &mut std::slice::Iter<'_, Part>,
            leaves: &mut std::vec::IntoIter<Array>,
        ) -> Option<Self::Owned>;
        #[doc(hidden)]
        #[allow(private_interfaces, reason = "nobody outside can call it")]
        fn structure(&self) -> Structure {
            let mut parts = Vec::new();
            self.describe(&mut parts);
            Structure(parts)
        }
    }
}
pub(crate) use sealed::Parts;

type Described<'a> = std::slice::Iter<'a, Part>;
type Leaves = std::vec::IntoIter<Array>;

fn count(parts: &mut Described<'_>) -> Option<usize> {
    match parts.next()? {
        Part::Count(count) => Some(*count),
        Part::Name(_) => None,
    }
}

impl Parts for Array {
    type Owned = Array;
    fn collect(&self, leaves: &mut Vec<Array>) {
        leaves.push(self.clone());
    }
    fn describe(&self, _: &mut Vec<Part>) {}
    fn build(_: &mut Described<'_>, leaves: &mut Leaves) -> Option<Array> {
        leaves.next()
    }
}

impl<T: Parts<Owned = T>> Parts for [T] {
    type Owned = Vec<T>;
    fn collect(&self, leaves: &mut Vec<Array>) {
        self.iter().for_each(|tree| tree.collect(leaves));
    }
    fn describe(&self, parts: &mut Vec<Part>) {
        parts.push(Part::Count(self.len()));
        self.iter().for_each(|tree| tree.describe(parts));
    }
    fn build(parts: &mut Described<'_>, leaves: &mut Leaves) -> Option<Vec<T>> {
        (0..count(parts)?).map(|_| T::build(parts, leaves)).collect()
    }
}

impl<T: Parts<Owned = T>> Parts for Vec<T> {
    type Owned = Vec<T>;
    fn collect(&self, leaves: &mut Vec<Array>) {
        self.as_slice().collect(leaves);
    }
    fn describe(&self, parts: &mut Vec<Part>) {
        self.as_slice().describe(parts);
    }
    fn build(parts: &mut Described<'_>, leaves: &mut Leaves) -> Option<Vec<T>> {
        <[T]>::build(parts, leaves)
    }
}

impl<T: Parts<Owned = T>, const N: usize> Parts for [T; N] {
    type Owned = [T; N];
    fn collect(&self, leaves: &mut Vec<Array>) {
        self.iter().for_each(|tree| tree.collect(leaves));
    }
    fn describe(&self, parts: &mut Vec<Part>) {
        self.iter().for_each(|tree| tree.describe(parts));
    }
    fn build(parts: &mut Described<'_>, leaves: &mut Leaves) -> Option<[T; N]> {
        let trees: Option<Vec<T>> = (0..N).map(|_| T::build(parts, leaves)).collect();
        trees?.try_into().ok()
    }
}

impl<T: Parts<Owned = T>> Parts for Option<T> {
    type Owned = Option<T>;
    fn collect(&self, leaves: &mut Vec<Array>) {
        self.iter().for_each(|tree| tree.collect(leaves));
    }
    fn describe(&self, parts: &mut Vec<Part>) {
        parts.push(Part::Count(usize::from(self.is_some())));
        self.iter().for_each(|tree| tree.describe(parts));
    }
    fn build(parts: &mut Described<'_>, leaves: &mut Leaves) -> Option<Option<T>> {
        match count(parts)? {
            0 => Some(None),
            _ => T::build(parts, leaves).map(Some),
        }
    }
}

impl<T: Parts<Owned = T>> Parts for Box<T> {
    type Owned = Box<T>;
    fn collect(&self, leaves: &mut Vec<Array>) {
        self.as_ref().collect(leaves);
    }
    fn describe(&self, parts: &mut Vec<Part>) {
        self.as_ref().describe(parts);
    }
    fn build(parts: &mut Described<'_>, leaves: &mut Leaves) -> Option<Box<T>> {
        T::build(parts, leaves).map(Box::new)
    }
}

impl<T: Parts<Owned = T>> Parts for BTreeMap<String, T> {
    type Owned = BTreeMap<String, T>;
    fn collect(&self, leaves: &mut Vec<Array>) {
        self.values().for_each(|tree| tree.collect(leaves));
    }
    fn describe(&self, parts: &mut Vec<Part>) {
        parts.push(Part::Count(self.len()));
        for (name, tree) in self {
            parts.push(Part::Name(name.clone()));
            tree.describe(parts);
        }
    }
    fn build(parts: &mut Described<'_>, leaves: &mut Leaves) -> Option<BTreeMap<String, T>> {
        (0..count(parts)?)
            .map(|_| match parts.next()? {
                Part::Name(name) => Some((name.clone(), T::build(parts, leaves)?)),
                Part::Count(_) => None,
            })
            .collect()
    }
}

impl Parts for () {
    type Owned = ();
    fn collect(&self, _: &mut Vec<Array>) {}
    fn describe(&self, _: &mut Vec<Part>) {}
    fn build(_: &mut Described<'_>, _: &mut Leaves) -> Option<()> {
        Some(())
    }
}

macro_rules! tuples {
    ($(($($name:ident $place:tt),+))*) => {$(
        impl<$($name: Parts<Owned = $name>),+> Parts for ($($name,)+) {
            type Owned = ($($name,)+);
            fn collect(&self, leaves: &mut Vec<Array>) {
                $(self.$place.collect(leaves);)+
            }
            fn describe(&self, parts: &mut Vec<Part>) {
                $(self.$place.describe(parts);)+
            }
            fn build(parts: &mut Described<'_>, leaves: &mut Leaves) -> Option<Self::Owned> {
                Some(($($name::build(parts, leaves)?,)+))
            }
        }
    )*};
}

tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Model = (BTreeMap<String, Vec<Array>>, Option<Array>, [Array; 2], Box<(Array,)>, ());

    fn model(first: bool) -> Model {
        let leaf = |n: i32| Array::scalar(n).unwrap();
        let layers = [("b", vec![leaf(2), leaf(3)]), ("a", vec![leaf(1)]), ("c", vec![])];
        let layers = layers.map(|(name, layer)| (name.to_owned(), layer));
        (layers.into(), first.then(|| leaf(4)), [leaf(5), leaf(6)], Box::new((leaf(7),)), ())
    }

    fn numbers(tree: &impl Tree) -> Vec<i32> {
        tree.leaves().iter().map(|leaf| leaf.item().unwrap()).collect()
    }

    #[test]
    fn trees_come_apart_and_together() {
        for (first, expected) in [(true, &[1, 2, 3, 4, 5, 6, 7][..]), (false, &[1, 2, 3, 5, 6, 7])] {
            let tree = model(first);
            assert_eq!(numbers(&tree), expected);
            let again = tree.with_leaves(tree.leaves()).unwrap();
            assert_eq!(numbers(&again), expected);
            assert_eq!(again.structure(), tree.structure());
            assert_eq!(again.0["b"].len(), 2);
            let more = tree.map_leaves(|leaf| leaf + 10).unwrap();
            assert_eq!(numbers(&more), expected.iter().map(|n| n + 10).collect::<Vec<_>>());
            assert!(tree.with_leaves(vec![]).is_err());
            assert!(tree.with_leaves([tree.leaves(), tree.leaves()].concat()).is_err());
        }
        assert_ne!(model(true).structure(), model(false).structure());
        let slice: &[Array] = &[];
        assert!(slice.leaves().is_empty() && slice.with_leaves(vec![]).unwrap().is_empty());
    }
}
