// SPDX-License-Identifier: EUPL-1.2
//! Fused kernels of language models.

use mlx_core::fast::{self, Mask, Norm, RopeOptions};
use mlx_core::{Array, Result};

use super::{Bytes, one, perhaps, pick, two};

pub(super) fn call(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let (a, b) = (pick(bytes, made), pick(bytes, made));
    match bytes.below(9) {
        0 => one(fast::rms_norm(a, perhaps(bytes, made), bytes.float() as f32)),
        1 => one(fast::layer_norm(a, perhaps(bytes, made), perhaps(bytes, made), bytes.float() as f32)),
        2 => {
            let norm =
                Norm { weight: pick(bytes, made), shift: bytes.float() as f32, eps: bytes.float() as f32 };
            match bytes.below(3) {
                0 => one(fast::norm(a, &norm)),
                1 => two(fast::add_norm(a, b, &norm)),
                _ => one(fast::norm_add(a, b, &norm)),
            }
        }
        3 => one(fast::cross_entropy(a, b)),
        4 | 5 => {
            let freqs = perhaps(bytes, made).cloned();
            let options = RopeOptions {
                dims: bytes.int(),
                traditional: bytes.flag(),
                base: freqs.is_none().then(|| bytes.float() as f32),
                scale: bytes.float() as f32,
                freqs,
            };
            one(if bytes.flag() { fast::rope(a, &options, bytes.int()) } else { fast::rope(a, &options, b) })
        }
        _ => {
            let v = pick(bytes, made);
            let mask = match bytes.below(5) {
                0 => Mask::None,
                1 => Mask::Causal,
                2 => Mask::Window(bytes.int()),
                3 => Mask::Additive(pick(bytes, made)),
                _ => Mask::Bool(pick(bytes, made)),
            };
            one(fast::scaled_dot_product_attention(a, b, v, bytes.float() as f32, mask, perhaps(bytes, made)))
        }
    }
}
