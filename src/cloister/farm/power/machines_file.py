"""The machines file: how each server is switched, and with which credentials. Read once, when the controller starts.

It lies beside the trust's other secrets and not in the database, because it names commands and credentials: whoever may write
rows must not be able to run programs. JSON: [{"server", "group", "driver", "settings": {...}}, ...]; docs/power.md.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloister.base.errors import CloisterError, Denied, Invalid
from cloister.base.secret import Secret
from cloister.farm.power.drivers.driver import Driver
from cloister.farm.power.drivers.local import LocalDriver
from cloister.farm.power.drivers.qemu import QemuDriver
from cloister.farm.power.drivers.redfish_client import RedfishDriver, Service
from cloister.farm.power.drivers.wake_on_lan import WakeOnLanDriver

MACHINES_MAX: Final = 5000
WANTED: Final = {
    "local": ({"folder", "command"}, {"environment"}),
    "qemu": ({"folder", "arguments"}, {"program", "accel"}),
    "redfish": ({"url", "system", "credentials", "ca"}, {"auth"}),
    "wake-on-lan": ({"mac"}, {"address", "port", "off_command"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """A machine and what switches it."""

    server: str
    group: str
    kind: str
    driver: Driver


def read_machines(path: Path) -> dict[str, Switched]:
    """By server; none when there is no such file. Invalid names the entry and the member that is wrong."""
    try:
        raw = json.loads(_private(path))
    except FileNotFoundError:
        return {}
    except ValueError:
        raise Invalid(f"{path} is not JSON.", hint="See docs/power.md.") from None
    if not isinstance(raw, list) or len(raw) > MACHINES_MAX:
        raise Invalid(f"{path} is no list of machines.", hint=f"At most {MACHINES_MAX}; see docs/power.md.")
    found: dict[str, Switched] = {}
    for number, entry in enumerate(raw):
        try:
            machine = _machine(entry)
        except CloisterError as wrong:
            raise type(wrong)(f"{path}, machine {number + 1}: {wrong.text}", hint=wrong.hint) from None
        if machine.server in found:
            raise Invalid(f"{path} names '{machine.server}' twice.", hint="Remove one of them.")
        found[machine.server] = machine
    return found


def _machine(entry: Any) -> Switched:
    if not isinstance(entry, dict) or set(entry) != {"server", "group", "driver", "settings"} or not isinstance(entry["settings"], dict):
        raise Invalid("An entry is not whole.", hint="It has server, group, driver and settings.")
    kind, settings = str(entry["driver"]), entry["settings"]
    if kind not in WANTED:
        raise Invalid(f"There is no driver '{kind[:40]}'.", hint=f"One of {', '.join(WANTED)}.")
    needed, possible = WANTED[kind]
    if missing := sorted(needed - set(settings)):
        raise Invalid(f"'{missing[0]}' is missing.", hint=f"A machine of driver {kind} needs {', '.join(sorted(needed))}.")
    if unknown := sorted(set(settings) - needed - possible):
        raise Invalid(f"'{unknown[0][:40]}' is no setting of driver {kind}.", hint=f"Further ones are {', '.join(sorted(possible))}.")
    return Switched(server=str(entry["server"]), group=str(entry["group"]), kind=kind, driver=_driver(kind, settings))


def _driver(kind: str, s: Mapping[str, Any]) -> Driver:
    if kind == "local":
        environment = {str(name): str(value) for name, value in dict(s.get("environment") or {}).items()}
        return LocalDriver(Path(str(s["folder"])), _words(s["command"]), environment)
    if kind == "qemu":
        program, accel = str(s.get("program", "qemu-system-x86_64")), str(s.get("accel", "tcg"))
        return QemuDriver(Path(str(s["folder"])), _words(s["arguments"]), program=program, accel=accel)
    if kind == "redfish":
        user, password = _credentials(Path(str(s["credentials"])))
        service = Service(
            url=str(s["url"]),
            system=str(s["system"]),
            user=user,
            password=password,
            ca=Path(str(s["ca"])),
            auth=str(s.get("auth", "session")),
        )
        return RedfishDriver(service)
    address, port = str(s.get("address", "255.255.255.255")), int(s.get("port", 9))
    return WakeOnLanDriver(str(s["mac"]), address=address, port=port, off_command=_words(s.get("off_command", [])))


def _words(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise Invalid("A command is a list of words.", hint='Such as ["/usr/bin/program", "--option"].')
    return list(value)


def _credentials(path: Path) -> tuple[str, Secret]:
    """Two lines: user, password."""
    try:
        lines = _private(path).split("\n")
    except FileNotFoundError:
        raise Invalid(f"The credentials file {path} does not exist.", hint="Two lines: user, password. Mode 0600.") from None
    if len(lines) < 2 or not lines[0] or not lines[1]:
        raise Invalid(f"The credentials file {path} is not whole.", hint="Two lines: user, password.")
    return lines[0], Secret(lines[1].encode())


def _private(path: Path) -> str:
    """A file that nobody else may read or write; Denied otherwise."""
    mode = path.stat().st_mode
    if stat.S_IMODE(mode) & 0o077:
        raise Denied(f"{path} may be read by others.", hint=f"chmod 600 {path}")
    return path.read_text()
