"""A founded trust on a real PostgreSQL behind a real store gate, and sessions of its people."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from postgres import Cluster, cluster

from cloister.access import Actor, Policy, read_policy
from cloister.assemble.founding import found
from cloister.base.clock import system_clock
from cloister.base.ids import new_id
from cloister.base.migrations import migrate, read_migrations
from cloister.base.secret import Secret
from cloister.base.wire import Caller
from cloister.identity import HospitalPlan, PersonPlan, ProgramPlan, Role, TrustPlan, WardPlan, programs
from cloister.records import Records
from cloister.server.opening import opened
from cloister.zones import Keyring, TrustRoots, algorithms, audit_keys, unlockers

HERE = Path(__file__).parent
ROOMS = ("identity", "audit", "records")
TOKENS = {"agent": "agent-token", "controller": "controller-token"}
CHECKPOINT_SEED = bytes([7]) * 32
DELIVERY_SEED = bytes([9]) * 32
DELIVERY = algorithms.kem_public(DELIVERY_SEED)
PASSPHRASE = "cerise-moulin-brume-digue"
CARDIOLOGY, SURGERY, TILLEULS = "saint-roch-cardiology", "saint-roch-surgery", "sainte-anne-tilleuls"

VASSEUR = PersonPlan(
    id="p-vasseur",
    sign_in="claire.vasseur",
    name="Dr Claire Vasseur",
    role=Role.DOCTOR,
    hospital="saint-roch",
    zones=(CARDIOLOGY, "saint-roch"),
    passphrase=PASSPHRASE,
)
ADELE = PersonPlan(
    id="p-adele",
    sign_in="adele.morel",
    name="Adèle Morel",
    role=Role.NURSE,
    hospital="saint-roch",
    zones=(CARDIOLOGY,),
    passphrase=PASSPHRASE,
)
DELORME = PersonPlan(
    id="p-delorme",
    sign_in="marc.delorme",
    name="Dr Marc Delorme",
    role=Role.DOCTOR,
    hospital="sainte-anne",
    zones=(TILLEULS,),
    passphrase=PASSPHRASE,
)
COLIN = PersonPlan(id="p-colin", sign_in="d.colin", name="Damien Colin", role=Role.IT_OPERATOR, hospital=None, passphrase=PASSPHRASE)
ARNAUD = PersonPlan(id="p-arnaud", sign_in="b.arnaud", name="Dr Arnaud", role=Role.ACCESS_OFFICER, hospital=None, passphrase=PASSPHRASE)
LEMOINE = PersonPlan(
    id="p-lemoine", sign_in="s.lemoine", name="Sébastien Lemoine", role=Role.CERTIFICATE_OFFICER, hospital=None, passphrase=PASSPHRASE
)
PROGRAM = ProgramPlan(client_id="lab-gateway", name="Laboratoire", hospital="saint-roch", zones=("saint-roch", CARDIOLOGY, SURGERY))
PSYCHIATRIC_PROGRAM = ProgramPlan(client_id="psy-gateway", name="Les Tilleuls", hospital="sainte-anne", zones=(TILLEULS,))
PLAN = TrustPlan(
    name="Groupement du Val d'Orme",
    hospitals=(
        HospitalPlan(
            id="saint-roch",
            name="Hôpital Saint-Roch",
            kind="general",
            wards=(
                WardPlan(id=CARDIOLOGY, name="Cardiologie", specialty="cardiology"),
                WardPlan(id=SURGERY, name="Chirurgie", specialty="surgery"),
            ),
        ),
        HospitalPlan(
            id="sainte-anne",
            name="Hôpital Sainte-Anne",
            kind="psychiatric",
            wards=(WardPlan(id=TILLEULS, name="Les Tilleuls", specialty="psychiatry"),),
        ),
    ),
    people=(VASSEUR, ADELE, DELORME, COLIN, ARNAUD, LEMOINE),
    programs=(PROGRAM, PSYCHIATRIC_PROGRAM),
)


@dataclass
class Session:
    """One person's opened session, as the session process would hold it."""

    records: Records
    keyring: Keyring
    actor: Actor
    gate: Caller
    pid: int

    def close(self) -> None:
        """The session's process ends, and its relay with it."""
        self.records.close()
        self.gate.close()
        os.kill(self.pid, signal.SIGKILL)


