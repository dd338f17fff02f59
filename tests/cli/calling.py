"""What the tests of the command line share: calling it, and small graphs."""

import json

from ingot.ir import dtypes
from ingot.ir.builder import Builder
from ingot.ir.types import tensor_type
from ingot.runtime.cli import main


def graph_of(name, scale):
    """x * scale."""
    b = Builder(name)
    x = b.expr(b.input(tensor_type(dtypes.f32, (4,)), "x"))
    return b.freeze(((x * scale).value,))


def run(capsys, *argv):
    """(exit code, stdout, stderr)"""
    code = main(argv)
    out = capsys.readouterr()
    return code, out.out, out.err


def json_of(capsys, *argv, code=0):
    got, out, _ = run(capsys, *argv, "--json")
    assert got == code, out
    doc = json.loads(out)
    assert doc["schema_version"] == 1
    return doc
