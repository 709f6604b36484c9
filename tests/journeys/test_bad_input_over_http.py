"""Whatever a client sends, it gets a clear answer, nothing is lost and nothing half is kept."""

from __future__ import annotations

import base64
import gzip
import json
import random
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import pytest
from journeys_cast import (
    CARDIOLOGIST,
    FHIR,
    SURGERY_NURSE,
    Administrator,
    Company,
    bundle,
    condition,
    created,
    observation,
    patient,
    reference,
    refusal,
    told,
    word,
)
from running_trust import RunningTrust

JSON: Final = {"content-type": "application/fhir+json"}
SYSTEM: Final = "urn:oid:1.2.250.1.71.4.2.2"


@pytest.fixture(scope="module")
def client(company: Company) -> Iterator[httpx.Client]:
    yield company.program(0, "bad-input")
    company.end_program(0, "bad-input")


@pytest.fixture(scope="module")
def who(client: httpx.Client) -> dict[str, Any]:
    return created(client, patient(word()))


def is_clear(answer: httpx.Response) -> None:
    """An OperationOutcome with words for people, whose status is the client's fault."""
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:500])
    assert answer.headers["content-type"].startswith("application/fhir+json"), answer.headers
    assert told(answer)
    assert "Traceback" not in answer.text


BROKEN: Final = {
    "nothing": b"",
    "blanks": b"  \n ",
    "cut short": b'{"resourceType":"Patient","name":[{"fam',
    "a list": b"[]",
    "a text": b'"Patient"',
    "null": b"null",
    "a number": b"1",
    "no JSON": b"resourceType=Patient",
    "XML": b"<Patient xmlns='http://hl7.org/fhir'/>",
    "two objects": b'{"resourceType":"Patient"}{"resourceType":"Patient"}',
    "bytes that are no text": b'{"resourceType":"Patient","id":"\xff\xfe"}',
    "a lone surrogate": b'{"resourceType":"Patient","name":[{"family":"\\ud800"}]}',
    "UTF-16": '{"resourceType":"Patient"}'.encode("utf-16"),
    "not a number": b'{"resourceType":"Observation","valueQuantity":{"value":NaN}}',
    "a number out of range": b'{"resourceType":"Observation","status":"final","code":{},"valueQuantity":{"value":1e999}}',
    "a number without end": b'{"resourceType":"Observation","status":"final","code":{},"valueQuantity":{"value":0.'
    + b"1" * 100_000
    + b"}}",
    "nested without end": b'{"resourceType":"Patient","extension":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "objects nested without end": b'{"resourceType":"Patient","contact":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
    "extensions nested deeply": b'{"resourceType":"Patient","extension":[' + b'{"url":"u","extension":[' * 400 + b"]}" * 400 + b"]}",
    "NUL in a text": b'{"resourceType":"Patient","name":[{"family":"a\\u0000b"}]}',
    "a raw NUL": b'{"resourceType":"Patient","name":[{"family":"a\x00b"}]}',
    "without a type": b'{"name":[]}',
    "a type that is no text": b'{"resourceType":{"a":1}}',
    "of an unknown type": b'{"resourceType":"Patiente"}',
    "of another type": b'{"resourceType":"Observation","status":"final","code":{"text":"x"}}',
    "unknown fields": b'{"resourceType":"Patient","nom":"x"}',
    "a wrong kind of value": b'{"resourceType":"Patient","name":"Lopez","birthDate":1971}',
    "a day that never was": b'{"resourceType":"Patient","birthDate":"1971-02-30"}',
    "empty things": b'{"resourceType":"Patient","name":[],"gender":""}',
    "a code that is none": b'{"resourceType":"Patient","gender":"femme"}',
    "a script": b'{"resourceType":"Patient","text":{"status":"generated","div":"<div xmlns=\\"http://www.w3.org/1999/xhtml\\"><script>alert(1)</script></div>"}}',
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_body_gets_a_clear_answer_and_stores_nothing(kind: str, client: httpx.Client, who: dict[str, Any]) -> None:
    before = client.get(f"{FHIR}/Patient?_summary=count").json()["total"]
    for answer in (
        client.post(f"{FHIR}/Patient", content=BROKEN[kind], headers=JSON),
        client.put(f"{FHIR}/{reference(who)}", content=BROKEN[kind], headers=JSON),
        client.post(FHIR, content=BROKEN[kind], headers=JSON),
    ):
        is_clear(answer)
        assert answer.status_code in (400, 422), "422: JSON, and no resource that may be stored (http.html#create)"
    assert client.get(f"{FHIR}/Patient?_summary=count").json()["total"] == before
    assert client.get(f"{FHIR}/{reference(who)}").json()["meta"]["versionId"] == "1"


def test_the_place_of_a_mistake_is_named(client: httpx.Client) -> None:
    broken = client.post(f"{FHIR}/Patient", content=b'{"resourceType":"Patient",\n "active": treu}', headers=JSON)
    assert "line 2" in told(broken)
    wrong = client.post(f"{FHIR}/Patient", json=patient(word(), born="1971-02-30"))
    assert wrong.json()["issue"][0]["expression"] == ["Patient.birthDate"]


def test_a_body_of_another_media_type_is_refused_by_name(client: httpx.Client) -> None:
    body = json.dumps(patient(word())).encode()
    for media in ("application/fhir+turtle", "text/plain", "multipart/form-data; boundary=x", "image/png", "garbage"):
        answer = client.post(f"{FHIR}/Patient", content=body, headers={"content-type": media})
        is_clear(answer)
        assert answer.status_code == 415, media
    assert client.get(f"{FHIR}/Patient", headers={"accept": "text/turtle"}).status_code == 406
    assert client.post(f"{FHIR}/Patient", content=body, headers={"content-type": "application/fhir+xml"}).status_code == 400  # it is not
    assert client.post(f"{FHIR}/Patient", content=body, headers={**JSON, "content-encoding": "br"}).status_code == 415
    assert client.post(f"{FHIR}/Patient", content=body, headers={**JSON, "content-encoding": "gzip"}).status_code == 400  # it is not
    assert client.post(f"{FHIR}/Patient", content=gzip.compress(body), headers={**JSON, "content-encoding": "gzip"}).status_code == 201


def test_a_body_that_is_too_large_is_refused_and_the_session_lives_on(client: httpx.Client) -> None:
    huge = b'{"resourceType":"Patient","name":[{"family":"' + b"x" * (65 * 1024 * 1024) + b'"}]}'
    answer = client.post(f"{FHIR}/Patient", content=huge, headers=JSON)
    assert answer.status_code == 413
    is_clear(answer)
    assert client.get(f"{FHIR}/Patient?_summary=count").status_code == 200

    def slices() -> Any:
        for _ in range(65):
            yield b" " * 1024 * 1024
        yield b"{}"

    assert client.post(f"{FHIR}/Patient", content=slices(), headers=JSON).status_code == 413


IDS: Final = (
    "a" * 65,
    "%00",
    "a%00b",
    "..",
    "../Observation",
    "%2e%2e",
    "a/b",
    "a%2Fb",
    "é",
    "%ff",
    " ",
    "a b",
    "*",
    "$everything",
    "_search",
    "'; drop table care.res; --",
    "01a203be-2892-7f0e-8dfa-8daca84b653",
    "01A203BE-2892-7F0E-8DFA-8DACA84B6530",
    "{01a203be28927f0e8dfa8daca84b6530}",
)


@pytest.mark.parametrize("id", IDS)
def test_an_id_that_is_none_finds_nothing_and_breaks_nothing(id: str, client: httpx.Client) -> None:
    for suffix in ("", "/_history", "/_history/1"):
        answer = client.get(f"{FHIR}/Patient/{id}{suffix}")
        assert answer.status_code < 500 or answer.status_code == 501, (answer.status_code, answer.text)
    if "/" not in id and "$" not in id and id not in ("..", "%2e%2e"):
        answer = client.put(f"{FHIR}/Patient/{id}", json=patient(word()) | {"id": id})
        assert answer.status_code < 500 or answer.status_code == 501, answer.text


def test_versions_that_never_were_find_nothing(client: httpx.Client, who: dict[str, Any]) -> None:
    for version in ("0", "-1", "2", "99999999999999999999", "1.0", "x", "%31", "١"):
        answer = client.get(f"{FHIR}/{reference(who)}/_history/{version}")
        assert answer.status_code in (404, 200 if version == "%31" else 404), (version, answer.text)


QUERIES: Final = (
    "birthdate=soon",
    "birthdate=2026-13-45",
    "birthdate=gt",
    "_count=-1",
    "_count=x",
    "_count=99999999999999999999",
    "_sort=zzz",
    "_page=guess",
    "_page=a.b",
    "_page=..%00",
    "_page=x.0&_page=y.0",
    "gender=%00",
    "name=%00",
    "name=" + "x" * 20_000,
    "identifier=|||",
    "_id=" + ",".join(["x"] * 500),
    "_include=*",
    "_include=Patient:nothing",
    "_revinclude=Observation:subject:Patient:x",
    "_lastUpdated=never",
    "_elements=",
    "_summary=maybe",
    "_has:Observation:patient:code",
    "_has:a:b:c:d:e:f=1",
    "general-practitioner.name.x=1",
    "_total=perhaps",
    "=1",
    "&&&",
    "%=1",
    "_format=xml",
    "name:exact:contains=x",
    "_filter=name eq x",
    "_query=x",
    "_text=x",
    "_content=x",
    "_list=x",
)


@pytest.mark.parametrize("query", QUERIES)
def test_a_search_that_cannot_be_understood_is_said_so(query: str, client: httpx.Client) -> None:
    for prefer in ("handling=lenient", "handling=strict"):
        answer = client.get(f"{FHIR}/Patient?{query}", headers={"prefer": prefer})
        assert answer.status_code < 500 or answer.status_code == 501, (answer.status_code, answer.text)
        if answer.status_code != 200:
            assert told(answer)
    assert client.get(f"{FHIR}/Patient?_nonsense=1", headers={"prefer": "handling=strict"}).status_code == 400


def test_of_a_transaction_that_is_half_good_nothing_is_kept(client: httpx.Client, who: dict[str, Any]) -> None:
    family, about = word(), reference(who)
    before = client.get(f"{FHIR}/Observation?patient={who['id']}&_summary=count").json()["total"]
    bad: dict[str, tuple[str, str, dict[str, Any] | None]] = {
        "invalid": ("POST", "Observation", observation(about) | {"status": "guessed"}),
        "of another type": ("POST", "Observation", condition(about)),
        "without a resource": ("POST", "Observation", None),
        "about nobody": ("POST", "Observation", observation("Patient/01a203be-2892-7f0e-8dfa-000000000000")),
        "stale": ("PUT", about, who | {"active": False}),
        "gone": ("DELETE", "Observation/01a203be-2892-7f0e-8dfa-000000000000", None),
        "unknown method": ("PATCH", about, who),
        "dangling": ("POST", "Observation", observation("urn:uuid:01a203be-2892-7f0e-8dfa-000000000000")),
    }
    for why, entry in bad.items():
        body = bundle(("POST", "Patient", patient(family)), ("POST", "Observation", observation(about)), entry)
        if why == "stale":
            body["entry"][2]["request"]["ifMatch"] = 'W/"77"'
        answer = client.post(FHIR, json=body)
        assert 400 <= answer.status_code < 500 or answer.status_code == 501, (why, answer.text)
        assert "entry[2]" in answer.text or why in ("gone", "stale", "about nobody"), (why, answer.text)
    assert client.get(f"{FHIR}/Patient?name={family}").json()["total"] == 0
    assert client.get(f"{FHIR}/Observation?patient={who['id']}&_summary=count").json()["total"] == before


def test_of_a_batch_that_is_half_good_the_good_half_is_kept_and_the_bad_half_explained(client: httpx.Client, who: dict[str, Any]) -> None:
    family, about = word(), reference(who)
    body = bundle(
        ("POST", "Patient", patient(family)),
        ("POST", "Observation", observation(about) | {"status": "guessed"}),
        ("POST", "Observation", observation(about, value=77)),
        ("GET", f"Patient/{word()}", None),
        ("GET", f"Patient?name={family}", None),
        kind="batch",
    )
    body["entry"].append({"request": {"method": "PUT", "url": about}})
    answer = client.post(FHIR, json=body)
    assert answer.status_code == 200
    statuses = [entry["response"]["status"][:3] for entry in answer.json()["entry"]]
    assert statuses == ["201", "422", "201", "404", "200", "400"]
    for entry in answer.json()["entry"]:
        if entry["response"]["status"][0] == "4":
            assert entry["response"]["outcome"]["issue"][0]["details"]["text"]
    assert client.get(f"{FHIR}/Patient?name={family}").json()["total"] == 1


def test_the_same_identifier_is_created_once_when_asked_so(client: httpx.Client) -> None:
    value = word()
    person = patient(word(), identifier=[{"system": SYSTEM, "value": value}])
    once = {"if-none-exist": f"identifier={SYSTEM}|{value}"}
    first = client.post(f"{FHIR}/Patient", json=person, headers=once)
    again = client.post(f"{FHIR}/Patient", json=person, headers=once)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    created(client, person)
    several = client.post(f"{FHIR}/Patient", json=person, headers=once)
    assert (several.status_code, refusal(several)) == (412, "multiple-matches")
    is_clear(several)
    for wrong in ("", "nonsense=1", "identifier", "Patient?", "%00=1"):
        answer = client.post(f"{FHIR}/Patient", json=person, headers={"if-none-exist": wrong})
        assert 400 <= answer.status_code < 500, (wrong, answer.status_code, answer.text)


def test_of_two_updates_built_on_the_same_version_one_wins_and_the_other_is_told(client: httpx.Client) -> None:
    who = created(client, patient(word()))
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda n: (
                    client.put(
                        f"{FHIR}/{reference(who)}", json=who | {"multipleBirthInteger": n}, headers={"if-match": 'W/"1"'}
                    ).status_code
                ),
                range(8),
            )
        )
    assert sorted(answers) == [200] + [412] * 7
    assert client.get(f"{FHIR}/{reference(who)}/_history").json()["total"] == 2
    assert client.put(f"{FHIR}/{reference(who)}", json=who, headers={"if-match": "1"}).status_code == 400


