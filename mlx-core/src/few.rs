// SPDX-License-Identifier: EUPL-1.2
//! Lists that are short as a rule, such as one number for each axis, and then need no memory from the heap.

use std::ops::Deref;

/// As many as need no memory.
const INLINE: usize = 8;

/// A list that lies in itself up to eight elements.
#[derive(Clone, Debug)]
pub(crate) struct Few<T> {
    inline: [T; INLINE],
    len: usize,
    /// All elements, where there are more.
    many: Vec<T>,
}

impl<T: Copy + Default> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut few = Self { inline: [T::default(); INLINE], len: 0, many: Vec::new() };
        for element in elements {
            match few.inline.get_mut(few.len) {
                Some(place) => *place = element,
                None => {
                    if few.many.is_empty() {
                        few.many.extend_from_slice(&few.inline);
                    }
                    few.many.push(element);
                }
            }
            few.len += 1;
        }
        few
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        if self.many.is_empty() { self.inline.get(..self.len).unwrap_or_default() } else { &self.many }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_any_length_come_back_as_they_went() {
        for len in 0..20 {
            let few: Few<i32> = (0..len).collect();
            assert_eq!(*few, (0..len).collect::<Vec<_>>()[..]);
            assert_eq!(few.many.is_empty(), len <= 8);
        }
    }
}
