// SPDX-License-Identifier: EUPL-1.2
//! The values of an array as text, in the manner of NumPy.

use std::fmt::{self, Write as _};

use half::{bf16, f16};

use crate::error::Result;
use crate::{Array, Complex64, Dtype, concatenate};

/// How [`Array::display_with`] shows values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DisplayOptions {
    /// Digits behind the point at most, fewer where fewer say the same. Default 8. A precision in the format string,
    /// `{:.3}`, goes before it.
    pub precision: usize,
    /// With more elements than this, only the edges are shown. Default 1000.
    pub threshold: usize,
    /// How many rows, columns and so on are shown at each edge then. Default 3.
    pub edge_items: i32,
    /// Characters in a line at most. Default 75.
    pub line_width: usize,
}

impl Default for DisplayOptions {
    fn default() -> Self {
        Self { precision: 8, threshold: 1000, edge_items: 3, line_width: 75 }
    }
}

/// The values of an array, ready to be shown: made by [`Array::display`].
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// let third = mlx_core::Array::scalar(1.0f32 / 3.0)?.display()?;
/// assert_eq!(format!("{third} {third:.2}"), "0.33333334 0.33");
/// # Ok(()) }
/// ```
pub struct Displayed {
    values: Values,
    /// Of the part that is shown.
    shape: Vec<usize>,
    /// For each axis, after how many elements some are left out.
    gaps: Vec<Option<usize>>,
    options: DisplayOptions,
}

/// Elements in row-major order.
enum Values {
    Bool(Vec<bool>),
    Signed(Vec<i64>),
    Unsigned(Vec<u64>),
    Float(Kind, Vec<f64>),
    Complex(Vec<Complex64>),
}

impl Array {
    /// The values as text, as NumPy prints them. Evaluates.
    ///
    /// `Debug` shows shape and dtype, and evaluates nothing.
    ///
    /// # Errors
    /// [`crate::Error::Mlx`] when the computation fails.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    /// let x = Array::from_slice(&[1.0f32, 2.5, -3.0, f32::NAN], &[2, 2])?;
    /// assert_eq!(x.display()?.to_string(), "[[ 1.   2.5]\n [-3.   nan]]");
    /// let long = Array::ones(&[5000], Dtype::Int32)?;
    /// assert_eq!(long.display()?.to_string(), "[1 1 1 ... 1 1 1]");
    /// # Ok(()) }
    /// ```
    pub fn display(&self) -> Result<Displayed> {
        self.display_with(&DisplayOptions::default())
    }

    /// As [`Array::display`], in a manner of one's own.
    ///
    /// # Errors
    /// As [`Array::display`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, DisplayOptions};
    /// let x = Array::from_slice(&[0u8, 1, 2, 3, 4, 5], &[6])?;
    /// let options = DisplayOptions { threshold: 4, edge_items: 1, ..Default::default() };
    /// assert_eq!(x.display_with(&options)?.to_string(), "[0 ... 5]");
    /// # Ok(()) }
    /// ```
    pub fn display_with(&self, options: &DisplayOptions) -> Result<Displayed> {
        // The edges alone are copied, of the array itself and not of what it is computed from.
        self.eval()?;
        let mut part = self.clone();
        let mut gaps = vec![None; self.ndim()];
        let edge = options.edge_items.max(1);
        if self.size() > options.threshold {
            for (axis, (&dim, gap)) in (0..).zip(self.shape().iter().zip(&mut gaps)) {
                if dim / 2 >= edge && dim > 2 * edge {
                    let edges = [part.slice_axis(axis, 0, edge)?, part.slice_axis(axis, dim - edge, dim)?];
                    part = concatenate(&[&edges[0], &edges[1]], axis)?;
                    *gap = usize::try_from(edge).ok();
                }
            }
        }
        let shape = part.shape().iter().map(|&dim| usize::try_from(dim).unwrap_or(0)).collect();
        let floats = |part: &Array| part.astype(Dtype::Float32)?.to_vec::<f32>();
        let values = match self.dtype() {
            Dtype::Bool => Values::Bool(part.to_vec()?),
            Dtype::Complex64 => Values::Complex(part.to_vec()?),
            Dtype::Float64 => Values::Float(Kind::Double, part.to_vec()?),
            Dtype::Float32 => Values::Float(Kind::Single, widened(&part.to_vec()?)),
            Dtype::Float16 => Values::Float(Kind::Half, widened(&floats(&part)?)),
            Dtype::Bfloat16 => Values::Float(Kind::Brain, widened(&floats(&part)?)),
            Dtype::Uint8 | Dtype::Uint16 | Dtype::Uint32 | Dtype::Uint64 => {
                Values::Unsigned(part.astype(Dtype::Uint64)?.to_vec()?)
            }
            _ => Values::Signed(part.astype(Dtype::Int64)?.to_vec()?),
        };
        Ok(Displayed { values, shape, gaps, options: *options })
    }
}

fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// Which floating type a value is one of, though all are kept as the widest.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Half,
    Brain,
    Single,
    Double,
}

impl Kind {
    /// `value` in the type, and back.
    fn round(self, value: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, reason = "rounds, which is the purpose")]
        match self {
            Self::Half => f16::from_f64(value).to_f64(),
            Self::Brain => bf16::from_f64(value).to_f64(),
            Self::Single => f64::from(value as f32),
            Self::Double => value,
        }
    }

    /// From where on numbers are shown with an exponent.
    fn large(self) -> f64 {
        match self {
            Self::Half | Self::Brain => 1e3,
            Self::Single => 1e6,
            Self::Double => 1e8,
        }
    }

    /// The fewest digits that mean `value` in this type, as `d.dde±x`.
    fn shortest(self, value: f64) -> String {
        #[expect(clippy::cast_possible_truncation, reason = "the value is a float32")]
        match self {
            Self::Double => format!("{value:e}"),
            Self::Single => format!("{:e}", value as f32),
            Self::Half | Self::Brain => (0..8)
                .map(|digits| format!("{value:.digits$e}"))
                .find(|text| text.parse().is_ok_and(|parsed: f64| self.round(parsed) == value))
                .unwrap_or_else(|| format!("{value:e}")),
        }
    }
}

/// The digits of a number: before the point with the sign, behind it, and the exponent.
struct Digits {
    whole: String,
    fraction: String,
    exponent: Option<i32>,
}

/// `value` with at most `precision` digits behind the point, and no zeros at the end.
fn positional(kind: Kind, value: f64, precision: usize) -> Digits {
    let (mantissa, exponent) = split(&kind.shortest(value));
    let decimals = mantissa.len() as i64 - 1 - i64::from(exponent);
    // Rust shows a float in full without an exponent, in the fewest digits for its own type.
    let digits = usize::try_from(decimals.max(0)).unwrap_or(0).min(precision);
    let text = if decimals > digits as i64 || kind == Kind::Double || decimals >= 0 {
        format!("{value:.digits$}")
    } else {
        // Digits before the point that the type does not tell apart are zeros.
        let sign = if value.is_sign_negative() { "-" } else { "" };
        let zeros = usize::try_from(-decimals).unwrap_or(0);
        format!("{sign}{mantissa}{:0>zeros$}", "")
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    Digits { whole: whole.to_owned(), fraction: fraction.trim_end_matches('0').to_owned(), exponent: None }
}

/// `value` as one digit before the point, at most `precision` behind it, and an exponent.
fn scientific(kind: Kind, value: f64, precision: usize) -> Digits {
    let shortest = kind.shortest(value);
    let (mantissa, _) = split(&shortest);
    let text = if mantissa.len() - 1 > precision { format!("{value:.precision$e}") } else { shortest };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    Digits {
        whole: whole.to_owned(),
        fraction: fraction.trim_end_matches('0').to_owned(),
        exponent: exponent.parse().ok(),
    }
}

/// The digits of `d.dde±x` without sign and point, at least one, and the exponent.
fn split(scientific: &str) -> (String, i32) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    (mantissa.chars().filter(char::is_ascii_digit).collect(), exponent.parse().unwrap_or(0))
}

fn exponent_digits(exponent: i32) -> usize {
    exponent.unsigned_abs().to_string().len().max(2)
}

/// The width that all numbers of an array share.
struct Format {
    kind: Kind,
    precision: usize,
    /// Digits of the exponent, where there is one.
    exponent: Option<usize>,
    whole: usize,
    fraction: usize,
    plus: bool,
}

impl Format {
    fn new(kind: Kind, values: impl Iterator<Item = f64> + Clone, precision: usize, plus: bool) -> Self {
        let finite = values.clone().filter(|value| value.is_finite());
        let sizes = finite.clone().filter(|&value| value != 0.0).map(f64::abs);
        let (smallest, largest) = (sizes.clone().fold(f64::INFINITY, f64::min), sizes.fold(0.0, f64::max));
        let exponential = largest > 0.0
            && (largest >= kind.large() || smallest < kind.round(1e-4) || largest / smallest > 1e3);
        let mut format = Self { kind, precision, exponent: None, whole: 0, fraction: 0, plus };
        for value in finite {
            let digits = if exponential {
                scientific(kind, value, precision)
            } else {
                positional(kind, value, precision)
            };
            let sign = usize::from(plus && !digits.whole.starts_with('-'));
            format.whole = format.whole.max(digits.whole.len() + sign);
            format.fraction = format.fraction.max(digits.fraction.len());
            if let Some(exponent) = digits.exponent {
                format.exponent = Some(format.exponent.unwrap_or(0).max(exponent_digits(exponent)));
            }
        }
        let behind = format.behind() + 1;
        for value in values.filter(|value| !value.is_finite()) {
            let len = 3 + usize::from(value < 0.0 || plus);
            format.whole = format.whole.max(len.saturating_sub(behind));
        }
        format
    }

