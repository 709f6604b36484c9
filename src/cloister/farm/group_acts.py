"""What operators do to delivery groups and servers' labels: acts of `operations`, as the console and the command line ask. Audited first.

groups, set_group, remove_group, label_server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from cloister.base.errors import Conflict, Invalid, NotFound
from cloister.farm.claims_store import GROUPS
from cloister.farm.groups import DEFAULT_GROUP, Group, changed, label
from cloister.farm.operating_store import OperatingStore
from cloister.farm.operations import Operations, Operator
from cloister.farm.rows import group_of
from cloister.farm.store import SET_GROUP

LABELS_MAX: Final = 20  # of one server

MEMBERS: Final = """
    select g.id, count(s.id) as members, count(s.id) filter (where g.image in ('', s.image)) as fitting,
           count(s.id) filter (where s.state = 'ready' and s.seen > now() - interval '20 seconds') as ready,
           coalesce(sum((select count(*) from estate.session x where x.server = s.id and x.state <> 'ended')), 0)::int as sessions
      from estate.delivery_group g left join estate.server s on g.id = any (s.groups) group by g.id order by g.id limit 1000"""
LABELLED: Final = "select id, labels from estate.server where labels <> '{}' order by id limit 5000"
# A server is known when its agent has reported once, or when it has joined as a machine.
STRANGERS: Final = """
    select n from unnest($1::text[]) n where not exists (select from estate.server s where s.id = n)
       and not exists (select from estate.machine m where m.id = n and m.removed is null) order by n limit 10"""
UNPUBLISHED: Final = """
    select a from unnest($1::text[]) a where not exists (select from estate.application k where k.id = a) order by a limit 10"""
IMAGES: Final = "select distinct image from estate.server where $1 = any (groups) and image <> '' order by image limit 10"
HOSPITALS: Final = "select id from trust.hospital order by id limit 200"
REMOVE_GROUP: Final = "delete from estate.delivery_group where id = $1 returning applications"
# What nobody offers any more.
ORPHANS: Final = """
    select a from unnest($1::text[]) a where not exists (select from estate.delivery_group g where a = any (g.applications)) order by a"""
SET_LABELS: Final = "update estate.server set labels = $2 where id = $1 returning groups"
LABELS: Final = "select labels from estate.server where id = $1"


class GroupActs:
    """Adds its acts to the operators'."""

    def __init__(self, operations: Operations, store: OperatingStore) -> None:
        self._operations, self._store = operations, store
        for name in ("groups", "set_group", "remove_group", "label_server"):
            operations.register(name, getattr(self, f"_{name}"))

    async def _groups(self, by: Operator, words: Mapping[str, Any]) -> dict[str, Any]:
        """{groups: [every field, and members, fitting (with its image), ready, sessions], labels: {server: labels}}."""
        counts = {row["id"]: dict(row) for row in await self._store.fetch(MEMBERS)}
        groups = await self._all()
        return {
            "groups": [{**_wire(one), **counts.get(one.id, NOBODY)} for one in groups.values()],
            "labels": {row["id"]: list(row["labels"]) for row in await self._store.fetch(LABELLED)},
        }

    async def _set_group(self, by: Operator, words: Mapping[str, Any]) -> dict[str, Any]:
        """{id, and of every other field what is to be written anew}; {created, members, fitting, images: what they run}."""
        id = label("id", words.get("id"))
        groups = await self._all()
        before = groups.get(id, Group(id=id))
        after = changed(before, words)
        await self._check(before, after)
        if id in groups and after == before:
            raise Invalid(
                "Nothing would change.", hint="Name what the group shall be: cloister server group set --help", reason="group-same"
            )
        created = id not in groups
        await self._operations.noted(by, "delivery-group", object=f"group/{id}", reason=_said(before, after, created))
        a = after
        lists = [list(one) for one in (a.servers, a.labels, a.roles)]
        await self._store.fetch(SET_GROUP, id, a.name, a.hospital, a.image, list(a.applications), a.tolerance, a.server_max, *lists)
        row = next(row for row in await self._store.fetch(MEMBERS) if row["id"] == id)
        images = [str(one[0]) for one in await self._store.fetch(IMAGES, id)]
        return {"created": created, "members": row["members"], "fitting": row["fitting"], "images": images}

    async def _check(self, before: Group, after: Group) -> None:
        """What a group names must be there. What it named before is not asked again: a server may have gone meanwhile."""
        strangers = await self._absent(STRANGERS, set(after.servers) - set(before.servers))
        if strangers:
            text = f"No server '{strangers[0]}' was ever heard of."
            raise NotFound(text, hint="See `cloister server list`; of a new one: start it first, or use a label.", reason="group-servers")
        absent = await self._absent(UNPUBLISHED, set(after.applications) - set(before.applications))
        if absent:
            text = f"There is no application '{absent[0]}'."
            raise NotFound(text, hint="See `cloister application list`; the record is 'record'.", reason="group-applications")
        if after.hospital and after.hospital != before.hospital:
            known = [str(row["id"]) for row in await self._store.fetch(HOSPITALS)]
            if after.hospital not in known:
                text = f"There is no hospital '{after.hospital}'."
                raise NotFound(text, hint=f"One of: {', '.join(known)}.", reason="group-hospital")

    async def _absent(self, sql: str, names: set[str]) -> list[str]:
        return [str(row[0]) for row in await self._store.fetch(sql, sorted(names))] if names else []

    async def _remove_group(self, by: Operator, words: Mapping[str, Any]) -> dict[str, Any]:
        """{id}: its servers stay what they are otherwise, and sessions on them go on. {orphans: applications that nobody offers now}."""
        id = label("id", words.get("id"))
        if id == DEFAULT_GROUP:
            text = f"Group '{DEFAULT_GROUP}' stays: servers that no group chooses are of it."
            raise Conflict(text, hint="Change what it publishes instead.", reason="group-default")
        group = (await self._all()).get(id)
        if group is None:
            raise NotFound(f"There is no delivery group '{id}'.", hint="See `cloister server group list`.", reason="group")
        await self._operations.noted(
            by, "delivery-group", object=f"group/{id}", reason=f"removed; it had {_said(Group(id=id), group, True)}"
        )
        await self._store.fetch(REMOVE_GROUP, id)
        return {"orphans": await self._absent(ORPHANS, set(group.applications))}

    async def _label_server(self, by: Operator, words: Mapping[str, Any]) -> dict[str, Any]:
        """{server, labels}: in place of those it had. {groups: which it is of now}."""
        server = str(words.get("server", ""))[:200]
        given = words.get("labels")
        if not isinstance(given, list) or len(given) > LABELS_MAX:
            raise Invalid("A server's labels are a list of names.", hint=f"At most {LABELS_MAX}.", reason="labels")
        labels = sorted({label("labels", one) for one in given})
        rows = await self._store.fetch(LABELS, server)
        if not rows:
            raise NotFound(f"There is no server '{server[:60]}'.", hint="See `cloister server list`.", reason="server")
        if list(rows[0]["labels"]) != labels:
            reason = f"labels: {', '.join(rows[0]['labels']) or 'none'} -> {', '.join(labels) or 'none'}"
            await self._operations.noted(by, "server-labels", object=f"server/{server}", reason=reason)
        (row,) = await self._store.fetch(SET_LABELS, server, labels)
        return {"groups": list(row["groups"]), "labels": labels}

    async def _all(self) -> dict[str, Group]:
        return {one.id: one for one in (group_of(row) for row in await self._store.fetch(GROUPS))}


NOBODY: Final = {"members": 0, "fitting": 0, "ready": 0, "sessions": 0}


def _wire(group: Group) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(group).items()}


def _said(before: Group, after: Group, every: bool) -> str:
    """What is written, for the audit log: each field that changes, as it was and as it will be."""
    was, now = asdict(before), asdict(after)
    names = [name for name in now if name != "id" and (was[name] != now[name] or (every and now[name] and name == "applications"))]
    return "; ".join(f"{name}: {_short(now[name])}" if every else f"{name}: {_short(was[name])} -> {_short(now[name])}" for name in names)


def _short(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value[:5])) + (f" and {len(value) - 5} more" if len(value) > 5 else "") or "none"
    return str(value) if value not in ("", None) else "none"
