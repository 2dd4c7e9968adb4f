# SPDX-License-Identifier: EUPL-1.2
"""Reference values for optimisers, schedules and losses, computed by MLX's own Python package.

Usage: generate_training.py OUT_DIR     writes OUT_DIR/training.json

Needs: mlx==0.32.2 mlx-cpu==0.32.2

The seed is 5.
"""

import json
import pathlib
import sys

import mlx.core as mx
import mlx.nn.losses as losses
import mlx.optimizers as optim

STEPS = 20
SHAPES = {"matrix": (4, 3), "tall.matrix": (5, 2), "vector": (3,), "cube": (2, 2, 3)}
SHOWN = (1, 2, 10, STEPS)
mx.set_default_device(mx.cpu)
mx.random.seed(5)


def tensor(array):
    return {"shape": list(array.shape), "values": [float(format(v, ".9g")) for v in array.flatten().tolist()]}


def draw(shape, scale=1.0):
    return mx.random.normal(shape) * scale


FIRST = {name: draw(shape, 0.5) for name, shape in SHAPES.items()}
GRADIENTS = [{name: draw(shape) for name, shape in SHAPES.items()} for _ in range(STEPS)]

OPTIMIZERS = {
    "sgd": lambda: optim.SGD(0.05),
    "sgd momentum": lambda: optim.SGD(0.05, momentum=0.9, weight_decay=0.01),
    "sgd dampened": lambda: optim.SGD(0.05, momentum=0.8, dampening=0.3),
    "sgd nesterov": lambda: optim.SGD(0.05, momentum=0.9, nesterov=True),
    "rmsprop": lambda: optim.RMSprop(0.01, alpha=0.9, eps=1e-6),
    "adagrad": lambda: optim.Adagrad(0.05),
    "adadelta": lambda: optim.AdaDelta(1.0, rho=0.85),
    "adam": lambda: optim.Adam(0.01),
    "adam corrected": lambda: optim.Adam(0.01, betas=[0.8, 0.99], eps=1e-6, bias_correction=True),
    "adamw": lambda: optim.AdamW(0.01, weight_decay=0.1),
    "adamw corrected": lambda: optim.AdamW(0.01, weight_decay=0.1, bias_correction=True),
    "adamax": lambda: optim.Adamax(0.01),
    "lion": lambda: optim.Lion(0.005, weight_decay=0.1),
    "adafactor": lambda: optim.Adafactor(),
    "adafactor given": lambda: optim.Adafactor(
        0.02, relative_step=False, scale_parameter=False, beta_1=0.9, weight_decay=0.05, clip_threshold=0.5
    ),
    "adafactor warm": lambda: optim.Adafactor(warmup_init=True, decay_rate=-0.5),
    "muon": lambda: optim.Muon(0.02),
    "muon plain": lambda: optim.Muon(0.02, momentum=0.8, nesterov=False, weight_decay=0.0, ns_steps=3),
    "adamw scheduled": lambda: optim.AdamW(
        optim.join_schedules([optim.linear_schedule(0.0, 0.02, 5), optim.cosine_decay(0.02, 12, 0.001)], [5])
    ),
}

SCHEDULES = {
    "linear": optim.linear_schedule(0.0, 0.1, 7),
    "cosine": optim.cosine_decay(0.1, 9, 0.02),
    "exponential": optim.exponential_decay(0.1, 0.9),
    "stairs": optim.step_decay(0.1, 0.5, 4),
    "warmup": optim.join_schedules([optim.linear_schedule(0.0, 0.1, 5), optim.cosine_decay(0.1, 10)], [5]),
    "joined": optim.join_schedules(
        [optim.linear_schedule(0.5, 0.1, 3), optim.step_decay(0.1, 0.5, 2), optim.exponential_decay(0.05, 0.5)], [3, 9]
    ),
}


def run(make):
    optimizer, parameters, shown = make(), {k: mx.array(v) for k, v in FIRST.items()}, {}
    for step, gradients in enumerate(GRADIENTS, 1):
        # Copies, because its SGD with weight decay changes the gradients that it was given.
        gradients = {name: mx.array(value) for name, value in gradients.items()}
        parameters = optimizer.apply_gradients(gradients, parameters)
        mx.eval(parameters, optimizer.state)
        if step in SHOWN:
            shown[step] = {name: tensor(value) for name, value in parameters.items()}
    return shown