def test_many_writers_of_one_chart_lose_nothing(client: httpx.Client, company: Company) -> None:
    who = created(client, patient(word()), **{"cloister-zone": "saint-roch-cardiology"})
    people = [client, company.person(CARDIOLOGIST), company.person("adele.morel")]
    with ThreadPoolExecutor(9) as pool:
        answers = list(pool.map(lambda n: people[n % 3].post(f"{FHIR}/Observation", json=observation(reference(who), value=n)), range(45)))
    assert {answer.status_code for answer in answers} <= {201, 429}, [answer.text for answer in answers if answer.status_code != 201]
    stored = [answer.json()["id"] for answer in answers if answer.status_code == 201]
    assert len(stored) >= 40
    for one in people:
        found = one.get(f"{FHIR}/Observation?patient={who['id']}&_count=200").json()
        assert {entry["resource"]["id"] for entry in found["entry"]} == set(stored)


def test_noise_never_breaks_a_session(client: httpx.Client, who: dict[str, Any]) -> None:
    """Valid resources and bundles with a few bytes or values changed, always the same ones."""
    chance = random.Random(20261122)
    about = reference(who)
    models = [
        patient(word()),
        observation(about),
        bundle(("POST", "Patient", patient(word())), ("POST", "Observation", observation(about)), kind="batch"),
    ]
    odd: list[Any] = [
        None,
        [],
        {},
        "",
        0,
        -1,
        1e300,
        True,
        "\u0000",
        "x" * 300,
        "urn:uuid:",
        [[]],
        [None],
        {"a": None},
        "Patient/" + "y" * 70,
    ]
    for turn in range(150):
        body = json.loads(json.dumps(chance.choice(models)))
        raw = json.dumps(spoilt(body, chance, odd)) if turn % 2 else spoilt_text(json.dumps(body), chance)
        target = FHIR if '"Bundle"' in raw else f"{FHIR}/{'Patient' if turn % 3 else 'Observation'}"
        answer = client.post(target, content=raw.encode("utf-8", "surrogatepass"), headers=JSON)
        assert answer.status_code < 500 or answer.status_code == 501, (raw, answer.text)
        for entry in answer.json().get("entry", []):
            assert entry["response"]["status"][:3] not in ("500", "503"), (raw, entry)


