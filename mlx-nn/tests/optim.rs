// SPDX-License-Identifier: EUPL-1.2
//! Optimisers and schedules against Python's MLX, step for step.

use std::collections::BTreeMap;

use mlx_core::{Array, Dtype};
use mlx_nn::optim::{
    AdaDelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Lion, Muon, Optimizer, RmsProp, Rule, Schedule, Sgd,
    Step, clip_global_norm,
};
use mlx_nn::{Error, Module, Result, module, params};
use serde::Deserialize;

use crate::common::{Tensor, assert_close, golden, values, weights};

#[derive(Deserialize)]
struct Golden {
    first: BTreeMap<String, Tensor>,
    gradients: Vec<BTreeMap<String, Tensor>>,
    optimizers: BTreeMap<String, BTreeMap<usize, BTreeMap<String, Tensor>>>,
    schedules: BTreeMap<String, Vec<f64>>,
}

/// The parameters of the golden runs.
struct Model {
    matrix: Array,
    tall: Tall,
    vector: Array,
    cube: Array,
}
struct Tall {
    matrix: Array,
}
module!(Model { matrix, tall, vector, cube });
module!(Tall { matrix });

fn model(first: &BTreeMap<String, Tensor>) -> Model {
    let get = |name: &str| first[name].array();
    Model {
        matrix: get("matrix"),
        tall: Tall { matrix: get("tall.matrix") },
        vector: get("vector"),
        cube: get("cube"),
    }
}

fn arrays(tensors: &BTreeMap<String, Tensor>) -> BTreeMap<String, Array> {
    tensors.iter().map(|(name, tensor)| (name.clone(), tensor.array())).collect()
}

/// One step, evaluated.
fn step<M: Module>(
    optimizer: &mut Optimizer,
    model: &mut M,
    gradients: &BTreeMap<String, Array>,
) -> Result<()> {
    optimizer.update(model, gradients)?;
    let mut all: Vec<Array> = params::parameters(model).into_iter().map(|(_, array)| array.clone()).collect();
    all.extend(optimizer.arrays());
    Ok(mlx_core::eval(&all)?)
}

fn optimizer(name: &str) -> Optimizer {
    fn plain(rule: impl Rule + 'static, rate: f64) -> Optimizer {
        Optimizer::new(rule, Schedule::constant(rate))
    }
    match name {
        "sgd" => plain(Sgd::default(), 0.05),
        "sgd momentum" => plain(Sgd { momentum: 0.9, weight_decay: 0.01, ..Default::default() }, 0.05),
        "sgd dampened" => plain(Sgd { momentum: 0.8, dampening: 0.3, ..Default::default() }, 0.05),
        "sgd nesterov" => plain(Sgd { momentum: 0.9, nesterov: true, ..Default::default() }, 0.05),
        "rmsprop" => plain(RmsProp { alpha: 0.9, eps: 1e-6 }, 0.01),
        "adagrad" => plain(Adagrad::default(), 0.05),
        "adadelta" => plain(AdaDelta { rho: 0.85, ..Default::default() }, 1.0),
        "adam" => plain(Adam::default(), 0.01),
        "adam corrected" => plain(Adam { betas: [0.8, 0.99], eps: 1e-6, bias_correction: true }, 0.01),
        "adamw" => plain(AdamW { weight_decay: 0.1, ..Default::default() }, 0.01),
        "adamw corrected" => {
            plain(AdamW { weight_decay: 0.1, bias_correction: true, ..Default::default() }, 0.01)
        }
        "adamax" => plain(Adamax::default(), 0.01),
        "lion" => plain(Lion { weight_decay: 0.1, ..Default::default() }, 0.005),
        "adafactor" => plain(Adafactor::default(), 0.0),
        "adafactor given" => plain(
            Adafactor {
                relative_step: false,
                scale_parameter: false,
                beta: Some(0.9),
                weight_decay: 0.05,
                clip_threshold: 0.5,
                ..Default::default()
            },
            0.02,
        ),
        "adafactor warm" => {
            plain(Adafactor { warmup_init: true, decay_rate: -0.5, ..Default::default() }, 0.0)
        }
        "muon" => plain(Muon::default(), 0.02),
        "muon plain" => plain(Muon { momentum: 0.8, nesterov: false, weight_decay: 0.0, rounds: 3 }, 0.02),
        "adamw scheduled" => Optimizer::new(
            AdamW::default(),
            Schedule::warmup(5, Schedule::cosine(0.02, 0.001, 12).unwrap()).unwrap(),
        ),
        other => panic!("no optimiser {other}"),
    }
}

