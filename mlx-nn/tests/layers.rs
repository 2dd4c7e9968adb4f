// SPDX-License-Identifier: EUPL-1.2
//! Layers against Python's MLX: results, gradients by inputs and parameters, names of the parameters.

use std::collections::{BTreeMap, BTreeSet};

use mlx_core::fast::Mask;
use mlx_core::random::Key;
use mlx_core::transform::vjp;
use mlx_core::{Array, ConvOptions, ConvTransposeOptions, Dtype};
use mlx_nn::{
    Activation, AvgPool, BatchNorm, Bilinear, Conv, ConvTranspose, Embedding, Error, Function, Grid,
    GroupNorm, Grouping, Gru, InstanceNorm, Interpolation, LayerNorm, Linear, Lstm, MaxPool, Module,
    MultiHeadAttention, MultiHeadOptions, Prelu, Result, RmsNorm, Rnn, SinusoidalEncoding, SinusoidalOptions,
    Transformer, TransformerDecoder, TransformerEncoder, TransformerMasks, TransformerOptions, Unary,
    Upsample, activation, add_alibi, params,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::common::{Tensor, assert_close, golden, values};

const FUNCTIONS: &[&str] = &[
    "sigmoid",
    "tanh",
    "relu",
    "relu2",
    "relu6",
    "softplus",
    "softsign",
    "log_sigmoid",
    "silu",
    "gelu",
    "gelu_approx",
    "gelu_fast_approx",
    "selu",
    "mish",
    "hardswish",
    "leaky_relu",
    "elu",
    "celu",
    "softshrink",
    "hard_shrink",
    "hard_tanh",
    "step",
    "softmax",
    "softmin",
    "log_softmax",
    "glu",
    "prelu",
];
const DENSE: &[&str] = &["linear", "bilinear", "embedding", "rms_norm", "layer_norm"];
const CONVOLUTIONS: &[&str] =
    &["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"];
const POOLS: &[&str] = &["max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"];
const NORMS: &[&str] = &["group_norm", "instance_norm", "batch_norm"];
const RECURRENT: &[&str] = &["rnn", "gru", "lstm"];
const TRANSFORMERS: &[&str] = &["multi_head", "encoder", "decoder", "transformer"];
const POSITIONS: &[&str] = &["sinusoidal", "alibi"];
const UPSAMPLING: &[&str] = &["upsample"];

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    layer: String,
    config: Map<String, Value>,
    dtype: String,
    parameters: BTreeMap<String, Tensor>,
    inputs: Vec<Input>,
    outputs: Vec<Tensor>,
    cotangents: Vec<Tensor>,
    parameter_gradients: BTreeMap<String, Tensor>,
    input_gradients: Vec<InputGradient>,
}

#[derive(Deserialize)]
struct Input {
    #[serde(flatten)]
    tensor: Tensor,
    integer: bool,
    bool: bool,
}

#[derive(Deserialize)]
struct InputGradient {
    input: usize,
    #[serde(flatten)]
    tensor: Tensor,
}

impl Case {
    fn get<T: DeserializeOwned>(&self, key: &str) -> T {
        self.find(key).unwrap_or_else(|| panic!("{} has no {key}", self.layer))
    }