def spoilt(value: Any, chance: random.Random, odd: list[Any]) -> Any:
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value))
        return value | {key: spoilt(value[key], chance, odd)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        return [*value[:place], spoilt(value[place], chance, odd), *value[place + 1 :]]
    return chance.choice(odd)


def spoilt_text(text: str, chance: random.Random) -> str:
    place = chance.randrange(len(text))
    return text[:place] + chance.choice(['"', "{", "}", "]", ",", "\\", "\x00", "é", ""]) + text[place + chance.randrange(3) :]


# --- signing in ------------------------------------------------------------------------------------------------------


@pytest.fixture
def forgiven(intruder: Administrator) -> Any:
    """Failures counted before and after are forgotten: they would lock out the tests that follow."""
    intruder.change("delete from estate.attempt")
    yield
    intruder.change("delete from estate.attempt")


def guess(client: httpx.Client, name: str) -> tuple[float, httpx.Response]:
    flow = client.post("/login/start", json={"sign_in": name}).json()
    began = time.monotonic()
    answer = client.post("/login/passphrase", json={"flow": flow["flow"], "verifier": base64.b64encode(bytes(32)).decode()})
    return time.monotonic() - began, answer


@pytest.mark.alone
def test_a_wrong_passphrase_and_an_unknown_person_get_one_answer_in_one_time(besieged: RunningTrust, forgiven: None) -> None:
    with besieged.client() as client:
        known = [guess(client, SURGERY_NURSE) for _ in range(4)]
        unknown = [guess(client, "nobody.here") for _ in range(4)]
        program = [guess(client, "lab-gateway") for _ in range(4)]
        bodies = {answer.content for _, answer in (*known, *unknown, *program)}
        assert len(bodies) == 1
        assert {answer.status_code for _, answer in (*known, *unknown, *program)} == {401}
        headers = [{name: value for name, value in answer.headers.items() if name != "date"} for _, answer in (*known, *unknown, *program)]
        assert all(one == headers[0] for one in headers)
        spread = [statistics.median(seconds for seconds, _ in several) for several in (known, unknown, program)]
        assert max(spread) - min(spread) < 0.1, spread
        starts = [client.post("/login/start", json={"sign_in": name}).json() for name in (SURGERY_NURSE, "nobody.here", "lab-gateway") * 2]
        assert {json.dumps(shape(one | {"passkey": None})) for one in starts} == {json.dumps(shape(starts[0] | {"passkey": None}))}
        assert starts[1]["passphrase"] == starts[4]["passphrase"], "an unknown person's salt does not change, as a known one's does not"
        assert starts[0]["passphrase"] == starts[3]["passphrase"]


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: shape(one) for name, one in sorted(value.items())}
    if isinstance(value, list):
        return [shape(one) for one in value]
    return f"{type(value).__name__} {len(value) if isinstance(value, str) else ''}"


