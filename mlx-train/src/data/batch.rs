// SPDX-License-Identifier: EUPL-1.2
//! Examples → batches, the same for the same seed wherever they are made.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::data::encode::Example;
use crate::data::pack::first_fit_decreasing;
use crate::data::shuffle::SplitMix64;
use crate::error::{Error, Result};

/// How examples are put into batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchOptions {
    /// Rows in a batch, those of all ranks together. Default: 8.
    pub rows: usize,
    /// Rows are padded to a multiple of this, so that few shapes occur. Default: 8.
    pub multiple: usize,
    /// How many batches' worth of examples, drawn at random, are sorted by length before they are put into batches. More
    /// pad less; fewer mix better; 1 does not sort. Default: 64.
    pub window: usize,
    /// Packs several examples into rows of this many positions, instead of sorting. Default: none.
    pub pack: Option<usize>,
    /// Whether each epoch has an order of its own. Default: true.
    pub shuffle: bool,
    /// Which part of each batch is wanted, where several processes share the work: below `ranks`. Default: 0.
    pub rank: usize,
    /// How many processes share the work; they divide `rows`. Default: 1.
    pub ranks: usize,
}

impl Default for BatchOptions {
    fn default() -> BatchOptions {
        BatchOptions { rows: 8, multiple: 8, window: 64, pack: None, shuffle: true, rank: 0, ranks: 1 }
    }
}

/// Rows of tokens with what is to follow each of them. All lists but [`tokens`](Batch::tokens) are `[rows, len]`, one row
/// behind the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// What the model is given; 0 where a row is filled up.
    pub ids: Vec<u32>,
    /// What is to follow each of `ids`, in the same example; 0 where nothing does.
    pub targets: Vec<u32>,
    /// 1 where the target counts, else 0.
    pub mask: Vec<f32>,
    /// Where rows hold several examples: which one a position belongs to, from 1 in each row, and 0 where the row is
    /// filled up. A position may attend to those before it with the same number; rotary embeddings see differences of
    /// positions alone, so these may go on through the row.
    pub segments: Option<Vec<i32>>,
    /// How many rows. The last batch of an epoch may have fewer than the others.
    pub rows: usize,
    /// How many positions a row has.
    pub len: usize,
    /// How many targets count.
    pub tokens: usize,
    /// How many positions hold a token; the others fill rows up.
    pub filled: usize,
}

/// Examples in batches: any batch of any epoch, so that a run can go on where it was interrupted.
///
/// An epoch has each example exactly once. Its order follows from the seed and the epoch's number alone, neither from
/// the platform nor from versions of other crates: SplitMix64 seeded with both, and the shuffle of Fisher and Yates.
pub struct Batches {
    examples: Vec<Example>,
    options: BatchOptions,
    seed: u64,
    len: usize,
    /// The plan that was asked for last.
    plan: Mutex<Option<(u64, Arc<Plan>)>>,
}

/// The batches of one epoch: rows, each a list of examples.
type Plan = Vec<Vec<Vec<usize>>>;

