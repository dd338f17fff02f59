"""Artifacts: the file, its manifest, what loading refuses and takes."""
