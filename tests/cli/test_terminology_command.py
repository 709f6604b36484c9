"""`cloister terminology`: load, list, remove; what is wrong is told and the rest is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cloister.base.errors import Invalid, NotFound
from cloister.cli.terminology import app
from cloister.records.terminology import shelf
from cloister.records.terminology.catalogue import Published

RUN = CliRunner()
TABLE = "code;libelle;parent\nA;Actes;\nA1;Consultation;A\n;sans code;\n"


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CLOISTER_STATE", str(tmp_path / "state"))
    (tmp_path / "acts.csv").write_text(TABLE)
    yield
    shelf.refresh(None)


def test_a_table_is_loaded_listed_and_taken_away(tmp_path: Path) -> None:
    table = str(tmp_path / "acts.csv")
    loaded = RUN.invoke(app, ["load", table, "--url", "urn:acts", "--title", "Actes CCAM", "--language", "fr"], catch_exceptions=False)
    assert "acts.csv line 4: It has no code." in loaded.output
    assert "Actes-CCAM.pack holds 1 CodeSystem" in loaded.output
    assert shelf.refresh(tmp_path / "state" / "terminology")
    assert shelf.library().code_system("urn:acts").count == 2
    (whole,) = (place for place in shelf.catalogue().places("CodeSystem") if place.row.url == "urn:acts")
    assert [one["code"] for one in Published(whole).resource["concept"]] == ["A", "A1"]
    assert "Actes-CCAM" in RUN.invoke(app, ["list"], catch_exceptions=False).output
    RUN.invoke(app, ["remove", "Actes-CCAM"], catch_exceptions=False)
    assert list((tmp_path / "state" / "terminology").iterdir()) == []


def test_a_check_writes_nothing_and_what_is_missing_is_said(tmp_path: Path) -> None:
    table = str(tmp_path / "acts.csv")
    assert "Nothing was written" in RUN.invoke(app, ["load", table, "--url", "urn:acts", "--check"], catch_exceptions=False).output
    assert not (tmp_path / "state" / "terminology").exists()
    for arguments, kind in (
        (["load", table], Invalid),
        (["load", str(tmp_path / "absent.json")], NotFound),
        (["remove", "absent"], NotFound),
    ):
        refused = RUN.invoke(app, arguments)
        assert isinstance(refused.exception, kind)
        assert refused.exception.hint