impl fmt::Debug for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches")
            .field("examples", &self.examples.len())
            .field("options", &self.options)
            .field("seed", &self.seed)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl Batches {
    /// Takes over the examples.
    ///
    /// # Errors
    /// [`Error::Argument`] when there are no examples, when an option is 0 that must not be, when `ranks` does not divide
    /// `rows` or `rank` is not below it, and when an example is longer than a packed row.
    ///
    /// # Examples
    /// ```
    /// use mlx_train::data::{BatchOptions, Batches, Example};
    ///
    /// # fn main() -> mlx_train::Result<()> {
    /// let example = Example::new(vec![5, 6, 7], vec![false, false, true])?;
    /// let batches = Batches::new(vec![example], BatchOptions { multiple: 4, ..Default::default() }, 0)?;
    /// let batch = batches.batch(0, 0)?;
    /// assert_eq!(batch.ids, [5, 6, 0, 0]);
    /// assert_eq!(batch.targets, [6, 7, 0, 0]);
    /// assert_eq!(batch.mask, [0.0, 1.0, 0.0, 0.0]);
    /// # Ok(()) }
    /// ```
    pub fn new(examples: Vec<Example>, options: BatchOptions, seed: u64) -> Result<Batches> {
        let positive = [
            ("rows", options.rows),
            ("multiple", options.multiple),
            ("window", options.window),
            ("pack", options.pack.unwrap_or(1)),
            ("ranks", options.ranks),
        ];
        if let Some((argument, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(Error::argument(argument, "expected 1 or more, found 0"));
        }
        if options.rank >= options.ranks {
            let message = format!("expected less than {} ranks, found {}", options.ranks, options.rank);
            return Err(Error::argument("rank", message));
        }
        if !options.rows.is_multiple_of(options.ranks) {
            let message = format!("expected a multiple of {} ranks, found {}", options.ranks, options.rows);
            return Err(Error::argument("rows", message));
        }
        if examples.is_empty() {
            return Err(Error::argument("examples", "expected at least one"));
        }
        if let Some(pack) = options.pack
            && let Some((index, example)) = examples.iter().enumerate().find(|(_, e)| positions(e) > pack)
        {
            let message = format!(
                "expected rows of at least {} positions for example {index}, found {pack}",
                positions(example)
            );
            return Err(Error::argument("pack", message));
        }
        let mut batches = Batches { examples, options, seed, len: 0, plan: Mutex::new(None) };
        batches.len = batches.plan(0).len();
        Ok(batches)
    }

    /// How many batches an epoch has; the same for each epoch and rank.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none, which [`new`](Batches::new) refuses.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The examples, in the order in which they were given.
    #[must_use]
    pub fn examples(&self) -> &[Example] {
        &self.examples
    }

    /// One batch, or this rank's part of it. A rank that gets fewer rows than another has rows without targets in their
    /// place, so that all ranks have equally many batches and rows.
    ///
    /// # Errors
    /// [`Error::Argument`] when `index` is not below [`len`](Batches::len).
    pub fn batch(&self, epoch: u64, index: usize) -> Result<Batch> {
        let plan = self.plan(epoch);
        let Some(rows) = plan.get(index) else {
            return Err(Error::argument(
                "index",
                format!("expected less than {} batches, found {index}", self.len),
            ));
        };
        let BatchOptions { rank, ranks, .. } = self.options;
        let mut mine: Vec<&[usize]> = rows.iter().skip(rank).step_by(ranks).map(Vec::as_slice).collect();
        mine.resize(rows.len().div_ceil(ranks), &[]);
        Ok(self.fill(&mine))
    }

    /// The batches of an epoch, in order.
    pub fn epoch(&self, epoch: u64) -> impl Iterator<Item = Batch> + '_ {
        (0..self.len).map_while(move |index| self.batch(epoch, index).ok())
    }

    fn plan(&self, epoch: u64) -> Arc<Plan> {
        let mut kept = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((of, plan)) if *of == epoch => Arc::clone(plan),
            _ => {
                let plan = Arc::new(self.make_plan(epoch));
                *kept = Some((epoch, Arc::clone(&plan)));
                plan
            }
        }
    }

    fn make_plan(&self, epoch: u64) -> Plan {
        let BatchOptions { rows, window, pack, shuffle, .. } = self.options;
        let mut random = SplitMix64::for_epoch(self.seed, epoch);
        let mut order: Vec<usize> = (0..self.examples.len()).collect();
        if shuffle {
            random.shuffle(&mut order);
        }
        let mut packed = match pack {
            Some(capacity) => {
                let lengths: Vec<usize> = self.examples.iter().map(positions).collect();
                first_fit_decreasing(&lengths, &order, capacity)
            }
            None => {
                for window in order.chunks_mut(rows.saturating_mul(window)) {
                    if window.len() > rows {
                        window.sort_by_key(|&index| self.examples.get(index).map_or(0, positions));
                    }
                }
                order.into_iter().map(|index| vec![index]).collect()
            }
        };
        // Packed rows are about equally full, so that any of them may share a batch.
        if pack.is_some() && shuffle {
            random.shuffle(&mut packed);
        }
        let mut batches: Plan = packed.chunks(rows).map(<[_]>::to_vec).collect();
        if shuffle {
            random.shuffle(&mut batches);
        }
        batches
    }

    fn fill(&self, rows: &[&[usize]]) -> Batch {
        let of = |row: &[usize]| row.iter().filter_map(|&index| self.examples.get(index)).collect::<Vec<_>>();
        let rows: Vec<Vec<&Example>> = rows.iter().map(|row| of(row)).collect();
        let used = |row: &Vec<&Example>| row.iter().map(|example| positions(example)).sum::<usize>();
        let longest = rows.iter().map(used).max().unwrap_or(0).max(1);
        let len = longest.next_multiple_of(self.options.multiple);

        let size = rows.len() * len;
        let mut batch = Batch {
            ids: vec![0; size],
            targets: vec![0; size],
            mask: vec![0.0; size],
            segments: self.options.pack.map(|_| vec![0; size]),
            rows: rows.len(),
            len,
            tokens: 0,
            filled: 0,
        };
        for (row, examples) in rows.iter().enumerate() {
            let mut start = row * len;
            for (segment, example) in (1..).zip(examples) {
                let end = start + positions(example);
                batch.put(start..end, segment, example);
                start = end;
            }
        }
        batch
    }
}

impl Batch {
    /// Writes an example to a range that is as long as it has positions.
    fn put(&mut self, range: Range<usize>, segment: i32, example: &Example) {
        let (ids, mask) = (example.ids(), example.mask());
        let given = self.ids.get_mut(range.clone()).into_iter().flatten();
        given.zip(ids).for_each(|(slot, &id)| *slot = id);
        let targets = self.targets.get_mut(range.clone()).into_iter().flatten();
        targets.zip(ids.iter().skip(1)).for_each(|(slot, &id)| *slot = id);
        let counts = self.mask.get_mut(range.clone()).into_iter().flatten();
        counts.zip(mask.iter().skip(1)).for_each(|(slot, &target)| *slot = if target { 1.0 } else { 0.0 });
        let segments = self.segments.as_mut().and_then(|segments| segments.get_mut(range));
        segments.into_iter().flatten().for_each(|slot| *slot = segment);
        self.tokens += example.targets();
        self.filled += positions(example);
    }
}

/// How many positions of a row an example takes: its last token is only a target.
fn positions(example: &Example) -> usize {
    example.ids().len().saturating_sub(1)
}
