// SPDX-License-Identifier: EUPL-1.2
//! Attention with the heads of two models.
//!
//! Letters for shapes: L queries, S keys. As with weights, each turn has another layer's keys and values.

use std::sync::OnceLock;

use half::{bf16, f16};
use mlx_cpu::attention::{Attention, Element, Mask, Operand, attend};
use mlx_cpu::{Isa, Result};

use crate::arena::{Arena, Plain};
use crate::bench::{Bench, Spec};
use crate::summary::Ceiling;

/// A model's name, query heads, key-value heads, and the size of a head.
type Heads = (&'static str, usize, usize, usize);

const QWEN: Heads = ("qwen3", 16, 8, 128);
const GEMMA: Heads = ("gemma3", 4, 1, 256);

/// `[L, S]` of one new token, and of a prompt.
const DECODE: [[usize; 2]; 4] = [[1, 64], [1, 512], [1, 2048], [1, 8192]];
const PREFILL: [[usize; 2]; 3] = [[128, 128], [512, 512], [512, 2560]];

/// All rows.
pub(crate) fn all(bench: &mut Bench) -> Result<()> {
    of::<bf16>(bench, &DECODE, "attend, decode")?;
    of::<bf16>(bench, &PREFILL, "attend, prefill")?;
    for shapes in [&DECODE[2..3], &PREFILL[1..2]] {
        let name = if shapes[0][0] == 1 { "attend, decode" } else { "attend, prefill" };
        of::<f16>(bench, shapes, name)?;
        of::<f32>(bench, shapes, name)?;
    }
    Ok(())
}

fn of<T: Element + Plain>(bench: &mut Bench, shapes: &[[usize; 2]], kernel: &'static str) -> Result<()> {
    let arena = OnceLock::new();
    let room = bench.machine().round() / size_of::<T>();
    for (model, heads, kv_heads, width) in [QWEN, GEMMA] {
        for &[queries, keys] in shapes {
            // A query sees what comes before it and itself.
            let pairs = queries * (keys - queries) + queries * (queries + 1) / 2;
            let cache = 2 * kv_heads * keys * width;
            let spec = Spec {
                kernel,
                shape: format!("{model}, L {queries}, S {keys}"),
                dtype: T::NAME.to_owned(),
                operations: 4.0 * (heads * width) as f64 * pairs as f64,
                arithmetic: bench.arithmetic(T::NAME),
                bytes: ((cache + 2 * queries * heads * width) * size_of::<T>()) as f64,
                level: Ceiling::Memory,
            };
            if bench.skips(&spec) {
                continue;
            }
            let arena = arena.get_or_init(|| Arena::<T>::new(room));
            let q = Arena::<T>::new(queries * heads * width);
            let mut out = q.all().to_vec();
            // In rows, as projections write and read them.
            let rows = [queries * heads * width, width, heads * width];
            let kv = [cache / 2, keys * width, width];
            bench.row(&spec, |turn| {
                let (k, v) = arena.turn(turn, cache).split_at(cache / 2);
                let attention = Attention {
                    batch: 1,
                    heads,
                    kv_heads,
                    queries,
                    keys,
                    width,
                    value_width: width,
                    q: Operand { data: q.all(), strides: rows },
                    k: Operand { data: k, strides: kv },
                    v: Operand { data: v, strides: kv },
                    scale: 1.0 / (width as f32).sqrt(),
                    mask: Mask::Causal,
                    sinks: None,
                };
                attend(Isa::current(), &attention, &mut out, rows)
            })?;
        }
    }
    Ok(())
}
