"""Activation modules."""

from __future__ import annotations

from typing import Any

from ingot._paths import also
from ingot._tensor import Tensor
from ingot.nn import functional as F
from ingot.nn import init
from ingot.nn.modules.module import Module
from ingot.nn.modules.simple import REQUIRED, Functional
from ingot.nn.parameter import new_parameter

__all__ = [
    "ReLU", "ReLU6", "LeakyReLU", "ELU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Sigmoid", "Tanh", "Softplus", "Softsign", "Hardtanh",
    "Hardswish", "Hardsigmoid", "Hardshrink", "Softshrink", "Tanhshrink", "LogSigmoid", "PReLU", "RReLU", "GLU", "Softmax", "Softmax2d",
    "LogSoftmax", "Softmin", "Threshold",
]  # fmt: skip

__getattr__ = also(__name__, "ingot.nn.modules.attention")


class ReLU(Functional):
    """max(x, 0): `F.relu` as a module. inplace: overwrite the input, here and in the other activations.

    >>> nn.ReLU()(ingot.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    fn = F.relu
    settings = {"inplace": False}


class LeakyReLU(Functional):
    """x where x > 0, else negative_slope * x: `F.leaky_relu` as a module.

    >>> nn.LeakyReLU(0.1)(ingot.tensor([-1.0, 2.0]))
    tensor([-0.1000,  2.0000])
    """

    fn = F.leaky_relu
    settings = {"negative_slope": 0.01, "inplace": False}


class ELU(Functional):
    """x where x > 0, else alpha * (exp(x) - 1): `F.elu` as a module.

    >>> nn.ELU()(ingot.tensor([-1.0, 2.0]))
    tensor([-0.6321,  2.0000])
    """

    fn = F.elu
    settings = {"alpha": 1.0, "inplace": False}


class SELU(Functional):
    """The self-normalising ELU: `F.selu` as a module.

    >>> nn.SELU()(ingot.tensor([-1.0, 2.0]))
    tensor([-1.1113,  2.1014])
    """

    fn = F.selu
    settings = {"inplace": False}


class CELU(Functional):
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1)): `F.celu` as a module.

    >>> nn.CELU(alpha=2.0)(ingot.tensor([-1.0, 2.0]))
    tensor([-0.7869,  2.0000])
    """

    fn = F.celu
    settings = {"alpha": 1.0, "inplace": False}


class GELU(Functional):
    """x * Phi(x), or its tanh approximation with approximate="tanh": `F.gelu` as a module.

    >>> nn.GELU()(ingot.tensor([-1.0, 2.0]))
    tensor([-0.1587,  1.9545])
    """

    fn = F.gelu
    settings = {"approximate": "none"}


class SiLU(Functional):
    """x * sigmoid(x): `F.silu` as a module.

    >>> nn.SiLU()(ingot.tensor([-1.0, 2.0]))
    tensor([-0.2689,  1.7616])
    """

    fn = F.silu
    settings = {"inplace": False}


class Mish(Functional):
    """x * tanh(softplus(x)): `F.mish` as a module.

    >>> nn.Mish()(ingot.tensor([-1.0, 2.0]))
    tensor([-0.3034,  1.9440])
    """

    fn = F.mish
    settings = {"inplace": False}


class Sigmoid(Functional):
    """1 / (1 + exp(-x)).

    >>> nn.Sigmoid()(ingot.tensor([-1.0, 0.0]))
    tensor([0.2689, 0.5000])
    """

    fn = F.sigmoid
    settings: dict = {}


class Tanh(Functional):
    """Hyperbolic tangent.

    >>> nn.Tanh()(ingot.tensor([-1.0, 3.0]))
    tensor([-0.7616,  0.9951])
    """

    fn = F.tanh
    settings: dict = {}


class Softplus(Functional):
    """log(1 + exp(beta * x)) / beta, and x where beta * x > threshold: `F.softplus` as a module.

    >>> nn.Softplus(beta=2.0)(ingot.tensor([-1.0, 0.0]))
    tensor([0.0635, 0.3466])
    """

    fn = F.softplus
    settings = {"beta": 1.0, "threshold": 20.0}


class Softsign(Functional):
    """x / (1 + |x|).

    >>> nn.Softsign()(ingot.tensor([-1.0, 3.0]))
    tensor([-0.5000,  0.7500])
    """

    fn = F.softsign
    settings: dict = {}


class Hardtanh(Functional):
    """x clamped to [min_val, max_val]. ValueError unless min_val < max_val.

    >>> nn.Hardtanh(-1.0, 2.0)(ingot.tensor([-3.0, 3.0]))
    tensor([-1.,  2.])
    """

    fn = F.hardtanh
    settings = {"min_val": -1.0, "max_val": 1.0, "inplace": False}

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        if self.max_val <= self.min_val:
            raise ValueError(f"max_val must be larger than min_val: {self.max_val} <= {self.min_val}")


