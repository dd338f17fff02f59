"""Execution: executables, memory, threads."""
