// SPDX-License-Identifier: EUPL-1.2
//! Random draws, whose parameters are numbers or arrays.

use mlx_core::random::{self, IntParam, Key, Param};
use mlx_core::{Array, Result};

use super::{Bytes, MOST, one, pick};

pub(super) fn call(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let key = Key::new(u64::from(bytes.byte()))?;
    let shape = bytes.ints(3);
    let dtype = bytes.dtype();
    let a = pick(bytes, made);
    one(match bytes.below(14) {
        0 => random::uniform(param(bytes, made), param(bytes, made), &shape, dtype, &key),
        1 => random::normal(&shape, dtype, param(bytes, made), param(bytes, made), &key),
        2 => random::multivariate_normal(a, pick(bytes, made), &shape, &key),
        3 => random::truncated_normal(param(bytes, made), param(bytes, made), &shape, dtype, &key),
        4 => random::gumbel(&shape, dtype, &key),
        5 => random::laplace(&shape, dtype, bytes.float() as f32, bytes.float() as f32, &key),
        6 => random::bernoulli(param(bytes, made), &shape, &key),
        7 => random::randint(int_param(bytes, made), int_param(bytes, made), &shape, dtype, &key),
        8 => random::bits(&shape, bytes.int(), &key),
        9 => random::categorical(a, bytes.int(), &key),
        10 => {
            // Each draw looks at all classes.
            let samples = bytes.int();
            let drawn = random::categorical_n(a, bytes.int(), samples, &key)?;
            return Ok(if drawn.size().saturating_mul(a.size()) > MOST << 4 {
                Vec::new()
            } else {
                vec![drawn]
            });
        }
        11 => {
            let drawn = random::categorical_shape(a, bytes.int(), &shape, &key)?;
            return Ok(if drawn.size().saturating_mul(a.size()) > MOST << 4 {
                Vec::new()
            } else {
                vec![drawn]
            });
        }
        12 => random::permutation(a, bytes.int(), &key),
        _ => random::permutation_n(bytes.int(), &key),
    })
}

fn param<'a>(bytes: &mut Bytes<'_>, made: &'a [Array]) -> Param<'a> {
    if bytes.flag() { pick(bytes, made).into() } else { (bytes.float() as f32).into() }
}

fn int_param<'a>(bytes: &mut Bytes<'_>, made: &'a [Array]) -> IntParam<'a> {
    if bytes.flag() { pick(bytes, made).into() } else { bytes.int().into() }
}