def loss_cases():
    x, y = draw((4, 5)), draw((4, 5))
    signs = mx.where(draw((4, 5)) > 0, 1.0, -1.0)
    truth = (draw((4, 5)) > 0).astype(mx.float32)
    classes = mx.array([0, 4, 2, 2])
    weights = mx.array([0.5, 1.0, 2.0, 0.0])
    logs, other = x - mx.logsumexp(x, -1, keepdims=True), y - mx.logsumexp(y, -1, keepdims=True)
    chances, variance = mx.sigmoid(x), mx.abs(y) + 0.1
    for reduction in ("none", "mean", "sum"):
        how = {"reduction": reduction}
        yield "cross_entropy", [x, classes], how, lambda x, t: losses.cross_entropy(x, t, **how)
        yield "cross_entropy", [x, classes], how | {"smoothing": 0.2}, lambda x, t: losses.cross_entropy(
            x, t, label_smoothing=0.2, **how
        )
        yield "cross_entropy", [x, classes, weights], how, lambda x, t, w: losses.cross_entropy(x, t, weights=w, **how)
        yield "cross_entropy", [x, mx.softmax(y, -1)], how, lambda x, t: losses.cross_entropy(x, t, **how)
        yield "cross_entropy", [x, mx.softmax(y, -1)], how | {"smoothing": 0.1}, lambda x, t: losses.cross_entropy(
            x, t, label_smoothing=0.1, **how
        )
        yield "mse", [x, y], how, lambda x, y: losses.mse_loss(x, y, **how)
        yield "l1", [x, y], how, lambda x, y: losses.l1_loss(x, y, **how)
        yield "smooth_l1", [x, y], how | {"beta": 0.7}, lambda x, y: losses.smooth_l1_loss(x, y, beta=0.7, **how)
        yield "huber", [x, y], how | {"delta": 0.6}, lambda x, y: losses.huber_loss(x, y, delta=0.6, **how)
        yield "log_cosh", [x, y], how, lambda x, y: losses.log_cosh_loss(x, y, **how)
        yield "binary_cross_entropy", [x, truth], how, lambda x, y: losses.binary_cross_entropy(x, y, **how)
        yield "binary_of_probabilities", [chances, truth], how, lambda x, y: losses.binary_cross_entropy(
            x, y, with_logits=False, **how
        )
        yield "nll", [logs, classes], how, lambda x, y: losses.nll_loss(x, y, **how)
        yield "kl_divergence", [logs, other], how, lambda x, y: losses.kl_div_loss(x, y, **how)
        yield "gaussian_nll", [x, y, variance], how, lambda x, y, v: losses.gaussian_nll_loss(x, y, v, **how)
        yield "gaussian_nll", [x, y, variance], how | {"full": True}, lambda x, y, v: losses.gaussian_nll_loss(
            x, y, v, full=True, **how
        )
        yield "hinge", [x, signs], how, lambda x, y: losses.hinge_loss(x, y, **how)
        yield "cosine_similarity", [x, y], how, lambda x, y: losses.cosine_similarity_loss(x, y, axis=1, **how)
        yield "margin_ranking", [x, y, signs], how | {"margin": 0.3}, lambda x, y, t: losses.margin_ranking_loss(
            x, y, t, margin=0.3, **how
        )
        yield "triplet", [x, y, signs], how | {"margin": 0.8}, lambda a, p, n: losses.triplet_loss(
            a, p, n, margin=0.8, **how
        )


def recorded_losses():
    for name, operands, how, function in loss_cases():
        value = function(*operands)
        cotangent = draw(value.shape)
        by = [i for i, x in enumerate(operands) if x.dtype == mx.float32][:1]
        _, grads = mx.vjp(lambda x: [function(x, *operands[1:])], [operands[0]], [cotangent])
        assert by == [0]
        yield {
            "loss": name,
            **how,
            "operands": [tensor(x) | {"integer": x.dtype == mx.int32} for x in operands],
            "value": tensor(value),
            "cotangent": tensor(cotangent),
            "gradient": tensor(grads[0]),
        }


golden = {
    "generator": "generate_training.py",
    "mlx": "0.32.2",
    "seed": 5,
    "first": {name: tensor(value) for name, value in FIRST.items()},
    "gradients": [{name: tensor(value) for name, value in step.items()} for step in GRADIENTS],
    "optimizers": {name: run(make) for name, make in OPTIMIZERS.items()},
    "schedules": {name: [float(mx.array(schedule(mx.array(i)))) for i in range(20)] for name, schedule in SCHEDULES.items()},
    "losses": list(recorded_losses()),
}
path = pathlib.Path(sys.argv[1]) / "training.json"
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
