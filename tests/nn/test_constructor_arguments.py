"""Every constructor argument of every Module changes something: what it computes, its gradients, its state, its input, or an error.

How it prints is not enough: an argument that is stored and shown, and passed to nothing, is a fault.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import ingot
from ingot import nn
from tests.support.interpreter import interpreter  # noqa: F401  (for every test of the file)

pytestmark = pytest.mark.filterwarnings("ignore:size_average", "ignore:.*nested", "ignore:dropout")


def x(*shape: int) -> Any:
    """Normal numbers, some of them large, that require gradients."""
    return lambda: ingot.tensor((np.random.default_rng(7).normal(size=shape) * 2).astype(np.float32)).requires_grad_()


def unit(*shape: int) -> Any:
    return lambda: ingot.tensor(np.random.default_rng(5).uniform(0.1, 0.9, shape).astype(np.float32)).requires_grad_()


def signs(*shape: int) -> Any:
    return lambda: ingot.tensor(np.where(np.random.default_rng(2).random(shape) < 0.5, -1.0, 1.0).astype(np.float32))


def weight(*shape: int) -> Any:
    return lambda: ingot.tensor(np.random.default_rng(1).uniform(0.5, 2, shape).astype(np.float32))


def classes() -> Any:
    return ingot.tensor([0, 3, 1, 4])


class Case:
    """How a class is made and called: `args` of its base, `inputs`, and another value for each argument.

    A value may be a dict {argument: value, ...} with those that it needs beside, and "inputs" for other inputs.
    """

    def __init__(self, args: dict[str, Any], inputs: tuple, **other: Any):
        self.args, self.inputs, self.other = args, inputs, other


PLACE = dict(device="cuda", dtype=ingot.float64)
REDUCED = dict(size_average=False, reduce=False, reduction="sum")
INPLACE = dict(inplace=True)
NC, NCL, NCHW, NCDHW = x(4, 6), x(4, 6, 8), x(2, 4, 6, 6), x(2, 4, 6, 6, 6)


def conv(inputs: Any, **more: Any) -> Case:
    base = dict(in_channels=4, out_channels=6, kernel_size=3)
    other = dict(in_channels=2, out_channels=4, kernel_size=2, stride=2, padding=1, dilation=2, groups=2, bias=False)
    return Case(base, (inputs,), **other, **more, **PLACE)


def norm(features: int, inputs: Any, **more: Any) -> Case:
    return Case({"num_features": features}, (inputs,), **{**PLACE, **more})


def recurrent(**more: Any) -> Case:
    base = dict(input_size=3, hidden_size=4)
    other = dict(input_size=2, hidden_size=5, num_layers=2, bias=False, batch_first=True, bidirectional=True)
    return Case(base, (x(5, 2, 3),), **other, dropout={"dropout": 0.9, "num_layers": 2}, **more, **PLACE)


def cell(**more: Any) -> Case:
    return Case(dict(input_size=3, hidden_size=4), (x(2, 3),), input_size=2, hidden_size=5, bias=False, **more, **PLACE)


def pool(inputs: Any, **more: Any) -> Case:
    return Case(dict(kernel_size=3), (inputs,), kernel_size=2, stride=1, padding=1, **more)


def lp(inputs: Any) -> Case:
    return Case(dict(norm_type=2, kernel_size=3), (inputs,), norm_type=3, kernel_size=2, stride=1, ceil_mode=AVERAGE["ceil_mode"])


MAX = dict(dilation=2, return_indices=True, ceil_mode={"ceil_mode": True, "stride": 2})
AVERAGE = dict(ceil_mode={"ceil_mode": True, "stride": 2}, count_include_pad={"count_include_pad": False, "padding": 1}, divisor_override=2)
BATCH = dict(num_features=5, eps=0.5, momentum=0.7, affine=False, track_running_stats=False, bias=False)
INSTANCE = dict(
    num_features={"num_features": 5, "affine": True}, eps=0.5, momentum={"momentum": 0.7, "track_running_stats": True}, affine=True,
    track_running_stats=True, bias={"bias": False, "affine": True},
    device={"device": "cuda", "affine": True}, dtype={"dtype": ingot.float64, "affine": True},
)  # fmt: skip
TRANSPOSED = dict(output_padding={"output_padding": 1, "stride": 2}, padding_mode="reflect")
LAYER = dict(
    d_model=8, nhead=2, dim_feedforward=7, dropout=0.5, activation="gelu", layer_norm_eps=0.5, batch_first=True, norm_first=True,
    bias=False,
)  # fmt: skip
PADDED: dict[str, Any] = dict(padding=2)


def fractional(dims: int, inputs: Any) -> Case:
    ratio = {"output_ratio": 0.5, "output_size": None}
    return Case(dict(kernel_size=2, output_size=3), (inputs,), kernel_size=3, output_size=2, output_ratio=ratio, return_indices=True,
                _random_samples=unit(2, 4, dims))  # fmt: skip


def unpool(dims: int) -> Case:
    shape = (1, 2) + (2,) * dims
    places = ingot.arange(2**dims).reshape((1, 1) + (2,) * dims).expand(shape)
    return Case(dict(kernel_size=3), (x(*shape), lambda: places), kernel_size=2, stride=2, padding=1)


class Doubled(nn.Module):
    def forward(self, tgt: Any, *memory: Any, **masks: Any) -> Any:
        return tgt * 2


CASES: dict[str, Case] = {
    **{f"AdaptiveAvgPool{d}d": Case(dict(output_size=2), (i,), output_size=3) for d, i in ((1, NCL), (2, NCHW), (3, NCDHW))},
    **{f"AdaptiveMaxPool{d}d": Case(dict(output_size=2), (i,), output_size=3, return_indices=True)
       for d, i in ((1, NCL), (2, NCHW), (3, NCDHW))},
    **{n: Case({}, (i,), p=0.9, **INPLACE) for n, i in (("Dropout", NC), ("AlphaDropout", NC), ("Dropout1d", NCL), ("Dropout2d", NCHW),
                                                       ("Dropout3d", NCDHW), ("FeatureAlphaDropout", NCHW))},
    "AvgPool1d": pool(NCL, ceil_mode=AVERAGE["ceil_mode"], count_include_pad=AVERAGE["count_include_pad"]),
    "AvgPool2d": pool(NCHW, **AVERAGE), "AvgPool3d": pool(NCDHW, **AVERAGE),
    "MaxPool1d": pool(NCL, **MAX), "MaxPool2d": pool(NCHW, **MAX), "MaxPool3d": pool(NCDHW, **MAX),
    "LPPool1d": lp(NCL), "LPPool2d": lp(NCHW), "LPPool3d": lp(NCDHW),
    "MaxUnpool1d": unpool(1), "MaxUnpool2d": unpool(2), "MaxUnpool3d": unpool(3),
    "BCELoss": Case({}, (unit(3, 4), unit(3, 4)), weight=weight(4), **REDUCED),
    "BCEWithLogitsLoss": Case({}, (x(3, 4), unit(3, 4)), weight=weight(4), pos_weight=weight(4), **REDUCED),
    "BatchNorm1d": norm(6, NCL, **BATCH), "BatchNorm2d": norm(4, NCHW, **BATCH), "BatchNorm3d": norm(4, NCDHW, **BATCH),
    "InstanceNorm1d": norm(6, NCL, **INSTANCE), "InstanceNorm2d": norm(4, NCHW, **INSTANCE), "InstanceNorm3d": norm(4, NCDHW, **INSTANCE),
    "Bilinear": Case(dict(in1_features=3, in2_features=2, out_features=4), (x(5, 3), x(5, 2)), in1_features=2, in2_features=3,
                     out_features=1, bias=False, **PLACE),
    "CELU": Case({}, (NC,), alpha=0.3, **INPLACE), "ELU": Case({}, (NC,), alpha=0.3, **INPLACE),
    "CTCLoss": Case({}, (lambda: x(6, 2, 5)().log_softmax(-1), lambda: ingot.tensor([[1, 2, 3], [1, 1, 1]]),
                         lambda: ingot.tensor([6, 6]), lambda: ingot.tensor([3, 3])),
                    blank=4, reduction="sum", zero_infinity={"zero_infinity": True, "inputs": (
                        lambda: x(6, 2, 5)().log_softmax(-1), lambda: ingot.tensor([[1, 2, 3], [1, 1, 1]]),
                        lambda: ingot.tensor([6, 3]), lambda: ingot.tensor([3, 3]))}),
    "ChannelShuffle": Case(dict(groups=2), (NCHW,), groups=4),
    **{f"{kind}Pad{d}d": Case(dict(padding=1), (i,), **PADDED)
       for kind in ("Circular", "Reflection", "Replication", "Zero") for d, i in ((1, NCL), (2, NCHW), (3, NCDHW))},
    **{f"ConstantPad{d}d": Case(dict(padding=1, value=0.5), (i,), padding=2, value=1.5) for d, i in ((1, NCL), (2, NCHW), (3, NCDHW))},
    **{f"Conv{d}d": conv(i, padding_mode={"padding_mode": "reflect", "padding": 1}) for d, i in ((1, x(2, 4, 8)), (2, NCHW), (3, NCDHW))},
    **{f"ConvTranspose{d}d": conv(i, **TRANSPOSED) for d, i in ((1, x(2, 4, 8)), (2, NCHW), (3, NCDHW))},
    "CosineEmbeddingLoss": Case({}, (x(5, 3), x(5, 3), signs(5)), margin=0.5, **REDUCED),
    "CosineSimilarity": Case({}, (x(4, 5), x(4, 5)), dim=0, eps=100.0),
    "CrossEntropyLoss": Case({}, (x(4, 5), classes), weight=weight(5), ignore_index=3, label_smoothing=0.3, **REDUCED),
    "Embedding": Case(
        dict(num_embeddings=5, embedding_dim=3), (lambda: ingot.tensor([1, 1, 4, 0]),), num_embeddings=6, embedding_dim=4, padding_idx=1,
        max_norm=0.5, norm_type={"norm_type": 1.0, "max_norm": 0.5}, scale_grad_by_freq=True, _weight=weight(5, 3),
        _freeze={"_freeze": True, "_weight": weight(5, 3)}, **PLACE),
    "EmbeddingBag": Case(
        dict(num_embeddings=5, embedding_dim=3), (lambda: ingot.tensor([1, 1, 4, 0, 2]), lambda: ingot.tensor([0, 2, 5])),
        num_embeddings=6, embedding_dim=4, max_norm=0.5, norm_type={"norm_type": 1.0, "max_norm": 0.5},
        scale_grad_by_freq={"scale_grad_by_freq": True, "mode": "sum"}, mode="max", _weight=weight(5, 3), include_last_offset=True,
        padding_idx=1, **PLACE),
    "Flatten": Case({}, (NCHW,), start_dim=2, end_dim=2),
    "Unflatten": Case(dict(dim=1, unflattened_size=(2, 3)), (x(6, 6),), dim=0, unflattened_size=(3, 2)),
    "Fold": Case(dict(output_size=(4, 5), kernel_size=(2, 2)), (x(1, 8, 12),), output_size=(5, 4), kernel_size=(1, 2), dilation=(1, 2),
                 padding=1, stride=2),
    "Unfold": Case(dict(kernel_size=2), (NCHW,), kernel_size=3, dilation=2, padding=1, stride=2),
    "GELU": Case({}, (NC,), approximate="tanh"), "GLU": Case({}, (x(4, 6),), dim=0),
    "GRU": recurrent(), "LSTM": recurrent(proj_size=2), "RNN": recurrent(nonlinearity="relu"),
    "RNNBase": Case(dict(mode="LSTM", input_size=3, hidden_size=4), (x(5, 2, 3),), mode="GRU", input_size=2, hidden_size=5, num_layers=2,
                    bias=False, batch_first=True, dropout={"dropout": 0.9, "num_layers": 2}, bidirectional=True, proj_size=2, **PLACE),
    "GRUCell": cell(), "LSTMCell": cell(), "RNNCell": cell(nonlinearity="relu"),
    "GaussianNLLLoss": Case({}, (x(4, 3), x(4, 3), unit(4, 3)), full=True, eps=0.5, reduction="sum"),
    "GroupNorm": Case(dict(num_groups=2, num_channels=4), (NCHW,), num_groups=4, num_channels=8, eps=0.5, affine=False, bias=False,
                      **PLACE),
    "LayerNorm": Case(dict(normalized_shape=6), (NC,), normalized_shape=(4, 6), eps=0.5, elementwise_affine=False, bias=False, **PLACE),
    "RMSNorm": Case(dict(normalized_shape=6), (NC,), normalized_shape=(4, 6), eps=0.5, elementwise_affine=False, **PLACE),
    "LocalResponseNorm": Case(dict(size=2), (NCHW,), size=3, alpha=0.5, beta=0.3, k=2.0),
    "Hardshrink": Case({}, (NC,), lambd=1.5), "Softshrink": Case({}, (NC,), lambd=1.5),
    **{n: Case({}, (NC,), **INPLACE) for n in ("Hardsigmoid", "Hardswish", "Mish", "ReLU", "ReLU6", "SELU", "SiLU")},
    **{n: Case({}, (NC,)) for n in ("LogSigmoid", "Sigmoid", "Softsign", "Tanh", "Tanhshrink", "Identity")}, "Softmax2d": Case({}, (NCHW,)),
    "Hardtanh": Case({}, (NC,), min_val=-0.5, max_val=0.5, min_value=-0.5, max_value=0.5, **INPLACE),
    "LeakyReLU": Case({}, (NC,), negative_slope=0.5, **INPLACE),
    "LogSoftmax": Case(dict(dim=1), (NC,), dim=0), "Softmax": Case(dict(dim=1), (NC,), dim=0), "Softmin": Case(dict(dim=1), (NC,), dim=0),
    "PReLU": Case({}, (NC,), num_parameters=6, init=0.5, **PLACE),
    "RReLU": Case({}, (NC,), lower=0.01, upper=0.9, **INPLACE),
    "Softplus": Case({}, (NC,), beta=3, threshold=0.5),
    "Threshold": Case(dict(threshold=0.1, value=2.0), (NC,), threshold=1.0, value=3.0, **INPLACE),
    "HingeEmbeddingLoss": Case({}, (x(4, 3), signs(4, 3)), margin=2.0, **REDUCED),
    "HuberLoss": Case({}, (x(4, 3), weight(4, 3)), reduction="sum", delta=0.3),
    "SmoothL1Loss": Case({}, (x(4, 3), weight(4, 3)), beta=0.3, **REDUCED),
    "KLDivLoss": Case({}, (x(4, 3), unit(4, 3)), log_target=True, **REDUCED),
    **{n: Case({}, (x(4, 3), weight(4, 3)), **REDUCED) for n in ("L1Loss", "MSELoss")},
    "SoftMarginLoss": Case({}, (x(4, 3), signs(4, 3)), **REDUCED),
    "Linear": Case(dict(in_features=6, out_features=2), (NC,), in_features=5, out_features=3, bias=False, **PLACE),
    "MarginRankingLoss": Case({}, (x(5), unit(5), signs(5)), margin=1.0, **REDUCED),
    "MultiLabelMarginLoss": Case({}, (x(2, 4), lambda: ingot.tensor([[1, 0, -1, 2], [3, -1, 0, 0]])), **REDUCED),
    "MultiLabelSoftMarginLoss": Case({}, (x(3, 4), unit(3, 4)), weight=weight(4), **REDUCED),
    "MultiMarginLoss": Case({}, (x(4, 5), classes), p=2, margin=0.3, weight=weight(5), **REDUCED),
    "NLLLoss": Case({}, (x(4, 5), classes), weight=weight(5), ignore_index=3, **REDUCED),
    "PoissonNLLLoss": Case({}, (x(4, 3), weight(4, 3)), log_input={"log_input": False, "inputs": (unit(4, 3), weight(4, 3))}, full=True,
                           eps={"eps": 0.5, "log_input": False, "inputs": (unit(4, 3), weight(4, 3))}, **REDUCED),
    "TripletMarginLoss": Case({}, (x(5, 3), unit(5, 3), weight(5, 3)), margin=3.0, p=1.0, eps=0.5, swap=True, **REDUCED),
    "TripletMarginWithDistanceLoss": Case({}, (x(5, 3), unit(5, 3), weight(5, 3)), margin=3.0, swap=True, reduction="sum",
                                          distance_function=lambda: lambda a, b: (a - b).abs().sum(-1)),
    "PairwiseDistance": Case({}, (x(4, 3), unit(4, 3)), p=1.0, eps=0.5, keepdim=True),
    "MultiheadAttention": Case(
        dict(embed_dim=8, num_heads=2), (x(3, 2, 8),) * 3, embed_dim=4, num_heads=4, dropout=0.5, bias=False, add_bias_kv=True,
        add_zero_attn=True, kdim={"kdim": 6, "inputs": (x(3, 2, 8), x(3, 2, 6), x(3, 2, 8))},
        vdim={"vdim": 6, "inputs": (x(3, 2, 8), x(3, 2, 8), x(3, 2, 6))}, batch_first=True, **PLACE),
    "PixelShuffle": Case(dict(upscale_factor=2), (NCHW,), upscale_factor=1),
    "PixelUnshuffle": Case(dict(downscale_factor=2), (NCHW,), downscale_factor=3),
    "TransformerEncoderLayer": Case(dict(d_model=4, nhead=1), (x(3, 2, 4),), **LAYER, **PLACE),
    "TransformerDecoderLayer": Case(dict(d_model=4, nhead=1), (x(3, 2, 4),) * 2, **LAYER, **PLACE),
    "Transformer": Case(dict(d_model=4, nhead=1, num_encoder_layers=1, num_decoder_layers=1), (x(3, 2, 4),) * 2, num_encoder_layers=2,
                        num_decoder_layers=2, custom_encoder=Doubled, custom_decoder=Doubled, **LAYER, **PLACE),
    "TransformerEncoder": Case(dict(encoder_layer=lambda: nn.TransformerEncoderLayer(4, 1), num_layers=1), (x(3, 2, 4),),
                               encoder_layer=lambda: nn.TransformerEncoderLayer(4, 2), num_layers=2, norm=lambda: nn.LayerNorm(4)),
    "TransformerDecoder": Case(dict(decoder_layer=lambda: nn.TransformerDecoderLayer(4, 1), num_layers=1), (x(3, 2, 4),) * 2,
                               decoder_layer=lambda: nn.TransformerDecoderLayer(4, 2), num_layers=2, norm=lambda: nn.LayerNorm(4)),
    "Upsample": Case(
        dict(scale_factor=2.5), (NCHW,), size={"size": 7, "scale_factor": None}, scale_factor=3.0, mode="bilinear",
        align_corners={"align_corners": True, "mode": "bilinear"}, 
        recompute_scale_factor={"recompute_scale_factor": True, "mode": "bilinear", "scale_factor": 2.3}),
    "UpsamplingBilinear2d": Case(dict(scale_factor=2), (NCHW,), size={"size": 7, "scale_factor": None}, scale_factor=3),
    "UpsamplingNearest2d": Case(dict(scale_factor=2), (NCHW,), size={"size": 7, "scale_factor": None}, scale_factor=3),
    "AdaptiveLogSoftmaxWithLoss": Case(dict(in_features=8, n_classes=6, cutoffs=[2, 4]), (x(4, 8), classes), in_features=7, n_classes=7,
                                       cutoffs=[3], div_value=2.0, head_bias=True, **PLACE),
    "CrossMapLRN2d": Case(dict(size=2), (NCHW,), size=3, alpha=0.5, beta=0.3, k=2.0),
    "FractionalMaxPool2d": fractional(2, NCHW), "FractionalMaxPool3d": fractional(3, NCDHW),
    "LinearCrossEntropyLoss": Case(dict(in_features=8, num_classes=5), (x(4, 8), classes), in_features=7, num_classes=6, out_features=(2,),
                                   bias=True, reduction="sum", weight=weight(5), ignore_index=3, label_smoothing=0.3, **PLACE),
    "NLLLoss2d": Case({}, (x(4, 5), classes), weight=weight(5), ignore_index=3, **REDUCED),
    "SyncBatchNorm": norm(4, NCHW, **BATCH),
}  # fmt: skip

# containers, a base, and what has one device to divide among
WITHOUT = {"Container", "DataParallel", "Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential", "RNNCellBase"}

# accepted, and of no effect on purpose: hints of torch's for how it computes
HINTS = {
    ("Embedding", "sparse"), ("EmbeddingBag", "sparse"), ("LinearCrossEntropyLoss", "options"), ("SyncBatchNorm", "process_group"),
    ("TransformerEncoder", "enable_nested_tensor"), ("TransformerEncoder", "mask_check"),
}  # fmt: skip


def modules() -> dict[str, type]:
    found = {n: getattr(nn, n) for n in dir(nn) if n not in WITHOUT and not n.startswith("Lazy")}  # those are what they become
    return {n: c for n, c in found.items() if isinstance(c, type) and issubclass(c, nn.Module)}


def arguments(name: str) -> list[str]:
    """The constructor's arguments; those that it hands on to its base are the base's."""
    cls, out = modules()[name], dict[str, None]()
    for c in (cls, *(b for b in cls.__mro__[1:] if b.__name__ == "RNNBase")):
        parameters = inspect.signature(c).parameters.values()
        out.update((p.name, None) for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
    return [a for a in out if not (a == "mode" and name in ("GRU", "LSTM", "RNN")) and not (a == "proj_size" and name in ("GRU", "RNN"))]


def test_the_table_is_whole():
    assert modules().keys() == CASES.keys()


def observed(cls: type, args: dict[str, Any], inputs: tuple) -> Any:
    """All that shows of a module but its text, or the error."""
    ingot.manual_seed(0)
    try:
        m = cls(**{k: v() if callable(v) else v for k, v in args.items()})
        state = {k: (v.dtype, v.tolist()) for k, v in m.state_dict().items()}
        given = [i() for i in inputs]
        copies = [g * 1 if g.dtype.is_floating_point else g for g in given]
        found: list[Any] = [state, [p.requires_grad for p in m.parameters()]]
        for training in (True, False):
            m.train(training)
            ingot.manual_seed(1)
            flat: list[Any] = []
            _flatten(m(*copies), flat)
            found.append([(t.dtype, t.shape, t.tolist()) for t in flat])
            if training:
                for t in flat:
                    if t.requires_grad:
                        (t * ingot.arange(1, t.numel() + 1).reshape(t.shape)).sum().backward(retain_graph=True)
                found += [p.grad.tolist() if p.grad is not None else None for p in (*m.parameters(), *given) if p.requires_grad]
                found += [c.tolist() for c in copies]
                copies = [c.detach() for c in copies]
        found.append({k: v.tolist() for k, v in m.state_dict().items()})
        return repr(found)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        return f"{type(error).__name__}: {error}"


def _flatten(result: Any, out: list[Any]) -> None:
    if isinstance(result, tuple):
        for r in result:
            _flatten(r, out)
    elif result is not None:
        out.append(result)


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_argument_changes_something(name):
    case, cls = CASES[name], modules()[name]
    plain = observed(cls, case.args, case.inputs)
    assert not plain.startswith(("RuntimeError", "ValueError", "TypeError", "IndexError", "AssertionError")) or name == "RNNBase", plain
    nothing = []
    for argument in arguments(name):
        if (name, argument) in HINTS or (name, argument) == ("Identity", "args"):
            continue
        value = case.other[argument]
        more = dict(value) if isinstance(value, dict) else {argument: value}
        inputs = more.pop("inputs", case.inputs)
        beside = {k: v for k, v in more.items() if k != argument}
        base = observed(cls, {**case.args, **beside}, inputs) if beside or inputs is not case.inputs else plain
        if observed(cls, {**case.args, **more}, inputs) == base:
            nothing.append(argument)
    assert not nothing, f"nn.{name}: nothing changes by {', '.join(nothing)}"
