"""Paths of torch's modules under which names of Ingot's are found too: `from ingot.nn.modules.batchnorm import BatchNorm2d`.

PATHS says which module has the names, or which modules, in order. Such a path is a module of its own, whose attributes are theirs.
Other modules have names that only answer (_answering.py).
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["PATHS", "also", "below", "homes_of", "install"]

_NORM, _SIMPLE = ("ingot.nn.modules.normalization", "ingot.nn.modules.older", "ingot.nn.modules.lazy"), "ingot.nn.modules"
PATHS: dict[str, str | tuple[str, ...]] = {
    "ingot.cuda.amp.autocast_mode": "ingot.cuda.amp",
    "ingot.cuda.amp.grad_scaler": "ingot.cuda.amp", "ingot.autograd.anomaly_mode": "ingot.autograd.anomaly",
    "ingot._custom_ops": "ingot.library", "ingot.fx._symbolic_trace": "ingot.fx.tracing",
    "ingot.fx.proxy": ("ingot.fx.proxies", "ingot.fx.tracing"), "ingot.quantization": "ingot.ao.quantization",
    **{f"ingot{at}.quantization.{n}": "ingot.ao.quantization" for at in ("", ".ao") for n in ("fake_quantize", "observer", "qconfig")},
    "ingot.autograd.grad_mode": "ingot.grad_mode", "ingot.functional": "ingot", "ingot.nn.modules.batchnorm": _NORM,
    "ingot.nn.modules.instancenorm": _NORM, "ingot.nn.modules.rnn": "ingot.nn.modules.recurrent",
    **{f"ingot.nn.modules.{n}": _SIMPLE for n in (
        "channelshuffle", "distance", "flatten", "fold", "pixelshuffle", "sparse", "upsampling",
    )},
    "ingot.nn.modules.padding": "ingot.nn.modules.movement", "ingot.nn.modules.adaptive": "ingot.nn.modules.adaptive_softmax",
    **{f"ingot.jit.{n}": "ingot.jit" for n in ("_freeze", "_script", "_serialization", "_trace")},
    "ingot.optim._adafactor": "ingot.optim.adafactor", "ingot.optim._muon": "ingot.optim.muon",
    "ingot._functorch": "ingot.func",
    **{f"ingot._functorch.{n}": "ingot.func" for n in ("apis", "batch_norm_replacement", "eager_transforms", "functional_call", "vmap")},
    "ingot.nn.modules.transformer": ("ingot.nn.modules", "ingot.nn.modules.attention"),
    **{f"ingot.onnx.symbolic_{n}": "ingot.onnx.symbolic" for n in ("helper", *(f"opset{v}" for v in range(7, 21)))},
    "ingot.nn.parallel.distributed": "ingot.nn.parallel", "ingot.nn.utils.clip_grad": "ingot.nn.utils.clip",
    "ingot.nn.utils.convert_parameters": "ingot.nn.utils.vector", "ingot.optim.adamw": "ingot.optim.adam",
    "ingot.utils.data.dataloader": ("ingot.utils.data", "ingot.utils.data.loader"),
    "ingot.nn.parallel.scatter_gather": "ingot.nn.parallel", "ingot.utils.data._utils": "ingot.utils.data",
    "ingot.utils.data._utils.collate": "ingot.utils.data.collate", "ingot.utils.data._utils.worker": "ingot.utils.data.worker",
    "ingot.utils.data._utils.pin_memory": "ingot.utils.data.pinning", "ingot.utils._device": "ingot.process",
    **{f"ingot.distributions.{n}": "ingot.distributions" for n in (
        "bernoulli", "beta", "binomial", "categorical", "cauchy", "chi2", "continuous_bernoulli", "dirichlet", "exp_family", "exponential",
        "fishersnedecor", "gamma", "generalized_pareto", "geometric", "gumbel", "half_cauchy", "half_normal", "independent",
        "inverse_gamma", "kumaraswamy", "laplace", "lkj_cholesky", "log_normal", "logistic_normal", "lowrank_multivariate_normal",
        "mixture_same_family", "multinomial", "negative_binomial", "normal", "one_hot_categorical", "pareto",
        "poisson", "relaxed_bernoulli", "relaxed_categorical", "studentT", "transformed_distribution", "uniform", "von_mises", "weibull",
        "wishart",
    )},
    "ingot.distributions.multivariate_normal": ("ingot.distributions", "ingot.distributions.multivariate"),
    "ingot.utils._contextlib": "ingot.grad_mode",
    "ingot.storage": "ingot.functions.memory_methods",
    "ingot.utils._foreach_utils": "ingot.optim.helpers", "ingot.fx._pytree": "ingot.utils._pytree",
    "ingot._dynamo.eval_frame": "ingot._dynamo", "ingot._jit_internal": "ingot.jit",
    "ingot.utils.hooks": "ingot.nn.modules.hooks", "ingot._higher_order_ops": "ingot.control",
    **{f"ingot._higher_order_ops.{n}": "ingot.control" for n in ("associative_scan", "cond", "map", "scan", "while_loop")},
}  # fmt: skip


def homes_of(path: str) -> tuple[str, ...]:
    """The modules that have the names of a path of PATHS."""
    found = PATHS[path]
    return (found,) if isinstance(found, str) else found


def also(module: str, *homes: str) -> Callable[[str], Any]:
    """A module's `__getattr__`: names that torch's module of that path has too, and that are in others here."""

    def get(name: str) -> Any:
        if not name.startswith("__"):
            for home in homes:
                found = importlib.import_module(home)
                if name in found.__all__:
                    return getattr(found, name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return get


def below(package: str) -> Callable[[str], Any]:
    """A package's `__getattr__`: paths below it are attributes of it, imported or not, as modules that torch imports are."""

    def get(name: str) -> Any:
        if f"{package}.{name}" not in PATHS:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return importlib.import_module(f"{package}.{name}")

    return get


