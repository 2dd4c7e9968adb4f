// SPDX-License-Identifier: EUPL-1.2
//! What every layer keeps to, whatever it computes.

use mlx_core::random::Key;
use mlx_core::transform::value_and_grad_by;
use mlx_core::{Array, Dtype, QuantMode, Quantization};
use mlx_nn::{
    Activation, Embedding, GatedMlp, LayerNorm, Linear, Module, Result, RmsNorm, Rope, RopeConfig,
    RopeScaling, init, params,
};

use crate::common::{FLOATS, assert_close, pseudo, tolerance, values};

/// Checks a layer that maps `[B, .., dim]` to `[B, .., out]`: shape and dtype, that rows of a batch do not mix, and
/// that a copy loaded from its parameters computes the same.
pub(crate) fn check<M: Module>(
    make: &dyn Fn() -> M,
    forward: &dyn Fn(&M, &Array) -> Result<Array>,
    input: &[i32],
    out: i32,
) {
    for dtype in FLOATS {
        let mut layer = make();
        init::initialise(&mut layer, &Key::new(11).unwrap(), dtype).unwrap();
        let x = pseudo(12, input).astype(dtype).unwrap();
        let y = forward(&layer, &x).unwrap();
        let mut shape = input.to_vec();
        *shape.last_mut().unwrap() = out;
        assert_eq!((y.shape(), y.dtype()), (&shape[..], dtype));
        assert!(values(&y).iter().all(|y| y.is_finite()));

        for row in 0..input[0] {
            let alone = forward(&layer, &x.slice_axis(0, row, row + 1).unwrap()).unwrap();
            let expected = values(&y.slice_axis(0, row, row + 1).unwrap());
            assert_close("a row alone", &values(&alone), &expected, tolerance(dtype));
        }

        let weights =
            params::parameters(&layer).into_iter().map(|(path, value)| (path, value.clone())).collect();
        let mut copy = make();
        params::load(&mut copy, weights).unwrap();
        assert_eq!(values(&forward(&copy, &x).unwrap()), values(&y), "a copy in {dtype}");
    }
}

macro_rules! contract {
    ($($name:ident: $make:expr, $forward:expr, $input:expr => $out:expr;)+) => {
        $(#[test]
        fn $name() {
            check(&|| $make, &$forward, &$input, $out);
        })+
    };
}

fn quantised<M: Module>(mut module: M, bits: i32, mode: QuantMode) -> M {
    let settings = Quantization { group_size: 32, bits, mode };
    params::quantize_for_load(&mut module, |_| Some(settings)).unwrap();
    module
}

contract! {
    linear: Linear::new(32, 8, true).unwrap(), Linear::forward, [2, 3, 32] => 8;
    linear_affine: quantised(Linear::new(32, 8, true).unwrap(), 4, QuantMode::Affine), Linear::forward, [2, 3, 32] => 8;
    linear_mxfp8: quantised(Linear::new(32, 8, false).unwrap(), 8, QuantMode::Mxfp8), Linear::forward, [2, 3, 32] => 8;
    output_projection: Embedding::new(9, 32).unwrap(), Embedding::as_linear, [2, 3, 32] => 9;
    output_projection_affine:
        quantised(Embedding::new(8, 32).unwrap(), 8, QuantMode::Affine), Embedding::as_linear, [2, 3, 32] => 8;
    rms_norm: RmsNorm::new(32, 1e-6).unwrap(), RmsNorm::forward, [2, 3, 32] => 32;
    gemma_norm: RmsNorm::gemma(32, 1e-6).unwrap(), RmsNorm::forward, [2, 3, 32] => 32;
    layer_norm: LayerNorm::new(32, 1e-5, true).unwrap(), LayerNorm::forward, [2, 3, 32] => 32;
    swiglu_mlp: GatedMlp::new(32, 64, Activation::Silu).unwrap(), GatedMlp::forward, [2, 3, 32] => 32;
    geglu_mlp: GatedMlp::new(32, 64, Activation::GeluTanh).unwrap(), GatedMlp::forward, [2, 3, 32] => 32;
    geglu_mlp_affine: quantised(GatedMlp::new(32, 64, Activation::GeluTanh).unwrap(), 4, QuantMode::Affine),
        GatedMlp::forward, [2, 3, 32] => 32;
}