def test_guessing_is_slowed_down_for_the_person_whether_there_is_one_or_not_and_for_nobody_else(
    besieged: RunningTrust, intruder: Administrator, forgiven: None
) -> None:
    with besieged.client() as client:
        for name in ("nobody.here", SURGERY_NURSE):
            statuses = [guess(client, name)[1] for _ in range(7)]
            assert [answer.status_code for answer in statuses] == [401] * 5 + [429] * 2, name
            assert 0 < int(statuses[-1].headers["retry-after"]) <= 900
            assert statuses[-1].json()["hint"].startswith("Wait")
        intruder.change("update estate.attempt set last = now(), failures = 12")
        proof, _ = besieged.prove(client, SURGERY_NURSE, besieged.person(sign_in=SURGERY_NURSE)["passphrase"])
        assert proof.status_code == 429, "the right passphrase does not shorten the wait"
        spoofed = client.post("/login/start", json={"sign_in": SURGERY_NURSE}, headers={"x-forwarded-for": "203.0.113.9"}).json()
        again = client.post(
            "/login/passphrase",
            json={"flow": spoofed["flow"], "verifier": base64.b64encode(bytes(32)).decode()},
            headers={"x-forwarded-for": "203.0.113.9"},
        )
        assert again.status_code == 429
    thomas = besieged.sign_in(besieged.person(sign_in="thomas.olivier"))
    thomas.client.post("/session/end")