class Rig:
    def __init__(self, server: Cluster, folder: Path, plan: TrustPlan = PLAN) -> None:
        self.server = server
        self.plan = plan
        self.folder = folder
        self.policy: Policy = read_policy()
        self.database = {**server.arguments("postgres")}
        self.trust: TrustRoots
        self._programs: dict[str, str] = {}
        self._keks: dict[str, tuple[str, Secret]] = {}
        self._people: dict[str, str] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        self.gate_process: subprocess.Popen[bytes] | None = None
        self.replicas: dict[str, dict[str, Any]] = {}
        self.gate_socket = folder / "gate.sock"
        self._number = 0

    async def found(self) -> None:
        connection = await asyncpg.connect(**self.database)
        for room in ROOMS:
            folder = HERE.parents[2] / "src" / "cloister" / room / "migrations"
            await migrate(connection, read_migrations(room, folder))
        await connection.execute("alter role cloister_gate login")
        founded = await found(connection, self.plan, self.folder / "roots")
        row = await connection.fetchrow("select id, certificate_root, access_root from trust.trust")
        await connection.close()
        assert row is not None
        pin = audit_keys.AuditPin(algorithms.sign_public(CHECKPOINT_SEED))
        self.trust = TrustRoots(row["id"], bytes(row["certificate_root"]), bytes(row["access_root"]), pin)
        self._programs = {program.client_id: program.client_secret for program in founded.programs}

    def start_gate(self) -> None:
        self.gate_socket.unlink(missing_ok=True)
        given = {
            "database": self.server.arguments("postgres", "cloister_gate"),
            "socket": str(self.gate_socket),
            "tokens": TOKENS,
            "trust": self.trust.trust_id,
            "checkpoint_seed": CHECKPOINT_SEED.hex(),
            "replicas": self.replicas,
        }
        self.gate_process = self._run("gate_process.py", json.dumps(given), log="gate.log")
        self._wait(self.gate_socket)

    def stop_gate(self) -> None:
        assert self.gate_process is not None
        self.gate_process.kill()
        self.gate_process.wait()

    def _run(
        self, script: str, *arguments: str, log: str = "relay.log", given: Sequence[str] = ("-W", "ignore")
    ) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("ab") as file:
            process = subprocess.Popen([sys.executable, *given, str(HERE / script), *arguments], stdout=file, stderr=file)
        self._processes.append(process)
        return process

    @staticmethod
    def _wait(path: Path) -> None:
        for _ in range(2000):
            with socket.socket(socket.AF_UNIX) as trial, contextlib.suppress(OSError):
                trial.connect(str(path))
                return
            time.sleep(0.005)
        raise TimeoutError(path.name)

    def relay(self) -> tuple[int, Path]:
        """A process that stands for a session's, and the socket through which the test speaks as it."""
        self._number += 1
        path = self.folder / f"r{self._number}.sock"
        process = self._run("relay.py", str(path), str(self.gate_socket), given=("-I", "-S"))
        self._wait(path)
        return process.pid, path

    async def admit(self, pid: int, person: str, role: str, session: str = "") -> None:
        service = Caller(self.gate_socket, part="store gate")
        await service.call("session_admit", token=TOKENS["agent"], pid=pid, uid=0, session=session or new_id(), person=person, role=role)
        service.close()

    async def session(self, who: PersonPlan | ProgramPlan, *, may_refuse: bool = False) -> Session:
        """`may_refuse`: something of this person's is expected to be refused."""
        role = who.role.value if isinstance(who, PersonPlan) else "program"
        person = await self._person(who)
        pid, path = self.relay()
        name = new_id()
        await self.admit(pid, person, role, name)
        gate = Caller(path, part="store gate")
        rows = await gate.call("trust_material")
        unlocker, kek = self._kek(person, who, rows)
        found = opened(rows, person=person, session=name, unlocker=unlocker, kek=kek, trust=self.trust, now=system_clock())
        assert may_refuse or not found.keyring.refused
        return Session(Records(found.actor, found.keyring, gate, self.policy, delivery=DELIVERY), found.keyring, found.actor, gate, pid)

    async def _person(self, who: PersonPlan | ProgramPlan) -> str:
        if isinstance(who, PersonPlan):
            return who.id
        if who.client_id not in self._people:
            connection = await self.connect()
            self._people[who.client_id] = await connection.fetchval("select id from trust.person where sign_in = $1", who.client_id)
            await connection.close()
        return self._people[who.client_id]

    def _kek(self, person: str, who: PersonPlan | ProgramPlan, rows: dict[str, Any]) -> tuple[str, Secret]:
        if person not in self._keks:
            row = rows["unlockers"][0]
            if isinstance(who, PersonPlan):
                kek, _ = unlockers.passphrase_secrets(PASSPHRASE, row["params"])
            else:
                kek, _ = unlockers.service_secrets(programs.client_secret_bytes(self._programs[who.client_id]).reveal())
            self._keks[person] = (row["id"], kek)
        return self._keks[person]

    async def connect(self) -> asyncpg.Connection[Any]:
        """As the database's administrator: all ciphertext, no key."""
        return await asyncpg.connect(**self.database)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


@contextmanager
def rig(*, fsync: bool = False, plan: TrustPlan = PLAN) -> Iterator[Rig]:
    with cluster(fsync=fsync) as server:
        made = Rig(server, server.folder, plan)
        try:
            asyncio.run(made.found())
            made.start_gate()
            yield made
        finally:
            made.close()
