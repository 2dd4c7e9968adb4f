// SPDX-License-Identifier: EUPL-1.2
//! What can go wrong in a layer, or between a model and its checkpoint.

use std::fmt;

use mlx_core::Array;

/// The result of anything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An op failed.
    #[error(transparent)]
    Core(#[from] mlx_core::Error),

    /// A checkpoint does not have exactly the weights that the model has.
    #[error("{0}")]
    Weights(WeightErrors),

    /// A hyper-parameter outside its domain.
    #[error("{key}: {message}")]
    Config {
        /// The hyper-parameter's name.
        key: &'static str,
        /// What was expected and what was found.
        message: String,
    },

    /// An input whose shape a layer cannot take.
    #[error("{layer}: expected {expected}, found shape {found:?}")]
    Input {
        /// The layer or function.
        layer: &'static str,
        /// The shape that would do.
        expected: String,
        /// The shape that was given.
        found: Vec<i32>,
    },

    /// Gradients that are not finite: nothing was moved by them.
    #[error("gradients are not finite: {}", paths.join(", "))]
    Diverged {
        /// The parameters whose gradients are not; empty where only all together are too large.
        paths: Vec<String>,
    },

    /// Something that cannot be done to this layer of a model.
    #[error("{path}: {message}")]
    Layer {
        /// The layer's path.
        path: String,
        /// What was expected and what was found.
        message: String,
    },
}

impl Error {
    /// A hyper-parameter outside its domain.
    pub(crate) fn config(key: &'static str, message: impl Into<String>) -> Self {
        Self::Config { key, message: message.into() }
    }

    /// What is wrong with a hyper-parameter, said of the layer that has it.
    pub(crate) fn in_layer(self, path: &str) -> Self {
        match self {
            Self::Config { key, message } => {
                Self::Layer { path: path.to_owned(), message: format!("{key}: {message}") }
            }
            other => other,
        }
    }

    /// An input of the wrong shape.
    pub(crate) fn input(layer: &'static str, expected: impl Into<String>, found: &[i32]) -> Self {
        Self::Input { layer, expected: expected.into(), found: found.to_vec() }
    }
}

/// Checks that a measure is at least 1.
pub(crate) fn positive(key: &'static str, value: i32) -> Result<i32> {
    match value {
        1.. => Ok(value),
        _ => Err(Error::config(key, format!("expected at least 1, found {value}"))),
    }
}

/// Checks that an array has a floating dtype.
pub(crate) fn floating(op: &'static str, argument: &'static str, x: &Array) -> Result<()> {
    match x.dtype() {
        dtype if dtype.is_float() => Ok(()),
        dtype => {
            let message = format!("expected a floating dtype, found {dtype}");
            Err(mlx_core::Error::Argument { op, argument, message }.into())
        }
    }
}

/// Every difference between the weights that a model has and those that it was given. Each list is sorted by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeightErrors {
    /// Paths of the model that were not given.
    pub missing: Vec<String>,
    /// Paths that were given and that the model does not have.
    pub surplus: Vec<String>,
    /// Weights of another shape or kind of dtype than the model's.
    pub misfit: Vec<Misfit>,
}

/// A weight that was given and does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The weight's path.
    pub path: String,
    /// Shape and dtype that would do.
    pub expected: String,
    /// Shape and dtype that were given.
    pub found: String,
}

impl WeightErrors {
    /// How many of each kind a message lists; the fields have them all.
    pub const LISTED: usize = 20;

    /// Whether there is no difference.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.surplus.is_empty() && self.misfit.is_empty()
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (expected {}, found {})", self.path, self.expected, self.found)
    }
}

impl fmt::Display for WeightErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("weights do not fit the model")?;
        list(f, "missing", &self.missing)?;
        list(f, "surplus", &self.surplus)?;
        list(f, "misshapen", &self.misfit)
    }
}

/// `; 2 missing: a, b`, or nothing where there is none.
fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, kind: &str, items: &[T]) -> fmt::Result {
    for (i, item) in items.iter().take(WeightErrors::LISTED).enumerate() {
        match i {
            0 => write!(f, "; {} {kind}: {item}", items.len())?,
            _ => write!(f, ", {item}")?,
        }
    }
    match items.len().saturating_sub(WeightErrors::LISTED) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_every_culprit_and_lists_the_first_twenty() {
        let errors = WeightErrors {
            missing: vec!["a.weight".into(), "b.weight".into()],
            surplus: (0..23).map(|i| format!("s{i}")).collect(),
            misfit: vec![Misfit {
                path: "c".into(),
                expected: "[2] float".into(),
                found: "[3] uint8".into(),
            }],
        };
        let text = errors.to_string();
        assert!(
            text.starts_with(
                "weights do not fit the model; 2 missing: a.weight, b.weight; 23 surplus: s0, s1,"
            )
        );
        assert!(
            text.contains(", s19 and 3 more; 1 misshapen: c (expected [2] float, found [3] uint8)"),
            "{text}"
        );
        assert!(!text.contains("s20") && !text.contains('\n'));
        assert!(WeightErrors::default().is_empty());
    }
}