def test_guessing_with_many_hands_at_once_gains_nothing(besieged: RunningTrust, forgiven: None) -> None:
    with besieged.client() as client:
        flows = [client.post("/login/start", json={"sign_in": "thomas.olivier"}).json()["flow"] for _ in range(40)]
        verifier = base64.b64encode(bytes(32)).decode()
        with ThreadPoolExecutor(20) as pool:
            answers = list(
                pool.map(lambda flow: client.post("/login/passphrase", json={"flow": flow, "verifier": verifier}).status_code, flows)
            )
        assert sorted(answers) == [401] * 5 + [429] * 35


def test_guessing_at_many_names_is_slowed_down_for_the_address_and_programs_cannot_be_locked_out(
    besieged: RunningTrust, forgiven: None
) -> None:
    with besieged.client() as client:
        with ThreadPoolExecutor(16) as pool:
            first = list(pool.map(lambda n: guess(client, f"guess.{n}")[1].status_code, range(112)))
        assert 401 in first
        assert guess(client, "guess.again")[1].status_code == 429
        one = besieged.sign_ins["programs"][0]
        form = {"grant_type": "client_credentials"}
        for _ in range(8):
            wrong = client.post("/oauth2/token", data=form, auth=(one["client_id"], "x" * 43))
            assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
        assert client.post("/oauth2/token", data=form, auth=(one["client_id"], one["client_secret"])).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"sign_in":7}',
        b'{"sign_in":""}',
        b'{"sign_in":null}',
        b'{"sign_in":"' + b"x" * 5000 + b'"}',
        b'{"sign_in":"a\\u0000b"}',
        b'{"sign_in":"\\ud800"}',
        b'{"sign_in":"x","sign_in":{}}',
        b"[" * 50_000,
        b'{"flow":"x","verifier":"?"}',
        b'{"flow":{},"verifier":[]}',
    ],
)
def test_a_broken_sign_in_is_refused_in_words(body: bytes, besieged: RunningTrust) -> None:
    with besieged.client() as client:
        for path in ("/login/start", "/login/passphrase", "/login/passkey"):
            answer = client.post(path, content=body, headers={"content-type": "application/json"})
            assert 400 <= answer.status_code < 500 or (path == "/login/start" and answer.status_code == 200), (path, answer.text)
            if answer.status_code != 200:
                assert answer.json()["text"]
        assert client.post("/login/start", content=b'{"sign_in":"x"}', headers={"content-type": "text/plain"}).status_code == 400
        assert client.post("/login/start", content=b"x" * 70_000, headers={"content-type": "application/json"}).status_code in (400, 413)


