"""`ingot.nn.functional`: torch's functionals, by torch's names and signatures. Which lives where: `__init__.pyi`."""

from ingot import _lazy

__all__, __getattr__, __dir__ = _lazy.names(__name__)