class _Path:
    """What finds and makes such modules."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """The spec of a module of PATHS; None for any other."""
        if name in PATHS:
            return ModuleSpec(name, _Path(), is_package=any(p.startswith(name + ".") for p in PATHS))  # type: ignore[arg-type]
        if not name.startswith(("ingot.distributed.", "ingot._ops")):
            return None
        from ingot._answering import ANSWERING, modules_below

        below = modules_below(name[6:])
        return ModuleSpec(name, _Answers(), is_package=bool(below)) if below or name[6:] in ANSWERING else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """The usual one."""

    def exec_module(self, module: ModuleType) -> None:
        """Give it the attributes of the other, as they are asked for."""
        homes = homes_of(module.__name__)
        module.__doc__ = f"The names of `{'` and `'.join(homes)}`."

        def get(name: str) -> Any:
            if name != "__path__":
                for home in homes:
                    try:
                        return getattr(importlib.import_module(home), name)
                    except AttributeError:
                        continue
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

        setattr(module, "__getattr__", get)  # noqa: B010  (mypy refuses the assignment)
        setattr(module, "__dir__", lambda: sorted({n for home in homes for n in dir(importlib.import_module(home))}))  # noqa: B010


class _Answers(_Path):
    """What makes modules of names that answer."""

    def exec_module(self, module: ModuleType) -> None:
        """Have it make its names as they are asked for."""
        from ingot._answering import ANSWERING, answering

        path = module.__name__[6:]
        module.__doc__ = "Names that answer: ingot._answering says which, and why nothing stands behind them."

        setattr(module, "__getattr__", functools.partial(answering, path))  # noqa: B010
        setattr(module, "__dir__", lambda: sorted(ANSWERING.get(path, ())))  # noqa: B010


class _Renamed:
    """What finds Ingot's modules below another name of the package: after `sys.modules["torch"] = ingot`, `torch.nn` is `ingot.nn`."""

    def __init__(self, module: ModuleType):
        self._module, self._spec = module, module.__spec__

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """The spec of a module that is there already; None for what is not below such a name."""
        package, _, below = name.partition(".")
        if not below or package == "ingot" or package not in sys.modules or sys.modules[package] is not sys.modules["ingot"]:
            return None
        here = f"ingot.{below}"
        try:
            module = importlib.import_module(here)
        except ModuleNotFoundError as e:
            if e.name is None or not f"{here}.".startswith(f"{e.name}."):
                raise  # something that it imports is missing
            return None
        return ModuleSpec(name, _Renamed(module), is_package=hasattr(module, "__path__"))  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The one that is there."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """It ran under its own name, which it keeps."""
        module.__spec__ = self._spec


def install() -> None:
    """Have `import` know the paths, after all that are files, and other names of the package, before them."""
    if not any(isinstance(f, type) and f.__name__ == "_Path" and f.__module__ == __name__ for f in sys.meta_path):
        sys.meta_path.append(_Path)
        sys.meta_path.insert(0, _Renamed)  # type: ignore[arg-type]
