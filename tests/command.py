"""The command line as the tests call it."""

from __future__ import annotations

from typer.testing import CliRunner, Result

import cli


def denet(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


def refused(result: Result, *words: str) -> None:
    """Exit code 2, and one line on standard error that holds `words`."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    line = " ".join(result.stderr.split())
    assert line.startswith("error: "), line
    for word in words:
        assert word in line, line
