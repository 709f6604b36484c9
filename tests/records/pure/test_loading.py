"""What a trust brings along: everything good is kept, and each entry that is not is named. docs/terminology.md."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from terms_cast import ILL_SYSTEM, ILLS, SETS, Json, value_set

from cloister.base.errors import CloisterError, Invalid, NotFound
from cloister.records.loading import Loaded, Table, merged, packed, read_path, read_table
from cloister.records.terminology.library import Library
from cloister.records.terminology.pack import Pack

TABLE = Table(url="https://codes.example/acts", title="Actes", version="1", language="fr")


def package(path: Path, files: dict[str, Json | bytes]) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for name, body in files.items():
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            member = tarfile.TarInfo(name)
            member.size = len(raw)
            made.addfile(member, io.BytesIO(raw))
    return path


def test_a_package_is_read_without_its_examples_and_each_bad_entry_is_named(tmp_path: Path) -> None:
    twice = ILL_SYSTEM | {"id": "twice", "url": "https://codes.example/twice", "concept": [{"code": "A"}, {"code": "A"}]}
    path = package(
        tmp_path / "guide.tgz",
        {
            "package/package.json": {"name": "guide.example", "version": "1.2.0", "fhirVersions": ["4.0.1"]},
            "package/.index.json": {"files": []},
            "package/CodeSystem-ills.json": ILL_SYSTEM,
            "package/ValueSet-x.json": value_set("x", {"system": ILLS}),
            "package/Patient-x.json": {"resourceType": "Patient"},
            "package/CodeSystem-twice.json": twice,
            "package/ValueSet-bad.json": {"resourceType": "ValueSet", "url": "u", "status": "unheard-of"},
            "package/ValueSet-nowhere.json": {"resourceType": "ValueSet", "status": "active"},
            "package/broken.json": b"{",
            "package/example/ValueSet-e.json": value_set("e", {"system": ILLS}),
        },
    )
    seen: list[int] = []
    loaded = read_path(path, lambda done, total: seen.append(done))
    assert loaded.name == "guide.example-1.2.0"
    assert [key[1] for key in loaded.resources] == [ILLS, f"{SETS}x"]
    assert loaded.aside == 1
    assert seen
    reasons = {one.where.partition(" ")[0].removeprefix("package/"): one.text for one in loaded.rejected}
    assert set(reasons) == {"CodeSystem-twice.json", "ValueSet-bad.json", "ValueSet-nowhere.json", "broken.json"}
    assert "twice" in reasons["CodeSystem-twice.json"]
    assert "ValueSet.status" in reasons["ValueSet-bad.json"]
    assert Library([Pack(memoryview(packed(loaded.resources.values())), "guide")]).code_system(ILLS).count == 5


@pytest.mark.parametrize("name", ["absent.json", "text.tgz"])
def test_what_cannot_be_read_at_all_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.tgz").write_bytes(b"no package")
    with pytest.raises((NotFound, Invalid)) as refused:
        read_path(tmp_path / name)
    assert refused.value.hint


def test_a_guide_for_another_fhir_is_refused(tmp_path: Path) -> None:
    path = package(tmp_path / "five.tgz", {"package/package.json": {"name": "five", "fhirVersions": ["5.0.0"]}})
    with pytest.raises(Invalid) as refused:
        read_path(path)
    assert "5.0.0" in refused.value.text


def test_bundles_and_folders_are_read_and_of_the_same_the_last_counts(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": ILL_SYSTEM}, {}]}))
    (tmp_path / "b.json").write_text(json.dumps([ILL_SYSTEM | {"title": "newer"}, [], "x"]))
    loaded = merged([read_path(tmp_path), Loaded()])
    assert [one["title"] for one in loaded.resources.values()] == ["newer"]


def test_a_table_becomes_a_code_system_with_its_hierarchy() -> None:
    body = "Code;Libellé;Code parent;display:en;Tarif;Inactif\nA;Actes;;Acts;;\nA1;Consultation;A;Visit;25,00;\nA2;Ancien acte;A;;;oui\n"
    loaded = read_table(body.encode("cp1252"), TABLE, "acts.csv")
    (made,) = loaded.resources.values()
    assert loaded.rejected == []
    assert made["concept"][1] == {
        "code": "A1",
        "display": "Consultation",
        "designation": [{"language": "en", "value": "Visit"}],
        "property": [{"code": "parent", "valueCode": "A"}, {"code": "tarif", "valueString": "25,00"}],
    }
    library = Library([Pack(memoryview(packed([made])), "acts")])
    system = library.code_system(TABLE.url)
    assert system.children(0) == [1, 2]
    assert system.inactive(2)


def test_each_bad_row_of_a_table_is_named_with_its_line() -> None:
    body = "code,display,parent\nA,One\n,None\nA,Again\nB  B,Blanks\nC,Three,Z\nD,x,,more\n\n"
    loaded = read_table(body.encode(), TABLE, "t.csv")
    assert [one.where for one in loaded.rejected] == ["t.csv line 3", "t.csv line 4", "t.csv line 5", "t.csv line 7", "t.csv code C"]
    (made,) = loaded.resources.values()
    assert [one["code"] for one in made["concept"]] == ["A", "C"]


def test_columns_may_be_told() -> None:
    table = Table(url="u:x", columns={"code": "ACTE", "display": "NOM_LONG"})
    (made,) = read_table(b"ACTE\tNOM_LONG\tcode\nA1\tOne\tinner\n", table, "t.tsv").resources.values()
    assert made["concept"] == [{"code": "A1", "display": "One", "property": [{"code": "code-2", "valueString": "inner"}]}]


@pytest.mark.parametrize("body", [b"", b"name,other\nA,B\n", b"code\n\n", b'code\n"A'])
def test_a_table_without_codes_is_refused_with_what_to_do(body: bytes) -> None:
    with pytest.raises(CloisterError) as refused:
        read_table(body, TABLE, "t.csv")
    assert refused.value.hint
