"""`ingot.nn`: modules, functionals, initialisers and helpers, by torch's names."""

from ingot import _lazy

__all__, __getattr__, __dir__ = _lazy.names(__name__)
