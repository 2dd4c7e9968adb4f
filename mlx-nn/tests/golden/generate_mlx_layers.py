# SPDX-License-Identifier: EUPL-1.2
"""Results and gradients of layers, computed by MLX's own Python package.

Usage: generate_mlx_layers.py OUT_DIR     writes OUT_DIR/mlx_layers.json

Needs: mlx==0.32.2 mlx-cpu==0.32.2

The seed is 17. Half precision values are given as the float32 numbers that they stand for.

Inputs stay away from where gradients jump, since there MLX takes what its order of operands gives.
"""

import json
import pathlib
import sys

import mlx.core as mx
import mlx.nn as nn
from mlx.nn.layers import activations
from mlx.utils import tree_flatten, tree_unflatten

mx.set_default_device(mx.cpu)
mx.random.seed(17)
CASES = []


def tensor(array):
    values = array.astype(mx.float32).flatten().tolist()
    return {"shape": list(array.shape), "values": [float(format(v, ".9g")) for v in values]}


def draw(*shape, scale=1.0):
    return mx.random.normal(shape) * scale


def vary(module):
    """Parameters that are neither 0 nor 1."""
    moved = []
    for path, value in tree_flatten(module.parameters()):
        value = value + draw(*value.shape, scale=0.3)
        moved.append((path, mx.abs(value) + 0.1 if path.endswith("running_var") else value))
    module.update(tree_unflatten(moved))


def record(layer, module, inputs, config=None, call=None, by=None, dtype="float32"):
    """One case: `call` of the module at `inputs`, and gradients by its trainable parameters and the inputs `by`."""
    if module is not None:
        vary(module)
        module.set_dtype(getattr(mx, dtype))
    call = call or (lambda module, *inputs: module(*inputs))
    inputs = [x.astype(getattr(mx, dtype)) if x.dtype == mx.float32 else x for x in inputs]
    floats = [i for i, x in enumerate(inputs) if x.dtype in (mx.float32, mx.bfloat16)]
    by = floats if by is None else by
    parameters = dict(tree_flatten(module.parameters())) if module is not None else {}
    trainable = [path for path, _ in tree_flatten(module.trainable_parameters())] if module is not None else []

    def function(*primals):
        if module is not None:
            module.update(tree_unflatten(list(zip(trainable, primals))))
        given = list(inputs)
        for i, value in zip(by, primals[len(trainable) :]):
            given[i] = value
        result = call(module, *given)
        return list(result) if isinstance(result, (list, tuple)) else [result]

    primals = [parameters[path] for path in trainable] + [inputs[i] for i in by]
    shapes = [(y.shape, y.dtype) for y in function(*primals)]
    cotangents = [draw(*shape).astype(dtype) for shape, dtype in shapes]
    outputs, gradients = mx.vjp(function, primals, cotangents)
    mx.eval(outputs, gradients)
    CASES.append(
        {
            "layer": layer,
            "config": config or {},
            "dtype": dtype,
            "parameters": {path: tensor(value) for path, value in parameters.items()},
            "inputs": [tensor(x) | {"integer": x.dtype == mx.int32, "bool": x.dtype == mx.bool_} for x in inputs],
            "outputs": [tensor(y) for y in outputs],
            "cotangents": [tensor(y) for y in cotangents],
            "parameter_gradients": {path: tensor(g) for path, g in zip(trainable, gradients)},
            "input_gradients": [{"input": i} | tensor(g) for i, g in zip(by, gradients[len(trainable) :])],
        }
    )


def functions():
    x = mx.concatenate([draw(16, scale=2.5), mx.array([0.3, -0.3, 1e-3, -1e-3, 8.0, -8.0, 20.0, -20.0])])
    plain = "sigmoid tanh relu relu2 relu6 softplus softsign log_sigmoid silu gelu gelu_approx gelu_fast_approx selu mish hardswish"
    for name in plain.split():
        function = getattr(activations, name)
        record(name, None, [x], call=lambda _, x, f=function: f(x))
    settings = {
        "leaky_relu": [{}, {"negative_slope": 0.2}],
        "elu": [{}, {"alpha": 1.7}],
        "celu": [{}, {"alpha": 0.6}],
        "softshrink": [{}, {"lambd": 1.1}],
        "hard_shrink": [{}, {"lambd": 1.1}],
        "hard_tanh": [{}, {"min_val": -0.7, "max_val": 2.0}],
    }
    for name, configs in settings.items():
        for config in configs:
            function = getattr(activations, name)
            record(name, None, [x], config, call=lambda _, x, f=function, c=config: f(x, **c))
    record("step", None, [x], {"threshold": 0.2}, call=lambda _, x: activations.step(x, 0.2).astype(mx.float32))
    for axis, shape in [(-1, (3, 6)), (1, (2, 4, 3))]:
        for name in ["softmax", "softmin", "log_softmax", "glu"]:
            function = getattr(activations, name)
            config = {"axis": axis}
            record(name, None, [draw(*shape, scale=2)], config, call=lambda _, x, f=function, a=axis: f(x, axis=a))
    for name in ["mish", "elu", "softplus", "log_softmax"]:
        function = getattr(activations, name)
        record(name, None, [x], {"axis": -1}, call=lambda _, x, f=function: f(x), dtype="bfloat16")
    record("prelu", nn.PReLU(), [draw(2, 5)], {"features": 1})
    record("prelu", nn.PReLU(4, 0.1), [draw(3, 2, 4)], {"features": 4})


