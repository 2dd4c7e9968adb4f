// SPDX-License-Identifier: EUPL-1.2
//! Batches: each example once an epoch, masks that fit, packing that keeps examples apart.

use std::collections::BTreeMap;

use mlx_train::data::{Batch, BatchOptions, Batches, Example};
use proptest::prelude::*;

/// Examples that can be told apart wherever they are: the tokens of example `n` are `1000 n + 1, 1000 n + 2, ..`.
fn examples(lengths: &[usize]) -> Vec<Example> {
    let example = |(index, &length): (usize, &usize)| {
        let ids: Vec<u32> = (1..=length).map(|k| u32::try_from(1000 * index + k).unwrap()).collect();
        // About a third are targets, the last token among them.
        let mask = (0..length).map(|k| k + 1 == length || (index + k) % 3 == 0).collect();
        Example::new(ids, mask).unwrap()
    };
    lengths.iter().enumerate().map(example).collect()
}

/// What a batch teaches: for each target that counts, what is before it in its example, and itself.
fn taught(batch: &Batch) -> Vec<(Vec<u32>, u32)> {
    let mut pairs = Vec::new();
    for row in 0..batch.rows {
        let at = |k: usize| row * batch.len + k;
        let segment = |k: usize| batch.segments.as_ref().map_or(1, |segments| segments[at(k)]);
        for k in (0..batch.len).filter(|&k| batch.mask[at(k)] != 0.0) {
            let seen = (0..=k).filter(|&j| segment(j) == segment(k)).map(|j| batch.ids[at(j)]).collect();
            pairs.push((seen, batch.targets[at(k)]));
        }
    }
    pairs
}

/// The same of the examples themselves.
fn to_teach(examples: &[Example]) -> Vec<(Vec<u32>, u32)> {
    let of = |example: &Example| {
        let ids = example.ids().to_vec();
        let targets = (1..ids.len()).filter(|&k| example.mask()[k]).collect::<Vec<_>>();
        targets.into_iter().map(move |k| (ids[..k].to_vec(), ids[k])).collect::<Vec<_>>()
    };
    examples.iter().flat_map(of).collect()
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list
}

