// SPDX-License-Identifier: EUPL-1.2
//! Losses and their gradients against Python's MLX.

use mlx_core::transform::vjp;
use mlx_core::{Array, Dtype};
use mlx_nn::loss::{self, CrossEntropy, Reduction, cross_entropy, token_loss};
use mlx_nn::{Error, Result};
use serde::Deserialize;

use crate::common::{FLOATS, Tensor, assert_close, golden, tolerance, values};

#[derive(Deserialize)]
struct Golden {
    losses: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    loss: String,
    reduction: String,
    smoothing: Option<f64>,
    beta: Option<f64>,
    delta: Option<f64>,
    margin: Option<f64>,
    #[serde(default)]
    full: bool,
    operands: Vec<Operand>,
    value: Tensor,
    cotangent: Tensor,
    gradient: Tensor,
}

#[derive(Deserialize)]
struct Operand {
    #[serde(flatten)]
    tensor: Tensor,
    integer: bool,
}

/// What a case needs besides its operands.
#[derive(Clone)]
struct Settings {
    loss: String,
    reduction: Reduction,
    smoothing: f64,
    beta: f64,
    delta: f64,
    margin: f64,
    full: bool,
}

impl Settings {
    fn run(&self, x: &[Array]) -> Result<Array> {
        let r = self.reduction;
        match (self.loss.as_str(), x) {
            ("cross_entropy", [x, y, rest @ ..]) => {
                let settings = CrossEntropy {
                    weights: rest.first(),
                    label_smoothing: self.smoothing,
                    reduction: r,
                    ..Default::default()
                };
                cross_entropy(x, y, &settings)
            }
            ("mse", [x, y]) => loss::mse(x, y, r),
            ("l1", [x, y]) => loss::l1(x, y, r),
            ("smooth_l1", [x, y]) => loss::smooth_l1(x, y, self.beta, r),
            ("huber", [x, y]) => loss::huber(x, y, self.delta, r),
            ("log_cosh", [x, y]) => loss::log_cosh(x, y, r),
            ("binary_cross_entropy", [x, y]) => loss::binary_cross_entropy(x, y, r),
            ("binary_of_probabilities", [x, y]) => loss::binary_cross_entropy_of_probabilities(x, y, r),
            ("nll", [x, y]) => loss::nll(x, y, r),
            ("kl_divergence", [x, y]) => loss::kl_divergence(x, y, r),
            ("gaussian_nll", [x, y, v]) => loss::gaussian_nll(x, y, v, self.full, 1e-6, r),
            ("hinge", [x, y]) => loss::hinge(x, y, r),
            ("cosine_similarity", [x, y]) => loss::cosine_similarity(x, y, 1, 1e-8, r),
            ("margin_ranking", [x, y, t]) => loss::margin_ranking(x, y, t, self.margin, r),
            ("triplet", [a, p, n]) => loss::triplet(a, p, n, -1, 2.0, self.margin, 1e-6, r),
            (other, _) => panic!("no loss {other}"),
        }
    }
}

#[test]
fn every_loss_and_its_gradient_are_pythons() {
    let cases = golden::<Golden>("training.json").losses;
    assert!(cases.len() >= 60);
    for case in cases {
        let settings = Settings {
            loss: case.loss.clone(),
            reduction: match case.reduction.as_str() {
                "none" => Reduction::None,
                "mean" => Reduction::Mean,
                "sum" => Reduction::Sum,
                other => panic!("no reduction {other}"),
            },
            smoothing: case.smoothing.unwrap_or(0.0),
            beta: case.beta.unwrap_or(1.0),
            delta: case.delta.unwrap_or(1.0),
            margin: case.margin.unwrap_or(0.0),
            full: case.full,
        };
        let operands: Vec<Array> = case
            .operands
            .iter()
            .map(|operand| match operand.integer {
                true => operand.tensor.array().astype(Dtype::Int32).unwrap(),
                false => operand.tensor.array(),
            })
            .collect();
        let what = format!("{} {}", case.loss, case.reduction);
        let (first, rest) = operands.split_first().unwrap();
        let rest = rest.to_vec();
        let function = move |x: &[Array]| {
            let all: Vec<Array> = x.iter().chain(&rest).cloned().collect();
            Ok(vec![settings.run(&all).unwrap()])
        };
        let (value, gradient) =
            vjp(function, std::slice::from_ref(first), &[case.cotangent.array()]).unwrap();
        assert_eq!(value[0].shape(), case.value.shape, "{what}");
        assert_close(&what, &values(&value[0]), &case.value.values, (1e-5, 2e-6));
        assert_close(
            &format!("gradient of {what}"),
            &values(&gradient[0]),
            &case.gradient.values,
            (1e-5, 2e-6),
        );
    }
}

