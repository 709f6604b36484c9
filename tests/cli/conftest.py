"""A running trust for imports, and the command line as a person types it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from import_trust import ImportTrust
from typer.testing import CliRunner

from cloister.cli.edge import app_for


@pytest.fixture
def trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ImportTrust]:
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setenv("CLOISTER_STATE", str(state))
    monkeypatch.setenv("CLOISTER_RUNTIME", "/tmp/cloister-no-such")
    with ImportTrust(state) as running:
        yield running


@pytest.fixture
def typed() -> Callable[..., Result]:
    """Type `cloister ...`."""

    def run(*arguments: object) -> Result:
        words = [str(argument) for argument in arguments]
        return CliRunner().invoke(app_for(words), words)

    return run
