"""The history of a type and of everything: all versions that this session can open, proved, and no others."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from over_http import get, pages
from people import admitted, patient, weighed, weight
from store_rig import CARDIOLOGY, SURGERY, Rig, Session

from cloister.base.errors import Corrupt
from cloister.records import past

ABSENT = "01a203ad-cebe-7483-8e57-000000000000"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def passed() -> str:
    """Now; what comes after happens in another millisecond."""
    moment = now()
    await asyncio.sleep(0.002)
    return moment


def versions(*bundles: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(method, Type/id, version) of each entry."""
    found = []
    for bundle in bundles:
        for one in bundle.get("entry", []):
            found.append((one["request"]["method"], one["fullUrl"].split("/R4/")[1], one["response"]["etag"].strip('W/"')))
    return found


async def test_what_was_written_since_is_listed_newest_first(program: Session) -> None:
    before = now()
    lopez = await admitted(program)
    one = (await weighed(program, lopez)).stored
    await program.records.update(weight(lopez, 80.0) | {"id": one.id})
    other = (await weighed(program, lopez)).stored
    await program.records.delete("Observation", other.id)
    body = await get(program, f"/Observation/_history?_since={before}")
    assert versions(body) == [
        ("DELETE", other.reference, "2"),
        ("POST", other.reference, "1"),
        ("PUT", one.reference, "2"),
        ("POST", one.reference, "1"),
    ]
    assert body["total"] == 4
    assert body["entry"][2]["resource"]["valueQuantity"]["value"] == 80.0
    assert body["entry"][3]["resource"]["valueQuantity"]["value"] == 71.5
    whole = await get(program, f"/_history?_since={before}")
    assert versions(whole) == [*versions(body), ("POST", f"Patient/{lopez}", "1")]
    assert versions(await get(program, f"/Observation/_history?_since={now()}")) == []


async def test_a_history_is_paged_and_stays_as_it_was_while_others_write(program: Session, vasseur: Session) -> None:
    before = now()
    lopez = await admitted(program, ward=CARDIOLOGY)
    for _ in range(5):
        await weighed(program, lopez)
    path = f"/Observation/_history?_since={before}&_count=2"
    whole = versions(await get(program, f"/Observation/_history?_since={before}"))
    first = await get(program, path)
    await weighed(vasseur, lopez)
    await program.records.update(weight(lopez) | {"id": whole[-1][1].split("/")[1]})
    following = next(link["url"] for link in first["link"] if link["relation"] == "next")
    assert versions(first, *(await pages(program, following))) == whole
    await get(vasseur, following, 404)


async def test_what_was_current_at_a_moment(program: Session) -> None:
    lopez = await admitted(program)
    one = (await weighed(program, lopez)).stored
    middle = await passed()
    await program.records.update(weight(lopez, 80.0) | {"id": one.id})
    later = await passed()
    other = (await weighed(program, lopez)).stored

    async def at(moment: str, path: str = "/Observation") -> set[tuple[str, str]]:
        body = await get(program, f"{path}/_history?_at={moment}&_count=1000")
        return {(name, version) for _, name, version in versions(body) if name in (one.reference, other.reference)}

    assert await at(middle) == {(one.reference, "1")}
    assert await at(later) == {(one.reference, "2")}
    assert await at(now()) == {(one.reference, "2"), (other.reference, "1")}
    assert await at(middle, f"/{one.reference}") == {(one.reference, "1")}


async def test_a_history_tells_nothing_of_other_zones(program: Session, adele: Session, delorme: Session) -> None:
    before = now()
    hidden = await admitted(program, "Hidden", ward=SURGERY)
    await weighed(program, hidden)
    shown = await admitted(program, "Shown", ward=CARDIOLOGY)
    mine = (await weighed(program, shown)).stored.reference
    for path in ("/_history", "/Patient/_history", "/Observation/_history", "/Encounter/_history"):
        body = await get(delorme, f"{path}?_since={before}")
        assert (body["total"], body.get("entry", []), len(body["link"])) == (0, [], 1)
        seen = await get(adele, f"{path}?_since={before}")
        assert hidden not in str(seen)
        assert seen["total"] == len(seen["entry"])
    assert [name for _, name, _ in versions(await get(adele, f"/Observation/_history?_since={before}"))] == [mine]


async def test_who_opens_no_record_is_refused_a_history(colin: Session) -> None:
    await get(colin, "/Patient/_history", 403)
    await get(colin, "/_history", 403)


async def test_a_history_that_is_too_long_is_refused_with_what_to_do(program: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    lopez = await admitted(program)
    for _ in range(3):
        await weighed(program, lopez)
    monkeypatch.setattr(past, "VERSIONS_MAX", 2)
    refused = await get(program, "/Observation/_history", 400)
    assert refused["issue"][0]["code"] == "too-costly"
    assert "_since" in refused["issue"][0]["diagnostics"]


async def test_a_version_that_was_taken_away_is_noticed(trust: Rig, program: Session) -> None:
    before = now()
    made = (await program.records.create(patient("Cut"))).stored
    await program.records.update({**patient("Cut"), "id": made.id})
    database = await trust.connect()
    await database.execute("set session_replication_role = replica")
    await database.execute("delete from care.res_hist where id = $1", made.id)
    await database.close()
    with pytest.raises(Corrupt):
        await program.records.past("Patient", past.Span(since=int(datetime.fromisoformat(before).timestamp() * 1_000_000)), 10)