fn classes(list: &[i32]) -> Array {
    Array::from_slice(list, &[i32::try_from(list.len()).unwrap()]).unwrap()
}

#[test]
fn cross_entropy_is_summed_in_float32_whatever_the_logits() {
    let exact = Array::from_slice(&[4.0f32, 1.0, -2.0, 0.5, 0.25, 3.0], &[2, 3]).unwrap();
    let expected = values(&cross_entropy(&exact, &classes(&[1, 2]), &CrossEntropy::default()).unwrap());
    for dtype in FLOATS {
        let found = cross_entropy(&exact.astype(dtype).unwrap(), &classes(&[1, 2]), &CrossEntropy::default())
            .unwrap();
        assert_eq!(found.dtype(), Dtype::Float32);
        // These logits are exact in every dtype.
        assert_close("loss", &values(&found), &expected, tolerance(Dtype::Float32));
    }
}

#[test]
fn ignored_classes_cost_nothing_and_are_not_counted() {
    let logits = Array::from_slice(&[1.0f32, 2.0, 5.0, -3.0, f32::NAN, 0.0], &[3, 2]).unwrap();
    let settings = CrossEntropy { ignore: Some(-100), ..Default::default() };
    let all = cross_entropy(&logits, &classes(&[0, 1, -100]), &settings).unwrap();
    let first = logits.slice_axis(0, 0, 2).unwrap();
    let expected = cross_entropy(&first, &classes(&[0, 1]), &CrossEntropy::default()).unwrap();
    assert_eq!(values(&all), values(&expected));
    let none = cross_entropy(&logits, &classes(&[-100; 3]), &settings).unwrap();
    assert_eq!(values(&none), [0.0]);
}

#[test]
fn a_class_that_there_is_not_gives_nan_and_reads_nothing_else() {
    let logits = Array::from_slice(&[0.0f32, 0.0, 0.0, 0.0], &[2, 2]).unwrap();
    for class in [2, -1, i32::MIN, i32::MAX] {
        let settings = CrossEntropy { reduction: Reduction::None, ..Default::default() };
        let losses = values(&cross_entropy(&logits, &classes(&[class, 1]), &settings).unwrap());
        assert!(losses[0].is_nan() && (losses[1] - 2f32.ln()).abs() < 1e-6, "{losses:?}");
    }
}

#[test]
fn tokens_that_do_not_count_have_no_loss_and_no_gradient() {
    let logits = Array::from_slice(&[0.0f32, 1.0, 2.0, 0.0, -1.0, 1.0], &[1, 3, 2]).unwrap();
    let targets = Array::from_slice(&[0, 9, 1], &[1, 3]).unwrap();
    let mask = Array::from_slice(&[1u8, 0, 1], &[1, 3]).unwrap();
    let function = move |x: &[Array]| {
        let (sum, count) = token_loss(&x[0], &targets, &mask, 0.0).unwrap();
        Ok(vec![sum, count])
    };
    let one = Array::scalar(1.0f32).unwrap();
    let zero = Array::scalar(0.0f32).unwrap();
    let (results, gradient) = vjp(function, &[logits], &[one, zero]).unwrap();
    let wanted = (1.0 + 1f32.exp()).ln() + (1.0 + (-2f32).exp()).ln();
    assert_close("sum", &values(&results[0]), &[wanted], (1e-6, 0.0));
    assert_eq!(values(&results[1]), [2.0]);
    assert_eq!(values(&gradient[0])[2..4], [0.0, 0.0]);
}

#[test]
fn operands_that_do_not_fit_are_named() {
    let x = Array::zeros(&[2, 3], Dtype::Float32).unwrap();
    let y = Array::zeros(&[3, 2], Dtype::Float32).unwrap();
    for result in [
        loss::mse(&x, &y, Reduction::Mean),
        loss::hinge(&x, &y, Reduction::Mean),
        loss::nll(&x, &classes(&[1]), Reduction::Mean),
        cross_entropy(&x, &classes(&[1]), &CrossEntropy::default()),
        cross_entropy(&x, &y, &CrossEntropy::default()),
        cross_entropy(&Array::scalar(0.0f32).unwrap(), &classes(&[]), &CrossEntropy::default()),
    ] {
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Input { .. }), "{error}");
    }
    let settings = CrossEntropy { label_smoothing: 1.0, ..Default::default() };
    let error = cross_entropy(&x, &classes(&[0, 1]), &settings).unwrap_err();
    assert!(matches!(error, Error::Config { key: "label_smoothing", .. }), "{error}");
    assert!(loss::huber(&x, &x, 0.0, Reduction::Mean).is_err());
}
