// SPDX-License-Identifier: EUPL-1.2
//! From times to figures: medians, shares of a ceiling, and how they are written. Nothing here measures; `tests/bench.rs`
//! has the tests, since a bench has none of its own.

/// Of all repetitions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of at least one value; zeros of none.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            at(middle)
        } else {
            f64::midpoint(at(middle.saturating_sub(1)), at(middle))
        };
        Self { median, min: at(0), max: at(sorted.len().saturating_sub(1)) }
    }

    /// How far the values lie apart, in percent of the median.
    pub(crate) fn drift(&self) -> f64 {
        if self.median > 0.0 { 100.0 * (self.max - self.min) / self.median } else { 0.0 }
    }
}

/// What a machine can do at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ceiling {
    /// Bytes read from memory.
    Memory,
    /// Bytes read from the cache that cores share.
    L3,
    /// Bytes read from the second cache of each core.
    L2,
    /// Operations of float32, fused.
    F32,
    /// Operations of dot products of bfloat16.
    Bf16,
    /// Operations of dot products of bytes.
    Int8,
}

impl Ceiling {
    pub(crate) const ALL: [Self; 6] = [Self::Memory, Self::L3, Self::L2, Self::F32, Self::Bf16, Self::Int8];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::L3 => "l3",
            Self::L2 => "l2",
            Self::F32 => "f32 fma",
            Self::Bf16 => "bf16 dot",
            Self::Int8 => "int8 dot",
        }
    }

    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::Memory | Self::L3 | Self::L2 => "GB/s",
            Self::F32 | Self::Bf16 => "GFLOP/s",
            Self::Int8 => "GOP/s",
        }
    }
}

/// The least time that work of `operations` and `bytes` takes, and which of the two ceilings, each with its rate a
/// second, asks for it. `None` where the work has neither.
pub(crate) fn floor(
    (operations, arithmetic, per_second): (f64, Ceiling, f64),
    (bytes, level, bytes_per_second): (f64, Ceiling, f64),
) -> Option<(f64, Ceiling)> {
    let time = |work: f64, rate: f64| if rate > 0.0 { work / rate } else { 0.0 };
    let (computing, moving) = (time(operations, per_second), time(bytes, bytes_per_second));
    let longer = if computing > moving { (computing, arithmetic) } else { (moving, level) };
    (longer.0 > 0.0).then_some(longer)
}

/// A time as somebody reads it.
pub(crate) fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 999.5e-9 => (s * 1e9, "ns"),
        s if s < 999.5e-6 => (s * 1e6, "µs"),
        s if s < 999.5e-3 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    format!("{} {unit}", figure(value))
}

/// Three digits that say something, and no more than one behind the point.
pub(crate) fn figure(value: f64) -> String {
    if value < 99.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// A rate in 10⁹ a second; a dash where there is nothing to count.
pub(crate) fn rate(work: f64, seconds: f64) -> String {
    if work > 0.0 && seconds > 0.0 { figure(work / seconds / 1e9) } else { "–".to_owned() }
}

/// The least time as a share of the time taken, in percent.
pub(crate) fn percent(floor: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { 100.0 * floor / seconds } else { 0.0 }
}

/// Lines of cells under headings, as wide as they have to be; the first `left` columns begin at the left.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>], left: usize) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(headings.get(column).map(|heading| heading.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).enumerate().map(|(column, (cell, &width))| {
            if column < left { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut headings.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n") + "\n"
}
