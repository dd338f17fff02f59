"""What the inputs and outputs of an exported program's graph are, in torch.export's terms."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

__all__ = ["ExportGraphSignature", "InputKind", "InputSpec", "OutputKind", "OutputSpec", "TensorArgument"]


class InputKind(Enum):
    """What an input of the graph is."""

    USER_INPUT = 1
    PARAMETER = 2
    BUFFER = 3
    CONSTANT_TENSOR = 4


class OutputKind(Enum):
    """What an output of the graph is: always a result, for programs that change tensors outside are not exported."""

    USER_OUTPUT = 1


class TensorArgument(NamedTuple):
    """A value of the graph, by the name of its node."""

    name: str


class InputSpec(NamedTuple):
    """An input: its node, and the parameter, buffer or constant that it is; of a buffer, whether it is in the state_dict."""

    kind: InputKind
    arg: TensorArgument
    target: str | None
    persistent: bool | None = None


class OutputSpec(NamedTuple):
    """An output: its node."""

    kind: OutputKind
    arg: TensorArgument
    target: str | None = None


class ExportGraphSignature(NamedTuple):
    """The inputs and outputs of a graph, in order."""

    input_specs: tuple[InputSpec, ...]
    output_specs: tuple[OutputSpec, ...]

    def _of(self, kind: InputKind) -> dict[str, str]:
        return {s.arg.name: str(s.target) for s in self.input_specs if s.kind is kind}

    @property
    def user_inputs(self) -> tuple[str, ...]:
        """The nodes of the arguments' tensors."""
        return tuple(self._of(InputKind.USER_INPUT))

    @property
    def user_outputs(self) -> tuple[str, ...]:
        """The nodes of the results."""
        return tuple(s.arg.name for s in self.output_specs)

    @property
    def inputs_to_parameters(self) -> dict[str, str]:
        """The parameter that each node is."""
        return self._of(InputKind.PARAMETER)

    @property
    def inputs_to_buffers(self) -> dict[str, str]:
        """The buffer that each node is."""
        return self._of(InputKind.BUFFER)

    @property
    def inputs_to_lifted_tensor_constants(self) -> dict[str, str]:
        """The constant that each node is: a tensor that was captured, and is neither parameter nor buffer."""
        return self._of(InputKind.CONSTANT_TENSOR)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters that the graph reads."""
        return tuple(self.inputs_to_parameters.values())

    @property
    def buffers(self) -> tuple[str, ...]:
        """The names of the buffers that the graph reads."""
        return tuple(self.inputs_to_buffers.values())

    @property
    def lifted_tensor_constants(self) -> tuple[str, ...]:
        """The names of the constants."""
        return tuple(self.inputs_to_lifted_tensor_constants.values())
