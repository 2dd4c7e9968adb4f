// SPDX-License-Identifier: EUPL-1.2
//! Attention against the plain formula in float64, and how fast it is.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use std::fmt::Debug;
use std::hint::black_box;
use std::time::Instant;

use half::{bf16, f16};
use mlx_cpu::attention::{Attention, Element, Floats, Mask, Operand, attend, reference};
use mlx_cpu::{Error, Isa, pool};

/// A type of operands: how it is made and read, and how far results may lie from the formula.
trait Kind: Element + Debug + PartialEq {
    const NAME: &'static str;
    const TOLERANCE: f64;
    fn of(x: f32) -> Self;
    fn get(self) -> f64;
    fn bits(self) -> u32;
}
impl Kind for f32 {
    const NAME: &'static str = "f32";
    const TOLERANCE: f64 = 2e-6;
    fn of(x: f32) -> Self {
        x
    }
    fn get(self) -> f64 {
        f64::from(self)
    }
    fn bits(self) -> u32 {
        self.to_bits()
    }
}
impl Kind for bf16 {
    const NAME: &'static str = "bf16";
    const TOLERANCE: f64 = 5e-3;
    fn of(x: f32) -> Self {
        Self::from_f32(x)
    }
    fn get(self) -> f64 {
        self.to_f64()
    }
    fn bits(self) -> u32 {
        u32::from(self.to_bits())
    }
}
impl Kind for f16 {
    const NAME: &'static str = "f16";
    const TOLERANCE: f64 = 6e-4;
    fn of(x: f32) -> Self {
        Self::from_f32(x)
    }
    fn get(self) -> f64 {
        self.to_f64()
    }
    fn bits(self) -> u32 {
        u32::from(self.to_bits())
    }
}

/// Numbers from −1 to 1 that are the same on every run.
struct Draw(u64);
impl Draw {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32) / (1u64 << 23) as f32 - 1.0
    }
    fn many<T: Kind>(&mut self, n: usize, size: f32) -> Vec<T> {
        (0..n).map(|_| T::of(self.next() * size)).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Masked {
    None,
    Causal,
    Window(usize),
    /// Additive, `[B, H, L, S]`.
    Full,
    /// Additive, `[L, S]`, with minus infinities.
    Shared,
    /// Bool, `[B, 1, L, S]`.
    Bool,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    batch: usize,
    heads: usize,
    kv_heads: usize,
    queries: usize,
    keys: usize,
    width: usize,
    value_width: usize,
    mask: Masked,
    sinks: bool,
    /// Of the queries: scores grow with it.
    size: f32,
}

const CASE: Case = Case {
    batch: 1,
    heads: 2,
    kv_heads: 1,
    queries: 1,
    keys: 100,
    width: 64,
    value_width: 64,
    mask: Masked::None,
    sinks: false,
    size: 4.0,
};

/// Operands of a case: `q` transposed as `[B, L, H, E]`, keys and values within a longer cache, off any alignment.
struct Data<T> {
    case: Case,
    q: Vec<T>,
    k: Vec<T>,
    v: Vec<T>,
    additive: Vec<f32>,
    half: Vec<bf16>,
    bool: Vec<u8>,
    sinks: Vec<f32>,
}

const ROOM: usize = 7;
const OFF: usize = 3;

impl<T: Kind> Data<T> {
    fn new(case: Case) -> Self {
        let mut draw = Draw(1 + case.keys as u64 * 31 + case.queries as u64);
        let Case { batch, heads, kv_heads, queries, keys, width, value_width, .. } = case;
        let room = keys + ROOM;
        let additive = (0..batch * heads * queries * keys).map(|_| 2.0 * draw.next()).collect();
        let half = (0..queries * keys)
            .map(|_| Some(draw.next()).filter(|x| *x > -0.5).map_or(bf16::NEG_INFINITY, bf16::from_f32))
            .collect();
        Self {
            case,
            q: draw.many(OFF + batch * queries * heads * width, case.size),
            k: draw.many(OFF + batch * kv_heads * room * width, 1.0),
            v: draw.many(OFF + batch * kv_heads * room * value_width, 1.0),
            additive,
            half,
            bool: (0..batch * queries * keys).map(|_| u8::from(draw.next() > 0.0)).collect(),
            sinks: (0..heads).map(|_| 3.0 * draw.next()).collect(),
        }
    }

    fn attention(&self) -> Attention<'_, T> {
        let Case { batch, heads, kv_heads, queries, keys, width, value_width, mask, sinks, .. } = self.case;
        let room = keys + ROOM;
        Attention {
            batch,
            heads,
            kv_heads,
            queries,
            keys,
            width,
            value_width,
            q: Operand { data: &self.q[OFF..], strides: [queries * heads * width, width, heads * width] },
            k: Operand { data: &self.k[OFF..], strides: [kv_heads * room * width, room * width, width] },
            v: Operand {
                data: &self.v[OFF..],
                strides: [kv_heads * room * value_width, room * value_width, value_width],
            },
            scale: 1.0 / (width as f32).sqrt(),
            mask: match mask {
                Masked::None => Mask::None,
                Masked::Causal => Mask::Causal,
                Masked::Window(width) => Mask::Window(width),
                Masked::Full => Mask::Additive {
                    data: Floats::F32(&self.additive),
                    strides: [heads * queries * keys, queries * keys, keys, 1],
                },
                Masked::Shared => Mask::Additive { data: Floats::Bf16(&self.half), strides: [0, 0, keys, 1] },
                Masked::Bool => Mask::Bool { data: &self.bool, strides: [queries * keys, 0, keys, 1] },
            },
            sinks: sinks.then_some(&self.sinks),
        }
    }
}