def existing():
    record("linear", nn.Linear(4, 3), [draw(2, 3, 4)], {"inputs": 4, "outputs": 3, "bias": True})
    record("linear", nn.Linear(5, 2, bias=False), [draw(5)], {"inputs": 5, "outputs": 2, "bias": False})
    config = {"first": 3, "second": 4, "outputs": 2}
    record("bilinear", nn.Bilinear(3, 4, 2), [draw(2, 5, 3), draw(2, 5, 4)], config | {"bias": True})
    record("bilinear", nn.Bilinear(3, 4, 2, bias=False), [draw(3), draw(4)], config | {"bias": False})
    record("embedding", nn.Embedding(5, 3), [mx.array([[1, 4, 1], [0, 2, 1]])], {"vocab": 5, "dim": 3})
    record("rms_norm", nn.RMSNorm(6, 1e-5), [draw(2, 3, 6)], {"dim": 6})
    record("layer_norm", nn.LayerNorm(6, 1e-5), [draw(2, 3, 6)], {"dim": 6, "bias": True})
    record("layer_norm", nn.LayerNorm(5, 1e-5, bias=False), [draw(4, 5)], {"dim": 5, "bias": False})


def convolutions():
    def conv(n, inputs, outputs, kernel, shape, stride=1, padding=0, dilation=1, groups=1, bias=True, dtype="float32"):
        def each(value):
            return value if isinstance(value, tuple) else (value,) * n

        config = {"inputs": inputs, "outputs": outputs, "kernel": each(kernel), "stride": each(stride)}
        config |= {"padding": each(padding), "dilation": each(dilation), "groups": groups, "bias": bias}
        make = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[n]
        one = (lambda value: each(value)[0]) if n == 1 else each
        options = {"stride": one(stride), "padding": one(padding), "dilation": one(dilation), "bias": bias}
        if n < 3:
            options["groups"] = groups
        record(f"conv{n}d", make(inputs, outputs, one(kernel), **options), [draw(*shape)], config, dtype=dtype)

    conv(1, 3, 4, 3, (2, 7, 3))
    conv(1, 4, 6, 3, (2, 9, 4), stride=2, padding=1, groups=2)
    conv(1, 4, 4, 5, (1, 6, 4), padding=2, groups=4, bias=False)
    conv(1, 3, 2, 3, (3, 11, 3), stride=2, padding=2, dilation=2)
    conv(1, 3, 4, 3, (2, 5, 3), padding=1, dtype="bfloat16")
    conv(2, 3, 4, 3, (1, 5, 6, 3))
    conv(2, 4, 6, (3, 2), (2, 7, 6, 4), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
    conv(2, 2, 3, 1, (2, 3, 4, 2), stride=2, bias=False)
    conv(2, 1, 2, (2, 3), (1, 4, 5, 1), padding=1, dtype="bfloat16")
    conv(3, 2, 3, 2, (1, 3, 4, 3, 2))
    conv(3, 1, 2, (3, 2, 1), (2, 5, 3, 3, 1), stride=(2, 1, 1), padding=(1, 0, 0))

    def transposed(n, inputs, outputs, kernel, shape, stride=1, padding=0, dilation=1, more=0, bias=True, dtype="float32"):
        def each(value):
            return value if isinstance(value, tuple) else (value,) * n

        config = {"inputs": inputs, "outputs": outputs, "kernel": each(kernel), "stride": each(stride)}
        config |= {"padding": each(padding), "dilation": each(dilation), "output_padding": each(more), "bias": bias}
        make = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[n]
        one = (lambda value: each(value)[0]) if n == 1 else each
        options = {"stride": one(stride), "padding": one(padding), "dilation": one(dilation), "bias": bias}
        module = make(inputs, outputs, one(kernel), output_padding=one(more), **options)
        record(f"conv_transpose{n}d", module, [draw(*shape)], config, dtype=dtype)

    transposed(1, 3, 2, 3, (2, 4, 3))
    transposed(1, 2, 4, 3, (1, 5, 2), stride=2, padding=1, bias=False)
    transposed(1, 2, 3, 2, (2, 3, 2), stride=3, dilation=2)
    transposed(1, 2, 3, 3, (2, 3, 2), stride=2, padding=1, dtype="bfloat16")
    transposed(2, 2, 3, 3, (1, 3, 4, 2))
    transposed(2, 3, 2, (2, 3), (2, 3, 2, 3), stride=(2, 1), padding=(0, 1))
    transposed(3, 2, 2, 2, (1, 2, 3, 2, 2), stride=2)


def pools():
    def pool(n, shape, kernel, stride=None, padding=0, dtype="float32"):
        def each(value):
            return value if isinstance(value, tuple) else (value,) * n

        config = {"kernel": each(kernel), "stride": each(stride or kernel), "padding": each(padding)}
        for kind in ["Max", "Avg"]:
            make = getattr(nn, f"{kind}Pool{n}d")
            module = make(each(kernel), each(stride or kernel), each(padding))
            # Distinct values, so that no window has two largest ones.
            x = mx.random.permutation(mx.arange(mx.zeros(shape).size)).reshape(shape) * 0.125
            name = f"{kind.lower()}_pool{n}d"
            record(name, module, [x], config, call=lambda _, x, m=module: m(x), dtype=dtype)

    pool(1, (2, 8, 3), 2)
    pool(1, (1, 7, 2), 3, stride=2, padding=1)
    pool(1, (1, 5, 2), 2, stride=3)
    pool(1, (1, 6, 2), 2, padding=1, dtype="bfloat16")
    pool(2, (2, 4, 6, 2), (2, 3))
    pool(2, (1, 5, 5, 2), 3, stride=(1, 2), padding=(1, 0))
    pool(3, (1, 4, 2, 4, 2), 2)
    pool(3, (1, 3, 4, 3, 1), (2, 2, 3), stride=(1, 2, 1), padding=(0, 1, 1))


def upsampling():
    modes = [("nearest", False, False)]
    modes += [(mode, corners, smooth) for mode in ["linear", "cubic"] for corners, smooth in [(0, 0), (1, 0), (0, 1)]]
    shapes = [((2, 4, 2), 2.0), ((1, 5, 2), 1.6), ((1, 7, 2), 0.45), ((1, 3, 4, 2), (2.0, 0.5)), ((2, 3, 2, 1), 3.0)]
    for mode, corners, smooth in modes:
        grid = "corners" if corners else "antialiased" if smooth else "centres"
        for shape, scale in shapes:
            module = nn.Upsample(scale, mode, bool(corners), bool(smooth))
            config = {"scale": scale if isinstance(scale, tuple) else (scale,), "mode": mode, "grid": grid}
            record("upsample", None, [draw(*shape)], config, call=lambda _, x, m=module: m(x))


def norms():
    for torch in [False, True]:
        for shape, groups, affine in [((2, 3, 6), 2, True), ((2, 3, 2, 6), 3, True), ((3, 4), 4, False)]:
            module = nn.GroupNorm(groups, shape[-1], affine=affine, pytorch_compatible=torch)
            config = {"groups": groups, "channels": shape[-1], "affine": affine, "neighbours": torch}
            record("group_norm", module, [draw(*shape, scale=2) + 0.5], config)
    config = {"groups": 2, "channels": 4, "affine": True, "neighbours": True}
    record("group_norm", nn.GroupNorm(2, 4, pytorch_compatible=True), [draw(1, 8, 4)], config, dtype="bfloat16")
    for shape, affine in [((2, 5, 3), True), ((2, 3, 4, 2), False)]:
        config = {"channels": shape[-1], "affine": affine}
        record("instance_norm", nn.InstanceNorm(shape[-1], affine=affine), [draw(*shape)], config)
    for shape, affine, momentum in [((6, 3), True, 0.1), ((2, 5, 3), False, 0.3), ((2, 3, 2, 4), True, 0.1)]:
        x = draw(*shape, scale=2) + 0.5
        config = {"channels": shape[-1], "affine": affine, "momentum": momentum}
        evaluated = nn.BatchNorm(shape[-1], momentum=momentum, affine=affine)
        evaluated.eval()
        record("batch_norm", evaluated, [x], config | {"training": False})

        def train(module, x):
            before = module.running_mean, module.running_var
            y = module(x)
            after = mx.stop_gradient(module.running_mean), mx.stop_gradient(module.running_var)
            module.running_mean, module.running_var = before
            return y, *after

        module = nn.BatchNorm(shape[-1], momentum=momentum, affine=affine)
        record("batch_norm", module, [x], config | {"training": True}, call=train)


def recurrent():
    for bias in [True, False]:
        for batch in [(), (2,)]:
            x, hidden, cell = draw(*batch, 4, 3), draw(*batch, 5), draw(*batch, 5)
            config = {"inputs": 3, "hidden": 5, "bias": bias}
            for name, make in [("rnn", nn.RNN), ("gru", nn.GRU), ("lstm", nn.LSTM)]:
                given = [hidden, cell] if name == "lstm" else [hidden]
                record(name, make(3, 5, bias), [x], config)
                record(name, make(3, 5, bias), [x, *given], config)
    config = {"inputs": 3, "hidden": 4, "bias": True}
    record("rnn", nn.RNN(3, 4, nonlinearity=nn.silu), [draw(2, 3, 3)], config | {"silu": True})
    record("lstm", nn.LSTM(3, 4), [draw(2, 3, 3)], config, dtype="bfloat16")


def transformers():
    record("multi_head", nn.MultiHeadAttention(6, 2), [draw(2, 3, 6)], {"dim": 6, "heads": 2}, call=lambda m, x: m(x, x, x))
    widths = {"query_inputs": 3, "key_inputs": 4, "value_inputs": 5, "values": 4, "outputs": 7, "bias": True}
    names = ["query_input_dims", "key_input_dims", "value_input_dims", "value_dims", "value_output_dims", "bias"]
    module = nn.MultiHeadAttention(6, 2, **dict(zip(names, widths.values())))
    inputs = [draw(2, 3, 3), draw(2, 5, 4), draw(2, 5, 5)]
    record("multi_head", module, inputs, {"dim": 6, "heads": 2} | widths)
    record("multi_head", nn.MultiHeadAttention(6, 3), [draw(1, 2, 6)] + [draw(1, 4, 6)] * 2 + [draw(2, 4)], {"dim": 6, "heads": 3}, by=[0])
    seen = mx.array([[True, False, True, True], [True, True, False, True]])
    record("multi_head", nn.MultiHeadAttention(6, 3), [draw(1, 2, 6)] + [draw(1, 4, 6)] * 2 + [seen], {"dim": 6, "heads": 3}, by=[0, 1, 2])
    causal = nn.MultiHeadAttention.create_additive_causal_mask
    for first in [True, False]:
        config = {"layers": 2, "dim": 4, "heads": 2, "inner": 6, "norm_first": first, "causal": first}
        mask = causal(3) if first else None
        module = nn.TransformerEncoder(2, 4, 2, 6, activation=nn.gelu, norm_first=first)
        record("encoder", module, [draw(2, 3, 4)], config, call=lambda m, x, mask=mask: m(x, mask))
        module = nn.TransformerDecoder(2, 4, 2, 6, activation=nn.gelu, norm_first=first)
        record("decoder", module, [draw(2, 3, 4), draw(2, 5, 4)], config, call=lambda m, x, y, mask=mask: m(x, y, mask, None))
    module = nn.Transformer(4, 2, 1, 1, activation=nn.silu)
    config = {"layers": 1, "dim": 4, "heads": 2}
    record("transformer", module, [draw(1, 3, 4), draw(1, 2, 4)], config, call=lambda m, x, y: m(x, y, None, causal(2), None))


def positions():
    for dims, options in [
        (6, {}),
        (2, {"scale": 1.5}),
        (4, {"cos_first": True, "full_turns": True, "min_freq": 0.01, "max_freq": 0.5}),
    ]:
        module = nn.SinusoidalPositionalEncoding(dims, **options)
        record("sinusoidal", None, [draw(2, 3, scale=3)], {"dim": dims} | options, call=lambda _, x, m=module: m(x))
    for heads, offset, mask in [(8, 0, False), (6, 2, True), (1, 1, False)]:
        inputs = [draw(2, heads, 2, 4)] + ([draw(2, 4)] if mask else [])
        record("alibi", None, inputs, {"offset": offset}, call=lambda _, x, *m, o=offset: nn.ALiBi()(x, o, *m))


for part in [functions, existing, convolutions, pools, upsampling, norms, recurrent, transformers, positions]:
    part()
golden = {"generator": "generate_mlx_layers.py", "mlx": "0.32.2", "seed": 17, "cases": CASES}
path = pathlib.Path(sys.argv[1]) / "mlx_layers.json"
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
