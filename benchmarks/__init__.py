"""Ingot beside its peers and the machine's limits: `python -m benchmarks --help`.

Not tests: no number here passes or fails. All that takes part in a comparison runs interleaved, in one process (start-up
times aside), on the same number of threads; what counts is the ratio within one run.
"""