/// Runs a case as `[B, L, H, D]`, and gives `[B, H, L, D]`.
fn run<T: Kind>(isa: Isa, a: &Attention<'_, T>) -> Vec<T> {
    let &Attention { batch, heads, queries, value_width: d, .. } = a;
    let mut out = vec![T::of(7.0); batch * heads * queries * d];
    attend(isa, a, &mut out, [queries * heads * d, d, heads * d]).unwrap();
    let mut result = Vec::new();
    for b in 0..batch {
        for h in 0..heads {
            for l in 0..queries {
                result.extend_from_slice(&out[((b * queries + l) * heads + h) * d..][..d]);
            }
        }
    }
    result
}

fn compare<T: Kind>(isa: Isa, a: &Attention<'_, T>, what: &dyn Debug) {
    let expected = reference::attend(a, T::get);
    let found = run(isa, a);
    let again = run(isa, a);
    assert!(found.iter().zip(&again).all(|(x, y)| x.bits() == y.bits()), "{isa} {} {what:?}: bits", T::NAME);
    for (i, (x, &y)) in found.iter().map(|x| x.get()).zip(&expected).enumerate() {
        let fits = (x.is_nan() && y.is_nan()) || (x - y).abs() <= T::TOLERANCE * (1.0f64).max(y.abs());
        assert!(fits, "{isa} {} {what:?}: element {i}: expected {y}, found {x}", T::NAME);
    }
}

fn check(case: Case) {
    fn of<T: Kind>(case: Case) {
        let data = Data::<T>::new(case);
        for isa in Isa::available() {
            compare(isa, &data.attention(), &case);
        }
    }
    of::<f32>(case);
    of::<bf16>(case);
    of::<f16>(case);
}

#[test]
fn attention_fits_the_formula_for_every_mask() {
    let masks = [
        Masked::None,
        Masked::Causal,
        Masked::Window(1),
        Masked::Window(40),
        Masked::Window(1000),
        Masked::Full,
        Masked::Shared,
        Masked::Bool,
    ];
    for mask in masks {
        for (queries, keys) in
            [(1, 1), (1, 300), (2, 70), (5, 129), (16, 16), (33, 161), (100, 300), (70, 70)]
        {
            for (width, value_width, sinks) in [(64, 64, false), (20, 8, true)] {
                check(Case { queries, keys, width, value_width, mask, sinks, ..CASE });
            }
        }
    }
}

