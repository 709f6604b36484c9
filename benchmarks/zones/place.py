"""The trust of these steps: one zone of 120 members and a million resources, one of a thousand members and 100,000 dossiers.

Members are programs, because a person's passphrase costs a founding 0.2 s each; their keys, certificates and grants are
like anybody's. The officer's session is this process, admitted at the real store gate of a real `cloister up`.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import replace
from typing import Any, Final, Self

import asyncpg

from benchmarks.trust import BenchTrust
from cloister.assemble import owner_connection
from cloister.assemble.folders import service_token
from cloister.assemble.roots import pinned_roots
from cloister.base.clock import system_clock
from cloister.base.ids import new_id
from cloister.base.secret import Secret
from cloister.demo import demo_plan
from cloister.identity import ProgramPlan, TrustPlan, programs
from cloister.server.gate_caller import GateCaller
from cloister.server.opening import Opened, opened, trust_material
from cloister.zones import Keyring, dossiers, epochs, unlockers
from cloister.zones.packing import packed

SMALL_MEMBERS: Final = 120
LARGE_MEMBERS: Final = 1_000
SMALL, LARGE = "saint-roch-surgery", "saint-roch-cardiology"
RESOURCES: Final = 1_000_000
DOSSIERS: Final = 100_000
NEWCOMERS: Final = 20

FILL_DOSSIERS: Final = "insert into care.dossier (id, kind, seq) select gen_random_uuid(), 'patient', 1 from generate_series(1, $1::int)"
FILL_RESOURCES: Final = """
    insert into care.res (dossier, rtype, id, ver, key_no, dict_no, ct)
    select d.id, 1, gen_random_uuid(), 1, 1, 0, decode(repeat(md5(random()::text), 12), 'hex')
      from (select id from care.dossier order by id limit $1) d cross join generate_series(1, $2::int)"""


def zones_plan(seed: str | int) -> TrustPlan:
    """The demo's offices, and members enough."""
    plan = demo_plan(seed)
    hospital = plan.hospitals[0]

    def members(name: str, count: int, *zones: str) -> tuple[ProgramPlan, ...]:
        return tuple(
            ProgramPlan(client_id=f"{name}-{number:04}", name=f"{name} {number:04}", hospital=hospital.id, zones=zones)
            for number in range(count)
        )

    more = (*members("small", SMALL_MEMBERS, SMALL), *members("large", LARGE_MEMBERS, LARGE), *members("new", NEWCOMERS, hospital.id))
    return replace(plan, programs=(*plan.programs, *more))


class Place:
    """`async with Place(trust) as place`: filled, and with an officer at work."""

    def __init__(self, trust: BenchTrust) -> None:
        self.trust = trust
        self.filled: set[str] = set()

    async def __aenter__(self) -> Self:
        self.database: asyncpg.Connection[Any] = await owner_connection(self.trust.settings)
        people = {one["role"]: one for one in reversed(self.trust.sign_ins()["people"])}
        officer = people["access-officer"]
        row = await self.database.fetchrow("select id, role from trust.person where sign_in = $1", officer["sign_in"])
        assert row is not None
        self.officer = str(row["id"])
        await self.admit(self.officer, "access-officer")
        self.gate = GateCaller(self.trust.settings.socket("gate"), part="store gate")
        rows = await self.gate.call("trust_material")
        unlocker = next(one for one in rows["unlockers"] if one["kind"] == "passphrase")
        kek, _ = unlockers.passphrase_secrets(officer["passphrase"], unlocker["params"])
        self.keyring = self._opened(self.officer, rows, unlocker["id"], kek).keyring
        self.gate.on_replaced = self.renew
        return self

    async def __aexit__(self, *_: object) -> None:
        self.gate.close()
        await self.database.close()

    async def admit(self, person: str, role: str) -> None:
        """This process is now that person's session, as the agent would say."""
        agent = GateCaller(self.trust.settings.socket("gate"), part="store gate")
        token = service_token(self.trust.settings, "agent")
        whose = {"pid": os.getpid(), "uid": os.getuid(), "session": new_id(), "person": person, "role": role}
        await agent.call("session_admit", token=token, **whose)
        agent.close()

    async def renew(self) -> None:
        """What the agent makes a session do when its keys have changed."""
        self.keyring.renew(trust_material(await self.gate.call("trust_renewal")), system_clock())

    async def people(self, prefix: str, count: int) -> list[str]:
        rows = await self.database.fetch(
            "select id from trust.person where sign_in like $1 order by sign_in limit $2", f"{prefix}-%", count
        )
        return [str(row["id"]) for row in rows]

    async def member(self, person: str) -> tuple[dict[str, Any], str, Secret]:
        """A member's own material, as its session gets it, and what unlocks it."""
        sign_in = await self.database.fetchval("select sign_in from trust.person where id = $1", person)
        secret = next(one["client_secret"] for one in self.trust.sign_ins()["programs"] if one["client_id"] == sign_in)
        await self.admit(person, "program")
        try:
            rows = await self.gate.call("trust_material")
        finally:
            await self.admit(self.officer, "access-officer")
        kek, _ = unlockers.service_secrets(programs.client_secret_bytes(secret).reveal())
        return rows, rows["unlockers"][0]["id"], kek

    def _opened(self, person: str, rows: dict[str, Any], unlocker: str, kek: Secret) -> Opened:
        roots = pinned_roots(self.trust.settings)
        return opened(rows, person=person, session="bench", unlocker=unlocker, kek=kek, trust=roots, now=system_clock())

    def open(self, person: str, rows: dict[str, Any], unlocker: str, kek: Secret) -> Keyring:
        return self._opened(person, rows, unlocker, kek).keyring

    async def fill(self) -> None:
        """Dossiers and resources once for all steps; every dossier has a real wrap for both zones."""
        if self.filled:
            return
        await self.database.execute(FILL_DOSSIERS, DOSSIERS)
        ids = [row[0] for row in await self.database.fetch("select id from care.dossier where kind = 'patient' order by id")]
        keys = {zone: self.keyring.passing_on(zone) for zone in (SMALL, LARGE)}
        rows = []
        for id in ids[:DOSSIERS]:
            key = dossiers.new_dossier_key()
            for zone, held in keys.items():
                rows.append((id, 1, held.epoch, zone, self.wrap(held, str(id), key)))
        columns = ["dossier", "key_no", "epoch", "zone", "wrapped"]
        await self.database.copy_records_to_table("dossier_key", schema_name="care", records=rows, columns=columns)
        self.filled.add("dossiers")

    async def fill_resources(self) -> None:
        await self.fill()
        if "resources" not in self.filled:
            await self.database.execute(FILL_RESOURCES, DOSSIERS, RESOURCES // DOSSIERS, timeout=600)
            await self.database.execute("analyze care.res", timeout=600)
            self.filled.add("resources")

    def wrap(self, keys: epochs.EpochKeys, dossier: str, key: Secret) -> bytes:
        """A dossier's key under an epoch (docs/spec/zones.md 10), as a member's session writes it."""
        return keys.wrap.seal(key.reveal(), packed("cloister/wrap/v1", self.keyring.trust_id, keys.zone, keys.epoch, dossier, 1))

    @property
    def one_dossier(self) -> str:
        return str(uuid.uuid4())
