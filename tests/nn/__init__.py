"""Modules, serialization and the examples."""