#[test]
fn attention_fits_the_formula_for_every_size() {
    for (heads, kv_heads) in [(1, 1), (2, 1), (4, 1), (8, 1), (4, 2)] {
        for queries in [1, 2, 3, 8, 33] {
            for (width, value_width) in
                [(8, 20), (20, 64), (80, 80), (128, 128), (256, 256), (7, 5), (33, 97)]
            {
                let case = Case { batch: 2, heads, kv_heads, queries, keys: 67, width, value_width, ..CASE };
                check(Case { mask: Masked::Causal, ..case });
            }
        }
    }
}

#[test]
fn attention_over_many_keys_is_put_together() {
    for (queries, keys) in [(1, 700), (3, 700), (16, 700), (100, 700), (1, 2049)] {
        for mask in [Masked::None, Masked::Causal, Masked::Window(400), Masked::Bool] {
            let case = Case { heads: 4, kv_heads: 2, queries, keys, mask, ..CASE };
            check(case);
            check(Case { sinks: true, batch: 2, width: 8, value_width: 8, ..case });
        }
    }
}

#[test]
fn attention_has_the_same_bits_on_one_thread_and_on_all() {
    for (queries, keys) in [(1, 3000), (4, 1000), (200, 700)] {
        let case = Case { heads: 8, kv_heads: 4, queries, keys, width: 128, mask: Masked::Causal, ..CASE };
        let data = Data::<bf16>::new(case);
        for isa in Isa::available() {
            let shared = run(isa, &data.attention());
            // A task has its thread alone.
            pool::run(2, &|_| assert!(shared == run(isa, &data.attention()), "{isa} {case:?}"));
        }
    }
}

#[test]
fn attention_with_large_scores_picks_the_largest() {
    for queries in [1, 40] {
        let case = Case { queries, size: 3e4, mask: Masked::Causal, ..CASE };
        let data = Data::<bf16>::new(case);
        for isa in Isa::available() {
            compare(isa, &data.attention(), &case);
        }
        // In float32, scores of this size are themselves no better than a thousandth.
        let found = run(Isa::current(), &Data::<f32>::new(case).attention());
        assert!(found.iter().all(|x| x.abs() <= 1.0));
    }
}

#[test]
fn rows_without_keys_are_nan_and_a_sink_makes_them_zero() {
    for isa in Isa::available() {
        for (queries, keys) in [(3, 1), (40, 10)] {
            let case = Case { queries, keys, mask: Masked::Causal, ..CASE };
            let data = Data::<f32>::new(case);
            let found = run(isa, &data.attention());
            let (blind, d) = (queries - keys, case.value_width);
            assert!(found[..blind * d].iter().all(|x| x.is_nan()));
            assert!(found[blind * d..queries * d].iter().all(|x| x.is_finite()));
            let found = run(isa, &Attention { sinks: Some(&data.sinks), ..data.attention() });
            assert!(found[..blind * d].iter().all(|&x| x == 0.0));
            let none = run(isa, &Attention { mask: Mask::Window(0), ..data.attention() });
            assert!(none.iter().all(|x| x.is_nan()));
        }
        let data = Data::<bf16>::new(CASE);
        let none = run(isa, &Attention { keys: 0, ..data.attention() });
        assert!(none.iter().all(|x| x.get().is_nan()));
    }
}