    /// Characters behind the point.
    fn behind(&self) -> usize {
        self.fraction + self.exponent.map_or(0, |digits| digits + 2)
    }

    fn show(&self, value: f64) -> String {
        let plus = if self.plus && !value.is_sign_negative() { "+" } else { "" };
        if !value.is_finite() {
            let name = match value {
                value if value.is_nan() => "nan",
                value if value < 0.0 => "-inf",
                _ => "inf",
            };
            let plus = if self.plus && !name.starts_with('-') { "+" } else { "" };
            return format!("{:>1$}", format!("{plus}{name}"), self.whole + 1 + self.behind());
        }
        let (whole, width) = (self.whole, self.fraction);
        match self.exponent {
            Some(size) => {
                // As many digits as the number with the most: further ones than mean this number are exact.
                let text = format!("{value:.width$e}");
                let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let (first, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
                let (sign, exponent) =
                    exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
                format!("{:>whole$}.{fraction}e{sign}{exponent:0>size$}", plus.to_owned() + first)
            }
            None => {
                let digits = positional(self.kind, value, self.precision);
                format!("{:>whole$}.{:<width$}", plus.to_owned() + &digits.whole, digits.fraction)
            }
        }
    }
}

impl Displayed {
    /// Every element as text, of one width.
    fn words(&self, precision: usize) -> Vec<String> {
        fn aligned(numbers: impl Iterator<Item = String>) -> Vec<String> {
            let numbers: Vec<String> = numbers.collect();
            let width = numbers.iter().map(String::len).max().unwrap_or(0);
            numbers.into_iter().map(|number| format!("{number:>width$}")).collect()
        }
        let single = self.shape.is_empty();
        match &self.values {
            Values::Bool(values) => {
                let yes = if single { "True" } else { " True" };
                values.iter().map(|&value| if value { yes } else { "False" }.to_owned()).collect()
            }
            Values::Signed(values) => aligned(values.iter().map(i64::to_string)),
            Values::Unsigned(values) => aligned(values.iter().map(u64::to_string)),
            Values::Float(kind, values) => {
                let format = Format::new(*kind, values.iter().copied(), precision, false);
                let mut words: Vec<String> = values.iter().map(|&value| format.show(value)).collect();
                if single {
                    words.iter_mut().filter(|word| word.ends_with('.')).for_each(|word| word.push('0'));
                }
                words
            }
            Values::Complex(values) => {
                let (re, im) = (|c: &Complex64| f64::from(c.re), |c: &Complex64| f64::from(c.im));
                let real = Format::new(Kind::Single, values.iter().map(re), precision, false);
                let imaginary = Format::new(Kind::Single, values.iter().map(im), precision, true);
                let show = |value: &Complex64| {
                    let part = imaginary.show(im(value));
                    let number = part.trim_end();
                    let spaces = part.len() - number.len();
                    format!("{}{number}j{:spaces$}", real.show(re(value)), "")
                };
                values.iter().map(show).collect()
            }
        }
    }

    /// The part of the array behind an index, as lines that go on at `indent`.
    fn nested(&self, words: &[String], axis: usize, indent: usize, width: usize, out: &mut String) {
        let (Some(&len), Some(&gap)) = (self.shape.get(axis), self.gaps.get(axis)) else {
            out.push_str(words.first().map_or("", String::as_str));
            return;
        };
        let each = words.len() / len.max(1);
        out.push('[');
        if axis + 1 < self.shape.len() {
            let end = "\n".repeat(self.shape.len() - axis - 1);
            for (i, words) in words.chunks(each.max(1)).enumerate() {
                if i > 0 {
                    let _ = write!(out, "{end}{:indent$}", "");
                }
                if gap == Some(i) {
                    let _ = write!(out, "...{end}{:indent$}", "");
                }
                self.nested(words, axis + 1, indent + 1, width.saturating_sub(1), out);
            }
        } else {
            // One character is left for what comes behind a number.
            let width = width.saturating_sub(1);
            let dots = "...".to_owned();
            let mut line = indent;
            for (i, word) in words.iter().enumerate() {
                for word in (gap == Some(i)).then_some(&dots).into_iter().chain([word]) {
                    if line > indent && line + word.len() > width {
                        out.truncate(out.trim_end().len());
                        let _ = write!(out, "\n{:indent$}", "");
                        line = indent;
                    }
                    out.push_str(word);
                    out.push(' ');
                    line += word.len() + 1;
                }
            }
            if out.ends_with(' ') {
                out.pop();
            }
        }
        out.push(']');
    }
}

impl fmt::Display for Displayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.shape.contains(&0) {
            return f.write_str("[]");
        }
        let words = self.words(f.precision().unwrap_or(self.options.precision));
        let mut text = String::new();
        self.nested(&words, 0, 1, self.options.line_width, &mut text);
        f.write_str(&text)
    }
}

impl fmt::Debug for Displayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