    fn find<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.config.get(key).map(|value| serde_json::from_value(value.clone()).unwrap())
    }

    fn has(&self, key: &str) -> bool {
        self.find(key).unwrap_or(false)
    }

    fn dtype(&self) -> Dtype {
        self.dtype.parse().unwrap()
    }

    fn array(&self, tensor: &Tensor) -> Array {
        tensor.array().astype(self.dtype()).unwrap()
    }

    fn tolerance(&self) -> (f32, f32) {
        match self.dtype() {
            // MLX rounds every intermediate result.
            Dtype::Bfloat16 => (3e-2, 3e-2),
            _ => (2e-5, 1e-5),
        }
    }

    fn compare(&self, what: &str, found: &Array, expected: &Tensor) {
        let what = format!("{} {:?} {}: {what}", self.layer, self.config, self.dtype);
        assert_eq!(found.shape(), expected.shape, "{what}");
        assert_eq!(found.dtype(), self.dtype(), "{what}");
        assert_close(&what, &values(found), &expected.values, self.tolerance());
    }

    /// Checks `layer` with the parameters, inputs and cotangents of this case.
    fn check<M: Module>(&self, mut layer: M, run: impl Fn(&M, &[Array]) -> Result<Vec<Array>>) {
        let parameters: BTreeMap<String, Array> =
            self.parameters.iter().map(|(path, value)| (path.clone(), self.array(value))).collect();
        params::load(&mut layer, parameters.clone()).unwrap();
        let inputs: Vec<Array> = self.inputs.iter().map(|input| self.input(input)).collect();
        let outputs = run(&layer, &inputs).unwrap();
        assert_eq!(outputs.len(), self.outputs.len(), "{}", self.layer);
        for (found, expected) in outputs.iter().zip(&self.outputs) {
            self.compare("result", found, expected);
        }

        let paths: Vec<&String> = self.parameter_gradients.keys().collect();
        let mut primals: Vec<Array> = paths.iter().map(|&path| parameters[path].clone()).collect();
        primals.extend(self.input_gradients.iter().map(|gradient| inputs[gradient.input].clone()));
        let cotangents: Vec<Array> = self.cotangents.iter().map(|value| self.array(value)).collect();
        let function = |primals: &[Array]| {
            let (replaced, moved) = primals.split_at(paths.len());
            let (mut parameters, mut inputs) = (parameters.clone(), inputs.clone());
            for (&path, value) in paths.iter().zip(replaced) {
                parameters.insert(path.clone(), value.clone());
            }
            for (gradient, value) in self.input_gradients.iter().zip(moved) {
                inputs[gradient.input] = value.clone();
            }
            params::load(&mut layer, parameters).and_then(|()| run(&layer, &inputs)).map_err(core)
        };
        let (_, gradients) = vjp(function, &primals, &cotangents).unwrap();
        let expected = self.parameter_gradients.values();
        let expected = expected.chain(self.input_gradients.iter().map(|gradient| &gradient.tensor));
        assert!(!gradients.is_empty());
        for (i, (found, expected)) in gradients.iter().zip(expected).enumerate() {
            let what = paths.get(i).map_or("an input", |path| path.as_str());
            self.compare(&format!("gradient by {what}"), found, expected);
        }
    }

    fn input(&self, input: &Input) -> Array {
        match (input.integer, input.bool) {
            (true, _) => input.tensor.array().astype(Dtype::Int32).unwrap(),
            (_, true) => input.tensor.array().astype(Dtype::Bool).unwrap(),
            _ => self.array(&input.tensor),
        }
    }

    fn unary<U: Unary>(&self, layer: U) {
        self.check(layer, |layer, x| Ok(vec![layer.apply(&x[0], None)?]));
    }

    fn function(&self, function: impl Fn(&Array) -> Result<Array>) {
        self.unary(Function(function));
    }

    fn run(&self) {
        let axis = || self.get("axis");
        let number = |key, usual: f32| self.find(key).unwrap_or(usual);
        match self.layer.as_str() {
            "sigmoid" => self.function(activation::sigmoid),
            "tanh" => self.function(activation::tanh),
            "relu" => self.unary(Activation::Relu),
            "relu2" => self.unary(Activation::ReluSquared),
            "relu6" => self.function(activation::relu6),
            "softplus" => self.function(activation::softplus),
            "softsign" => self.function(activation::softsign),
            "log_sigmoid" => self.function(activation::log_sigmoid),
            "silu" => self.unary(Activation::Silu),
            "gelu" => self.unary(Activation::Gelu),
            "gelu_approx" => self.unary(Activation::GeluTanh),
            "gelu_fast_approx" => self.unary(Activation::QuickGelu),
            "selu" => self.function(activation::selu),
            "mish" => self.function(activation::mish),
            "hardswish" => self.function(activation::hard_swish),
            "leaky_relu" => self.function(|x| activation::leaky_relu(x, number("negative_slope", 0.01))),
            "elu" => self.function(|x| activation::elu(x, number("alpha", 1.0))),
            "celu" => self.function(|x| activation::celu(x, number("alpha", 1.0))),
            "softshrink" => self.function(|x| activation::softshrink(x, number("lambd", 0.5))),
            "hard_shrink" => self.function(|x| activation::hard_shrink(x, number("lambd", 0.5))),
            "hard_tanh" => {
                self.function(|x| activation::hard_tanh(x, number("min_val", -1.0), number("max_val", 1.0)))
            }
            "step" => self.function(|x| activation::step(x, number("threshold", 0.0))),
            "softmax" => self.function(|x| activation::softmax(x, axis())),
            "softmin" => self.function(|x| activation::softmin(x, axis())),
            "log_softmax" => self.function(|x| activation::log_softmax(x, axis())),
            "glu" => self.function(|x| activation::glu(x, axis())),
            "prelu" => self.unary(Prelu::new(self.get("features")).unwrap()),
            "linear" => {
                self.unary(Linear::new(self.get("inputs"), self.get("outputs"), self.get("bias")).unwrap());
            }
            "bilinear" => {
                let (first, second, outputs) = (self.get("first"), self.get("second"), self.get("outputs"));
                let layer = Bilinear::new(first, second, outputs, self.get("bias"), &key()).unwrap();
                self.check(layer, |layer, x| Ok(vec![layer.forward(&x[0], &x[1])?]));
            }
            "embedding" => self.unary(Embedding::new(self.get("vocab"), self.get("dim")).unwrap()),
            "rms_norm" => self.unary(RmsNorm::new(self.get("dim"), 1e-5).unwrap()),
            "layer_norm" => self.unary(LayerNorm::new(self.get("dim"), 1e-5, self.get("bias")).unwrap()),
            "conv1d" => self.unary(self.conv::<1>()),
            "conv2d" => self.unary(self.conv::<2>()),
            "conv3d" => self.unary(self.conv::<3>()),
            "conv_transpose1d" => self.unary(self.transposed::<1>()),
            "conv_transpose2d" => self.unary(self.transposed::<2>()),
            "conv_transpose3d" => self.unary(self.transposed::<3>()),
            "max_pool1d" => self.unary(self.pool(MaxPool::<1>::with)),
            "max_pool2d" => self.unary(self.pool(MaxPool::<2>::with)),
            "max_pool3d" => self.unary(self.pool(MaxPool::<3>::with)),
            "avg_pool1d" => self.unary(self.pool(AvgPool::<1>::with)),
            "avg_pool2d" => self.unary(self.pool(AvgPool::<2>::with)),
            "avg_pool3d" => self.unary(self.pool(AvgPool::<3>::with)),
            "upsample" => self.unary(self.upsample()),
            "group_norm" => {
                let grouping = if self.has("neighbours") { Grouping::Neighbours } else { Grouping::Strided };
                let (groups, channels) = (self.get("groups"), self.get("channels"));
                self.unary(GroupNorm::new(groups, channels, 1e-5, self.get("affine"), grouping).unwrap());
            }
            "instance_norm" => {
                self.unary(InstanceNorm::new(self.get("channels"), 1e-5, self.get("affine")).unwrap());
            }
            "batch_norm" => self.batch_norm(),
            "rnn" => {
                let rnn = Rnn::new(self.get("inputs"), self.get("hidden"), self.get("bias"), &key()).unwrap();
                let rnn = if self.has("silu") { rnn.with_nonlinearity(activation::silu) } else { rnn };
                self.check(rnn, |rnn, x| Ok(vec![rnn.forward(&x[0], x.get(1))?]));
            }
            "gru" => {
                let gru = Gru::new(self.get("inputs"), self.get("hidden"), self.get("bias"), &key()).unwrap();
                self.check(gru, |gru, x| Ok(vec![gru.forward(&x[0], x.get(1))?]));
            }
            "lstm" => {
                let lstm = Lstm::new(self.get("inputs"), self.get("hidden"), self.get("bias"), &key());
                self.check(lstm.unwrap(), |lstm, x| {
                    let (hidden, cell) = lstm.forward(&x[0], x.get(1), x.get(2))?;
                    Ok(vec![hidden, cell])
                });
            }
            "multi_head" => self.multi_head(),
            "encoder" => {
                let layer = TransformerEncoder::new(
                    self.get("layers"),
                    self.get("dim"),
                    self.get("heads"),
                    &self.options(),
                );
                self.check(layer.unwrap(), |layer, x| Ok(vec![layer.forward(&x[0], self.mask(), None)?]));
            }
            "decoder" => {
                let layer = TransformerDecoder::new(
                    self.get("layers"),
                    self.get("dim"),
                    self.get("heads"),
                    &self.options(),
                );
                self.check(layer.unwrap(), |layer, x| {
                    Ok(vec![layer.forward(&x[0], &x[1], self.mask(), Mask::None, None)?])
                });
            }
            "transformer" => {
                let options = TransformerOptions { activation: activation::silu, ..Default::default() };
                let (layers, dim, heads) = (self.get("layers"), self.get("dim"), self.get("heads"));
                let encoder = TransformerEncoder::new(layers, dim, heads, &options).unwrap();
                let decoder = TransformerDecoder::new(layers, dim, heads, &options).unwrap();
                self.check(Transformer::new(encoder, decoder), |layer, x| {
                    let masks = TransformerMasks { target: Mask::Causal, ..Default::default() };
                    Ok(vec![layer.forward(&x[0], &x[1], &masks, None)?])
                });
            }
            "sinusoidal" => {
                let usual = SinusoidalOptions::default();
                let options = SinusoidalOptions {
                    min_frequency: self.find("min_freq").unwrap_or(usual.min_frequency),
                    max_frequency: self.find("max_freq").unwrap_or(usual.max_frequency),
                    scale: self.find("scale"),
                    cos_first: self.has("cos_first"),
                    full_turns: self.has("full_turns"),
                };
                self.unary(SinusoidalEncoding::new(self.get("dim"), &options).unwrap());
            }
            "alibi" => {
                self.check(Function(()), |_, x| Ok(vec![add_alibi(&x[0], self.get("offset"), x.get(1))?]))
            }
            other => panic!("no layer {other}"),
        }
    }

    fn list_of<const N: usize>(&self, key: &str) -> [i32; N] {
        self.get::<Vec<i32>>(key).try_into().unwrap()
    }

    fn pool<const N: usize, P>(&self, make: fn([i32; N], [i32; N], [i32; N]) -> Result<P>) -> P {
        make(self.list_of("kernel"), self.list_of("stride"), self.list_of("padding")).unwrap()
    }

    fn conv<const N: usize>(&self) -> Conv<N> {
        let options = ConvOptions {
            stride: self.list_of("stride"),
            padding: self.list_of("padding"),
            dilation: self.list_of("dilation"),
            groups: self.get("groups"),
        };
        let (inputs, outputs) = (self.get("inputs"), self.get("outputs"));
        Conv::new(inputs, outputs, self.list_of("kernel"), options, self.get("bias"), &key()).unwrap()
    }

    fn transposed<const N: usize>(&self) -> ConvTranspose<N> {
        let options = ConvTransposeOptions {
            stride: self.list_of("stride"),
            padding: self.list_of("padding"),
            dilation: self.list_of("dilation"),
            output_padding: self.list_of("output_padding"),
            groups: 1,
        };
        let (inputs, outputs) = (self.get("inputs"), self.get("outputs"));
        ConvTranspose::new(inputs, outputs, self.list_of("kernel"), options, self.get("bias"), &key())
            .unwrap()
    }

    fn upsample(&self) -> Upsample {
        let grid = match self.get::<String>("grid").as_str() {
            "centres" => Grid::Centres,
            "corners" => Grid::Corners,
            "antialiased" => Grid::Antialiased,
            other => panic!("no grid {other}"),
        };
        let interpolation = match self.get::<String>("mode").as_str() {
            "nearest" => Interpolation::Nearest,
            "linear" => Interpolation::Linear(grid),
            "cubic" => Interpolation::Cubic(grid),
            other => panic!("no mode {other}"),
        };
        Upsample::new(&self.get::<Vec<f64>>("scale"), interpolation).unwrap()
    }

    fn batch_norm(&self) {
        let (channels, momentum) = (self.get("channels"), self.get("momentum"));
        let norm = BatchNorm::new(channels, 1e-5, momentum, self.get("affine")).unwrap();
        let training = self.has("training");
        self.check(norm, |norm, x| {
            if !training {
                return Ok(vec![norm.forward(&x[0])?]);
            }
            let (y, statistics) = norm.forward_batch(&x[0])?;
            let mut after = norm.clone();
            after.track(&statistics)?;
            let parameters: BTreeMap<_, _> = params::parameters(&after).into_iter().collect();
            Ok(vec![y, parameters["running_mean"].clone(), parameters["running_var"].clone()])
        });
    }

    fn multi_head(&self) {
        let options = MultiHeadOptions {
            query_inputs: self.find("query_inputs"),
            key_inputs: self.find("key_inputs"),
            value_inputs: self.find("value_inputs"),
            values: self.find("values"),
            outputs: self.find("outputs"),
            bias: self.has("bias"),
        };
        let layer = MultiHeadAttention::new(self.get("dim"), self.get("heads"), &options).unwrap();
        self.check(layer, |layer, x| {
            let y = match x {
                [x] => layer.forward(x, x, x, Mask::None),
                [q, k, v] => layer.forward(q, k, v, Mask::None),
                [q, k, v, mask] if mask.dtype() == Dtype::Bool => layer.forward(q, k, v, Mask::Bool(mask)),
                [q, k, v, mask] => layer.forward(q, k, v, Mask::Additive(mask)),
                _ => panic!("{} inputs", x.len()),
            };
            Ok(vec![y?])
        });
    }

    fn options(&self) -> TransformerOptions {
        TransformerOptions {
            inner: self.get("inner"),
            activation: activation::gelu,
            norm_first: self.get("norm_first"),
            ..Default::default()
        }
    }

    fn mask(&self) -> Mask<'static> {
        if self.has("causal") { Mask::Causal } else { Mask::None }
    }
}

