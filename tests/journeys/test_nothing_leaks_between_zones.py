"""What lies in a zone that a person cannot open does not exist for her: one answer for what is hidden and what never was. SECURITY.md."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest
from journeys_cast import (
    CARDIOLOGIST,
    CARDIOLOGY_NURSE,
    FHIR,
    OPERATOR,
    PSYCHIATRIC_NURSE,
    PSYCHIATRIST,
    Administrator,
    Company,
    bundle,
    condition,
    created,
    observation,
    patient,
    reference,
    refusal,
    word,
)

SYSTEM: Final = "https://numbers.example/patients"
ERABLES: Final = "sainte-anne-erables"
TILLEULS: Final = "sainte-anne-tilleuls"
CARDIOLOGY: Final = "saint-roch-cardiology"


@dataclass(frozen=True)
class Hidden:
    """A patient with a chart, in one ward's zone only."""

    patient: dict[str, Any]
    observation: dict[str, Any]
    condition: dict[str, Any]
    encounter: dict[str, Any]
    family: str
    value: str

    @property
    def words(self) -> tuple[str, ...]:
        return (self.family, self.value)


def hidden_in(client: httpx.Client, zone: str) -> Hidden:
    family, value = word(), word()
    who = created(client, patient(family, born="1949-12-24", identifier=[{"system": SYSTEM, "value": value}]), **{"cloister-zone": zone})
    about = reference(who)
    stay = {
        "resourceType": "Encounter",
        "status": "in-progress",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
        "subject": {"reference": about},
    }
    return Hidden(
        who,
        created(client, observation(about, code="74774-1", value=41, note=[{"text": family}])),
        created(client, condition(about, "F32.1", family)),
        created(client, stay),
        family,
        value,
    )


@pytest.fixture(scope="module")
def depressed(company: Company) -> Hidden:
    """Mrs X, in the psychiatric ward Les Tilleuls."""
    return hidden_in(company.program(1), TILLEULS)


@pytest.fixture(scope="module")
def infarct(company: Company) -> Hidden:
    """Mr Y, in cardiology."""
    return hidden_in(company.program(0), CARDIOLOGY)


PAIRS: Final = (
    # who asks, for whose patient
    (CARDIOLOGIST, "depressed"),
    (CARDIOLOGY_NURSE, "depressed"),
    (PSYCHIATRIC_NURSE, "infarct"),
    (PSYCHIATRIST, "infarct"),
    ("isabelle.noel", "depressed"),  # of the same hospital's other ward
    ("nadia.haddad", "infarct"),
)


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0]} and the {pair[1]} patient")
def asked(request: pytest.FixtureRequest, company: Company) -> tuple[httpx.Client, Hidden]:
    return company.person(request.param[0]), request.getfixturevalue(request.param[1])


def same_but_for_ids(a: httpx.Response, b: httpx.Response, *pairs: tuple[str, str]) -> None:
    """Status, headers and body, where only what was asked for differs."""
    first, second = a.text, b.text
    for mine, other in pairs:
        first, second = first.replace(mine, "*"), second.replace(other, "*")
    assert (a.status_code, first) == (b.status_code, second)
    assert headers_of(a) == headers_of(b)


def headers_of(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in ("date", "content-length", "set-cookie")}


def never(resource: dict[str, Any]) -> str:
    """An id of the same form that nobody has."""
    return str(uuid.UUID(bytes=uuid.UUID(resource["id"]).bytes[:6] + uuid.uuid4().bytes[6:]))


def test_the_trial_is_not_blind(company: Company, depressed: Hidden, infarct: Hidden) -> None:
    for sign_in, one in ((PSYCHIATRIC_NURSE, depressed), (CARDIOLOGIST, infarct)):
        client = company.person(sign_in)
        assert client.get(f"{FHIR}/{reference(one.patient)}").status_code == 200
        for query in (f"name={one.family}", f"identifier={SYSTEM}|{one.value}", f"_id={one.patient['id']}", "birthdate=1949-12-24"):
            assert client.get(f"{FHIR}/Patient?{query}").json()["total"] >= 1, query


def test_read_vread_history_and_pages_answer_as_for_what_never_was(asked: tuple[httpx.Client, Hidden]) -> None:
    client, one = asked
    for resource in (one.patient, one.observation, one.condition, one.encounter):
        kind, other = resource["resourceType"], never(resource)
        for suffix in ("", "/_history", "/_history/1", "/_history/2"):
            mine, theirs = client.get(f"{FHIR}/{kind}/{resource['id']}{suffix}"), client.get(f"{FHIR}/{kind}/{other}{suffix}")
            assert mine.status_code == 404
            same_but_for_ids(mine, theirs, (resource["id"], other))
    other = never(one.patient)
    for path in ("/patients/{}", "/patients/{}/timeline", "/patients/{}/access", "/patients/{}/notes/new", "/patients/{}/observations/new"):
        mine, theirs = client.get(path.format(one.patient["id"])), client.get(path.format(other))
        assert mine.status_code in (403, 404)
        same_but_for_ids(mine, theirs, (one.patient["id"], other))