#[test]
fn every_optimiser_goes_where_pythons_goes_for_twenty_steps() {
    let golden = golden::<Golden>("training.json");
    assert!(golden.optimizers.len() >= 19);
    for (name, shown) in &golden.optimizers {
        let (mut model, mut optimizer) = (model(&golden.first), optimizer(name));
        for (i, gradients) in golden.gradients.iter().enumerate() {
            step(&mut optimizer, &mut model, &arrays(gradients)).unwrap();
            let Some(expected) = shown.get(&(i + 1)) else { continue };
            for (path, found) in params::parameters(&model) {
                let what = format!("{name}: {path} after step {}", i + 1);
                assert_close(&what, &values(found), &expected[&path].values, (1e-5, 2e-6));
            }
        }
        assert_eq!(optimizer.steps(), 20);
    }
}

#[test]
fn schedules_are_pythons() {
    let golden = golden::<Golden>("training.json");
    let schedules = [
        ("linear", Schedule::linear(0.0, 0.1, 7).unwrap()),
        ("cosine", Schedule::cosine(0.1, 0.02, 9).unwrap()),
        ("exponential", Schedule::exponential(0.1, 0.9).unwrap()),
        ("stairs", Schedule::stairs(0.1, 0.5, 4).unwrap()),
        ("warmup", Schedule::warmup(5, Schedule::cosine(0.1, 0.0, 10).unwrap()).unwrap()),
        (
            "joined",
            Schedule::linear(0.5, 0.1, 3)
                .unwrap()
                .then(3, Schedule::stairs(0.1, 0.5, 2).unwrap())
                .then(9, Schedule::exponential(0.05, 0.5).unwrap()),
        ),
    ];
    assert_eq!(schedules.len(), golden.schedules.len());
    for (name, schedule) in schedules {
        for (i, &expected) in golden.schedules[name].iter().enumerate() {
            let found = schedule.rate(i as u64);
            assert!((found - expected).abs() < 1e-7, "{name}: {found} for {expected} in step {i}");
        }
    }
    assert!(Schedule::linear(0.0, 0.1, 0).is_err());
    assert!(Schedule::cosine(f64::NAN, 0.0, 4).is_err());
    assert!(Schedule::stairs(0.1, -1.0, 4).is_err());
}

#[test]
fn a_saved_state_goes_on_bit_for_bit() {
    let golden = golden::<Golden>("training.json");
    for name in golden.optimizers.keys() {
        let (mut straight, mut first) = (model(&golden.first), optimizer(name));
        let mut saved = None;
        for (i, gradients) in golden.gradients.iter().enumerate() {
            step(&mut first, &mut straight, &arrays(gradients)).unwrap();
            if i == 6 {
                let copy = params::parameters(&straight);
                let copy: BTreeMap<_, _> = copy.into_iter().map(|(k, v)| (k, v.clone())).collect();
                saved = Some((first.state().unwrap(), copy));
            }
        }
        let (state, parameters) = saved.unwrap();
        let (mut resumed, mut second) = (model(&golden.first), optimizer(name));
        params::load(&mut resumed, parameters).unwrap();
        second.load_state(&resumed, state).unwrap();
        assert_eq!(second.steps(), 7);
        for gradients in &golden.gradients[7..] {
            step(&mut second, &mut resumed, &arrays(gradients)).unwrap();
        }
        for ((path, a), (_, b)) in params::parameters(&straight).into_iter().zip(params::parameters(&resumed))
        {
            assert_eq!(values(a), values(b), "{name}: {path}");
        }
    }
}

