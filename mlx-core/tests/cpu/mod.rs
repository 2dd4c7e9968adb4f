// SPDX-License-Identifier: EUPL-1.2
//! Ops that go to kernels of our own on a processor, against MLX's ops in float64, which never do.
//!
//! Operands are rounded to the dtype first, so that what differs is the computation alone.

mod attention;
mod elementwise;
mod norms;
mod products;
mod transforms;

use mlx_core::fast::{
    self, Activation, KvBuffer, Mask, Norm, Operand, Projection, RopeOptions, Weight, add_norm, chain, gated,
    layer_norm, norm, norm_add, project, rms_norm, rope, rope_heads, scaled_dot_product_attention,
};
use mlx_core::random::{Key, normal};
use mlx_core::{Array, Dtype, QuantMode, Quantization, Quantized, Result, dequantize, transform};

/// With how far a result may be off, as a part of the largest.
const DTYPES: [(Dtype, f64); 3] = [(Dtype::Float32, 2e-5), (Dtype::Bfloat16, 2e-2), (Dtype::Float16, 3e-3)];

/// How an operand lies in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lies {
    Packed,
    /// With its axes the other way round.
    Transposed,
    /// Within something larger.
    Sliced,
    /// Every second element of the last axis of something larger.
    Stepped,
}

const EVERY: [Lies; 4] = [Lies::Packed, Lies::Transposed, Lies::Sliced, Lies::Stepped];

/// The same values, in other places.
fn lay(x: &Array, lies: Lies) -> Array {
    let (ndim, shape) = (x.ndim(), x.shape());
    let laid = match lies {
        Lies::Packed => x.contiguous().unwrap(),
        Lies::Transposed => x.transpose().unwrap().contiguous().unwrap(),
        Lies::Sliced => x.pad(&vec![(1, 2); ndim], 7.0).unwrap(),
        Lies::Stepped => {
            let wide = x.expand_dims(-1).unwrap();
            let mut doubled = shape.to_vec();
            *doubled.last_mut().unwrap() *= 2;
            mlx_core::concatenate(&[&wide, &(&wide * 2.0f32).unwrap()], -1)
                .unwrap()
                .reshape(&doubled)
                .unwrap()
        }
    };
    laid.eval().unwrap();
    let start = vec![0; ndim];
    let y = match lies {
        Lies::Packed => laid,
        Lies::Transposed => laid.transpose().unwrap(),
        Lies::Sliced => {
            let stop: Vec<i32> = shape.iter().map(|n| n + 1).collect();
            laid.slice(&vec![1; ndim], &stop).unwrap()
        }
        Lies::Stepped => {
            let mut steps = vec![1; ndim];
            steps[ndim - 1] = 2;
            laid.slice_strided(&start, laid.shape(), &steps).unwrap()
        }
    };
    y.eval().unwrap();
    assert_eq!(y.shape(), shape);
    y
}

fn draw(seed: u64, shape: &[i32]) -> Array {
    normal(shape, Dtype::Float32, 0.0, 1.0, &Key::new(seed).unwrap()).unwrap()
}

/// Several operands, no two alike.
fn drawn(shapes: &[&[i32]]) -> Vec<Array> {
    (1..).zip(shapes).map(|(seed, shape)| draw(seed, shape)).collect()
}

fn wide(x: &Array) -> Array {
    x.astype(Dtype::Float64).unwrap()
}

fn read(x: &Array) -> Vec<f64> {
    wide(x).to_vec::<f64>().unwrap()
}

fn close(found: &Array, expected: &Array, tolerance: f64, name: &str) {
    assert_eq!(found.shape(), expected.shape(), "{name}");
    let (found, expected) = (read(found), read(expected));
    let most = expected.iter().filter(|x| x.is_finite()).fold(1.0f64, |most, x| most.max(x.abs()));
    for (i, (x, y)) in found.iter().zip(&expected).enumerate() {
        let alike = x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= tolerance * most;
        assert!(alike, "{name}: {x} for {y} at {i}, of up to {most}");
    }
}

fn bits(x: &Array) -> Vec<u8> {
    let x = x.contiguous().unwrap();
    x.reshape(&[-1]).unwrap().view(Dtype::Uint8).unwrap().to_vec::<u8>().unwrap()
}

type Op = fn(&[Array]) -> Result<Vec<Array>>;

/// Checks an op of our own against another one in float64: its results, its gradients to all operands, and that a
/// second run gives the same bits.
fn check_against(
    name: &str,
    inputs: &[Array],
    ours: impl Fn(&[Array]) -> Result<Vec<Array>> + Clone + 'static,
    theirs: impl Fn(&[Array]) -> Result<Vec<Array>> + Clone + 'static,
    dtypes: &[(Dtype, f64)],
    layouts: &[Lies],
) {
    for &(dtype, tolerance) in dtypes {
        let rounded: Vec<Array> = inputs.iter().map(|x| x.astype(dtype).unwrap()).collect();
        let exact: Vec<Array> = rounded.iter().map(wide).collect();
        let expected = theirs(&exact).unwrap();
        let cotangents: Vec<Array> = (100..)
            .zip(&expected)
            .map(|(seed, y)| draw(seed, y.shape()).astype(Dtype::Bfloat16).unwrap().astype(dtype).unwrap())
            .collect();
        let exact_cotangents: Vec<Array> = cotangents.iter().map(wide).collect();
        let (_, gradients) = transform::vjp(theirs.clone(), &exact, &exact_cotangents).unwrap();
        for &lies in layouts {
            let name = format!("{name} {dtype} {lies:?}");
            let laid: Vec<Array> =
                rounded.iter().map(|x| if x.ndim() == 0 { x.clone() } else { lay(x, lies) }).collect();
            let found = ours(&laid).unwrap();
            assert_eq!(found.len(), expected.len(), "{name}");
            for (found, expected) in found.iter().zip(&expected) {
                close(found, expected, tolerance, &name);
            }
            for (first, second) in found.iter().zip(ours(&laid).unwrap()) {
                assert_eq!(bits(first), bits(&second), "{name}");
            }
            let cotangents: Vec<Array> = cotangents
                .iter()
                .zip(&found)
                .map(|(c, y)| {
                    let c = c.astype(y.dtype()).unwrap();
                    if c.ndim() == 0 { c } else { lay(&c, lies) }
                })
                .collect();
            let (_, pulled) = transform::vjp(ours.clone(), &laid, &cotangents).unwrap();
            for (i, (found, expected)) in pulled.iter().zip(&gradients).enumerate() {
                assert_eq!(found.dtype(), dtype, "{name}");
                // Gradients in half precision go through more than one rounding.
                close(found, expected, 2.0 * tolerance, &format!("{name}, gradient {i}"));
            }
        }
    }
}

/// The same, against the op itself in float64.
fn check(name: &str, inputs: &[Array], op: impl Fn(&[Array]) -> Result<Vec<Array>> + Clone + 'static) {
    check_against(name, inputs, op.clone(), op, &DTYPES, &EVERY);
}
