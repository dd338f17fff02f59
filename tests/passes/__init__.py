"""Passes over graphs, and the table of rules."""