fn options() -> impl Strategy<Value = BatchOptions> {
    (1usize..4, 1usize..4, 1usize..9, 1usize..5, proptest::option::of(60usize..90), any::<bool>()).prop_map(
        |(ranks, share, multiple, window, pack, shuffle)| BatchOptions {
            rows: ranks * share,
            multiple,
            window,
            pack,
            shuffle,
            rank: 0,
            ranks,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn an_epoch_over_all_ranks_teaches_each_target_once(
        lengths in proptest::collection::vec(2usize..60, 1..40),
        options in options(),
        seed in any::<u64>(),
        epoch in any::<u64>(),
    ) {
        let examples = examples(&lengths);
        let mut found = Vec::new();
        let mut shapes: Vec<Vec<usize>> = Vec::new();
        for rank in 0..options.ranks {
            let mine = BatchOptions { rank, ..options.clone() };
            let batches = Batches::new(examples.clone(), mine, seed).unwrap();
            prop_assert_eq!(batches.epoch(epoch).count(), batches.len());
            let mut rows = Vec::new();
            for batch in batches.epoch(epoch) {
                prop_assert_eq!(batch.ids.len(), batch.rows * batch.len);
                prop_assert_eq!(batch.targets.len(), batch.ids.len());
                prop_assert_eq!(batch.mask.len(), batch.ids.len());
                prop_assert_eq!(batch.segments.is_some(), options.pack.is_some());
                prop_assert_eq!(batch.len % options.multiple, 0);
                prop_assert!(batch.rows * options.ranks <= options.rows && batch.rows > 0);
                let pairs = taught(&batch);
                prop_assert_eq!(batch.tokens, pairs.len());
                prop_assert_eq!(batch.filled, batch.ids.iter().filter(|&&id| id != 0).count());
                rows.push(batch.rows);
                found.extend(pairs);
            }
            shapes.push(rows);
        }
        // Ranks step together.
        prop_assert!(shapes.windows(2).all(|pair| pair[0] == pair[1]));
        prop_assert_eq!(sorted(found), sorted(to_teach(&examples)));
    }

    #[test]
    fn a_batch_is_the_same_whenever_it_is_asked_for(
        lengths in proptest::collection::vec(2usize..60, 1..40),
        options in options(),
        seed in any::<u64>(),
    ) {
        let batches = Batches::new(examples(&lengths), options.clone(), seed).unwrap();
        let first: Vec<Batch> = batches.epoch(0).chain(batches.epoch(1)).collect();
        let again = Batches::new(examples(&lengths), options, seed).unwrap();
        for (index, expected) in first.iter().enumerate().rev() {
            let (epoch, index) = (index / again.len(), index % again.len());
            prop_assert_eq!(&again.batch(epoch as u64, index).unwrap(), expected);
        }
    }
}

/// Lengths with a long tail, as conversations have: most near 50, some over 1000.
fn long_tailed() -> Vec<usize> {
    let length = |k: u32| {
        // Log-normal by the sum of twelve uniform draws of a Weyl sequence.
        let uniform = |j: u32| f64::from((k * 12 + j).wrapping_mul(2_654_435_769) >> 8) / f64::from(1 << 24);
        let normal = (0..12).map(uniform).sum::<f64>() - 6.0;
        ((60.0 * (1.1 * normal).exp()) as usize).clamp(4, 2000)
    };
    (0..5000).map(length).collect()
}

fn padding(options: BatchOptions, lengths: &[usize]) -> f64 {
    let example = |&length: &usize| Example::new(vec![1; length], vec![true; length]).unwrap();
    let batches = Batches::new(lengths.iter().map(example).collect(), options, 1).unwrap();
    let (mut filled, mut all) = (0, 0);
    for batch in batches.epoch(0) {
        filled += batch.filled;
        all += batch.ids.len();
    }
    1.0 - filled as f64 / all as f64
}

#[test]
fn buckets_and_packing_leave_little_padding() {
    let lengths = long_tailed();
    let plain = padding(BatchOptions { window: 1, ..BatchOptions::default() }, &lengths);
    let buckets = padding(BatchOptions::default(), &lengths);
    let packed = padding(BatchOptions { pack: Some(2048), ..BatchOptions::default() }, &lengths);
    println!("padding: plain {plain:.3}, buckets {buckets:.3}, packed {packed:.4}");
    assert!(plain > 0.4, "{plain}");
    assert!(buckets < 0.1, "{buckets}");
    assert!(packed < 0.01, "{packed}");
}

#[test]
fn few_shapes_occur() {
    let lengths = long_tailed();
    let batches =
        Batches::new(examples_of(&lengths), BatchOptions { multiple: 64, ..BatchOptions::default() }, 1)
            .unwrap();
    let mut shapes = BTreeMap::new();
    batches.epoch(0).for_each(|batch| *shapes.entry((batch.rows, batch.len)).or_insert(0) += 1);
    assert!(shapes.len() <= 30, "{shapes:?}");
}

fn examples_of(lengths: &[usize]) -> Vec<Example> {
    lengths.iter().map(|&length| Example::new(vec![1; length], vec![true; length]).unwrap()).collect()
}

#[test]
fn epochs_and_seeds_differ_and_batches_mix() {
    let order = |seed, epoch, options: BatchOptions| -> Vec<Vec<u32>> {
        let batches = Batches::new(examples(&[9; 64]), options, seed).unwrap();
        batches
            .epoch(epoch)
            .map(|batch| batch.ids.iter().copied().filter(|id| id % 1000 == 1).collect())
            .collect()
    };
    let default = BatchOptions::default();
    assert_ne!(order(1, 0, default.clone()), order(1, 1, default.clone()));
    assert_ne!(order(1, 0, default.clone()), order(2, 0, default.clone()));
    // Not the same batches in another order: others.
    let content = |batches: Vec<Vec<u32>>| sorted(batches.into_iter().map(sorted).collect());
    assert_ne!(content(order(1, 0, default.clone())), content(order(1, 1, default.clone())));
    let packed = BatchOptions { pack: Some(30), ..default.clone() };
    assert_ne!(content(order(1, 0, packed.clone())), content(order(1, 1, packed)));

    let still = BatchOptions { shuffle: false, ..default };
    assert_eq!(order(1, 0, still.clone()).concat(), (0..64).map(|n| 1000 * n + 1).collect::<Vec<_>>());
    assert_eq!(order(1, 0, still.clone()), order(2, 3, still));
}

#[test]
fn the_order_of_an_epoch_is_the_same_everywhere() {
    let batches = Batches::new(
        examples(&[2, 3, 4, 5, 6, 7, 8]),
        BatchOptions { rows: 2, window: 2, ..Default::default() },
        42,
    )
    .unwrap();
    let order: Vec<Vec<u32>> = batches
        .epoch(3)
        .map(|batch| batch.ids.chunks(batch.len).map(|row| row[0] / 1000).collect())
        .collect();
    // Computed by an implementation in Python.
    assert_eq!(order, [vec![4, 6], vec![1, 3], vec![0, 2], vec![5]]);
}

#[test]
fn packed_rows_say_which_example_a_position_belongs_to() {
    let options = BatchOptions { pack: Some(6), multiple: 4, shuffle: false, ..BatchOptions::default() };
    let batch = Batches::new(examples(&[4, 3]), options, 0).unwrap().batch(0, 0).unwrap();
    assert_eq!((batch.rows, batch.len, batch.filled), (1, 8, 5));
    assert_eq!(batch.ids, [1, 2, 3, 1001, 1002, 0, 0, 0]);
    assert_eq!(batch.targets, [2, 3, 4, 1002, 1003, 0, 0, 0]);
    assert_eq!(batch.segments.unwrap(), [1, 1, 1, 2, 2, 0, 0, 0]);
}

#[test]
fn a_rank_without_examples_has_a_row_without_targets() {
    let options = |rank| BatchOptions { rows: 4, rank, ranks: 4, ..BatchOptions::default() };
    let batch = |rank| Batches::new(examples(&[5, 6]), options(rank), 0).unwrap().batch(0, 0).unwrap();
    let tokens: Vec<usize> = (0..4).map(|rank| batch(rank).tokens).collect();
    assert_eq!((tokens[2], tokens[3]), (0, 0));
    assert!(tokens[0] > 0 && tokens[1] > 0);
    assert_eq!((batch(3).rows, batch(3).len, batch(3).filled), (1, 8, 0));
}

#[test]
fn options_that_cannot_be_used_are_named() {
    let default = BatchOptions::default;
    for (options, expected) in [
        (BatchOptions { rows: 0, ..default() }, "rows: expected 1 or more, found 0"),
        (BatchOptions { multiple: 0, ..default() }, "multiple: expected 1 or more, found 0"),
        (BatchOptions { window: 0, ..default() }, "window: expected 1 or more, found 0"),
        (BatchOptions { pack: Some(0), ..default() }, "pack: expected 1 or more, found 0"),
        (BatchOptions { ranks: 0, ..default() }, "ranks: expected 1 or more, found 0"),
        (BatchOptions { rank: 2, ranks: 2, ..default() }, "rank: expected less than 2 ranks, found 2"),
        (BatchOptions { ranks: 3, ..default() }, "rows: expected a multiple of 3 ranks, found 8"),
        (
            BatchOptions { pack: Some(5), ..default() },
            "pack: expected rows of at least 6 positions for example 1, found 5",
        ),
    ] {
        assert_eq!(Batches::new(examples(&[6, 7]), options, 0).unwrap_err().to_string(), expected);
    }
    let error = Batches::new(Vec::new(), default(), 0).unwrap_err().to_string();
    assert_eq!(error, "examples: expected at least one");
    let error = Batches::new(examples(&[6]), default(), 0).unwrap().batch(0, 1).unwrap_err().to_string();
    assert_eq!(error, "index: expected less than 1 batches, found 1");
}

#[test]
fn an_example_has_a_target_behind_its_first_token() {
    for (ids, mask, expected) in [
        (vec![1, 2], vec![true], "mask: expected one for each of 2 tokens, found 1"),
        (vec![], vec![], "mask: expected a target behind the first token"),
        (vec![1, 2], vec![true, false], "mask: expected a target behind the first token"),
    ] {
        assert_eq!(Example::new(ids, mask).unwrap_err().to_string(), expected);
    }
    assert_eq!(Example::new(vec![1, 2], vec![true, true]).unwrap().mask(), [false, true]);
}