SEARCHES: Final = (
    "Patient?_id={id}",
    "Patient?name={family}",
    "Patient?family:exact={family}",
    "Patient?identifier={system}|{value}",
    "Patient?identifier={value}",
    "Patient?birthdate=1949-12-24&name={family}",
    "Patient?_id={id}&_revinclude=Observation:patient",
    "Patient?_has:Observation:patient:code=74774-1&name={family}",
    "Patient?_has:Condition:patient:code=F32.1&_id={id}",
    "Patient?_summary=count&name={family}",
    "Patient?_total=accurate&identifier={system}|{value}",
    "Observation?patient={id}",
    "Observation?patient=Patient/{id}&_summary=count",
    "Observation?subject=Patient/{id}&_include=Observation:subject",
    "Observation?patient.name={family}",
    "Observation?patient.identifier={system}|{value}",
    "Observation?subject:Patient.birthdate=1949-12-24&patient={id}",
    "Observation?encounter={encounter}",
    "Observation?_id={observation}",
    "Observation?_id={observation}&_include=*",
    "Condition?patient={id}&code=F32.1",
    "Condition?patient={id}&clinical-status=active&_count=1",
    "Encounter?patient={id}&status=in-progress",
    "Encounter?_id={encounter}&_revinclude=Observation:encounter",
    "AuditEvent?patient={id}",
)


@pytest.mark.parametrize("search", SEARCHES)
def test_a_search_for_the_hidden_answers_as_for_what_never_was(search: str, company: Company, depressed: Hidden, infarct: Hidden) -> None:
    for sign_in, one in ((CARDIOLOGIST, depressed), (PSYCHIATRIC_NURSE, infarct), ("isabelle.noel", depressed)):
        client = company.person(sign_in)
        names = {"id": one.patient["id"], "family": one.family, "value": one.value}
        names |= {"encounter": one.encounter["id"], "observation": one.observation["id"]}
        others = {"id": never(one.patient), "family": word(), "value": word()}
        others |= {"encounter": never(one.encounter), "observation": never(one.observation)}
        for post in (False, True):
            mine, theirs = (ask(client, search.format(system=SYSTEM, **which), post) for which in (names, others))
            same_but_for_ids(mine, theirs, *((names[key], others[key]) for key in names))
            assert mine.status_code in (200, 400, 403, 501), mine.text
            if mine.status_code == 200:
                assert mine.json().get("total", 0) == 0
                assert "entry" not in mine.json() or all(entry["search"]["mode"] == "outcome" for entry in mine.json()["entry"])


def ask(client: httpx.Client, search: str, post: bool) -> httpx.Response:
    kind, _, query = search.partition("?")
    if not post:
        return client.get(f"{FHIR}/{search}")
    form = {"content-type": "application/x-www-form-urlencoded"}
    return client.post(f"{FHIR}/{kind}/_search", content=query.encode(), headers=form)


@pytest.mark.parametrize(
    "search",
    [
        "Patient",
        "Patient?gender=female",
        "Patient?birthdate=1949-12-24",
        "Observation?code=74774-1",
        "Condition?code=F32.1",
        "Encounter?status=in-progress",
        "Observation?_lastUpdated=gt2020-01-01",
        "Patient?_sort=birthdate",
        "Observation?patient.gender=female",
    ],
)
def test_totals_pages_and_lists_count_only_what_is_open(search: str, company: Company, depressed: Hidden, infarct: Hidden) -> None:
    for sign_in, one in ((CARDIOLOGIST, depressed), (PSYCHIATRIC_NURSE, infarct), ("isabelle.noel", depressed)):
        client = company.person(sign_in)
        seen, url, pages = [], f"{FHIR}/{search}{'&' if '?' in search else '?'}_count=40", 0
        while url and pages < 40:
            page = client.get(url)
            assert page.status_code == 200, page.text
            assert not any(text in page.text for text in (*one.words, one.patient["id"], one.observation["id"]))
            seen += [entry["resource"]["id"] for entry in page.json().get("entry", [])]
            total = page.json()["total"]
            url, pages = next((link["url"] for link in page.json()["link"] if link["relation"] == "next"), ""), pages + 1
        assert total == len(seen) == len(set(seen))
        count = client.get(f"{FHIR}/{search}{'&' if '?' in search else '?'}_summary=count").json()["total"]
        assert count == total


