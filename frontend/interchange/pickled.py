"""A reader of pickles that builds containers, numbers and strings, and calls nothing but the functions that it is given by name.

    read(data, {("collections", "OrderedDict"): OrderedDict}, persistent)

It is a machine of its own, not Python's: what a pickle names is looked up in a table and never imported.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = ["PickleError", "Named", "read"]

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
    "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NOTHING = {"PROTO", "FRAME"}
_MARK = object()


class PickleError(ValueError):
    """A pickle that is damaged, or that names something it must not; the message says what."""


class Named(NamedTuple):
    """Something that a pickle names and that is not called: a class that an argument gives."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


def read(data: bytes, names: Mapping[tuple[str, str], Any], persistent: Callable[[Any], Any], state: Callable[[Any, Any], None]) -> Any:
    """The object of a pickle.

    names: (module, name) -> what stands for it: a function, which the pickle may call, or any other value.
    persistent(id): what stands for an object that is kept elsewhere. state(x, s): give `x`, which was made by a function, its state.

    PickleError for what is damaged, and for names that are not in the table. What the functions raise comes through.
    """
    return _Machine(names, persistent, state).run(data)


class _Machine:
    def __init__(self, names: Mapping[tuple[str, str], Any], persistent: Callable[[Any], Any], state: Callable[[Any, Any], None]):
        self.names, self.persistent, self.state = names, persistent, state
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        try:
            for op, arg, _ in pickletools.genops(data):
                if op.name == "STOP":
                    if len(self.stack) != 1 or self.stack[0] is _MARK:
                        raise PickleError("damaged: it is not one object")
                    return self.stack[0]
                self.step(op.name, arg)
        except (IndexError, KeyError, AttributeError) as e:
            raise PickleError(f"damaged ({type(e).__name__}: {e})") from None
        except PickleError:
            raise
        except (ValueError, TypeError, OverflowError) as e:
            raise PickleError(f"damaged: {e}") from None
        raise PickleError("damaged: it has no end")

    def step(self, op: str, arg: Any) -> None:
        stack = self.stack
        if op in _VALUES:
            stack.append(arg)
        elif op in _CONSTANTS:
            stack.append(_CONSTANTS[op])
        elif op in _EMPTY:
            stack.append(_EMPTY[op]())
        elif op in _TUPLES:
            items = [stack.pop() for _ in range(_TUPLES[op])]
            stack.append(tuple(reversed(items)))
        elif op in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[arg])
        elif op in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[arg] = stack[-1]
        elif op == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif op in _NOTHING:
            pass
        else:
            found = getattr(self, op.lower(), None)
            if op in _STEPS and found is not None:
                found(arg)
            else:
                raise PickleError(f"it uses {op}, which no file of torch.save does")

    def marked(self) -> list[Any]:
        """What was pushed since the last mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise PickleError("damaged: a mark is missing")
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    # ---- the other operations, by their names

    def mark(self, arg: Any) -> None:
        self.stack.append(_MARK)

    def pop(self, arg: Any) -> None:
        self.stack.pop()

    def dup(self, arg: Any) -> None:
        self.stack.append(self.stack[-1])

    def tuple(self, arg: Any) -> None:
        self.stack.append(tuple(self.marked()))

    def list(self, arg: Any) -> None:
        self.stack.append(self.marked())

    def dict(self, arg: Any) -> None:
        items = self.marked()
        self.stack.append(dict(zip(items[::2], items[1::2], strict=True)))

    def frozenset(self, arg: Any) -> None:
        self.stack.append(frozenset(self.marked()))

    def append(self, arg: Any) -> None:
        value = self.stack.pop()
        self.top(list).append(value)

    def appends(self, arg: Any) -> None:
        items = self.marked()
        self.top(list).extend(items)

    def additems(self, arg: Any) -> None:
        items = self.marked()
        self.top(set).update(items)

    def setitem(self, arg: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.top(dict)[key] = value

    def setitems(self, arg: Any) -> None:
        items = self.marked()
        self.top(dict).update(zip(items[::2], items[1::2], strict=True))

    def top(self, kind: type) -> Any:
        """The object on top of the stack, of this kind."""
        x = self.stack[-1]
        if not isinstance(x, kind):
            raise PickleError(f"damaged: a {kind.__name__} is filled that is a {type(x).__name__}")
        return x

    def binpersid(self, arg: Any) -> None:
        self.stack.append(self.persistent(self.stack.pop()))

    def global_(self, module: str, name: str) -> None:
        if (module, name) not in self.names:
            raise PickleError(
                f"it names {module}.{name}, which is none of the tensors, containers and numbers that are read; "
                "of a model save the state_dict()"
            )
        self.stack.append(self.names[module, name])

    def stack_global(self, arg: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.global_(str(module), str(name))

    def reduce(self, arg: Any) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        if not isinstance(args, tuple) or isinstance(function, Named) or not callable(function):
            raise PickleError(f"it calls {function}, which is no function that is known")
        self.stack.append(function(*args))

    newobj = reduce

    def build(self, arg: Any) -> None:
        state = self.stack.pop()
        self.state(self.stack[-1], state)


setattr(_Machine, "global", lambda self, arg: self.global_(*arg.split(" ", 1)))  # "module name", as genops has it
_STEPS = {
    "MARK", "POP", "DUP", "TUPLE", "LIST", "DICT", "FROZENSET", "APPEND", "APPENDS", "ADDITEMS", "SETITEM", "SETITEMS", "BINPERSID",
    "GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ", "BUILD",
}  # fmt: skip