class ReLU6(Hardtanh):
    """min(max(x, 0), 6): `F.relu6` as a module.

    >>> nn.ReLU6()(ingot.tensor([-1.0, 8.0]))
    tensor([0., 6.])
    """

    fn = F.relu6  # type: ignore[assignment]
    settings = {"inplace": False}
    min_val, max_val = 0.0, 6.0


class Hardswish(Functional):
    """x * hardsigmoid(x): `F.hardswish` as a module.

    >>> nn.Hardswish()(ingot.tensor([-1.5, 1.5, 4.0]))
    tensor([-0.3750,  1.1250,  4.0000])
    """

    fn = F.hardswish
    settings = {"inplace": False}


class Hardsigmoid(Functional):
    """0 up to -3, 1 from 3 on, x / 6 + 1 / 2 between.

    >>> nn.Hardsigmoid()(ingot.tensor([-3.0, 0.0, 1.5]))
    tensor([0.0000, 0.5000, 0.7500])
    """

    fn = F.hardsigmoid
    settings = {"inplace": False}


class Hardshrink(Functional):
    """x where |x| > lambd, else 0.

    >>> nn.Hardshrink(0.75)(ingot.tensor([-1.0, 0.25, 0.5]))
    tensor([-1.,  0.,  0.])
    """

    fn = F.hardshrink
    settings = {"lambd": 0.5}
    positional = ("lambd",)


class Softshrink(Functional):
    """x moved towards 0 by lambd; 0 within [-lambd, lambd].

    >>> nn.Softshrink()(ingot.tensor([-1.0, 0.25, 0.75]))
    tensor([-0.5000,  0.0000,  0.2500])
    """

    fn = F.softshrink
    settings = {"lambd": 0.5}
    positional = ("lambd",)


class Tanhshrink(Functional):
    """x - tanh(x).

    >>> nn.Tanhshrink()(ingot.tensor([-1.0, 3.0]))
    tensor([-0.2384,  2.0049])
    """

    fn = F.tanhshrink
    settings: dict = {}


class LogSigmoid(Functional):
    """log(sigmoid(x)), without overflow.

    >>> nn.LogSigmoid()(ingot.tensor([-1000.0, 0.0]))
    tensor([-1.0000e+03, -6.9315e-01])
    """

    fn = F.logsigmoid
    settings: dict = {}


class GLU(Functional):
    """a * sigmoid(b), a and b the halves of x along `dim`: `F.glu` as a module.

    >>> nn.GLU()(ingot.tensor([1.0, 2.0, 0.0, 0.0]))
    tensor([0.5000, 1.0000])
    """

    fn = F.glu
    settings = {"dim": -1}


class Softmax(Functional):
    """exp(x) / sum(exp(x)) along `dim`. Give it: without, a dim is guessed, with a warning.

    >>> nn.Softmax(dim=0)(ingot.tensor([1.0, 2.0, 3.0]))
    tensor([0.0900, 0.2447, 0.6652])
    """

    fn = F.softmax
    settings = {"dim": None}


class LogSoftmax(Functional):
    """log(softmax(x)) along `dim`, without overflow.

    >>> nn.LogSoftmax(dim=0)(ingot.tensor([1.0, 2.0, 3.0]))
    tensor([-2.4076, -1.4076, -0.4076])
    """

    fn = F.log_softmax
    settings = {"dim": None}


class Softmin(Functional):
    """softmax(-x) along `dim`.

    >>> nn.Softmin(dim=0)(ingot.tensor([1.0, 2.0, 3.0]))
    tensor([0.6652, 0.2447, 0.0900])
    """

    fn = F.softmin
    settings = {"dim": None}


class Softmax2d(Module):
    """Softmax over the channels of (N, C, H, W) or (C, H, W). ValueError for other ranks.

    >>> nn.Softmax2d()(ingot.zeros(1, 2, 1, 1)).flatten()
    tensor([0.5000, 0.5000])
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        return F.softmax(input, -3)


class Threshold(Functional):
    """x where x > threshold, else value.

    >>> nn.Threshold(1.0, -9.0)(ingot.tensor([0.5, 2.0]))
    tensor([-9.,  2.])
    """

    fn = F.threshold
    settings = {"threshold": REQUIRED, "value": REQUIRED, "inplace": False}


class RReLU(Functional):
    """`nn.LeakyReLU` whose slope is drawn for each element from [lower, upper) in training; their mean in `eval()`.

    >>> nn.RReLU(0.1, 0.3).eval()(ingot.tensor([-1.0, 2.0]))
    tensor([-0.2000,  2.0000])
    """

    settings = {"lower": 1 / 8, "upper": 1 / 3, "inplace": False}

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)


class PReLU(Module):
    """x where x > 0, else weight * x, with a learned weight: one, or `num_parameters` for as many channels (dim 1).

    >>> nn.PReLU(2, init=0.5)(ingot.tensor([[-1.0, 2.0]]))
    tensor([[-0.5000,  2.0000]], grad_fn=<PreluBackward0>)
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None):
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = new_parameter((num_parameters,), device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set every weight to `init`."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