#[test]
fn infinities_and_nan_spread_as_in_the_formula() {
    fn of<T: Kind>() {
        for queries in [1, 3, 40] {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let case = Case { queries, keys: 300, ..CASE };
                for isa in Isa::available() {
                    let mut data = Data::<T>::new(case);
                    // A value spreads over its column alone.
                    data.v[OFF + 5 * 64 + 9] = T::of(bad);
                    let found = run(isa, &data.attention());
                    for (i, x) in found.iter().enumerate() {
                        let (x, hit) = (x.get(), i % 64 == 9);
                        assert!(
                            hit != x.is_finite() && (!hit || x.is_nan() == bad.is_nan()),
                            "{isa} {} {i} {x}",
                            T::NAME
                        );
                    }
                    // A query spreads over its row alone.
                    let mut data = Data::<T>::new(case);
                    data.q[OFF + 64] = T::of(bad);
                    let found = run(isa, &data.attention());
                    for (i, x) in found.iter().enumerate() {
                        assert_eq!(x.get().is_nan(), i / 64 == queries, "{isa} {} {bad} {i}", T::NAME);
                    }
                    // A key's NaN spreads everywhere.
                    let mut data = Data::<T>::new(case);
                    data.k[OFF + 64 * 299] = T::of(f32::NAN);
                    assert!(run(isa, &data.attention()).iter().all(|x| x.get().is_nan()));
                }
            }
        }
    }
    of::<f32>();
    of::<bf16>();
    of::<f16>();
}

