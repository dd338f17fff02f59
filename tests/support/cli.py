"""Calling the command line in this process."""

import json

from ingot.runtime.cli import main


def run(capsys, *argv):
    """(exit code, stdout, stderr)"""
    try:
        code = main(argv)
    except SystemExit as e:  # how argparse ends
        code = e.code
    out = capsys.readouterr()
    return code, out.out, out.err


def json_of(capsys, *argv, code=0):
    """The document that a command prints, and exits with `code`."""
    got, out, err = run(capsys, *argv, "--json")
    assert got == code, out + err
    doc = json.loads(out)
    assert doc["schema_version"] == 1
    return doc
