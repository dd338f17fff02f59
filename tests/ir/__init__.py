"""Graphs as text, and the elementary functions."""
