"""What lies in a closed zone does not tell: whole answers, and what is asked of the store, are those of a world without it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from store_rig import CARDIOLOGY, Rig, Session
from two_worlds import ICD, INS, Asker, Question, World, alike, hide, person

from cloister.base.errors import NotFound

SEED_QUESTIONS = 60

SEARCHES = """
Patient?_id={patient}
Patient?name=fam{mark}
Patient?family:exact=fam{mark}
Patient?family:contains={mark}
Patient?identifier={ins}|{mark}
Patient?identifier={mark}
Patient?identifier={ins}|{mark}&_total=estimate&_count=1
Patient?birthdate=1949-12-24&name=fam{mark}
Patient?_content={mark}
Patient?link=Patient/{patient}
Patient?_id={patient}&_revinclude=Observation:patient&_revinclude=Provenance:target
Patient?_has:Observation:patient:code=code-{mark}
Patient?_has:Observation:patient:_id={observation}
Patient?_has:Condition:patient:code=code-{mark}&_summary=count
Patient?_list={list}
Patient?_filter=identifier eq "{mark}"
Observation?patient={patient}
Observation?patient={patient}&_count=0
Observation?patient=Patient/{patient}&code=code-{mark}&_sort=-date&_count=50
Observation?subject=Patient/{patient}&_include=Observation:subject&_include=*
Observation?subject.identifier={ins}|{mark}
Observation?patient.name=fam{mark}
Observation?patient:Patient.birthdate=1949-12-24&patient={patient}
Observation?encounter={encounter}
Observation?encounter.status=in-progress&encounter={encounter}
Observation?derived-from={observation}
Observation?derived-from.code=code-{mark}
Observation?_id={observation}
Observation?_id={observation}&_include=*&_revinclude=Provenance:target
Observation?identifier=o{mark}
Observation?identifier:not=o{mark}&identifier={ins}|o{mark}
Observation?code=code-{mark}&patient={patient}
Observation?code:text=poids&patient={patient}
Observation?_text={mark}&patient={patient}
Observation?_list={list}
Observation?_has:Provenance:target:_id={provenance}
Observation?_has:Observation:derived-from:_id={observation}
Condition?patient={patient}&code:text={mark}
Encounter?patient={patient}&status=in-progress
Encounter?part-of:below={encounter}
Encounter?_id={encounter}&_revinclude=Observation:encounter
Encounter?location=Location/saint-roch-surgery&patient={patient}
Provenance?target=Observation/{observation}
Provenance?_id={provenance}
Appointment?patient={patient}
Appointment?actor=Patient/{patient}&date=2026-12-01
List?item=Observation/{observation}
List?_id={list}
Composition?patient={patient}
Patient/{patient}
Patient/{patient}/_history
Patient/{patient}/_history/1
Patient/{patient}/_history/7
Patient/{patient}/Observation?code=code-{mark}
Patient/{patient}/*
Patient/{patient}/*?_type=Observation,Encounter&_count=1
?_id={patient},{observation},{list}
?_type=Patient,Observation,Provenance&_id={patient},{observation},{provenance}&_summary=count
?_type=Observation,Condition,Encounter&patient={patient}&_count=1&_include=*
?_type=Observation,Condition&patient.identifier={ins}|{mark}
?_type=Patient,Encounter&_has:Provenance:target:_id={provenance}
Patient/{patient}/$everything
Encounter/{encounter}/$everything
Encounter/{encounter}/_history/1
Observation/{observation}
Observation/{observation}/_history
Observation/$lastn?patient={patient}&code=code-{mark}
Composition/{document}/$document
Provenance/{provenance}
Patient/{patient}/$validate?mode=delete
"""
READS = [Question(line) for line in SEARCHES.strip().splitlines()]
READS += [Question(f"{q.path.partition('?')[0]}/_search", "POST", q.path.partition("?")[2]) for q in READS[:12]]
READS += [
    Question("Patient/{patient}", headers=(("if-none-match", 'W/"1"'),)),
    Question("Patient/{patient}", headers=(("if-none-match", "*"),)),
    Question("Observation/{observation}", headers=(("if-modified-since", "Sun, 29 Nov 2099 10:00:00 GMT"),)),
]


def observation(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": "Patient/{patient}"}, **more}


def bundle(kind: str, *entries: tuple[str, str, Any]) -> dict[str, Any]:
    several = [{"request": {"method": method, "url": url}, **({"resource": body} if body else {})} for method, url, body in entries]
    return {"resourceType": "Bundle", "type": kind, "entry": several}


NEW = person("{mark}", "other")
OTHER = {"resourceType": "Patient", "name": [{"family": "y"}]}
IF = "{ins}|{mark}"
WRITES = [
    Question("Observation", "POST", observation()),
    Question("Observation/$validate", "POST", observation()),
    Question("Observation", "POST", observation(), headers=(("cloister-zone", "saint-roch-surgery"),)),
    Question("Observation", "POST", observation(), headers=(("prefer", "return=OperationOutcome"),)),
    Question(
        "Encounter",
        "POST",
        {"resourceType": "Encounter", "status": "planned", "class": {"code": "IMP"}, "subject": {"reference": "Patient/{patient}"}},
    ),
    Question("", "POST", bundle("transaction", ("POST", "Observation", observation()))),
    Question("", "POST", bundle("transaction", ("POST", "Observation", observation(subject={"reference": f"Patient?identifier={IF}"})))),
    Question(
        "",
        "POST",
        bundle(
            "batch", ("GET", "Patient/{patient}", None), ("GET", "Patient?identifier={mark}", None), ("POST", "Observation", observation())
        ),
    ),
    Question("", "POST", bundle("batch", ("DELETE", "Observation/{observation}", None), ("DELETE", f"Patient?identifier={IF}", None))),
    Question(
        "",
        "POST",
        bundle(
            "batch", ("GET", "Observation/{observation}/_history/1", None), ("GET", "Observation?code=code-{mark}&patient={patient}", None)
        ),
    ),
    Question("Observation/{observation}", "DELETE"),
    Question("Observation/{observation}", "DELETE", headers=(("if-match", 'W/"1"'),)),
    Question("Observation/{observation}", "PUT", observation(id="{observation}"), headers=(("if-match", 'W/"1"'),)),
    Question("Observation/{observation}", "PUT", observation(id="{observation}")),
    Question(
        "Observation/{observation}",
        "PATCH",
        [{"op": "replace", "path": "/status", "value": "amended"}],
        headers=(("content-type", "application/json-patch+json"),),
    ),
    Question(
        f"Patient?identifier={IF}",
        "PATCH",
        [{"op": "add", "path": "/active", "value": True}],
        headers=(("content-type", "application/json-patch+json"),),
    ),
    Question(f"Patient?identifier={IF}", "DELETE"),
    Question(
        "Binary",
        "POST",
        {"resourceType": "Binary", "contentType": "text/plain", "data": "AAAA", "securityContext": {"reference": "Patient/{patient}"}},
    ),
    Question("Patient", "POST", NEW, headers=(("if-none-exist", f"identifier={IF}"),)),
    Question("Patient", "POST", NEW, headers=(("if-none-exist", f"identifier={IF}"),)),
    Question(f"Patient?identifier={IF}", "PUT", NEW),
    Question("", "POST", bundle("transaction", ("PUT", f"Patient?identifier={IF}", NEW))),
    Question("Patient/{patient}", "PUT", OTHER | {"id": "{patient}"}),
    Question("Observation", "POST", observation()),
    Question("Observation/{observation}", "PUT", observation(id="{observation}")),
    Question("Observation?patient={patient}"),
    Question("Observation?patient.identifier={ins}|{mark}"),
    Question("Patient/{patient}/_history"),
    Question("Patient/{patient}/$everything"),
    Question("Provenance?target=Observation/{observation}"),
    Question("Observation/{observation}", "DELETE"),
    Question("Patient/{patient}", "DELETE"),
]


@pytest.fixture(params=["tilleuls", "adele"])
async def outsider(request: pytest.FixtureRequest, tilleuls: Session, adele: Session) -> Session:
    """A program of another hospital, and a nurse of another ward of the same one."""
    return tilleuls if request.param == "tilleuls" else adele


async def same_in_both(trust: Rig, outsider: Session, hidden: World, questions: list[Question]) -> None:
    await Asker(trust, outsider, World.new()).ask(Question("_history"))  # whose certificates the keyring of the session learns
    there, nowhere = Asker(trust, outsider, hidden), Asker(trust, outsider, World.new())
    for question in questions:
        (one, calls), (other, others) = await there.ask(question), await nowhere.ask(question)
        if question.method == "GET" and (any(call[0] == "write" for call in (*calls, *others)) or not alike(calls, others)):
            # The outsider's own list of people had grown to where a reader makes it one, by what tests wrote before, in either world;
            # or what a session keeps for two seconds had run out for one of the two. What tells the worlds apart does so again.
            (one, calls), (other, others) = await there.ask(question), await nowhere.ask(question)
        name = f"{question.method} {question.path}"
        assert one == other, name
        assert alike(calls, others), f"{name}\n{calls}\n{others}"


async def at_home(outsider: Session, program: Session) -> None:
    """The outsider has records of the same kind, which are hers to find."""
    if outsider.actor.role == "nurse":
        await hide(program, World.new(), CARDIOLOGY)
    else:
        await hide(outsider, World.new())


async def test_no_question_tells_what_lies_in_a_closed_zone(trust: Rig, program: Session, outsider: Session) -> None:
    hidden = World.new()
    await hide(program, hidden)
    await at_home(outsider, program)
    seen = Asker(trust, program, hidden)
    told = [(await seen.ask(question))[0] for question in READS]
    assert sum('"<patient>"' in text or "<mark>" in text.partition('"link"')[2] for _, text in told) > 40  # the trial is not blind
    await same_in_both(trust, outsider, hidden, READS)


async def test_no_write_tells_what_lies_in_a_closed_zone(trust: Rig, program: Session, outsider: Session) -> None:
    hidden = World.new()
    await hide(program, hidden)
    await same_in_both(trust, outsider, hidden, WRITES)
    found = await Asker(trust, program, hidden).ask(Question("Observation/{observation}"))
    assert found[0][0] == 200  # nothing of it was touched


UNNAMED = """
Patient
Patient?gender=other&_count=2
Patient?birthdate=1949-12-24&_total=estimate&_count=1
Patient?_sort=-_lastUpdated&_count=2
Patient?_has:Observation:patient:value-quantity=gt100&_count=2
Observation?_count=3&_sort=date
Observation?code:text=poids&_count=4&_summary=true
Observation?value-quantity=141&_summary=count
Observation?patient.gender=other
Encounter?status=in-progress&_count=2
Encounter?location:below=saint-roch-surgery
Appointment?date=2026-12-01
Provenance?recorded=2026-11-20&_count=2
Location
_history?_count=5
Observation/_history?_count=3
metadata
"""


async def test_what_names_nothing_is_answered_as_before_others_wrote(trust: Rig, program: Session, outsider: Session) -> None:
    """Totals, pages, histories and exports: before and after somebody fills another zone."""

    async def everything() -> list[Any]:
        asker = Asker(trust, outsider, World.new())
        walked = [await asker.walk(Question(line), 3) for line in UNNAMED.strip().splitlines()]
        return [*walked, (await asker.export("$export"), []), (await asker.export("Patient/$export?_type=Patient,Observation"), [])]

    await at_home(outsider, program)
    await everything()  # whose certificates the keyring of the session learns
    before = await everything()
    assert str(before).count("Patient/") > 10  # the trial is not blind
    hidden = World.new()
    await hide(program, hidden)
    after = await everything()
    for name, (one, calls), (other, others) in zip([*UNNAMED.split(), "$export", "Patient/$export"], before, after, strict=True):
        assert one == other, name
        assert alike(calls, others), f"{name}\n{calls}\n{others}"
    assert hidden.mark not in str(after)


async def test_what_tells_of_a_record_lies_in_that_record(program: Session, adele: Session) -> None:
    """A provenance, a device, a link between people: none of it in the register, which all wards of the hospital read."""
    world = World.new()
    await hide(program, world)
    about, weight = {"reference": f"Patient/{world.ids['patient']}"}, {"reference": f"Observation/{world.ids['observation']}"}
    task = {"resourceType": "Task", "status": "requested", "intent": "order", "focus": weight}
    signed = {"resourceType": "Provenance", "recorded": "2026-11-20T09:00:00Z", "agent": [{"who": {"display": "x"}}], "target": [weight]}
    several: list[dict[str, Any]] = [
        signed,
        task,
        {"resourceType": "Device", "patient": about},
        {"resourceType": "Linkage", "item": [{"type": "source", "resource": about}]},
        {"resourceType": "MessageHeader", "eventUri": "urn:x", "source": {"endpoint": "urn:x"}, "focus": [weight]},
        {
            "resourceType": "Observation",
            "status": "final",
            "code": {"text": "x"},
            "encounter": {"reference": f"Encounter/{world.ids['encounter']}"},
        },
    ]
    for resource in several:
        made = (await program.records.create(resource)).stored
        assert (await program.records.read(made.type, made.id)).raw == made.raw
        with pytest.raises(NotFound):
            await adele.records.read(made.type, made.id)
        again = await program.records.update({**resource, "id": made.id})
        assert again.stored.version == 2  # and it stays there
    nobody = {**signed, "target": [{"reference": f"Observation/{World.new().ids['observation']}"}]}
    made = (await program.records.create(nobody)).stored
    both = [signed | {"target": [{"reference": "urn:uuid:a"}]}, {**task, "focus": weight}]
    entries = [
        {"fullUrl": f"urn:uuid:{name}", "resource": one, "request": {"method": "POST", "url": one["resourceType"]}}
        for name, one in zip("ba", both, strict=True)
    ]
    for outcome in await program.records.transaction({"resourceType": "Bundle", "type": "transaction", "entry": entries}):
        assert outcome.stored is not None
        with pytest.raises(NotFound):  # a provenance of a task that is about a measurement of hers
            await adele.records.read(outcome.stored.type, outcome.stored.id)


CODES = (
    "patient={patient}",
    "subject=Patient/{patient}",
    "code=code-{mark}",
    "identifier={ins}|o{mark}",
    "_id={observation}",
    "encounter={encounter}",
)
MORE = (
    "date=2026-11-20",
    "value-quantity=gt100",
    "status=final",
    "code:text=poids",
    "_lastUpdated=gt2020",
    "patient.name=fam{mark}",
    "code:not=x",
    "_text={mark}",
)
SHAPES = (
    "_count=1",
    "_summary=count",
    "_total=none",
    "_sort=-date,code",
    "_elements=code",
    "_include=*",
    "_revinclude=Provenance:target",
    "_summary=true",
)


@pytest.mark.parametrize("seed", range(2))
async def test_no_mixture_tells_either(trust: Rig, program: Session, tilleuls: Session, seed: int) -> None:
    """Searches by chance, among what the outsider has herself: of half of the things both worlds have one of her own."""
    chance, hidden = random.Random(seed), World.new()
    await hide(program, hidden)

    def mixed() -> str:
        parts = (
            chance.sample(CODES, chance.randint(1, 2))
            + chance.sample(MORE, chance.randint(0, 2))
            + chance.sample(SHAPES, chance.randint(0, 2))
        )
        return "Observation?" + "&".join(dict.fromkeys(parts))

    own = [
        Question("Patient", "POST", person("{mark}")),
        Question(
            "",
            "POST",
            bundle(
                "transaction",
                ("POST", "Patient", OTHER),
                ("POST", "Observation", observation(subject={"reference": "Patient?identifier={ins}|{mark}"})),
            ),
        ),
    ]
    await same_in_both(trust, tilleuls, hidden, [*own, *(Question(mixed()) for _ in range(SEED_QUESTIONS))])


def test_the_names_are_of_one_length() -> None:
    """Otherwise sizes would differ by the names alone."""
    one, other = World.new(), World.new()
    assert [len(name) for name in one.names.values()] == [len(name) for name in other.names.values()]
    assert INS != ICD
