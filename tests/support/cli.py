"""Calling the command line in this process."""

import json

from ingot.runtime.cli import main


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
