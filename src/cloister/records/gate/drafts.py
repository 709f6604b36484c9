"""Drafts: what a person has typed and not saved, sealed by their session to themselves. Each sees and removes only their own.

The store learns that somebody is writing, how much, and when; not what, of whom, nor in which form.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta

from cloister.base.errors import Denied
from cloister.records.gate.statement import Arguments, Call, Statement

BODY_BYTES_MAX: Final = 512 * 1024
DRAFTS_MAX: Final = 50  # of one person; the oldest go first
DAYS_KEPT: Final = 30

PUT: Final = """
    insert into care.draft (person, name, body) values ($1, $2, $3)
    on conflict (person, name) do update set body = excluded.body, changed = now()"""
# What is too old or too many goes when its person writes or looks.
TIDY: Final = f"""
    delete from care.draft d where d.person = $1 and (d.changed < now() - interval '{DAYS_KEPT} days' or d.name in (
        select o.name from care.draft o where o.person = $1 order by o.changed desc, o.name offset {DRAFTS_MAX}))"""
NAMES: Final = f"select name, changed from care.draft where person = $1 order by changed desc, name limit {DRAFTS_MAX}"
SOME: Final = f"""
    select name, body, changed from care.draft where person = $1 and name = any ($2) order by changed desc, name limit {DRAFTS_MAX}"""
DROP: Final = "delete from care.draft where person = $1 and name = $2"

Name = Annotated[bytes, Meta(min_length=16, max_length=16)]


class Nothing(Arguments):
    pass


class DraftPut(Arguments):
    name: Name
    body: Annotated[bytes, Meta(min_length=1, max_length=BODY_BYTES_MAX)]


class DraftName(Arguments):
    name: Name


class DraftsSome(Arguments):
    names: Annotated[list[Name], Meta(max_length=DRAFTS_MAX)]


async def draft_put(call: Call, arguments: DraftPut) -> None:
    """Kept when this returns, in place of what was kept under this name."""
    if call.role == "program":
        raise Denied("A program keeps no drafts.", reason="role")
    await call.database.execute(PUT, call.person, arguments.name, arguments.body)
    await call.database.execute(TIDY, call.person)


async def draft_names(call: Call, arguments: Nothing) -> list[bytes]:
    """The names of one's drafts, the newest first."""
    await call.database.execute(TIDY, call.person)
    return [bytes(row["name"]) for row in await call.database.fetch(NAMES, call.person)]


async def drafts(call: Call, arguments: DraftsSome) -> list[list[Any]]:
    """[name, body, when it was kept] of those that there are, the newest first."""
    rows = await call.database.fetch(SOME, call.person, arguments.names)
    return [[bytes(row["name"]), bytes(row["body"]), row["changed"].isoformat()] for row in rows]


async def draft_drop(call: Call, arguments: DraftName) -> None:
    await call.database.execute(DROP, call.person, arguments.name)


STATEMENTS: Final = (
    Statement("draft_put", DraftPut, draft_put, noted_first=False),
    Statement("draft_names", Nothing, draft_names),
    Statement("drafts", DraftsSome, drafts),
    Statement("draft_drop", DraftName, draft_drop, noted_first=False),
)
