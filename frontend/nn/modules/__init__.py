"""Layers, containers and losses: `ingot.nn`'s classes. Which lives where: `__init__.pyi`."""

from ingot import _lazy

__all__, __getattr__, __dir__ = _lazy.names(__name__)