#[test]
fn a_state_that_does_not_fit_is_refused_with_every_culprit() {
    let golden = golden::<Golden>("training.json");
    let (mut model, mut optimizer) = (model(&golden.first), optimizer("adam"));
    step(&mut optimizer, &mut model, &arrays(&golden.gradients[0])).unwrap();
    let mut state = optimizer.state().unwrap();
    state.remove("vector.m");
    state.insert("matrix.v".into(), Array::zeros(&[2, 2], Dtype::Float32).unwrap());
    state.insert("ghost.m".into(), Array::zeros(&[1], Dtype::Float32).unwrap());
    let message = optimizer.load_state(&model, state).unwrap_err().to_string();
    for part in ["vector.m", "matrix.v (expected [4, 3]", "ghost.m"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(optimizer.steps(), 1);
    let fresh = self::optimizer("adam").load_state(&model, BTreeMap::new()).unwrap_err();
    assert!(fresh.to_string().contains("missing: steps"), "{fresh}");
}

#[test]
fn groups_have_rules_and_rates_of_their_own() {
    let vector = |x: f32| Array::from_slice(&[x, x], &[2]).unwrap();
    let matrix = |x: f32| Array::from_slice(&[x, x], &[1, 2]).unwrap();
    struct Two {
        w: Array,
        b: Array,
    }
    module!(Two { w, b });
    let mut model = Two { w: matrix(1.0), b: vector(1.0) };
    let mut optimizer =
        Optimizer::new(AdamW { weight_decay: 0.5, ..Default::default() }, Schedule::constant(0.5))
            .scaled_group(|path, value| path == "b" && value.ndim() == 1, Sgd::default(), 0.1);
    let gradients = weights([("w", matrix(0.0)), ("b", vector(2.0))]);
    step(&mut optimizer, &mut model, &gradients).unwrap();
    // Nothing but the decay moves the first, nothing but a tenth of the rate the second.
    assert_close("w", &values(&model.w), &[0.75; 2], (1e-6, 0.0));
    assert_close("b", &values(&model.b), &[0.9; 2], (1e-6, 0.0));
}

#[test]
fn gradients_that_fit_no_parameter_move_nothing() {
    let golden = golden::<Golden>("training.json");
    let (mut model, mut optimizer) = (model(&golden.first), optimizer("adam"));
    let mut gradients = arrays(&golden.gradients[0]);
    gradients.insert("ghost".into(), Array::zeros(&[1], Dtype::Float32).unwrap());
    gradients.insert("vector".into(), Array::zeros(&[4], Dtype::Float32).unwrap());
    let message = optimizer.update(&mut model, &gradients).unwrap_err().to_string();
    assert!(message.contains("ghost") && message.contains("vector (expected [3]"), "{message}");
    assert_eq!((optimizer.steps(), values(&model.matrix)), (0, golden.first["matrix"].values.clone()));
}

#[test]
fn hyper_parameters_outside_their_domain_are_named() {
    let refused: [(&str, Box<dyn Rule>); 9] = [
        ("momentum", Box::new(Sgd { momentum: -0.1, ..Default::default() })),
        ("nesterov", Box::new(Sgd { nesterov: true, ..Default::default() })),
        ("betas", Box::new(Adam { betas: [0.9, 1.0], ..Default::default() })),
        ("weight_decay", Box::new(AdamW { weight_decay: f64::NAN, ..Default::default() })),
        ("eps", Box::new(Adagrad { eps: -1.0 })),
        ("rho", Box::new(AdaDelta { rho: 1.5, ..Default::default() })),
        ("betas", Box::new(Lion { betas: [2.0, 0.9], ..Default::default() })),
        ("clip_threshold", Box::new(Adafactor { clip_threshold: 0.0, ..Default::default() })),
        ("momentum", Box::new(Muon { momentum: 1.0, ..Default::default() })),
    ];
    for (key, rule) in refused {
        let error = rule.check().unwrap_err();
        assert!(matches!(error, Error::Config { key: found, .. } if found == key), "{error}");
    }
}

#[test]
fn half_precision_stays_as_it_is() {
    for dtype in [Dtype::Float16, Dtype::Bfloat16] {
        for name in golden::<Golden>("training.json").optimizers.keys() {
            let rule = optimizer(name);
            let mut model = Tall { matrix: Array::ones(&[3, 2], dtype).unwrap() };
            let gradients = weights([("matrix", Array::ones(&[3, 2], dtype).unwrap())]);
            let mut rule = rule;
            step(&mut rule, &mut model, &gradients).unwrap();
            step(&mut rule, &mut model, &gradients).unwrap();
            assert_eq!(model.matrix.dtype(), dtype, "{name}");
            assert!(rule.arrays().iter().all(|array| array.dtype() == dtype), "{name}");
            assert!(values(&model.matrix).iter().all(|x| x.is_finite()), "{name}");
        }
    }
}

#[test]
fn the_global_norm_is_bounded_and_what_is_not_finite_is_refused() {
    let array = |x: &[f32]| Array::from_slice(x, &[i32::try_from(x.len()).unwrap()]).unwrap();
    let mut gradients = weights([("a", array(&[3.0])), ("b", array(&[0.0, 4.0]))]);
    assert_eq!(clip_global_norm(&mut gradients, 10.0).unwrap(), 5.0);
    assert_eq!(values(&gradients["b"]), [0.0, 4.0]);
    assert_eq!(clip_global_norm(&mut gradients, 1.0).unwrap(), 5.0);
    assert_close("b", &values(&gradients["b"]), &[0.0, 0.8], (1e-6, 1e-7));
    for bad in [f32::NAN, f32::INFINITY] {
        gradients.insert("c".into(), array(&[bad]));
        let error = clip_global_norm(&mut gradients, 1.0).unwrap_err();
        assert!(matches!(&error, Error::Diverged { paths } if *paths == ["c"]), "{error}");
    }
    assert!(clip_global_norm(&mut gradients, 0.0).is_err());
    // In float16 the sum of squares would overflow.
    let mut large = weights([("a", array(&[300.0]).astype(Dtype::Float16).unwrap())]);
    assert_eq!(clip_global_norm(&mut large, 1.0).unwrap(), 300.0);
    assert_eq!(large["a"].dtype(), Dtype::Float16);
}

#[test]
fn the_number_of_a_step_begins_at_one() {
    #[derive(Debug)]
    struct Tell;
    impl Rule for Tell {
        fn check(&self) -> Result<()> {
            Ok(())
        }
        fn state(&self, _: &Array) -> Result<Vec<(&'static str, Array)>> {
            Ok(vec![])
        }
        fn apply(&self, step: Step, parameter: &Array, _: &Array, _: &mut [Array]) -> Result<Array> {
            Ok((parameter * (step.number as f32 * step.rate as f32))?)
        }
    }
    let mut model = Tall { matrix: Array::ones(&[1, 1], Dtype::Float32).unwrap() };
    let gradients = weights([("matrix", Array::ones(&[1, 1], Dtype::Float32).unwrap())]);
    let mut optimizer = Optimizer::new(Tell, Schedule::linear(1.0, 3.0, 2).unwrap());
    for expected in [1.0, 4.0, 36.0] {
        step(&mut optimizer, &mut model, &gradients).unwrap();
        assert_eq!(values(&model.matrix), [expected]);
    }
}