def test_writing_to_the_hidden_answers_as_for_what_never_was(asked: tuple[httpx.Client, Hidden], administrator: Administrator) -> None:
    client, one = asked
    doctor = client.post(f"{FHIR}/Condition", json=condition("Patient/x")).status_code != 403
    before = administrator.one("select seq from care.dossier where id = $1", administrator.dossier_of(reference(one.patient)))
    for make in (observation, condition) if doctor else (observation,):
        mine, other = f"Patient/{one.patient['id']}", f"Patient/{never(one.patient)}"
        kind = make(mine)["resourceType"]
        same_but_for_ids(client.post(f"{FHIR}/{kind}", json=make(mine)), client.post(f"{FHIR}/{kind}", json=make(other)), (mine, other))
        same_but_for_ids(
            client.post(FHIR, json=bundle(("POST", kind, make(mine)))),
            client.post(FHIR, json=bundle(("POST", kind, make(other)))),
            (mine, other),
        )
        same_but_for_ids(
            client.post(FHIR, json=bundle(("POST", kind, make(mine)), kind="batch")),
            client.post(FHIR, json=bundle(("POST", kind, make(other)), kind="batch")),
            (mine, other),
        )
    here, there = reference(one.observation), f"Observation/{never(one.observation)}"
    same_but_for_ids(client.delete(f"{FHIR}/{here}"), client.delete(f"{FHIR}/{there}"), (here, there))
    same_but_for_ids(
        client.delete(f"{FHIR}/{here}", headers={"if-match": 'W/"1"'}),
        client.delete(f"{FHIR}/{there}", headers={"if-match": 'W/"1"'}),
        (here, there),
    )
    for entry in (("DELETE", "{}", None), ("GET", "{}", None), ("GET", "{}/_history/1", None)):
        answers = [client.post(FHIR, json=bundle((entry[0], entry[1].format(place), None), kind="batch")) for place in (here, there)]
        same_but_for_ids(*answers, (here, there))
    assert administrator.one("select seq from care.dossier where id = $1", administrator.dossier_of(reference(one.patient))) == before


def test_a_conditional_write_does_not_tell_that_an_identifier_is_taken_elsewhere(company: Company, depressed: Hidden) -> None:
    claire = company.person(CARDIOLOGIST)
    answers = []
    for value in (depressed.value, word()):
        person = patient(word(), identifier=[{"system": SYSTEM, "value": value}])
        answer = claire.post(f"{FHIR}/Patient", json=person, headers={"if-none-exist": f"identifier={SYSTEM}|{value}"})
        inside = bundle(("POST", "Patient", person))
        inside["entry"][0]["request"]["ifNoneExist"] = f"identifier={SYSTEM}|{value}"
        again = claire.post(FHIR, json=inside)
        update = bundle(("PUT", f"Patient?identifier={SYSTEM}|{value}", person))
        changed = claire.post(FHIR, json=update)
        answers.append(
            (answer.status_code, again.json()["entry"][0]["response"]["status"][:3], changed.json()["entry"][0]["response"]["status"][:3])
        )
    assert answers[0] == answers[1] == (201, "200", "200")
    found = company.person(PSYCHIATRIC_NURSE).get(f"{FHIR}/Patient?identifier={SYSTEM}|{depressed.value}").json()
    assert (found["total"], found["entry"][0]["resource"]["id"]) == (1, depressed.patient["id"])


def test_an_id_that_is_taken_elsewhere_is_free_here_and_each_keeps_their_own(company: Company, depressed: Hidden) -> None:
    claire, mine = company.person(CARDIOLOGIST), word()
    answer = claire.put(f"{FHIR}/{reference(depressed.patient)}", json=patient(mine) | {"id": depressed.patient["id"]})
    other = claire.put(f"{FHIR}/Patient/{never(depressed.patient)}", json=patient(word()) | {"id": never(depressed.patient)})
    assert answer.status_code == 201
    assert other.status_code in (201, 400)
    assert claire.get(f"{FHIR}/{reference(depressed.patient)}").json()["name"][0]["family"] == mine
    assert company.person(PSYCHIATRIC_NURSE).get(f"{FHIR}/{reference(depressed.patient)}").json()["name"][0]["family"] == depressed.family
    readers = claire.get(f"/patients/{depressed.patient['id']}/access")
    assert "Élise Renaud" not in readers.text
    gone = claire.delete(f"{FHIR}/{reference(depressed.patient)}")
    assert gone.status_code == 204
    assert company.person(PSYCHIATRIC_NURSE).get(f"{FHIR}/{reference(depressed.patient)}").status_code == 200


