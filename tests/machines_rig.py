"""A trust on several machines: a controller with the database, and others that join it, each in a network namespace."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg
from namespaces import Machine, Network, network
from running_trust import STOP_SECONDS_MAX, RunningTrust

from cloister.assemble.folders import service_token
from cloister.base.settings import read_settings
from cloister.base.wire import Caller

SLOTS: Final = "16"
PORT: Final = 8443
READY_SECONDS_MAX: Final = 300  # three machines on one start slowly where others work too


@dataclass
class Estate:
    """Some machines of one trust."""

    network: Network
    folder: Path
    trust: RunningTrust  # the first controller
    settings: dict[str, str] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)  # by which each machine joined

    def cli(self, *words: str, member: Member | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`cloister ...` on a machine: the first controller's, or a member's."""
        machine = member.machine if member is not None else self.network.machines["c1"]
        environment = member.environment if member is not None else self.trust.environment
        done = subprocess.run(
            machine.command(sys.executable, "-m", "cloister.cli", *words), check=False, capture_output=True, text=True, env=environment,
            timeout=60,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(f"cloister {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def operate(self, act: str, **words: Any) -> Any:
        """As `cloister` does at the first controller, without the time that a command takes to start."""
        settings = read_settings(self.trust.environment)

        async def ask() -> Any:
            controller = Caller(settings.socket("controller"), part="controller")
            try:
                token = service_token(settings, "controller")
                return await controller.call("operate_here", token=token, name="test", act=act, words=words)
            finally:
                controller.close()

        return asyncio.run(ask())

    def sql(self, query: str, *values: Any) -> list[Any]:
        """Asked of the database itself, as its owner."""

        async def ask() -> list[Any]:
            password = (self.trust.state / "secrets" / "database-cloister_owner").read_text().strip()
            place = {"host": str(self.trust.runtime / "database"), "port": 5432, "database": "cloister"}
            connection = await asyncpg.connect(**place, user="cloister_owner", password=password)
            try:
                return list(await connection.fetch(query, *values))
            finally:
                await connection.close()

        return asyncio.run(ask())

    def sessions(self) -> list[tuple[str, str, str, int, str]]:
        """Live ones: session, sign-in, server, slot, state."""
        found = self.sql(
            "select s.id, coalesce(p.sign_in, s.person), s.server, s.slot, s.state from estate.session s"
            " left join trust.person p on p.id = s.person where s.state <> 'ended' order by s.started"
        )
        return [(row[0], row[1], row[2], row[3], row[4]) for row in found]

    def only(self, server: str) -> None:
        """New sessions go to this server alone; all servers when it is empty."""
        self.sql("delete from estate.drain where cause = 'operator'")
        drain = "insert into estate.drain (server, cause, by_whom, asked) select id, 'operator', 'test', now() from estate.server"
        self.sql(f"{drain} where $1 not in ('', id)", server)  # without a cause the keeper would make it ready again
        self.sql("update estate.server set state = case when $1 in ('', id) then 'ready' else 'draining' end, why = ''", server)

    @property
    def controllers(self) -> int:
        """How many run."""
        return 1 + sum(one.controller and one.process is not None for one in self.members.values())

    def lines(self, server: str) -> int:
        """How many controllers hear this server."""
        found = self.sql(
            "select count(*) from estate.line l join estate.controller c on c.id = l.controller"
            " where l.server = $1 and c.seen > now() - interval '3 seconds'",
            server,
        )
        return int(found[0][0])

    def members_join(self, **kinds: str) -> None:
        """Further machines by name, each a "server" or a "controller": joined side by side, and running."""
        prepared = [(self.prepared(name), kind) for name, kind in kinds.items()]
        with ThreadPoolExecutor() as side_by_side:
            list(side_by_side.map(lambda one: self._joins(*one), prepared))

    def _joins(self, made: Member, kind: str) -> None:
        token = self.cli("server", "token", *(["--controller"] if kind == "controller" else [])).stdout.strip()
        self.cli("server", "join", self.trust_address, "--token", token, "--name", made.name, member=made)
        self.tokens[made.name], made.controller = token, kind == "controller"
        made.start()
        made.wait_for("ready: ", READY_SECONDS_MAX)

    def prepared(self, name: str) -> Member:
        """A further machine with nothing on it."""
        machine = self.network.machine(name)
        state, runtime = self.folder / f"state-{name}", self.folder / f"run-{name}"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("CLOISTER_")}
        environment |= {
            "CLOISTER_STATE": str(state), "CLOISTER_RUNTIME": str(runtime / "r"), "CLOISTER_SLOTS": SLOTS, "CLOISTER_ADDRESS": "0.0.0.0",
            "CLOISTER_MACHINE": name, **self.settings,
        }  # fmt: skip
        runtime.mkdir(mode=0o755)
        self.members[name] = Member(name, machine, environment, state, runtime / "r", self.folder / f"{name}.out")
        return self.members[name]

    @property
    def trust_address(self) -> str:
        return self.network.machines["c1"].address

    def at(self, address: str) -> Trust:
        """The same trust, through another controller's edge."""
        t = self.trust
        return Trust(t.state, t.runtime, t.environment, t.process, t.output, address)


class Trust(RunningTrust):
    """A trust whose edge is on another address."""

    def __init__(self, *fields: Any) -> None:
        super().__init__(*fields[:-1])
        self.address = fields[-1]

    @property
    def base(self) -> str:
        return f"https://{self.address}:{PORT}"


@dataclass
class Member:
    """A machine that joined."""

    name: str
    machine: Machine
    environment: dict[str, str]
    state: Path
    runtime: Path
    output: Path
    process: subprocess.Popen[bytes] | None = None
    controller: bool = False

    def start(self) -> None:
        with self.output.open("ab") as shown:
            self.process = self.machine.popen(
                sys.executable, "-m", "cloister.cli", "server", "run", stdout=shown, stderr=shown, env=self.environment,
                start_new_session=True,
            )  # fmt: skip

    def shown(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_for(self, text: str, seconds: float = READY_SECONDS_MAX, *, after: int = 0) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.shown()[after:]:
            if self.process is None or self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"'{text}' was not shown by {self.name}:\n{self.shown()}\n{self.logs()}")
            time.sleep(0.05)

    def logs(self) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in (self.state / "logs").glob("*.log"))

    def pid_of(self, part: str) -> int:
        """The process of a part on this machine."""
        marks = {"ingress": b"ingress/envoy.json", "envoy": b"edge/envoy.json"}
        for pid in self.machine.pids():
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if marks.get(part, f"cloister.assemble\0{part}\0".encode()) in command:
                return pid
        raise LookupError(part)

    def processes(self) -> list[int]:
        """Its sessions too, which have network namespaces of their own."""
        mark, found = f"CLOISTER_STATE={self.state}\0".encode(), set(self.machine.pids())
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if mark in (entry / "environ").read_bytes():
                        found.add(int(entry.name))
        return sorted(found)

    def kill(self) -> None:
        """As if its power failed, except that the kernel still says goodbye for its connections."""
        while pids := self.processes():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.process is not None:
                self.process.poll()
            time.sleep(0.02)
        if self.process is not None:
            self.process.wait(STOP_SECONDS_MAX)
            self.process = None

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(STOP_SECONDS_MAX)
        self.process = None


