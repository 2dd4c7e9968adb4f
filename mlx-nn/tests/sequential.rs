// SPDX-License-Identifier: EUPL-1.2

use mlx_core::random::Key;
use mlx_core::{Array, ConvOptions, Dtype};
use mlx_nn::{
    Activation, Conv2d, Dropout, Function, LayerNorm, Linear, MaxPool2d, Sequential, Unary, init, params,
};

use crate::common::{FLOATS, pseudo, values};

fn key(seed: u64) -> Key {
    Key::new(seed).unwrap()
}

#[test]
fn it_computes_what_its_layers_compute_one_after_the_other() {
    let mut net = Sequential::new()
        .with(Linear::new(3, 5, true).unwrap())
        .with(Activation::Gelu)
        .with(LayerNorm::new(5, 1e-5, true).unwrap());
    for dtype in FLOATS {
        init::initialise(&mut net, &key(1), dtype).unwrap();
        let parameters = params::parameters(&net).into_iter().map(|(path, value)| (path, value.clone()));
        let parameters: std::collections::BTreeMap<_, _> = parameters.collect();
        let mut linear = Linear::new(3, 5, true).unwrap();
        let of = |path: &str, name: &str| (name.to_owned(), parameters[path].clone());
        params::load(&mut linear, [of("layers.0.weight", "weight"), of("layers.0.bias", "bias")].into())
            .unwrap();
        let x = pseudo(2, &[4, 3]).astype(dtype).unwrap();
        let y = Activation::Gelu.forward(&linear.forward(&x).unwrap()).unwrap();
        let expected = LayerNorm::new(5, 1e-5, true).unwrap().forward(&y).unwrap();
        let found = net.forward(&x, None).unwrap();
        assert_eq!(found.dtype(), dtype);
        assert_eq!(values(&found), values(&expected));
    }
}

#[test]
fn names_count_layers_without_parameters_too_and_nest() {
    let inner = Sequential::new().with(Activation::Relu).with(Linear::new(2, 2, false).unwrap());
    let conv = Conv2d::new(1, 2, [2, 2], ConvOptions::default(), true, &key(2)).unwrap();
    let mut net = Sequential::new().with(conv).with(MaxPool2d::new([2, 2]).unwrap()).with(inner);
    net.push(Function(|x: &Array| Ok(x.square()?)));
    assert_eq!((net.len(), net.is_empty()), (4, false));
    let paths: Vec<String> = params::parameters(&net).into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["layers.0.weight", "layers.0.bias", "layers.2.layers.1.weight"]);
    assert_eq!(params::count(&net), 2 * 4 + 2 + 4);
}

#[test]
fn dropouts_draw_each_its_own_values_and_only_with_a_key() {
    let dropout = || Dropout::new(0.5).unwrap();
    let net = Sequential::new().with(dropout()).with(Sequential::new().with(dropout()));
    let x = Array::ones(&[4000], Dtype::Float32).unwrap();
    assert_eq!(values(&net.forward(&x, None).unwrap()), values(&x));
    let y = values(&net.forward(&x, Some(&key(5))).unwrap());
    assert_eq!(y, values(&net.apply(&x, Some(&key(5))).unwrap()));
    // Were the draws the same, half of the values would be left.
    let left = y.iter().filter(|&&y| y == 4.0).count();
    assert!((800..1200).contains(&left), "{left} of 4000");
    assert!(y.iter().all(|&y| y == 0.0 || y == 4.0));
}

#[test]
fn none_at_all_give_back_what_they_are_given() {
    let x = pseudo(6, &[2, 3]);
    assert_eq!(values(&Sequential::new().forward(&x, Some(&key(6))).unwrap()), values(&x));
    assert!(params::parameters(&Sequential::new()).is_empty());
    let boxed: Vec<Box<dyn Unary>> = vec![Box::new(Activation::Relu), Box::new(Activation::ReluSquared)];
    let net: Sequential = boxed.into_iter().collect();
    assert_eq!(net.forward(&Array::scalar(3.0f32).unwrap(), None).unwrap().item::<f32>().unwrap(), 9.0);
    assert_eq!(format!("{net:?}"), "Sequential { layers: 2 }");
}

#[test]
fn the_error_of_a_layer_is_that_of_the_sequence() {
    let net = Sequential::new().with(Activation::Relu).with(Linear::new(3, 2, false).unwrap());
    let error = net.forward(&pseudo(7, &[2, 4]), None).unwrap_err().to_string();
    assert_eq!(error, "linear: expected [.., 3], found shape [2, 4]");
}
