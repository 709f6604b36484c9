"""What the database's administrator does to rows, beside the gate, and how a session refuses it by name. SECURITY.md; zones.md 1."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
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

CARE: Final = ("care.dossier", "care.dossier_key", "care.commit", "care.res", "care.res_hist", "care.index_part", "care.zidx", "care.shard_part")


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
    client = garrison.fresh_program()
    yield client
    end_program(client)


Crime = Callable[[Chart, Chart], list[tuple[object, ...] | str]]
ROW: Final = "update care.res set {what} where id = $1"
PART: Final = "update care.index_part set {what} where dossier = $1"
HEAD: Final = "update care.commit c set {what} where c.dossier = $1 and c.seq = (select seq from care.dossier where id = $1)"
FLIP: Final = "set_byte({0}, {1}, get_byte({0}, {1}) # 1)"

# (what is done, the statements, what a session says that meets it in the chart, what it says when asked by id)
CRIMES: Final[dict[str, tuple[Crime, set[str], set[str]]]] = {
    "a row in another's place": (
        lambda a, b: [("update care.res r set ct = o.ct from care.res o where r.id = $1 and o.id = $2", a.pulse_id, a.pressure_id)],
        {"swapped"},
        {"swapped"},
    ),
    "another patient's row": (
        lambda a, b: [("update care.res r set ct = o.ct, ver = o.ver from care.res o where r.id = $1 and o.id = $2", a.pulse_id, b.pulse_id)],
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
    "one bit of the index": (lambda a, b: [(PART.format(what="ct = " + FLIP.format("ct", 40)), a.dossier)], {"tag", "parts"}, {"tag", "parts"}),
    "another patient's index": (
        lambda a, b: [
            ("update care.index_part i set ct = o.ct from care.index_part o where i.dossier = $1 and o.dossier = $2 and o.part_no = i.part_no",
             a.dossier, b.dossier)
        ],
        {"tag", "parts"},
        {"tag", "parts"},
    ),
    "two parts of the index exchanged": (
        lambda a, b: [
            ("update care.index_part i set ct = o.ct from care.index_part o where i.dossier = $1 and o.dossier = $1 and i.part_no + o.part_no = 3",
             a.dossier)
        ],
        {"tag", "parts"},
        {"tag", "parts"},
    ),
    "the last part of the index removed": (
        lambda a, b: [
            ("delete from care.index_part where dossier = $1 and part_no = (select max(part_no) from care.index_part where dossier = $1)", a.dossier)
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
            ("update care.dossier_key k set wrapped = o.wrapped from care.dossier_key o where k.dossier = $1 and o.dossier = $2 and o.zone = k.zone",
             a.dossier, b.dossier)
        ],
        {"tag"},
        {"tag"},
    ),
    "a key of the intruder's own": (
        lambda a, b: [("update care.dossier_key set wrapped = decode(repeat('a5', 60), 'hex') where dossier = $1", a.dossier)], {"tag"}, {"tag"}
    ),
    "the key of an epoch that never was": (
        lambda a, b: [("update care.dossier_key set epoch = 7 where dossier = $1", a.dossier)],
        {"epoch-missing"},
        {"epoch-missing"},
    ),
}  # fmt: skip


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