def test_a_reference_into_a_hidden_chart_brings_nothing_along(company: Company, depressed: Hidden) -> None:
    claire = company.person(CARDIOLOGIST)
    who = created(claire, patient(word()))
    made = created(claire, observation(reference(who), hasMember=[{"reference": reference(depressed.observation)}]))
    answer = claire.get(f"{FHIR}/Observation?_id={made['id']}&_include=Observation:has-member&_include:iterate=Observation:subject")
    assert [entry["resource"]["id"] for entry in answer.json()["entry"]] in ([made["id"]], [made["id"], who["id"]])
    assert depressed.family not in answer.text
    back = company.person(PSYCHIATRIC_NURSE).get(f"{FHIR}/Observation?_id={depressed.observation['id']}&_revinclude=Observation:has-member")
    assert made["id"] not in back.text


def test_another_persons_page_is_no_page(company: Company) -> None:
    claire = company.person(CARDIOLOGIST)
    page = claire.get(f"{FHIR}/Patient?_count=1").json()
    token = re.search(r"_page=([^&]+)", next(link["url"] for link in page["link"] if link["relation"] == "next"))
    assert token is not None
    elise = company.person(PSYCHIATRIC_NURSE)
    for guess in (token[1], token[1].rsplit(".", 1)[0] + ".0", "x" * 16 + ".0"):
        answer = elise.get(f"{FHIR}/Patient?_page={guess}")
        assert (answer.status_code, refusal(answer)) == (404, "page-expired")
    assert claire.get(f"{FHIR}/Patient?_page={token[1]}").status_code == 200


def test_who_may_open_a_record_is_shown_to_those_who_may(company: Company, depressed: Hidden) -> None:
    page = company.person(PSYCHIATRIC_NURSE).get(f"/patients/{depressed.patient['id']}/access")
    assert page.status_code == 200
    assert all(name in page.text for name in ("Élise Renaud", "Marc Delorme", "Bruno Tessier"))
    assert "Claire Vasseur" not in page.text


def test_a_nurse_reads_and_may_not_diagnose_and_the_refusal_is_audited(
    company: Company, infarct: Hidden, administrator: Administrator
) -> None:
    """A key without a permit is refused, by the rule's name, and leaves a trace."""
    adele = company.person(CARDIOLOGY_NURSE)
    assert adele.get(f"{FHIR}/{reference(infarct.condition)}").status_code == 200
    before = administrator.one("select coalesce(max(seq), 0) from audit.event")
    for answer in (
        adele.post(f"{FHIR}/Condition", json=condition(reference(infarct.patient))),
        adele.put(f"{FHIR}/{reference(infarct.condition)}", json=infarct.condition),
        adele.delete(f"{FHIR}/{reference(infarct.condition)}"),
        adele.post(FHIR, json=bundle(("POST", "Condition", condition(reference(infarct.patient))))),
    ):
        assert (answer.status_code, refusal(answer)) == (403, "write-by-doctors"), answer.text
    traces = [entry for entry in administrator.entries(before) if entry["outcome"] == "denied"]
    assert len(traces) == 4
    assert {(trace["kind"], trace["reason"]) for trace in traces} == {("Condition", "write-by-doctors")}


@pytest.mark.parametrize("who", [OPERATOR, "benedicte.arnaud", "sebastien.lemoine"])
def test_neither_the_operator_nor_an_officer_reads_a_record(who: str, company: Company, infarct: Hidden, depressed: Hidden) -> None:
    """Each of them could be given a permit by mistake: none has a key. Each has neither."""
    client = company.person(who)
    assert client.get("/session/state").json()["zones"] == 0
    for one in (infarct, depressed):
        for path in (
            f"{FHIR}/{reference(one.patient)}",
            f"{FHIR}/Patient?name={one.family}",
            f"{FHIR}/Patient",
            f"/patients/{one.patient['id']}",
        ):
            answer = client.get(path)
            assert answer.status_code in (403, 404), (path, answer.text)
            assert not any(text in answer.text for text in one.words if text not in path)
        assert client.post(f"{FHIR}/Observation", json=observation(reference(one.patient))).status_code == 403
    console = client.get("/console/ciphertext")
    assert console.status_code == (200 if who == OPERATOR else 403)
    assert not any(text in console.text for one in (infarct, depressed) for text in one.words)


def test_the_general_practitioners_register_is_one_hospitals_only(company: Company) -> None:
    claire, elise = company.person(CARDIOLOGIST), company.person(PSYCHIATRIC_NURSE)
    theirs = {entry["resource"]["id"] for entry in claire.get(f"{FHIR}/Location?_count=200").json().get("entry", [])}
    hers = {entry["resource"]["id"] for entry in elise.get(f"{FHIR}/Location?_count=200").json().get("entry", [])}
    assert theirs
    assert hers
    assert not theirs & hers
