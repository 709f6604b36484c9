"""Conditional writes: the condition is a search, and it sees what the session sees. http://hl7.org/fhir/R4/http.html#ccreate, #cond-update.

A resource in a zone that this session cannot open does not match, so that no condition tells of it. Writes of one
session under the same condition go one after the other: a program that sends a patient twice at once gets one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

from cloister.access import Action
from cloister.base.errors import Conflict, Invalid
from cloister.base.ids import new_id
from cloister.records.changing import delete_change, write_change
from cloister.records.draft import Draft
from cloister.records.fhir.references import without_searches
from cloister.records.placing import Change
from cloister.records.room import Room
from cloister.records.rowids import check_id
from cloister.records.search import Query
from cloister.records.stored import Stored, Written
from cloister.records.validation import check

# What says how an answer looks, not what must match.
SHAPING: Final = frozenset({"_count", "_elements", "_include", "_revinclude", "_sort", "_summary", "_total", "_contained"})


NOTHING: Final[Collection[tuple[str, str]]] = frozenset()


async def one_match(room: Room, query: Query, *, but: Collection[tuple[str, str]] = NOTHING) -> Stored | None:
    """The one resource that matches, or None; more than one is a Conflict (412). `but`: by type and id, those that do not count."""
    found = await matching(room, query, but=but)
    if len(found) > 1:
        raise several_match()
    return found[0] if found else None


def several_match() -> Conflict:
    return Conflict("More than one resource matches the condition.", hint="Make the condition narrower.", reason="multiple-matches")


async def matching(room: Room, query: Query, *, but: Collection[tuple[str, str]] = NOTHING) -> list[Stored]:
    """At most two of the stored resources that match a condition."""
    await room.permit(Action.SEARCH, query.type)
    asked = [(name, text) for name, text in query.applied if name.partition(":")[0] not in SHAPING]
    if not asked or any(not text for _, text in asked):
        raise Invalid(
            "This condition holds for everything.",
            hint="Name what must match, such as identifier=system|value.",
            reason="empty-condition",
            expression=asked[0][0] if asked else "",
        )
    # Whatever the client wrote of pages and summaries: one that only counts would seem to match nothing.
    count = 2 + sum(1 for type, _ in but if type == query.type)
    page = await room.searcher.search(replace(query, count=count, total="none", summary="false", includes=(), sort=(), elements=()))
    return [hit.stored for hit in page.hits if (hit.stored.type, hit.stored.id) not in but][:2]


def check_same_id(resource: dict[str, Any], matched: Stored) -> None:
    """http.html#cond-update: one match, and the resource names no other id."""
    if resource.get("id", matched.id) != matched.id:
        raise Invalid(
            f"The condition matches {matched.reference}, and the resource has another id.",
            hint="Leave the id out, or send the one that it has.",
            reason="other-id",
            expression=f"{matched.type}.id",
        )


async def create_unless(room: Room, resource: dict[str, Any], query: Query, zone: str | None) -> Written:
    """Creates unless one matches; then that one is given back and nothing is written."""
    check(resource)
    without_searches(resource)
    type = resource["resourceType"]
    await room.permit(Action.CREATE, type)
    async with room.alone(query):
        matched = await one_match(room, query)
        if matched is not None:
            return Written(stored=matched, unchanged=True)
        id = new_id()
        return await write_change(room, Change(type=type, id=id, resource=resource, draft=Draft(resource, id), fresh=True), zone)


async def update_where(room: Room, resource: dict[str, Any], query: Query, *, if_match: int | None, zone: str | None) -> Written:
    """Updates the one that matches, or creates: under the resource's own id when it has one that is free."""
    check(resource)
    without_searches(resource)
    type = resource["resourceType"]
    await room.permit(Action.UPDATE, type)
    given = check_id(resource["id"]) if "id" in resource else None
    async with room.alone(query):
        matched = await one_match(room, query)
        if matched is not None:
            check_same_id(resource, matched)
            change = Change(type=type, id=matched.id, resource=resource, draft=Draft(resource, matched.id), if_match=if_match)
            return await write_change(room, change, zone)
        await room.permit(Action.CREATE, type)
        if if_match:
            raise Conflict("Nothing matches the condition, so there is no such version.", hint="Leave out If-Match.", reason="version")
        id = given or new_id()
        change = Change(type=type, id=id, resource=resource, draft=Draft(resource, id), fresh=given is None, if_match=0 if given else None)
        try:
            return await write_change(room, change, zone)
        except Conflict as conflict:
            if conflict.reason != "id-taken":
                raise
            raise Conflict(
                f"Nothing matches the condition, and {type}/{id} is something else already.",
                hint="Leave the id out, or correct the condition.",
                reason="id-taken",
                expression=f"{type}.id",
            ) from None


async def delete_where(room: Room, query: Query, *, if_match: int | None) -> Stored | None:
    """Deletes the one that matches, and says which it was; None when nothing does."""
    await room.permit(Action.DELETE, query.type)
    async with room.alone(query):
        matched = await one_match(room, query)
        if matched is not None:
            await delete_change(room, Change(type=matched.type, id=matched.id, if_match=if_match))
        return matched
