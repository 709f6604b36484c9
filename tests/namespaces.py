"""Several machines on one: network namespaces on a bridge, each with its own address; cut, slowed or killed as a machine would be.

Needs root and iproute2. `why_not()` says what is missing, for a skip with a reason.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

COMMAND_SECONDS_MAX: Final = 10
KILL_SECONDS_MAX: Final = 10


def why_not() -> str:
    """Why no namespaces can be made here; empty when they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need iproute2"
    name = f"probe{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True, timeout=COMMAND_SECONDS_MAX)
    if made.returncode != 0:
        return "this machine allows no network namespaces"
    subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=COMMAND_SECONDS_MAX)
    return ""


def _ip(*words: str, check: bool = True) -> str:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX)
    if check and done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


@dataclass
class Machine:
    """One namespace with one address."""

    name: str
    address: str
    wire: str  # its cable's end on the bridge

    def command(self, *words: str) -> list[str]:
        """The command, run on this machine."""
        return ["ip", "netns", "exec", self.name, *words]

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command(*words), **options)

    def pids(self) -> list[int]:
        return [int(word) for word in _ip("netns", "pids", self.name, check=False).split()]

    def cut(self) -> None:
        """The cable is out: nothing comes or goes, and nobody is told."""
        _ip("link", "set", self.wire, "down")

    def heal(self) -> None:
        _ip("link", "set", self.wire, "up")
        subprocess.run(["tc", "qdisc", "del", "dev", self.wire, "root"], check=False, capture_output=True, timeout=COMMAND_SECONDS_MAX)

    def slow(self, rate: str = "256kbit") -> None:
        """What comes to this machine comes at this rate only. (Delay and loss need netem, which not every kernel has.)"""
        words = ["tc", "qdisc", "replace", "dev", self.wire, "root", "tbf", "rate", rate, "burst", "16kbit", "latency", "800ms"]
        subprocess.run(words, check=True, capture_output=True, timeout=COMMAND_SECONDS_MAX)

    def kill(self) -> None:
        """All of its processes at once, as far as that goes: kill -9 until there are none."""
        deadline = time.monotonic() + KILL_SECONDS_MAX
        while (pids := self.pids()) and time.monotonic() < deadline:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


@dataclass
class Network:
    """A bridge in this machine's own namespace, which has the address .254."""

    prefix: str
    subnet: str  # such as 10.203.7
    machines: dict[str, Machine] = field(default_factory=dict)

    @property
    def bridge(self) -> str:
        return f"{self.prefix}br"

    @property
    def own(self) -> str:
        return f"{self.subnet}.254"

    def machine(self, name: str) -> Machine:
        """A new machine on the bridge."""
        number = len(self.machines) + 1
        found = Machine(f"{self.prefix}-{name}", f"{self.subnet}.{number}", f"{self.prefix}w{number}")
        self.machines[name] = found
        _ip("netns", "add", found.name)
        _ip("link", "add", found.wire, "type", "veth", "peer", "name", "eth0", "netns", found.name)
        _ip("link", "set", found.wire, "master", self.bridge, "up")
        for words in (("link", "set", "lo", "up"), ("addr", "add", f"{found.address}/24", "dev", "eth0"), ("link", "set", "eth0", "up")):
            _ip("-n", found.name, *words)
        return found

    def remove(self) -> None:
        for one in self.machines.values():
            one.kill()
            _ip("netns", "del", one.name, check=False)
            _ip("link", "del", one.wire, check=False)
        _ip("link", "del", self.bridge, check=False)


def left_behind(name: str) -> None:
    """Whatever an earlier run of this name left when it was killed: its processes, namespaces and cables."""
    for found in (line.split()[0] for line in _ip("netns", "list", check=False).splitlines() if line.startswith(f"{name}-")):
        Machine(found, "", "").kill()
        _ip("netns", "del", found, check=False)
    for link in Path("/sys/class/net").iterdir():
        if link.name.startswith((f"{name}w", f"{name}br")):
            _ip("link", "del", link.name, check=False)


@contextmanager
def network(prefix: str) -> Iterator[Network]:
    """`prefix`: at most 5 letters. Names and addresses are this checkout's own, and one run at a time has them."""
    tag = zlib.crc32(f"{prefix} {Path(__file__).resolve()}".encode())
    name = f"{prefix}{tag % 4096:03x}"
    made = Network(name, f"10.{200 + tag % 50}.{tag // 50 % 250}")
    with Path(f"/tmp/{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # no child inherits it: after a kill it is free
        left_behind(name)
        _ip("link", "add", made.bridge, "type", "bridge")
        try:
            _ip("addr", "add", f"{made.own}/24", "dev", made.bridge)
            _ip("link", "set", made.bridge, "up")
            yield made
        finally:
            made.remove()
