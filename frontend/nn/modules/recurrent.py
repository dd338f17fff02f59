"""RNN, LSTM and GRU over sequences, and their cells."""

from __future__ import annotations

import math
import warnings
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.amp.autocast_mode import is_autocast_cpu_enabled
from ingot.ir.size import ShapeError
from ingot.nn import functional as F
from ingot.nn import init
from ingot.nn.functional import recurrent
from ingot.nn.modules.module import Module
from ingot.nn.packed import PackedSequence
from ingot.nn.parameter import Parameter, new_parameter

__all__ = ["RNNBase", "RNN", "LSTM", "GRU", "RNNCellBase", "RNNCell", "LSTMCell", "GRUCell"]


class RNNBase(Module):
    """What `nn.RNN`, `nn.LSTM` and `nn.GRU` share: layers, directions, parameters, and a call.

    A call takes (T, N, input_size), (N, T, input_size) with batch_first, (T, input_size), or a PackedSequence, and the first
    states (num_layers * directions, N, hidden_size), zeros where None. It returns the last layer's outputs
    (T, N, directions * hidden_size) and the last states. dropout: between layers, in training. proj_size (LSTM): outputs and h
    are projected to this size. ValueError for arguments that mean nothing, ShapeError for shapes that do not fit.

    >>> isinstance(nn.GRU(2, 3), nn.RNNBase)
    True
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ):
        super().__init__()
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise ValueError("dropout should be a number in range [0, 1] representing the probability of an element being zeroed")
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                f"dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers greater than 1, "
                f"but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=3,
            )
        if not isinstance(hidden_size, int):
            raise TypeError(f"hidden_size should be of type int, got: {type(hidden_size).__name__}")
        if hidden_size <= 0:
            raise ValueError("hidden_size must be greater than zero")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if proj_size < 0 or proj_size >= hidden_size:
            raise ValueError(f"proj_size should be in [0, hidden_size), but got {proj_size}")
        if proj_size and mode != "LSTM":
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        gates, out = recurrent.GATES[mode] * hidden_size, proj_size or hidden_size
        directions = 2 if bidirectional else 1

        def make(name: str, *shape: int) -> None:
            self.register_parameter(name, new_parameter(shape, device, dtype))

        for i in range(num_layers):
            for d in range(directions):
                suffix = self._suffix(i, d)
                make("weight_ih" + suffix, gates, input_size if i == 0 else out * directions)
                make("weight_hh" + suffix, gates, out)
                if bias:
                    make("bias_ih" + suffix, gates)
                    make("bias_hh" + suffix, gates)
                if proj_size:
                    make("weight_hr" + suffix, proj_size, hidden_size)
        self.reset_parameters()

    @staticmethod
    def _suffix(layer: int, direction: int) -> str:
        return f"_l{layer}" + ("_reverse" if direction else "")

    def reset_parameters(self) -> None:
        """Draw everything from U(-1/sqrt(hidden_size), 1/sqrt(hidden_size))."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing to do here: there is one layout."""

    @property
    def _all_weights(self) -> list[list[str]]:
        """The names of the parameters of each layer and direction."""
        names = ["weight_ih", "weight_hh"] + (["bias_ih", "bias_hh"] if self.bias else []) + (["weight_hr"] if self.proj_size else [])
        directions = 2 if self.bidirectional else 1
        return [[n + self._suffix(i, d) for n in names] for i in range(self.num_layers) for d in range(directions)]

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, n) for n in names] for names in self._all_weights]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [n for names in self._all_weights for n in names]

    @property
    def _flat_weights(self) -> list[Parameter]:
        return [getattr(self, n) for n in self._flat_weights_names]

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """States with the samples of a batch in another order; themselves for None."""
        if permutation is None:
            return hx
        return tuple(h.index_select(1, permutation) for h in hx) if isinstance(hx, (tuple, list)) else hx.index_select(1, permutation)

    def _weights(self, layer: int, direction: int) -> dict[str, Any]:
        suffix = self._suffix(layer, direction)
        table = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh", "w_hr": "weight_hr"}
        return {k: self._parameters.get(name + suffix) for k, name in table.items()}

    def _states(self, hx: Any, x: Tensor, batch: int, batched: bool) -> list[Tensor]:
        """The initial states, each (layers * directions, N, size), checked."""
        rows = self.num_layers * (2 if self.bidirectional else 1)
        sizes = [self.proj_size or self.hidden_size] + ([self.hidden_size] if self.mode == "LSTM" else [])
        if hx is None:
            return [ingot.zeros((rows, batch, s), dtype=x.dtype, device=x.device) for s in sizes]
        given = list(hx) if self.mode == "LSTM" else [hx]
        if len(given) != len(sizes):
            raise ShapeError(f"{self._get_name()}: expected {len(sizes)} initial states, but got {len(given)}")
        for name, h, size in zip(("hidden", "cell"), given, sizes):
            expected = (rows, batch, size) if batched else (rows, size)
            if tuple(h.shape) != expected:
                raise ShapeError(f"{self._get_name()}: expected {name} size {list(expected)}, got {list(h.shape)}")
        return given if batched else [h.unsqueeze(1) for h in given]

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        packed = isinstance(input, PackedSequence)
        if packed:
            x, live = input._padded()
            batched = True
            if hx is not None:
                hx = self.permute_hidden(hx, input.sorted_indices)
        else:
            x, live = input, None
            if x.ndim not in (2, 3):
                raise ValueError(f"{self._get_name()}: Expected input to be 2D or 3D, got {x.ndim}D tensor instead")
            batched = x.ndim == 3
            x = x.transpose(0, 1) if batched and self.batch_first else x if batched else x.unsqueeze(1)
        if x.shape[-1] != self.input_size:
            raise ShapeError(f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {x.shape[-1]}")
        weight = self._parameters["weight_ih_l0"]
        if weight is not None and x.dtype is not weight.dtype and not is_autocast_cpu_enabled():
            raise ValueError(f"input must have the type {weight.dtype!r}, got type {x.dtype!r}")
        states = self._states(hx, x, x.shape[1], batched)
        finals: list[list[Tensor]] = [[] for _ in states]
        directions = 2 if self.bidirectional else 1
        for i in range(self.num_layers):
            outs = []
            for d in range(directions):
                first = tuple(s[i * directions + d] for s in states)
                y, *last = recurrent.layer(self.mode, x, first, self._weights(i, d), live, bool(d))
                outs.append(y)
                for kept, s in zip(finals, last):
                    kept.append(s)
            x = outs[0] if directions == 1 else ingot.cat(outs, -1)
            if self.dropout and i < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        stacked = tuple(ingot.stack(kept) for kept in finals)
        if packed:
            stacked = self.permute_hidden(stacked, input.unsorted_indices)
            return input._repacked(x), stacked if self.mode == "LSTM" else stacked[0]
        if not batched:
            x, stacked = x.squeeze(1), tuple(s.squeeze(1) for s in stacked)
        elif self.batch_first:
            x = x.transpose(0, 1)
        return x, stacked if self.mode == "LSTM" else stacked[0]

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size:
            text += f", proj_size={self.proj_size}"
        for name, default in (("num_layers", 1), ("bias", True), ("batch_first", False), ("dropout", 0.0), ("bidirectional", False)):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text


class RNN(RNNBase):
    """h = tanh(x @ W_ih.T + b_ih + h @ W_hh.T + b_hh), or relu with `nonlinearity`: a call gives (outputs, last h).

    Arguments and shapes are those of `nn.RNNBase`.

    >>> out, h = nn.RNN(4, 3)(ingot.randn(5, 2, 4))
    >>> out.shape, h.shape
    (ingot.Size([5, 2, 3]), ingot.Size([1, 2, 3]))
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", *args: Any, **kwargs: Any):
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__("RNN_TANH" if nonlinearity == "tanh" else "RNN_RELU", input_size, hidden_size, num_layers, *args, **kwargs)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Long short-term memory: a call gives (outputs, (last h, last c)). Source: https://doi.org/10.1162/neco.1997.9.8.1735.

    Arguments and shapes are those of `nn.RNNBase`; the rows of its weights are the input, forget, cell and output gates.

    >>> out, (h, c) = nn.LSTM(4, 3, num_layers=2, bidirectional=True)(ingot.randn(5, 2, 4))
    >>> out.shape, h.shape, c.shape
    (ingot.Size([5, 2, 6]), ingot.Size([4, 2, 3]), ingot.Size([4, 2, 3]))
    """

    def __init__(self, input_size: int, hidden_size: int, *args: Any, **kwargs: Any):
        super().__init__("LSTM", input_size, hidden_size, *args, **kwargs)


class GRU(RNNBase):
    """Gated recurrent unit: a call gives (outputs, last h). Source: https://arxiv.org/abs/1406.1078.

    Arguments and shapes are those of `nn.RNNBase`; the rows of its weights are the reset, update and new gates.

    >>> out, h = nn.GRU(4, 3, batch_first=True)(ingot.randn(2, 5, 4))
    >>> out.shape, h.shape
    (ingot.Size([2, 5, 3]), ingot.Size([1, 2, 3]))
    """

    def __init__(self, input_size: int, hidden_size: int, *args: Any, **kwargs: Any):
        super().__init__("GRU", input_size, hidden_size, *args, **kwargs)


class RNNCellBase(Module):
    """What the three cells share: weights and the checks of a step.

    >>> isinstance(nn.GRUCell(2, 3), nn.RNNCellBase)
    True
    """

    mode: str

    def __init__(self, input_size: int, hidden_size: int, bias: bool, device: Any = None, dtype: Any = None):
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        gates = recurrent.GATES[self.mode] * hidden_size

        def make(*shape: int) -> Parameter:
            return new_parameter(shape, device, dtype)

        self.weight_ih = make(gates, input_size)
        self.weight_hh = make(gates, hidden_size)
        self.register_parameter("bias_ih", make(gates) if bias else None)
        self.register_parameter("bias_hh", make(gates) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw everything from U(-1/sqrt(hidden_size), 1/sqrt(hidden_size))."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def _step(self, input: Tensor, states: Any, n_states: int) -> tuple[Tensor, ...]:
        if input.ndim not in (1, 2):
            raise ValueError(f"{self._get_name()}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        if input.shape[-1] != self.input_size:
            raise ShapeError(f"{self._get_name()}: expected an input of {self.input_size} features, but got {input.shape[-1]}")
        batched = input.ndim == 2
        x = input if batched else input.unsqueeze(0)
        if states is None:
            given = tuple(ingot.zeros((x.shape[0], self.hidden_size), dtype=x.dtype) for _ in range(n_states))
        else:
            given = tuple(h if batched else h.unsqueeze(0) for h in (states if n_states > 1 else (states,)))
        for h in given:
            if tuple(h.shape) != (x.shape[0], self.hidden_size):
                raise ShapeError(f"{self._get_name()}: expected states {[x.shape[0], self.hidden_size]}, but got {list(h.shape)}")
        new = recurrent.cell(self.mode, x, given, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return new if batched else tuple(h.squeeze(0) for h in new)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        return text if self.bias else text + ", bias=False"


class RNNCell(RNNCellBase):
    """One step of an RNN: (N, input_size) or (input_size), and h, zeros where None, -> h. RuntimeError for another nonlinearity.

    >>> nn.RNNCell(4, 3)(ingot.randn(2, 4)).shape
    ingot.Size([2, 3])
    """

    mode = "RNN_TANH"

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device: Any = None, dtype: Any = None
    ):
        if nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {nonlinearity}")
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity
        self.mode = "RNN_TANH" if nonlinearity == "tanh" else "RNN_RELU"

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(input, hx, 1)[0]


class LSTMCell(RNNCellBase):
    """One step of an LSTM: (N, input_size) or (input_size), and (h, c), zeros where None, -> (h, c).

    >>> h, c = nn.LSTMCell(4, 3)(ingot.randn(2, 4))
    >>> h.shape, c.shape
    (ingot.Size([2, 3]), ingot.Size([2, 3]))
    """

    mode = "LSTM"

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        h, c = self._step(input, hx, 2)
        return h, c


class GRUCell(RNNCellBase):
    """One step of a GRU: (N, input_size) or (input_size), and h, zeros where None, -> h.

    >>> nn.GRUCell(4, 3)(ingot.randn(2, 4)).shape
    ingot.Size([2, 3])
    """

    mode = "GRU"

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._step(input, hx, 1)[0]
