"""patch: what a JSON Patch does to a resource, and what it may not. http://hl7.org/fhir/R4/http.html#patch, RFC 6902."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from records_in_memory import RecordsInMemory
from test_interactions import LOPEZ, PULSE, issues, put_lopez

from cloister.base.errors import Conflict, Invalid
from cloister.records.fhir.pointers import apply, same

PATCH = {"Content-Type": "application/json-patch+json"}


async def patched(client: httpx.AsyncClient, *operations: dict[str, Any], path: str = "/Patient/lopez", **headers: str) -> httpx.Response:
    return await client.patch(path, content=json.dumps(operations), headers=PATCH | headers)


async def test_a_patient_is_changed_in_one_place_and_stays_otherwise_as_she_was(client: httpx.AsyncClient) -> None:
    await put_lopez(client)
    answer = await patched(
        client, {"op": "replace", "path": "/name/0/family", "value": "López"}, {"op": "add", "path": "/name/0/given/-", "value": "M"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.headers["etag"] == 'W/"2"'
    body = (await client.get("/Patient/lopez")).json()
    assert body["name"] == [{"family": "López", "given": ["Hélène", "M"]}]
    assert body["identifier"] == LOPEZ["identifier"]


async def test_digits_that_the_patch_does_not_touch_are_kept(client: httpx.AsyncClient) -> None:
    made = await client.post("/Observation", content=json.dumps(PULSE).replace("71", "71.50"), headers={"Content-Type": "application/json"})
    path = f"/Observation/{made.json()['id']}"
    answer = await patched(client, {"op": "replace", "path": "/status", "value": "amended"}, path=path)
    assert '"value":71.50' in answer.text


async def test_a_reference_by_our_own_address_is_kept_by_type_and_id(client: httpx.AsyncClient) -> None:
    await put_lopez(client)
    doctor = {"reference": "https://trust.example/fhir/R4/Practitioner/1"}
    answer = await patched(client, {"op": "add", "path": "/generalPractitioner", "value": [doctor]})
    assert answer.json()["generalPractitioner"] == [{"reference": "Practitioner/1"}]


async def test_two_doctors_do_not_patch_over_each_other(client: httpx.AsyncClient) -> None:
    await put_lopez(client)
    change = {"op": "replace", "path": "/gender", "value": "other"}
    assert (await patched(client, change, **{"If-Match": 'W/"1"'})).status_code == 200
    late = await patched(client, change, **{"If-Match": 'W/"1"'})
    assert late.status_code == 412
    assert issues(late)[0]["code"] == "conflict"


async def test_a_patch_without_a_version_is_applied_again_when_somebody_wrote_in_between(
    client: httpx.AsyncClient, records: RecordsInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put_lopez(client)
    update, tries = records.update, []

    async def busy(resource: dict[str, Any], **more: Any) -> Any:
        tries.append(resource)
        if len(tries) == 1:
            raise Conflict("It has changed since you read it.", reason="version")
        return await update(resource, **more)

    monkeypatch.setattr(records, "update", busy)
    assert (await patched(client, {"op": "replace", "path": "/gender", "value": "other"})).status_code == 200
    assert len(tries) == 2


async def test_a_patch_by_condition(client: httpx.AsyncClient) -> None:
    await put_lopez(client)
    change = {"op": "replace", "path": "/gender", "value": "other"}
    assert (await patched(client, change, path="/Patient?family=lopez")).json()["gender"] == "other"
    assert (await patched(client, change, path="/Patient?family=nobody")).status_code == 404


@pytest.mark.parametrize(
    ("operation", "status", "place"),
    [
        ({"op": "test", "path": "/gender", "value": "male"}, 422, "[0]"),
        ({"op": "remove", "path": "/photo"}, 422, "[0]"),
        ({"op": "replace", "path": "/name/7/family", "value": "x"}, 422, "[0]"),
        ({"op": "replace", "path": "/name/00/family", "value": "x"}, 422, "[0]"),
        ({"op": "add", "path": "/name/3", "value": {}}, 422, "[0]"),
        ({"op": "replace", "path": "/id", "value": "other"}, 422, "Patient.id"),
        ({"op": "remove", "path": "/resourceType"}, 422, "Patient.resourceType"),
        ({"op": "replace", "path": "/gender", "value": "purple"}, 422, "Patient.gender"),
        ({"op": "add", "path": "/meta", "value": 1}, 400, "Patient.meta"),
        ({"op": "replace", "path": "", "value": {}}, 400, "[0].path"),
        ({"op": "replace", "path": "gender", "value": "x"}, 400, "[0].path"),
        ({"op": "replace", "path": "/gender"}, 400, "[0].value"),
        ({"op": "move", "path": "/gender"}, 400, "[0].from"),
        ({"op": "move", "from": "/name", "path": "/name/0"}, 400, "[0]"),
        ({"op": "paint", "path": "/gender"}, 400, "[0].op"),
        ({}, 400, "[0].op"),
    ],
)
async def test_what_does_not_fit_is_said_and_changes_nothing(
    client: httpx.AsyncClient, records: RecordsInMemory, operation: dict[str, Any], status: int, place: str
) -> None:
    await put_lopez(client)
    answer = await patched(client, operation)
    assert answer.status_code == status, answer.text
    assert issues(answer)[0]["expression"] == [place]
    assert issues(answer)[0]["diagnostics"]
    assert len(records.versions["Patient", "lopez"]) == 1


async def test_what_may_not_be_known_is_not_patched_and_not_told(client: httpx.AsyncClient) -> None:
    change = {"op": "replace", "path": "/gender", "value": "other"}
    sealed, absent = await patched(client, change, path="/Patient/sealed-1"), await patched(client, change, path="/Patient/absent-1")
    assert sealed.status_code == absent.status_code == 404
    assert sealed.text.replace("sealed-1", "X") == absent.text.replace("absent-1", "X")


def test_the_examples_of_the_standard() -> None:
    """RFC 6902, appendix A: A.1 to A.4, A.6, A.7, A.10, A.14, A.16."""
    assert apply({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}]) == {"foo": "bar", "baz": "qux"}
    assert apply({"foo": ["bar", "baz"]}, [{"op": "add", "path": "/foo/1", "value": "qux"}]) == {"foo": ["bar", "qux", "baz"]}
    assert apply({"baz": "qux", "foo": "bar"}, [{"op": "remove", "path": "/baz"}]) == {"foo": "bar"}
    assert apply({"foo": ["bar", "qux", "baz"]}, [{"op": "remove", "path": "/foo/1"}]) == {"foo": ["bar", "baz"]}
    moved = apply({"foo": {"bar": "baz", "waldo": "fred"}, "qux": {}}, [{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}])
    assert moved == {"foo": {"bar": "baz"}, "qux": {"thud": "fred"}}
    assert apply({"foo": [1, 2, 3, 4]}, [{"op": "move", "from": "/foo/1", "path": "/foo/3"}]) == {"foo": [1, 3, 4, 2]}
    assert apply({"foo": "bar"}, [{"op": "add", "path": "/child", "value": {"a": {}}}]) == {"foo": "bar", "child": {"a": {}}}
    assert apply({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}]) == {"/": 9, "~1": 10}
    assert apply({"foo": ["bar"]}, [{"op": "add", "path": "/foo/-", "value": ["abc"]}]) == {"foo": ["bar", ["abc"]]}
    assert same(1, 1.0)
    assert not same(True, 1)


def test_a_patch_that_doubles_itself_is_stopped() -> None:
    doubling = [{"op": "copy", "from": "/a", "path": "/a/-"}, {"op": "copy", "from": "/a", "path": "/a/-"}] * 100
    with pytest.raises(Invalid) as refused:
        apply({"a": ["x" * 1000]}, doubling)
    assert refused.value.reason == "too-costly"


paths = st.lists(st.sampled_from(["name", "0", "given", "-", "gender", "id", "99", "~0", ""]), max_size=4).map(
    lambda steps: "/" + "/".join(steps)
)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=2)


values = st.recursive(st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3), nested, max_leaves=3)
operations = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]), "path": paths}, optional={"from": paths, "value": values}
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.lists(operations, max_size=4))
async def test_no_patch_breaks_the_endpoint(client: httpx.AsyncClient, records: RecordsInMemory, body: list[dict[str, Any]]) -> None:
    records.versions.clear()
    await put_lopez(client)
    answer = await patched(client, *body)
    assert answer.status_code in (200, 400, 422), answer.text
    assert len(records.versions["Patient", "lopez"]) == (2 if answer.status_code == 200 else 1)
