// SPDX-License-Identifier: EUPL-1.2
//! What has parameters, and the one way to walk over them.

use std::fmt::{Display, Write};

use mlx_core::Array;

use crate::{Embedding, Linear, Result};

/// Something with parameters that have paths, such as `layers.0.mlp.up_proj.weight`.
///
/// Layers get this from [`module!`](crate::module!). It is implemented for an [`Array`] (one parameter), for `Option`
/// (none or those of its value), for `Vec` (numbered) and for `Box`.
pub trait Module {
    /// Shows every parameter to `visitor`, in the order of the fields. `path` is where this module stands.
    fn visit<'a>(&'a self, path: &mut ParamPath, visitor: &mut dyn Visitor<'a>);

    /// Lends every parameter to `visitor`, in the same order and with the same paths as [`visit`](Self::visit).
    ///
    /// # Errors
    /// The first that `visitor` returns; what it changed before then stays changed.
    fn visit_mut(&mut self, path: &mut ParamPath, visitor: &mut dyn VisitorMut) -> Result<()>;
}

/// Sees the parameters of a module.
pub trait Visitor<'a> {
    /// A parameter.
    fn parameter(&mut self, path: &str, value: &'a Array);

    /// A layer that can be quantised or adapted, before its parameters. These follow only where this returns `true`.
    fn layer(&mut self, path: &str, layer: Layer<'a>) -> bool {
        let _ = (path, layer);
        true
    }
}

/// May change the parameters of a module. Each of the two ways to look is optional.
pub trait VisitorMut {
    /// A parameter.
    ///
    /// # Errors
    /// Whatever ends the walk.
    fn parameter(&mut self, path: &str, value: &mut Array) -> Result<()> {
        let _ = (path, value);
        Ok(())
    }

    /// A layer that can be quantised or adapted. Its parameters, as they are after this call, follow.
    ///
    /// # Errors
    /// Whatever ends the walk.
    fn layer(&mut self, path: &str, layer: LayerMut<'_>) -> Result<()> {
        let _ = (path, layer);
        Ok(())
    }
}

/// A layer whose weight has more than one representation.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Layer<'a> {
    /// A projection.
    Linear(&'a Linear),
    /// A table of vectors.
    Embedding(&'a Embedding),
}

/// As [`Layer`], to be changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum LayerMut<'a> {
    /// A projection.
    Linear(&'a mut Linear),
    /// A table of vectors.
    Embedding(&'a mut Embedding),
}

/// Where a walk stands: the names on the way there, joined by dots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParamPath {
    text: String,
}

impl ParamPath {
    /// The root, whose path is empty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The path as checkpoints write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Runs `body` one segment further down. An empty segment adds nothing.
    pub fn within<R>(&mut self, segment: impl Display, body: impl FnOnce(&mut Self) -> R) -> R {
        let parent = self.text.len();
        if parent > 0 {
            self.text.push('.');
        }
        let start = self.text.len();
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{segment}");
        if self.text.len() == start {
            self.text.truncate(parent);
        }
        let result = body(self);
        self.text.truncate(parent);
        result
    }
}

/// Implements [`Module`] for a struct: names the fields that have parameters.
///
/// The path of a field is its name, or what follows `=>`; an empty one puts the parameters of the field in its
/// parent. This list is the only place where the path of a weight is spelled.
///
/// ```
/// use mlx_core::{Array, Dtype};
/// use mlx_nn::{Linear, module, params};
///
/// struct Head {
///     dense: Linear,
///     threshold: Array,
///     classes: i32, // Not a parameter, so not listed.
/// }
/// module!(Head { dense => "score", threshold });
///
/// # fn main() -> mlx_nn::Result<()> {
/// let head = Head { dense: Linear::new(4, 2, false)?, threshold: Array::zeros(&[2], Dtype::Float32)?, classes: 2 };
/// let paths: Vec<String> = params::parameters(&head).into_iter().map(|(path, _)| path).collect();
/// assert_eq!(paths, ["score.weight", "threshold"]);
/// assert_eq!(head.classes, 2);
/// # Ok(()) }
/// ```
#[macro_export]
macro_rules! module {
    (@path $field:ident) => { stringify!($field) };
    (@path $field:ident $path:literal) => { $path };
    ($type:ty { $($field:ident $(=> $path:literal)?),+ $(,)? }) => {
        impl $crate::Module for $type {
            fn visit<'a>(&'a self, path: &mut $crate::ParamPath, visitor: &mut dyn $crate::Visitor<'a>) {
                $(path.within($crate::module!(@path $field $($path)?), |path| {
                    $crate::Module::visit(&self.$field, path, visitor);
                });)+
            }

            fn visit_mut(
                &mut self,
                path: &mut $crate::ParamPath,
                visitor: &mut dyn $crate::VisitorMut,
            ) -> $crate::Result<()> {
                $(path.within($crate::module!(@path $field $($path)?), |path| {
                    $crate::Module::visit_mut(&mut self.$field, path, visitor)
                })?;)+
                Ok(())
            }
        }
    };
}

impl Module for Array {
    fn visit<'a>(&'a self, path: &mut ParamPath, visitor: &mut dyn Visitor<'a>) {
        visitor.parameter(path.as_str(), self);
    }

    fn visit_mut(&mut self, path: &mut ParamPath, visitor: &mut dyn VisitorMut) -> Result<()> {
        visitor.parameter(path.as_str(), self)
    }
}

impl<M: Module> Module for Option<M> {
    fn visit<'a>(&'a self, path: &mut ParamPath, visitor: &mut dyn Visitor<'a>) {
        if let Some(module) = self {
            module.visit(path, visitor);
        }
    }

    fn visit_mut(&mut self, path: &mut ParamPath, visitor: &mut dyn VisitorMut) -> Result<()> {
        match self {
            Some(module) => module.visit_mut(path, visitor),
            None => Ok(()),
        }
    }
}

impl<M: Module> Module for Vec<M> {
    fn visit<'a>(&'a self, path: &mut ParamPath, visitor: &mut dyn Visitor<'a>) {
        for (i, module) in self.iter().enumerate() {
            path.within(i, |path| module.visit(path, visitor));
        }
    }

    fn visit_mut(&mut self, path: &mut ParamPath, visitor: &mut dyn VisitorMut) -> Result<()> {
        let mut modules = self.iter_mut().enumerate();
        modules.try_for_each(|(i, module)| path.within(i, |path| module.visit_mut(path, visitor)))
    }
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn visit<'a>(&'a self, path: &mut ParamPath, visitor: &mut dyn Visitor<'a>) {
        (**self).visit(path, visitor);
    }

    fn visit_mut(&mut self, path: &mut ParamPath, visitor: &mut dyn VisitorMut) -> Result<()> {
        (**self).visit_mut(path, visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_grows_and_shrinks_with_the_walk() {
        let mut path = ParamPath::new();
        let inner = path.within("model", |path| {
            path.within("layers", |path| path.within(3, |path| path.as_str().to_owned()))
        });
        assert_eq!(inner, "model.layers.3");
        assert_eq!(path.as_str(), "");
    }

    #[test]
    fn an_empty_segment_adds_nothing() {
        let mut path = ParamPath::new();
        assert_eq!(path.within("", |path| path.within("a", |path| path.as_str().to_owned())), "a");
        let nested = path.within("a", |path| {
            path.within("", |path| {
                (path.as_str().to_owned(), path.within("b", |path| path.as_str().to_owned()))
            })
        });
        assert_eq!(nested, ("a".to_owned(), "a.b".to_owned()));
    }
}
