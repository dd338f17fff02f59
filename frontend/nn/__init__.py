"""`ingot.nn`: modules, functionals, initialisers and helpers, by torch's names."""

from ingot.nn import functional, init, modules, utils
from ingot.nn.modules import *  # noqa: F403
from ingot.nn.modules import __all__ as _module_names
from ingot.nn.parameter import Buffer, Parameter

__all__ = ["Buffer", "Parameter", "functional", "init", "modules", "utils", *_module_names]
