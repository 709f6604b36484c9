"""The controller's part where there are several machines: it enrols them, hears their agents, and tells its edge where they are."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from dataclasses import dataclass, field
from typing import Any, Final

from cloister.assemble import machine
from cloister.assemble.roots import roots_file
from cloister.base.clock import system_clock
from cloister.base.settings import Settings
from cloister.farm import enrolment, lines, machine_store, machines
from cloister.machines import Credentials, between

PROBE_SECONDS: Final = 0.8
REFRESH_SECONDS: Final = 30
# What a controller has and a server never gets: it signs tickets, machines' and the edge's certificates, and imitations.
CONTROLLERS_SECRETS: Final = ("ticket.key", "door.key", "tls-ca.key", f"{machine.AUTHORITY}.key", f"{machine.AUTHORITY}.pem")


@dataclass(frozen=True, slots=True, kw_only=True)
class EstateHeld:
    """Read while still root."""

    about: machine.About
    authority: enrolment.Authority
    credentials: Credentials
    told: dict[str, Any]
    secrets: dict[str, bytes] = field(repr=False)


def held_of_estate(settings: Settings) -> EstateHeld:
    folder = settings.secrets_folder
    secrets = {name: (folder / name).read_bytes() for name in CONTROLLERS_SECRETS if (folder / name).exists()}
    return EstateHeld(
        about=machine.about(settings),
        authority=machine.authority(settings),
        credentials=machine.credentials(settings),
        told=_told(settings),
        secrets=secrets,
    )


def _told(settings: Settings) -> dict[str, Any]:
    """What is the same on every machine; nothing of it is secret."""
    names = ("host", "port", "idle_lock_seconds", "linger_seconds", "checkpoint_age_seconds", "known_profiles_only")
    return {
        "trust": {name: getattr(settings, name) for name in names},
        "roots": json.loads(roots_file(settings).read_text()),
        "tls_authority": settings.ca_file.read_bytes(),
    }


def lines_of(settings: Settings, held: EstateHeld, database: machine_store.Queries, reported: lines.Reported) -> lines.Lines:
    store = machine_store.MachineStore(database)

    def told(kind: machines.Kind) -> dict[str, Any]:
        secrets = {name: base64.b64encode(body).decode() for name, body in held.secrets.items()} if kind is machines.Kind.CONTROLLER else {}
        return {**held.told, "secrets": secrets, "revocations": found.revocations}

    enrolling = enrolment.Enrolment(store, held.authority, clock=system_clock, told=told, life=machine.life(settings))
    found = lines.Lines(
        held.about.name, enrolment=enrolling, store=store, reported=reported, reachable=reachable, clock=system_clock,
        keeper=held.about.keeper, placed=lambda places: machine.write_servers(settings, places),
    )  # fmt: skip
    return found


async def serve_machines(settings: Settings, held: EstateHeld, found: lines.Lines) -> None:
    """The wire of this controller, until cancelled."""
    tls = held.credentials.listening(strangers=True)
    port = settings.farm_port + machine.WIRE
    server = await between.listen(settings.farm_address, port, tls, found.answer, part="server", lost=found.broken)
    try:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            held.credentials.refresh(tls)
    finally:
        server.close()


async def reachable(address: str, port: int) -> bool:
    """Whether a machine's ingress accepts connections."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(address, port)
            writer.transport.abort()
            return True
    return False
