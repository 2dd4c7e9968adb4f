// SPDX-License-Identifier: EUPL-1.2
//! Patterns for the paths of layers.

use std::fmt;

/// A path with gaps: `*` stands for any run of characters, dots included, `?` for one; everything else for itself.
///
/// ```
/// use mlx_models::Pattern;
/// let pattern = Pattern::new("*.mlp.down_proj");
/// assert!(pattern.matches("model.layers.11.mlp.down_proj"));
/// assert!(!pattern.matches("model.layers.11.mlp.up_proj"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern that is written like this.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether all of `path` fits.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let (mut pattern, mut path) = (self.0.as_str(), path);
        // What is left of both behind the last `*`, which takes one character more each time the rest does not fit.
        let mut star: Option<(&str, &str)> = None;
        loop {
            let (expected, found) = (pattern.chars().next(), path.chars().next());
            match (expected, found) {
                (Some('*'), _) => {
                    pattern = after(pattern);
                    star = Some((pattern, path));
                }
                (Some(a), Some(b)) if a == '?' || a == b => (pattern, path) = (after(pattern), after(path)),
                (None, None) => return true,
                _ => match star {
                    Some((rest, from)) if !from.is_empty() => {
                        (pattern, path) = (rest, after(from));
                        star = Some((rest, path));
                    }
                    _ => return false,
                },
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// `text` without its first character.
fn after(text: &str) -> &str {
    let mut chars = text.chars();
    chars.next();
    chars.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_are_any_run_and_question_marks_one_character() {
        for (pattern, fitting, others) in [
            ("", &[""][..], &["a"][..]),
            ("*", &["", "a", "a.b", "é"], &[]),
            ("a", &["a"], &["", "aa", "b"]),
            ("?", &["a", "é"], &["", "ab"]),
            ("*.v_proj", &["l.0.v_proj", ".v_proj", "x.v_proj.v_proj"], &["v_proj", "l.v_proj.weight"]),
            ("l.*.a*b", &["l.0.ab", "l..ab", "l.1.xaab.ab"], &["l.ab", "l.0.a", "l.0.abc"]),
            ("l.?.q", &["l.1.q"], &["l.10.q", "l..q"]),
            ("**a**", &["a", "bab"], &["b", ""]),
            ("[a]", &["[a]"], &["a"]),
        ] {
            let compiled = Pattern::new(pattern);
            for path in fitting {
                assert!(compiled.matches(path), "{pattern:?} {path:?}");
            }
            for path in others {
                assert!(!compiled.matches(path), "{pattern:?} {path:?}");
            }
        }
    }

    #[test]
    fn many_stars_take_no_more_than_a_moment() {
        let pattern = Pattern::new("*a".repeat(200));
        assert!(!pattern.matches(&"a".repeat(199)));
        assert!(!pattern.matches(&format!("{}b", "a".repeat(20_000))));
        assert!(pattern.matches(&"a".repeat(20_000)));
    }
}