def test_a_flow_is_used_once_and_by_nobody_else(besieged: RunningTrust, forgiven: None) -> None:
    nurse = besieged.person(sign_in="thomas.olivier")
    with besieged.client() as client:
        flow = client.post("/login/start", json={"sign_in": nurse["sign_in"]}).json()["flow"]
        body = {"flow": flow, "verifier": base64.b64encode(bytes(32)).decode()}
        assert client.post("/login/passphrase", json=body).status_code == 401
        assert client.post("/login/passphrase", json=body).status_code == 404
        assert client.post("/login/passkey", json={"flow": flow, "assertion": {}}).status_code == 404
        assert client.post("/login/passphrase", json=body | {"flow": "guess"}).status_code == 404


OAUTH: Final[tuple[tuple[dict[str, Any], str], ...]] = (
    ({}, "invalid_request"),
    ({"grant_type": "password", "username": "a", "password": "b"}, "unsupported_grant_type"),
    ({"grant_type": "client_credentials"}, "invalid_client"),
    ({"grant_type": ["client_credentials", "client_credentials"]}, "invalid_request"),
    ({"grant_type": "client_credentials", "client_id": "\x00", "client_secret": "x"}, "invalid_request"),
    ({"grant_type": "client_credentials", "client_id": "é" * 900, "client_secret": "é"}, "invalid_request"),
)


