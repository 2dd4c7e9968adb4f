// SPDX-License-Identifier: EUPL-1.2
//! Reductions, places of extremes, softmax, traces, scans, differences.

use mlx_core::{Array, Result, Scan};

use super::Params;

/// The form of a reduction that the parameters name: along one axis, along several, of everything.
macro_rules! reduce {
    ($x:expr, $p:expr, $one:ident $several:ident $all:ident ($($more:expr),*)) => {
        if $p.has("axis") {
            $x.$one($p.int("axis"), $p.flag("keepdims") $(, $more)*)
        } else if $p.has("axes") {
            $x.$several(&$p.ints("axes"), $p.flag("keepdims") $(, $more)*)
        } else {
            $x.$all($($more),*)
        }
    };
}

macro_rules! scan {
    ($x:expr, $p:expr, $one:ident $all:ident) => {{
        let scan = Scan { reverse: $p.flag("reverse"), inclusive: $p.flag("inclusive") };
        if $p.has("axis") { $x.$one($p.int("axis"), scan) } else { $x.$all(scan) }
    }};
}

pub(super) fn run(op: &str, x: &[Array], p: &Params) -> Result<Vec<Array>> {
    let x = &x[0];
    let ddof = || if p.has("ddof") { p.int("ddof") } else { 0 };
    let result = match op {
        "sum" => reduce!(x, p, sum sum_axes sum_all ()),
        "prod" => reduce!(x, p, prod prod_axes prod_all ()),
        "mean" => reduce!(x, p, mean mean_axes mean_all ()),
        "max" => reduce!(x, p, max max_axes max_all ()),
        "min" => reduce!(x, p, min min_axes min_all ()),
        "all" => reduce!(x, p, all all_axes all_all ()),
        "any" => reduce!(x, p, any any_axes any_all ()),
        "logsumexp" => reduce!(x, p, logsumexp logsumexp_axes logsumexp_all ()),
        "median" => reduce!(x, p, median median_axes median_all ()),
        "count_nonzero" => reduce!(x, p, count_nonzero count_nonzero_axes count_nonzero_all ()),
        "var" => reduce!(x, p, var var_axes var_all (ddof())),
        "std" => reduce!(x, p, std std_axes std_all (ddof())),
        "argmax" if p.has("axis") => x.argmax(p.int("axis"), p.flag("keepdims")),
        "argmax" => x.argmax_all(),
        "argmin" if p.has("axis") => x.argmin(p.int("axis"), p.flag("keepdims")),
        "argmin" => x.argmin_all(),
        "softmax" if p.has("axis") => x.softmax(p.int("axis")),
        "softmax" if p.has("axes") => x.softmax_axes(&p.ints("axes")),
        "softmax" => x.softmax_all(),
        "trace" if p.has("offset") => {
            x.trace_axes(p.int("offset"), p.int("axis1"), p.int("axis2"), p.dtype("dtype"))
        }
        "trace" => x.trace(),
        "cumsum" => scan!(x, p, cumsum cumsum_all),
        "cumprod" => scan!(x, p, cumprod cumprod_all),
        "cummax" => scan!(x, p, cummax cummax_all),
        "cummin" => scan!(x, p, cummin cummin_all),
        "logcumsumexp" => scan!(x, p, logcumsumexp logcumsumexp_all),
        "diff" => x.diff(p.int("n"), p.int("axis")),
        other => panic!("no op {other}"),
    };
    Ok(vec![result?])
}