@contextmanager
def estate(prefix: str, **settings: str) -> Iterator[Estate]:
    """The first controller, alone; it is a server too. What an earlier run left when it was killed goes first."""
    with network(prefix) as made:
        for left in Path("/tmp").glob(f"cloister-{made.prefix}-*"):
            shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f"cloister-{made.prefix}-", dir="/tmp"))
        folder.chmod(0o755)
        first = made.machine("c1")
        state, runtime, output = folder / "state-c1", folder / "run-c1" / "r", folder / "c1.out"
        runtime.parent.mkdir(mode=0o755)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CLOISTER_")}
        environment |= {
            "CLOISTER_STATE": str(state), "CLOISTER_RUNTIME": str(runtime), "CLOISTER_SLOTS": SLOTS, "CLOISTER_DEMO_PATIENTS": "0",
            "CLOISTER_ADDRESS": "0.0.0.0", "CLOISTER_PORT": str(PORT), "CLOISTER_HOST": first.address,
            "CLOISTER_FARM_ADDRESS": first.address, "CLOISTER_MACHINE": "c1", **settings,
        }  # fmt: skip
        with output.open("wb") as shown:
            process = first.popen(
                sys.executable, "-m", "cloister.cli", "up", stdout=shown, stderr=shown, env=environment, start_new_session=True,
            )  # fmt: skip
        trust = Trust(state, runtime, environment, process, output, first.address)
        found = Estate(made, folder, trust, settings)
        try:
            trust.wait_for("ready: ", READY_SECONDS_MAX)
            yield found
        finally:
            for member in found.members.values():
                member.kill()
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):  # whoever is left is killed with the network
                    process.wait(STOP_SECONDS_MAX)
            shutil.rmtree(folder, ignore_errors=True)
