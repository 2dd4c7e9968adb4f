// SPDX-License-Identifier: EUPL-1.2
//! A transformer block with random weights, dense and then in four bits: `cargo run -p mlx-nn --example block`.

use mlx_core::fast::Mask;
use mlx_core::random::{self, Key};
use mlx_core::{Array, Dtype, QuantMode, Quantization};
use mlx_nn::attention::{attend, merge_heads, split_heads};
use mlx_nn::{Activation, GatedMlp, Linear, Result, RmsNorm, Rope, RopeConfig, init, module, params};

const DIM: i32 = 128;
const HEADS: i32 = 4;
const KV_HEADS: i32 = 2;
const HEAD_DIM: i32 = 32;

/// Attention and a feed-forward layer, each behind a norm and beside the residual stream.
struct Block {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    norm: RmsNorm,
    mlp: GatedMlp,
    mlp_norm: RmsNorm,
    rope: Rope,
}
module!(Block { q_proj, k_proj, v_proj, o_proj, norm => "input_layernorm", mlp, mlp_norm => "post_attention_layernorm" });

impl Block {
    fn new() -> Result<Self> {
        Ok(Self {
            q_proj: Linear::new(DIM, HEADS * HEAD_DIM, false)?,
            k_proj: Linear::new(DIM, KV_HEADS * HEAD_DIM, false)?,
            v_proj: Linear::new(DIM, KV_HEADS * HEAD_DIM, false)?,
            o_proj: Linear::new(HEADS * HEAD_DIM, DIM, false)?,
            norm: RmsNorm::new(DIM, 1e-6)?,
            mlp: GatedMlp::new(DIM, 4 * DIM, Activation::Silu)?,
            mlp_norm: RmsNorm::new(DIM, 1e-6)?,
            rope: Rope::new(RopeConfig { head_dim: HEAD_DIM, ..RopeConfig::default() })?,
        })
    }

    /// `[B, L, D]` → the same.
    fn forward(&self, x: &Array) -> Result<Array> {
        let h = self.norm.forward(x)?;
        let q = self.rope.forward(&split_heads(&self.q_proj.forward(&h)?, HEADS)?, 0)?;
        let k = self.rope.forward(&split_heads(&self.k_proj.forward(&h)?, KV_HEADS)?, 0)?;
        let v = split_heads(&self.v_proj.forward(&h)?, KV_HEADS)?;
        let attended = attend(&q, &k, &v, (HEAD_DIM as f32).sqrt().recip(), Mask::Causal)?;
        let x = (x + &self.o_proj.forward(&merge_heads(&attended)?)?)?;
        Ok((&x + &self.mlp.forward(&self.mlp_norm.forward(&x)?)?)?)
    }
}

#[expect(clippy::print_stdout, reason = "an example shows its result")]
fn main() -> Result<()> {
    let (weights, input) = Key::new(0)?.split()?;
    let mut block = Block::new()?;
    init::initialise(&mut block, &weights, Dtype::Bfloat16)?;
    let x = random::normal(&[1, 8, DIM], Dtype::Bfloat16, 0.0, 1.0, &input)?;
    let dense = block.forward(&x)?;
    println!("{} parameters in {} bytes: {dense:?}", params::count(&block), params::nbytes(&block));

    let settings = Quantization { group_size: 64, bits: 4, mode: QuantMode::Affine };
    params::quantize(&mut block, |_| Some(settings))?;
    let packed = block.forward(&x)?;
    let difference = (&dense - &packed)?.abs()?.mean_all()?.astype(Dtype::Float32)?.item::<f32>()?;
    println!("in 4 bits {} bytes, mean difference {difference:.4}", params::nbytes(&block));
    Ok(())
}