fn key() -> Key {
    Key::new(3).unwrap()
}

fn core(error: Error) -> mlx_core::Error {
    match error {
        Error::Core(error) => error,
        other => panic!("{other}"),
    }
}

/// Runs every case of these layers.
fn check(layers: &[&str]) {
    let golden: Golden = golden("mlx_layers.json");
    let mut seen = BTreeSet::new();
    for case in golden.cases.iter().filter(|case| layers.contains(&case.layer.as_str())) {
        seen.insert(case.layer.as_str());
        case.run();
    }
    assert_eq!(seen.len(), layers.len(), "layers without cases");
}

#[test]
fn functions_are_those_of_mlx() {
    check(FUNCTIONS);
}

#[test]
fn projections_tables_and_norms_are_those_of_mlx() {
    check(DENSE);
}

#[test]
fn convolutions_are_those_of_mlx() {
    check(CONVOLUTIONS);
}

#[test]
fn pools_are_those_of_mlx() {
    check(POOLS);
}

#[test]
fn upsampling_is_that_of_mlx() {
    check(UPSAMPLING);
}

#[test]
fn norms_of_groups_instances_and_batches_are_those_of_mlx() {
    check(NORMS);
}

#[test]
fn recurrent_layers_are_those_of_mlx() {
    check(RECURRENT);
}

#[test]
fn transformers_are_those_of_mlx() {
    check(TRANSFORMERS);
}

#[test]
fn positions_are_those_of_mlx() {
    check(POSITIONS);
}

#[test]
fn no_case_is_left_out() {
    let golden: Golden = golden("mlx_layers.json");
    let groups =
        [FUNCTIONS, DENSE, CONVOLUTIONS, POOLS, UPSAMPLING, NORMS, RECURRENT, TRANSFORMERS, POSITIONS];
    let known: Vec<&str> = groups.concat();
    for case in &golden.cases {
        assert!(known.contains(&case.layer.as_str()), "{}", case.layer);
    }
}
