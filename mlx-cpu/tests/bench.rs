// SPDX-License-Identifier: EUPL-1.2
//! What the bench of the kernels makes of the times that it measures.

#[path = "../benches/kernels/summary.rs"]
mod summary;

use summary::{Ceiling, Spread, figure, floor, percent, rate, table, time};

#[test]
fn medians_take_the_middle_of_what_was_sorted() {
    assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
    assert_eq!(Spread::of(&[4.0, 1.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
    assert_eq!(Spread::of(&[]), Spread { median: 0.0, min: 0.0, max: 0.0 });
    assert_eq!(Spread::of(&[8.0, 10.0, 12.0]).drift(), 40.0);
    assert_eq!(Spread::of(&[]).drift(), 0.0);
}

#[test]
fn the_slower_ceiling_limits() {
    let dots = |operations| (operations, Ceiling::Bf16, 1e12);
    let memory = |bytes| (bytes, Ceiling::Memory, 1e11);
    assert_eq!(floor(dots(2e9), memory(1e9)), Some((0.01, Ceiling::Memory)));
    assert_eq!(floor(dots(2e12), memory(1e9)), Some((2.0, Ceiling::Bf16)));
    assert_eq!(floor(dots(0.0), memory(1e9)), Some((0.01, Ceiling::Memory)));
    assert_eq!(floor(dots(0.0), memory(0.0)), None);
    assert_eq!(floor((1e9, Ceiling::Int8, 0.0), memory(0.0)), None);
    assert_eq!(percent(0.5, 2.0), 25.0);
    assert_eq!(percent(0.5, 0.0), 0.0);
}

#[test]
fn figures_have_units_and_no_more_digits_than_they_are_worth() {
    assert_eq!(time(123.4e-9), "123 ns");
    assert_eq!(time(999.7e-9), "1.0 µs");
    assert_eq!(time(0.01234), "12.3 ms");
    assert_eq!(time(2.0), "2.0 s");
    assert_eq!([figure(99.94), figure(99.96)], ["99.9", "100"]);
    assert_eq!(rate(3e9, 2.0), "1.5");
    assert_eq!(rate(0.0, 2.0), "–");
}

#[test]
fn tables_are_as_wide_as_their_widest_cell() {
    let rows = [vec!["a".to_owned(), "12".to_owned()], vec!["µs µ".to_owned(), "1".to_owned()]];
    assert_eq!(table(&["k", "GB"], &rows, 1), "k     GB\na     12\nµs µ   1\n");
    let ceilings = Ceiling::ALL.map(|ceiling| (ceiling.name(), ceiling.unit()));
    assert!(ceilings.contains(&("memory", "GB/s")) && ceilings.contains(&("bf16 dot", "GFLOP/s")));
}
