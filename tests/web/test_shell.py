"""The shell around all pages: who may see which, in which language, with which headers; and what the administrator sees."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from epr_cast import ADELE, BENEDICTE, CLAIRE, DAMIEN, PAGES, Browser, MemoryRecord, patient, served

from cloister.access import Actor
from cloister.base.errors import HTTP_STATUS, CloisterError, Conflict, Corrupt, Denied
from cloister.epr import MODULES, read_catalogue
from cloister.web import STATIC_FOLDER, static_names, wards_of
from cloister.web.headers import CONTENT_SECURITY_POLICY
from cloister.zones import Forged, Refusal


@pytest.fixture
def record() -> MemoryRecord:
    record = MemoryRecord()
    record.add(patient())
    return record


def test_the_sign_in_page_runs_only_what_its_digests_name() -> None:
    page = PAGES.render("login.html", language="fr")
    scripts = re.findall(r"<script(?![^>]*application/json)([^>]*)>", page)
    assert scripts
    assert all("integrity=" in script and "src=" in script for script in scripts)
    assert all("integrity=" in link for link in re.findall(r'<link rel="stylesheet"[^>]*>', page))
    assert not re.search(r"\son\w+=|style=|javascript:", page)
    assert "app.js" not in page, "the application's script is not the sign-in's"
    assert "app.css" not in page


def test_the_sign_in_page_speaks_both_languages_and_has_a_sentence_for_every_failure() -> None:
    reasons = set()
    sources = Path(__file__).parents[2] / "frontend" / "src"
    for source in sources.glob("*.js"):
        reasons |= set(re.findall(r'new Failure\(\s*"([a-z-]+)"', source.read_text()))
        reasons |= set(re.findall(r'phase\("([a-z-]+)"', source.read_text()))
    reasons |= set(re.findall(r': "([a-z-]+)"', (sources / "call.js").read_text())) - {"same-origin", "no-store", "error"}
    for language in ("en", "fr"):
        page = PAGES.render("login.html", language=language)
        block = re.search(r'<script type="application/json" id="words">(.*?)</script>', page, re.DOTALL)
        assert block is not None
        assert sorted(reasons - json.loads(block[1]).keys()) == []


def test_static_files_carry_their_hash_and_nothing_comes_from_elsewhere() -> None:
    for name in static_names():
        assert re.fullmatch(r"[\w.-]+\.[0-9a-f]{12}\.(js|css|woff2|svg)", name), name
        if name.endswith((".css", ".js")):
            text = (STATIC_FOLDER / name).read_text()
            assert not re.search(r"(?:@import|url\(|fetch\(|import\()\s*[\"']?https?://", text), name


def test_the_policy_of_the_pages_admits_no_inline_script_or_style() -> None:
    assert "unsafe-inline" not in CONTENT_SECURITY_POLICY
    assert "'unsafe-eval'" not in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY


async def test_every_page_says_how_it_may_be_used(record: MemoryRecord) -> None:
    page = await Browser(served(record)).get("/patients/4711")
    assert page.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("actor", [DAMIEN, BENEDICTE])
@pytest.mark.parametrize("path", ["/patients", "/patients/4711", "/patients/4711/access", "/patients/4711/notes/new"])
async def test_whoever_runs_or_grants_sees_no_chart_and_no_store_is_asked(record: MemoryRecord, actor: Actor, path: str) -> None:
    page = await Browser(served(record, actor)).get(path)
    assert page.status_code == 403
    assert "Your role does not open patients" in page.text
    assert "LOPEZ" not in page.text
    assert record.calls == 0


async def test_an_it_operator_starts_at_the_ciphertext_and_reads_hex(record: MemoryRecord) -> None:
    browser = Browser(served(record, DAMIEN))
    assert (await browser.get("/")).headers["location"] == "/console"
    page = await browser.get("/console/ciphertext")
    assert "00010203 04050607" in page.text
    assert "200 bytes" in page.text
    assert "What you can learn from this" in page.text


@pytest.mark.parametrize("actor", [CLAIRE, ADELE, BENEDICTE])
async def test_nobody_else_looks_at_the_database(record: MemoryRecord, actor: Actor) -> None:
    assert (await Browser(served(record, actor)).get("/console/ciphertext")).status_code == 403


async def test_an_access_officer_starts_at_the_zones_and_management_is_told_that_the_role_opens_no_record(record: MemoryRecord) -> None:
    assert (await Browser(served(record, BENEDICTE)).get("/")).headers["location"] == "/offices/zones"
    page = await Browser(served(record, replace(BENEDICTE, role="management"))).get("/")
    assert page.status_code == 200
    assert "opens no patient" in page.text


async def test_the_language_is_one_s_own_until_one_chooses(record: MemoryRecord) -> None:
    browser = Browser(served(record, ADELE))
    assert '<html lang="fr">' in (await browser.get("/patients")).text
    chosen = await browser.post("/language/en?back=/patients")
    assert (chosen.status_code, chosen.headers["location"]) == (303, "/patients")
    assert '<html lang="en">' in (await browser.get("/patients")).text


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example"])
async def test_choosing_a_language_leads_nowhere_else(record: MemoryRecord, back: str) -> None:
    chosen = await Browser(served(record)).post(f"/language/en?back={back}")
    assert chosen.headers["location"] == "/"


async def test_a_fault_of_ours_quotes_no_patient(record: MemoryRecord, capfd: pytest.CaptureFixture[str]) -> None:
    async def broken(patient: str) -> object:
        raise RuntimeError("LOPEZ Maria 1958")

    record.open_chart = broken  # type: ignore[assignment,method-assign]
    page = await Browser(served(record)).get("/patients/4711")
    assert page.status_code == 500
    assert "Something went wrong inside." in page.text
    assert "LOPEZ" not in page.text + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("error", "sentence", "next_step"),
    [
        (Forged(Refusal.ROLLED_BACK), "plus ancienne que ce qui a été écrit", "N&#39;utilisez pas ce dossier pour décider."),
        (Denied("No.", reason="write-by-doctors"), "les médecins l&#39;écrivent", "rédigez une note"),
        (Conflict("A rule without French words."), "modifié ceci entre-temps", "regardez d&#39;abord l&#39;état présent"),
    ],
)
async def test_what_the_store_refuses_is_said_in_the_person_s_language(
    record: MemoryRecord, error: CloisterError, sentence: str, next_step: str
) -> None:
    record.trouble = error
    page = await Browser(served(record, ADELE)).get("/patients/4711")
    assert page.status_code == HTTP_STATUS[error.category]
    assert sentence in page.text
    assert next_step in page.text


async def test_an_address_that_does_not_exist_is_a_page_too(record: MemoryRecord) -> None:
    page = await Browser(served(record, ADELE)).get("/nowhere")
    assert page.status_code == 404
    assert "existe pas" in page.text


async def test_working_on_a_page_keeps_the_session_awake_without_reading_anything(record: MemoryRecord) -> None:
    answer = await Browser(served(record)).get("/here")
    assert answer.status_code == 204
    assert record.calls == 0


def test_both_languages_have_the_same_sentences_with_the_same_places() -> None:
    english, french = (PAGES.catalogue.of(language).sentences for language in ("en", "fr"))
    assert english.keys() == french.keys()
    for key in english:
        places = [sorted(re.findall(r"\{(\w+)\}", sentences[key])) for sentences in (english, french)]
        assert places[0] == places[1], key


def test_words_that_one_language_lacks_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "en.json").write_text('{"a": "x"}')
    (tmp_path / "fr.json").write_text("{}")
    with pytest.raises(Corrupt):
        read_catalogue([tmp_path])


def test_each_module_declares_what_it_shows() -> None:
    names = [module.name for module in MODULES]
    assert len(set(names)) == len(names)
    for module in MODULES:
        words = PAGES.catalogue.of("en")
        assert words.has(f"{module.name}.name") or not module.events
        for link in (*module.top, *module.tabs, *module.actions):
            assert words.has(link.label)
        assert module.card is None or set(module.card.needs) <= module.resources


def test_the_wards_of_a_hospital_zone_come_after_one_s_own() -> None:
    class Held:
        def __init__(self, zone: str, hospital: str, ward: str | None, rights: frozenset[str]) -> None:
            self.zone, self.hospital, self.ward, self.rights = zone, hospital, ward, rights

    read = frozenset({"read", "write"})
    wards = [{"id": name, "hospital": "h", "name": name, "zone": name, "ordinal": number} for number, name in enumerate("abc")]
    wards.append({"id": "d", "hospital": "other", "name": "d", "zone": "d", "ordinal": 0})
    held = [Held("h", "h", None, read), Held("c", "h", "c", read), Held("d", "other", "d", frozenset())]
    assert [ward.id for ward in wards_of(held, wards, [{"id": "h", "name": "H"}])] == ["c", "a", "b"]