#[test]
fn subnormal_numbers_give_small_results() {
    for isa in Isa::available() {
        for queries in [1, 40] {
            let mut data = Data::<bf16>::new(Case { queries, ..CASE });
            data.k.iter_mut().for_each(|x| *x = bf16::from_bits(1));
            data.v.iter_mut().for_each(|x| *x = bf16::from_bits(0x8001));
            assert!(run(isa, &data.attention()).iter().all(|x| x.get().abs() < 1e-38));
        }
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let data = Data::<f32>::new(Case { heads: 4, kv_heads: 2, queries: 2, ..CASE });
    let good = data.attention();
    let mut out = vec![0.0; 4 * 2 * 64];
    let strides = [512, 128, 64];
    attend(Isa::Portable, &good, &mut out, strides).unwrap();
    let mask = Mask::Bool { data: &data.bool, strides: [0, 0, 1000, 1] };
    for bad in [
        Attention { kv_heads: 3, ..good },
        Attention { kv_heads: 0, ..good },
        Attention { keys: 200, ..good },
        Attention { sinks: Some(&data.sinks[1..]), ..good },
        Attention { q: Operand { strides: [0, usize::MAX, 1], ..good.q }, ..good },
        Attention { mask, ..good },
    ] {
        let error = attend(Isa::Portable, &bad, &mut out, strides).unwrap_err();
        assert!(matches!(error, Error::Operand { .. }), "{error}");
    }
    for bad in [[512, 128, 63], [512, 0, 64], [512, 127, 64], [512, 129, 64]] {
        assert!(attend(Isa::Portable, &good, &mut out, bad).is_err());
    }
    let empty = Attention { batch: 0, ..good };
    attend(Isa::Portable, &empty, &mut out[..0], strides).unwrap();
}

/// Best and median of the times of some calls, in microseconds.
fn time(mut call: impl FnMut(usize)) -> (f64, f64) {
    let mut times = Vec::new();
    let started = Instant::now();
    while times.len() < 5 || (started.elapsed().as_secs_f64() < 0.3 && times.len() < 3000) {
        let start = Instant::now();
        call(times.len());
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    (times[0], times[times.len() / 2])
}

fn bench<T: Kind>(isa: Isa, name: &str, case: Case, layers: usize) {
    let data: Vec<Data<T>> = (0..layers).map(|_| Data::new(Case { size: 1.0, ..case })).collect();
    let Case { batch, heads, kv_heads, queries, keys, width, value_width, mask, .. } = case;
    let mut out = vec![T::of(0.0); batch * heads * queries * value_width];
    let strides = [queries * heads * value_width, value_width, heads * value_width];
    let (best, median) = time(|i| {
        attend(isa, &data[i % layers].attention(), black_box(&mut out), strides).unwrap();
    });
    let seen: usize = (0..queries)
        .map(|l| {
            let end = keys + l + 1 - queries;
            match mask {
                Masked::Causal => end,
                Masked::Window(width) => end.min(width),
                _ => keys,
            }
        })
        .sum();
    let bytes = batch * kv_heads * keys * (width + value_width) * size_of::<T>();
    let flops = 2 * batch * heads * seen * (width + value_width);
    println!(
        "{name:<26} {:<4} {isa:<10} {} threads: {best:9.1} µs best {median:9.1} median {:7.1} GB/s {:7.1} GFLOP/s",
        T::NAME,
        pool::threads(),
        bytes as f64 / median / 1e3,
        flops as f64 / median / 1e3,
    );
}

const QWEN: Case =
    Case { heads: 16, kv_heads: 8, width: 128, value_width: 128, mask: Masked::Causal, ..CASE };
const GEMMA: Case = Case { heads: 4, kv_heads: 1, width: 256, value_width: 256, ..QWEN };

/// With `MLX_CPU_THREADS` for the number of threads, and `MLX_CPU_ISA` for the instructions.
#[test]
#[ignore = "measures"]
fn bench_attention_decode() {
    let isa = Isa::current();
    for (name, case, layers) in [("qwen", QWEN, 28), ("gemma", GEMMA, 26)] {
        for keys in [64, 512, 2048] {
            bench::<bf16>(isa, &format!("{name} {keys}, cached"), Case { keys, ..case }, 1);
            bench::<bf16>(isa, &format!("{name} {keys}"), Case { keys, ..case }, layers);
        }
    }
    bench::<bf16>(isa, "qwen 32768", Case { keys: 32768, ..QWEN }, 2);
    bench::<bf16>(isa, "gemma 32768", Case { keys: 32768, ..GEMMA }, 4);
    for queries in [4, 5, 6, 8] {
        bench::<bf16>(
            isa,
            &format!("qwen 512, {queries} queries, cached"),
            Case { keys: 512, queries, ..QWEN },
            1,
        );
        bench::<bf16>(
            isa,
            &format!("qwen 2048, {queries} queries"),
            Case { keys: 2048, queries, ..QWEN },
            28,
        );
    }
    bench::<f32>(isa, "qwen 2048", Case { keys: 2048, ..QWEN }, 14);
    bench::<f16>(isa, "qwen 2048", Case { keys: 2048, ..QWEN }, 28);
}

/// As above.
#[test]
#[ignore = "measures"]
fn bench_attention_prefill() {
    let isa = Isa::current();
    for (queries, keys) in [(16, 16), (64, 64), (512, 512), (512, 2560), (2048, 2048)] {
        bench::<bf16>(isa, &format!("qwen {queries}, {keys}"), Case { queries, keys, ..QWEN }, 1);
    }
    bench::<bf16>(isa, "gemma 512, 512", Case { queries: 512, keys: 512, ..GEMMA }, 1);
    let mask = Masked::Window(512);
    bench::<bf16>(isa, "gemma 2048, 2048, window", Case { queries: 2048, keys: 2048, mask, ..GEMMA }, 1);
    let qwen = Case { queries: 512, keys: 512, ..QWEN };
    bench::<bf16>(isa, "qwen 512, 512, additive", Case { mask: Masked::Shared, ..qwen }, 1);
    bench::<bf16>(isa, "qwen 512, 512, bool", Case { mask: Masked::Bool, ..qwen }, 1);
    bench::<bf16>(isa, "qwen 512, 512, no mask", Case { mask: Masked::None, ..qwen }, 1);
    bench::<bf16>(isa, "E 64 512, 512", Case { width: 64, value_width: 64, ..qwen }, 1);
    bench::<bf16>(isa, "E 80 512, 512", Case { width: 80, value_width: 80, ..qwen }, 1);
    bench::<bf16>(isa, "E 96 512, 512", Case { width: 96, value_width: 96, ..qwen }, 1);
    bench::<f32>(isa, "qwen 512, 512", qwen, 1);
    bench::<f16>(isa, "qwen 512, 512", qwen, 1);
}
