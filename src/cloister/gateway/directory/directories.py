"""What the door asks of directories: does this password prove this person, and is their account open.

A person is whom an officer linked an account to, by the account's id at its directory; never by a name alone. Whoever has no account
is asked of a directory too, under a name that nobody has: the answer takes the same way.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import timedelta
from typing import Any, Final

from cloister.base.clock import Clock
from cloister.base.errors import Denied, Unavailable
from cloister.base.secret import Secret
from cloister.gateway.directory.ldap import BINDS_BY_NAME, Directory, Ldap
from cloister.gateway.kept import DoorKey, Queries
from cloister.identity import Known, sign_in

DIRECTORIES: Final = "select id, kind, priority, urls, base, bind, sealed, ca, schema from estate.directory order by priority, id limit 50"
ANY: Final = "select id from estate.directory limit 1"
LINKED: Final = """
    select a.directory, a.id, a.upn, a.account, a.disabled from estate.directory_account a join estate.directory d on d.id = a.directory
     where a.person = $1 order by d.priority, d.id limit 20"""
ACCOUNT: Final = """
    select bool_or(a.disabled) as disabled, bool_and(d.seen is null or d.seen < $2) as away, count(*) as n
      from estate.directory_account a join estate.directory d on d.id = a.directory where a.person = $1"""
AWAY_AFTER: Final = timedelta(minutes=5)
NONE, ENABLED, DISABLED, AWAY = "none", "enabled", "disabled", "away"
LABEL: Final = "directory"
THREADS_MAX: Final = 16


class Directories:
    def __init__(self, queries: Queries, door_secret: Secret, clock: Clock) -> None:
        self._queries = queries
        self._secret = door_secret
        self._key = DoorKey(door_secret, LABEL)
        self._clock = clock
        self._threads = asyncio.Semaphore(THREADS_MAX)

    async def all(self) -> list[Directory]:
        return [self._opened(row) for row in await self._queries.fetch(DIRECTORIES)]

    async def any(self) -> bool:
        return bool(await self._queries.fetch(ANY))

    def _opened(self, row: Any) -> Directory:
        urls = row["urls"]
        return Directory(
            id=row["id"], kind=row["kind"], priority=row["priority"], urls=tuple(json.loads(urls) if isinstance(urls, str) else urls),
            base=row["base"], bind=row["bind"], password=Secret(self._key.open(bytes(row["sealed"]), row["id"].encode())), ca=row["ca"],
            schema=row["schema"],
        )  # fmt: skip

    async def account_of(self, person: str) -> str:
        """none, enabled, disabled (in any of them), or away: none of the person's directories has answered for five minutes."""
        row = await self._queries.fetchrow(ACCOUNT, person, self._clock() - AWAY_AFTER)
        if not row["n"]:
            return NONE
        if row["disabled"]:
            return DISABLED
        return AWAY if row["away"] else ENABLED

    async def prove(self, known: Known, password: str) -> None:
        """Returns when a directory takes the password for this person's account; raises the one refusal otherwise."""
        linked = await self._queries.fetch(LINKED, known.person.id if known.person is not None else "")
        usable = known.person is not None and not known.person.disabled
        names = {row["directory"]: (row["id"], row["upn"] or row["account"]) for row in linked if usable and not row["disabled"]}
        answered = False
        fault: Unavailable | None = None
        # Each directory is asked about everybody, so that neither time nor an outage tells who has an account where.
        for directory in await self.all():
            try:
                async with self._threads:
                    id, name = names.get(directory.id) or self._nobody(known, directory)
                    await asyncio.to_thread(Ldap(directory).prove, id, name, Secret(password.encode()))
                if directory.id in names:
                    return
            except Denied:
                answered = True
            except Unavailable as away:
                fault = away
        if fault is not None and not answered:
            raise fault
        raise sign_in.refusal()

    def _nobody(self, known: Known, directory: Directory) -> tuple[str, str]:
        """An id and a name that nobody has, in the form of this directory's."""
        made = sign_in.imitation(self._secret, "imitated-account", known.sign_in)
        short = made.hex()[:16]
        return str(uuid.UUID(bytes=made[:16])), f"{short}@invalid" if directory.schema == BINDS_BY_NAME else f"uid={short},{directory.base}"