@pytest.mark.parametrize(("form", "error"), OAUTH)
def test_a_broken_token_request_gets_the_error_of_its_standard(
    form: dict[str, Any], error: str, besieged: RunningTrust, forgiven: None
) -> None:
    """RFC 6749 5.2."""
    with besieged.client() as client:
        answer = client.post("/oauth2/token", data=form or {"x": "y"})
        assert answer.status_code in (400, 401), answer.text
        assert answer.json()["error"] == error
        assert (
            client.post("/oauth2/token", content=b"{}", headers={"content-type": "application/json"}).json()["error"] == "invalid_request"
        )
        assert client.get("/oauth2/token").status_code == 405


# --- clocks ----------------------------------------------------------------------------------------------------------


def test_a_server_whose_clock_is_wrong_refuses_by_name_what_does_not_hold_then(trust: RunningTrust, administrator: Administrator) -> None:
    """The same rows, the same passphrase, another clock: what a session on such a server would open."""
    from test_two_people_on_one_server import Hijacked

    from cloister.base.errors import CloisterError
    from cloister.server.opening import opened
    from cloister.zones import unlockers

    nurse = trust.person(sign_in=SURGERY_NURSE)
    hijacked = Hijacked(trust, administrator, SURGERY_NURSE)
    ((_, rows),) = hijacked.say(("trust_material", {}))
    unlocker = next(one for one in rows["unlockers"] if one["kind"] == "passphrase")
    kek, _ = unlockers.passphrase_secrets(nurse["passphrase"], unlocker["params"])

    def at(moment: datetime) -> tuple[int, set[str]]:
        try:
            keyring = opened(
                rows, person=hijacked._person, session="s", unlocker=unlocker["id"], kek=kek, trust=administrator.roots, now=moment
            ).keyring
        except CloisterError as refused:
            return 0, {refused.reason}
        return len(keyring.zones), {str(why) for _, why in keyring.refused}

    now = datetime.now(UTC)
    assert at(now) == (1, set())
    assert at(now - timedelta(minutes=1)) == (1, set()), "a clock a little behind hurts nobody"
    assert at(now + timedelta(minutes=5)) == (1, set())
    zones, why = at(now - timedelta(days=400))
    assert zones == 0
    assert why & {"certificate-not-yet", "grant-not-yet"}
    zones, why = at(now + timedelta(days=1200))
    assert zones == 0
    assert why & {"audit-stale", "certificate-expired", "grant-expired"}, "the newest checkpoint is asked for first"