/// Checks the gradients by every parameter and by the input against central differences, along one direction each.
pub(crate) fn check_gradients<M: Module + 'static>(
    make: fn() -> M,
    forward: fn(&M, &Array) -> Result<Array>,
    input: &[i32],
) {
    let mut layer = make();
    init::initialise(&mut layer, &Key::new(21).unwrap(), Dtype::Float32).unwrap();
    let parameters = params::parameters(&layer);
    let paths: Vec<String> = parameters.iter().map(|(path, _)| path.clone()).collect();
    let mut inputs: Vec<Array> = parameters.into_iter().map(|(_, value)| value.clone()).collect();
    inputs.push(pseudo(22, input));
    // A sum alone would hide errors that cancel, as those of a layer norm do.
    let probe = pseudo(23, forward(&layer, &inputs[paths.len()]).unwrap().shape());

    let run = {
        let (paths, probe) = (paths.clone(), probe.clone());
        move |inputs: &[Array]| -> Result<Array> {
            let mut layer = make();
            params::load(&mut layer, paths.iter().cloned().zip(inputs.iter().cloned()).collect())?;
            Ok((&forward(&layer, &inputs[paths.len()])? * &probe)?)
        }
    };
    let sum = |inputs: &[Array]| values(&run(inputs).unwrap()).into_iter().map(f64::from).sum::<f64>();
    let loss = {
        let run = run.clone();
        move |inputs: &[Array]| match run(inputs).and_then(|y| Ok(y.sum_all()?)) {
            Ok(loss) => Ok(vec![loss]),
            Err(error) => panic!("{error}"),
        }
    };
    let arguments: Vec<usize> = (0..inputs.len()).collect();
    let (_, gradients) = value_and_grad_by(loss, &arguments, &inputs).unwrap();
    assert_eq!(gradients.len(), inputs.len());
    const STEP: f32 = 1e-2;
    for (i, gradient) in gradients.iter().enumerate() {
        let direction = pseudo(31 + i as u32, inputs[i].shape());
        let moved = |by: f32| {
            let mut inputs = inputs.clone();
            inputs[i] = (&inputs[i] + &(&direction * by).unwrap()).unwrap();
            sum(&inputs)
        };
        let difference = (moved(STEP) - moved(-STEP)) / (2.0 * f64::from(STEP));
        let pairs = values(gradient).into_iter().zip(values(&direction));
        let slope: f64 = pairs.map(|(g, d)| f64::from(g) * f64::from(d)).sum();
        let name = paths.get(i).map_or("x", String::as_str);
        assert!(
            (slope - difference).abs() <= 2e-3 + 1e-2 * difference.abs(),
            "{name}: {slope}, not {difference}"
        );
    }
}

#[test]
fn gradients_are_those_of_finite_differences() {
    check_gradients(|| Linear::new(6, 5, true).unwrap(), Linear::forward, &[2, 3, 6]);
    check_gradients(|| Embedding::new(5, 6).unwrap(), Embedding::as_linear, &[2, 3, 6]);
    check_gradients(|| RmsNorm::new(6, 1e-6).unwrap(), RmsNorm::forward, &[2, 3, 6]);
    check_gradients(|| RmsNorm::gemma(6, 1e-6).unwrap(), RmsNorm::forward, &[2, 3, 6]);
    check_gradients(|| LayerNorm::new(6, 1e-5, true).unwrap(), LayerNorm::forward, &[2, 3, 6]);
    check_gradients(|| GatedMlp::new(6, 9, Activation::Silu).unwrap(), GatedMlp::forward, &[2, 3, 6]);
    check_gradients(|| GatedMlp::new(6, 9, Activation::Gelu).unwrap(), GatedMlp::forward, &[2, 3, 6]);
    check_gradients(|| GatedMlp::new(6, 9, Activation::QuickGelu).unwrap(), GatedMlp::forward, &[2, 3, 6]);
    check_gradients(|| GatedMlp::new(6, 9, Activation::GeluTanh).unwrap(), GatedMlp::forward, &[2, 3, 6]);
}

/// Rotary embeddings have no parameters, and so no copy to load.
#[test]
fn rope() {
    let yarn = RopeScaling::Yarn {
        factor: Some(4.0),
        original_max_position_embeddings: 512,
        attention_factor: None,
        beta_fast: None,
        beta_slow: None,
        mscale: None,
        mscale_all_dim: None,
        truncate: None,
    };
    for scaling in [RopeScaling::Default, RopeScaling::Linear { factor: 8.0 }, yarn] {
        let rope = Rope::new(RopeConfig { head_dim: 16, scaling, ..RopeConfig::default() }).unwrap();
        for dtype in FLOATS {
            let x = pseudo(13, &[2, 3, 5, 16]).astype(dtype).unwrap();
            let y = rope.forward(&x, 9).unwrap();
            assert_eq!((y.shape(), y.dtype()), (x.shape(), dtype));
        }
    }
}

/// `down(silu(gate(x)) · up(x))` from its parts.
#[test]
fn gated_mlp_is_what_its_formula_says() {
    let mut mlp = GatedMlp::new(8, 12, Activation::Silu).unwrap();
    init::initialise(&mut mlp, &Key::new(5).unwrap(), Dtype::Float32).unwrap();
    let x = pseudo(14, &[3, 8]);
    let weights = params::parameters(&mlp);
    let paths: Vec<&str> = weights.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["gate_proj.weight", "up_proj.weight", "down_proj.weight"]);
    let [gate, up, down] = [0, 1, 2].map(|i| values(weights[i].1));
    let project = |w: &[f32], x: &[f64]| -> Vec<f64> {
        w.chunks(x.len()).map(|w| w.iter().zip(x).map(|(&w, &x)| f64::from(w) * x).sum()).collect()
    };
    let expected: Vec<f32> = values(&x)
        .chunks(8)
        .flat_map(|x| {
            let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            let gated = project(&gate, &x).into_iter().zip(project(&up, &x));
            let inner: Vec<f64> = gated.map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
            project(&down, &inner).into_iter().map(|y| y as f32)
        })
        .collect();
    assert_close("mlp", &values(&mlp.forward(&x).unwrap()), &expected, (1e-5, 1e-6));
    assert!(mlp.forward(&pseudo(15, &[3, 7])).is_err());
    assert!(GatedMlp::new(8, 0, Activation::Silu).is_err());
}
