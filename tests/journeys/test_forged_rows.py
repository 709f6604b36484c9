"""What the database's administrator does to rows, beside the gate, and how a session refuses it by name. SECURITY.md; zones.md 1."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import httpx
import pytest
from journeys_cast import (
    FHIR,
    Administrator,
    Company,
    bundle,
    created,
    end_program,
    observation,
    patient,
    reference,
    refusal,
    until,
    word,
)

from cloister.records.gate.heads import ZONES_KEPT_SECONDS

CARE: Final = (
    "care.dossier",
    "care.dossier_key",
    "care.commit",
    "care.res",
    "care.res_hist",
    "care.index_part",
    "care.zidx",
    "care.shard_part",
)


@dataclass(frozen=True)
class Chart:
    """One patient of the besieged trust: the resources' ids, and the row's places."""

    patient: str
    family: str
    pulse: str  # of version 2
    pressure: str  # of version 1
    dossier: uuid.UUID

    @property
    def pulse_id(self) -> uuid.UUID:
        return uuid.UUID(self.pulse.partition("/")[2])

    @property
    def pressure_id(self) -> uuid.UUID:
        return uuid.UUID(self.pressure.partition("/")[2])

    @property
    def search(self) -> str:
        return f"{FHIR}/Observation?patient={self.patient}"


def written(client: httpx.Client, administrator: Administrator) -> Chart:
    family = word()
    who = reference(created(client, patient(family)))
    pulse, pressure = created(client, observation(who, value=61)), created(client, observation(who, code="8480-6", value=131))
    client.put(f"{FHIR}/{reference(pulse)}", json=pulse | observation(who, value=88) | {"id": pulse["id"]}).raise_for_status()
    return Chart(who, family, reference(pulse), reference(pressure), administrator.dossier_of(who))


@pytest.fixture(scope="module")
def lopez(garrison: Company, intruder: Administrator) -> Chart:
    return written(garrison.program(), intruder)


@pytest.fixture(scope="module")
def other(garrison: Company, intruder: Administrator) -> Chart:
    """A patient to whom nobody does anything."""
    return written(garrison.program(), intruder)


@pytest.fixture(scope="module")
def witness(garrison: Company, lopez: Chart) -> Iterator[httpx.Client]:
    """A session that has had the chart open since before the crime."""
    client = garrison.fresh_program()
    client.get(lopez.search).raise_for_status()
    client.get(f"{FHIR}/{lopez.pulse}").raise_for_status()
    yield client
    end_program(client)


@pytest.fixture
def newcomer(garrison: Company) -> Iterator[httpx.Client]:
    """A session that knows nothing yet."""
    with another(garrison) as client:
        yield client


@contextmanager
def another(garrison: Company) -> Iterator[httpx.Client]:
    client = garrison.fresh_program()
    yield client
    end_program(client)


Crime = Callable[[Chart, Chart], list[tuple[object, ...] | str]]
ROW: Final = "update care.res set {what} where id = $1"
PART: Final = "update care.index_part set {what} where dossier = $1"
HEAD: Final = "update care.commit c set {what} where c.dossier = $1 and c.seq = (select seq from care.dossier where id = $1)"
LAST_PART: Final = (
    "delete from care.index_part where dossier = $1 and part_no = (select max(part_no) from care.index_part where dossier = $1)"
)
FLIP: Final = "set_byte({0}, {1}, get_byte({0}, {1}) # 1)"

# (what is done, the statements, what a session says that meets it in the chart, what it says when asked by id)
CRIMES: Final[dict[str, tuple[Crime, set[str], set[str]]]] = {
    "a row in another's place": (
        lambda a, b: [("update care.res r set ct = o.ct from care.res o where r.id = $1 and o.id = $2", a.pulse_id, a.pressure_id)],
        {"swapped"},
        {"swapped"},
    ),
    "another patient's row": (
        lambda a, b: [
            ("update care.res r set ct = o.ct, ver = o.ver from care.res o where r.id = $1 and o.id = $2", a.pulse_id, b.pulse_id)
        ],
        {"swapped"},
        {"swapped"},
    ),
    "yesterday's version": (
        lambda a, b: [("update care.res r set ct = h.ct, ver = h.ver from care.res_hist h where r.id = $1 and h.id = $1", a.pulse_id)],
        {"rolled-back"},
        {"rolled-back"},
    ),
    "yesterday's version under today's number": (
        lambda a, b: [("update care.res r set ct = h.ct from care.res_hist h where r.id = $1 and h.id = $1", a.pulse_id)],
        {"swapped"},
        {"swapped"},
    ),
    "a row cut short": (lambda a, b: [(ROW.format(what="ct = substr(ct, 1, length(ct) - 9)"), a.pulse_id)], {"swapped"}, {"swapped"}),
    "an emptied row": (lambda a, b: [(ROW.format(what="ct = ''::bytea"), a.pulse_id)], {"swapped"}, {"swapped"}),
    "one bit of a row": (lambda a, b: [(ROW.format(what="ct = " + FLIP.format("ct", 40)), a.pulse_id)], {"swapped"}, {"swapped"}),
    "a row of the future": (lambda a, b: [(ROW.format(what="ver = 9"), a.pulse_id)], {"extra-row"}, {"extra-row"}),
    "a row of another type": (lambda a, b: [(ROW.format(what="rtype = rtype + 1"), a.pulse_id)], {"missing-row"}, {"missing-row"}),
    "a removed row": (lambda a, b: [("delete from care.res where id = $1", a.pulse_id)], {"missing-row"}, {"missing-row"}),
    "a row moved to another patient": (
        lambda a, b: [(ROW.format(what="dossier = $2"), a.pulse_id, b.dossier)],
        {"missing-row"},
        {"extra-row", "missing-row"},
    ),
    "one bit of the index": (
        lambda a, b: [(PART.format(what="ct = " + FLIP.format("ct", 40)), a.dossier)],
        {"tag", "parts"},
        {"tag", "parts"},
    ),
    "another patient's index": (
        lambda a, b: [
            (
                "update care.index_part i set ct = o.ct from care.index_part o"
                " where i.dossier = $1 and o.dossier = $2 and o.part_no = i.part_no",
                a.dossier,
                b.dossier,
            )
        ],
        {"tag", "parts"},
        {"tag", "parts"},
    ),
    "two parts of the index exchanged": (
        lambda a, b: [
            (
                "update care.index_part i set ct = o.ct from care.index_part o"
                " where i.dossier = $1 and o.dossier = $1 and i.part_no + o.part_no = 3",
                a.dossier,
            )
        ],
        {"tag", "parts"},
        {"tag", "parts"},
    ),
    "the last part of the index removed": (
        lambda a, b: [
            (
                LAST_PART,
                a.dossier,
            )
        ],
        {"parts"},
        {"parts"},
    ),
    "one bit of the signed head": (
        lambda a, b: [(HEAD.format(what="blob = " + FLIP.format("blob", 200)), a.dossier)],
        {"signature", "malformed", "commitment", "label"},
        {"signature", "malformed", "commitment", "label"},
    ),
    "the head cut short": (lambda a, b: [(HEAD.format(what="blob = substr(blob, 1, 100)"), a.dossier)], {"malformed"}, {"malformed"}),
    "another patient's head": (
        lambda a, b: [
            (HEAD.format(what="blob = (select blob from care.commit o where o.dossier = $2 and o.seq = c.seq)"), a.dossier, b.dossier)
        ],
        {"swapped", "commitment"},
        {"swapped", "commitment"},
    ),
    "yesterday's head under today's number": (
        lambda a, b: [(HEAD.format(what="blob = (select blob from care.commit o where o.dossier = $1 and o.seq = c.seq - 1)"), a.dossier)],
        {"swapped"},
        {"swapped"},
    ),
    "the head removed": (
        lambda a, b: [("delete from care.commit where dossier = $1 and seq = (select seq from care.dossier where id = $1)", a.dossier)],
        {"missing-row"},
        {"missing-row"},
    ),
    "another dossier's key": (
        lambda a, b: [
            (
                "update care.dossier_key k set wrapped = o.wrapped from care.dossier_key o"
                " where k.dossier = $1 and o.dossier = $2 and o.zone = k.zone",
                a.dossier,
                b.dossier,
            )
        ],
        {"tag"},
        {"tag"},
    ),
    "a key of the intruder's own": (
        lambda a, b: [("update care.dossier_key set wrapped = decode(repeat('a5', 60), 'hex') where dossier = $1", a.dossier)],
        {"tag"},
        {"tag"},
    ),
    "the key of an epoch that never was": (
        lambda a, b: [("update care.dossier_key set epoch = 7 where dossier = $1", a.dossier)],
        {"epoch-missing"},
        {"epoch-missing"},
    ),
}


@pytest.mark.parametrize("crime", CRIMES)
def test_a_changed_row_is_refused_by_name_and_nobody_else_notices(
    crime: str, lopez: Chart, other: Chart, witness: httpx.Client, newcomer: httpx.Client, intruder: Administrator
) -> None:
    statements, in_chart, by_id = CRIMES[crime]
    with intruder.kept(*CARE):
        intruder.change(*statements(lopez, other))
        answers = {
            "newcomer, chart": (newcomer.get(lopez.search), in_chart),
            "newcomer, by id": (newcomer.get(f"{FHIR}/{lopez.pulse}"), by_id),
            "newcomer, page": (newcomer.get(f"{FHIR}/Patient?name={lopez.family}&_revinclude=Observation:subject"), in_chart),
        }
        for who, (answer, reasons) in answers.items():
            status = 403 if reasons == {"epoch-missing"} else 500
            assert (answer.status_code, refusal(answer)) in {(status, reason) for reason in reasons}, (who, answer.text)
        for place in (f"{FHIR}/{other.pulse}", other.search, f"{FHIR}/Patient?name={other.family}"):
            answer = newcomer.get(place)
            assert answer.status_code == 200, answer.text
            assert answer.json().get("total", 1) >= 1
    assert until(lambda: newcomer.get(lopez.search).status_code == 200, 5), "what was restored from a backup is read again"


def test_a_row_that_is_gone_is_missed_by_name_in_the_chart_though_its_id_alone_tells_a_newcomer_nothing(
    lopez: Chart, witness: httpx.Client, newcomer: httpx.Client, intruder: Administrator
) -> None:
    with intruder.kept(*CARE):
        intruder.change(("delete from care.res where id = $1", lopez.pulse_id))
        assert newcomer.get(f"{FHIR}/{lopez.pulse}").status_code == 404  # whose dossier it was, only the row could have said
        assert refusal(newcomer.get(lopez.search)) == "missing-row"
        assert refusal(newcomer.get(f"{FHIR}/{lopez.pulse}")) == "missing-row"  # now the chart is known
        assert refusal(witness.get(f"{FHIR}/{lopez.pulse}")) == "missing-row"
        update = witness.put(f"{FHIR}/{lopez.pulse}", json=observation(lopez.patient) | {"id": str(lopez.pulse_id)})
        assert not update.is_success


def test_a_whole_dossier_rolled_back_is_refused_by_whoever_has_seen_it_later(
    lopez: Chart, witness: httpx.Client, intruder: Administrator
) -> None:
    older = intruder.one("select seq from care.dossier where id = $1", lopez.dossier) - 1
    witness.get(lopez.search).raise_for_status()
    with intruder.kept(*CARE):
        intruder.change(
            ("update care.res r set ct = h.ct, ver = h.ver from care.res_hist h where r.id = $1 and h.id = $1", lopez.pulse_id),
            ("delete from care.res_hist where id = $1", lopez.pulse_id),
            (
                LAST_PART,
                lopez.dossier,
            ),
            ("delete from care.commit where dossier = $1 and seq > $2", lopez.dossier, older),
            ("update care.dossier set seq = $2 where id = $1", lopez.dossier, older),
        )
        assert refusal(witness.get(lopez.search)) == "rolled-back"
        assert refusal(witness.get(f"{FHIR}/{lopez.pulse}")) == "rolled-back"


def test_history_that_was_changed_is_refused_by_name(lopez: Chart, newcomer: httpx.Client, intruder: Administrator) -> None:
    changes: dict[str, str | tuple[object, ...]] = {
        "swapped": (
            "update care.res_hist h set ct = r.ct from care.res r where h.id = $1 and r.id = $2",
            lopez.pulse_id,
            lopez.pressure_id,
        ),
        "missing-row": ("delete from care.res_hist where id = $1", lopez.pulse_id),
        "extra-row": ("update care.res_hist set ver = 7 where id = $1", lopez.pulse_id),
    }
    for reason, change in changes.items():
        with intruder.kept(*CARE):
            intruder.change(change)  # type: ignore[arg-type]
            for path in (f"{FHIR}/{lopez.pulse}/_history", f"{FHIR}/{lopez.pulse}/_history/1"):
                answer = newcomer.get(path)
                assert answer.status_code == 500, answer.text
                assert refusal(answer) in {reason, "missing-row", "extra-row"}
            assert newcomer.get(f"{FHIR}/{lopez.pulse}").status_code == 200


def test_the_list_of_names_cannot_be_changed_or_carried_to_another_zone(
    other: Chart, newcomer: httpx.Client, intruder: Administrator
) -> None:
    for change in (
        f"update care.shard_part set ct = {FLIP.format('ct', 60)}",
        "update care.shard_part set part_no = part_no + 1",
        "update care.shard_part set ct = decode(repeat('00', 100), 'hex')",
    ):
        with intruder.kept(*CARE):
            intruder.change(change)
            answer = newcomer.get(f"{FHIR}/Patient?name={other.family}")
            assert (answer.status_code, refusal(answer)) in {(500, "tag"), (500, "malformed"), (403, "epoch-missing"), (403, "epoch-floor")}
            assert newcomer.get(f"{FHIR}/{other.patient}").status_code == 200


def test_forged_tokens_lead_to_no_wrong_answer(
    lopez: Chart, other: Chart, garrison: Company, newcomer: httpx.Client, intruder: Administrator
) -> None:
    """Tokens only prune: what they point at is opened, and decided on what is inside."""
    value = word()
    system = "urn:oid:1.2.3.4"
    lopez_too = created(garrison.program(), patient(word(), identifier=[{"system": system, "value": value}]))
    query = f"{FHIR}/Patient?identifier={system}|{value}"
    assert newcomer.get(query).json()["total"] == 1
    with intruder.kept(*CARE):
        intruder.change(
            (
                "update care.zidx z set toks = o.toks from care.zidx o where z.dossier = $1 and o.dossier = $2",
                other.dossier,
                intruder.dossier_of(reference(lopez_too)),
            )
        )
        found = newcomer.get(query).json()
        assert [entry["resource"]["id"] for entry in found.get("entry", [])] == [lopez_too["id"]]


@pytest.fixture(scope="module")
def forgotten(lopez: Chart, other: Chart) -> None:
    """The gate remembers no good head of theirs any more. (What it remembers of a crime afterwards does not verify, and is asked again.)"""
    time.sleep(ZONES_KEPT_SECONDS + 0.1)


@pytest.mark.parametrize(
    "crime", ["one bit of the index", "another dossier's key", "yesterday's head under today's number", "the head removed"]
)
@pytest.mark.usefixtures("forgotten")
def test_nobody_signs_over_a_crime(crime: str, lopez: Chart, other: Chart, newcomer: httpx.Client, intruder: Administrator) -> None:
    new = bundle(("POST", "Observation", observation(lopez.patient, value=99)))
    with intruder.kept(*CARE):
        intruder.change(*CRIMES[crime][0](lopez, other))
        before = intruder.rows("select count(*) from care.commit where dossier = $1", lopez.dossier)
        answer = newcomer.post(FHIR, json=new)
        assert (answer.status_code, refusal(answer) in CRIMES[crime][1]) == (500, True), answer.text
        assert intruder.rows("select count(*) from care.commit where dossier = $1", lopez.dossier) == before


def test_who_writes_on_what_was_good_a_moment_ago_covers_no_crime(
    lopez: Chart, other: Chart, newcomer: httpx.Client, garrison: Company, intruder: Administrator
) -> None:
    """The gate gives the writer the chart as it passed a moment ago, which is signed on; who reads what stands there refuses it."""
    crime = "one bit of the index"
    new = bundle(("POST", "Observation", observation(lopez.patient, value=99)))
    with intruder.kept(*CARE):
        with another(garrison) as reader:
            assert reader.get(lopez.search).status_code == 200
            intruder.change(*CRIMES[crime][0](lopez, other))
            answer = newcomer.post(FHIR, json=new)
        if answer.status_code != 200:  # on a slow machine the gate has forgotten
            assert (answer.status_code, refusal(answer) in CRIMES[crime][1]) == (500, True), answer.text
        with another(garrison) as reader:
            for place in (lopez.search, f"{FHIR}/{lopez.pulse}"):
                found = reader.get(place)
                assert (found.status_code, refusal(found) in CRIMES[crime][1]) == (500, True), found.text


def test_a_clinician_is_told_on_the_page_what_is_wrong(lopez: Chart, garrison: Company, intruder: Administrator) -> None:
    with intruder.kept(*CARE):
        intruder.change(*CRIMES["one bit of the signed head"][0](lopez, lopez))
        page = garrison.person("claire.vasseur").get(f"/patients/{lopez.patient.partition('/')[2]}", headers={"accept": "text/html"})
        assert page.status_code == 500
        assert "does not verify" in page.text
        assert "Traceback" not in page.text
