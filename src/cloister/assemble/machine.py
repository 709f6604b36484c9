"""This machine's place in the estate: its key and certificate, what it was told when it joined, and the files that Envoys watch.

The first controller (the machine with the database) makes the estate's authority; every other machine joins it
(joining.py). A machine's key never leaves it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg

from cloister.assemble.folders import write_once
from cloister.base.clock import system_clock
from cloister.base.errors import Corrupt, Invalid
from cloister.base.process import Account
from cloister.base.secret import Secret
from cloister.base.settings import Settings
from cloister.farm import enrolment, machine_store
from cloister.farm import machines as rules
from cloister.gateway import estate
from cloister.machines import Credentials, certificates

AUTHORITY: Final = "estate-ca"
ABOUT: Final = "about.json"
FOUNDER: Final = "founder"  # in place of a token
WIRE, AUDIT = 1, 2  # ports after the ingress's


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What this machine knows of itself and its controllers."""

    name: str
    kind: rules.Kind
    keeper: bool  # has the database, and keeps the audit log
    controllers: tuple[dict[str, Any], ...]  # {id, address, port, keeper}
    roles: dict[str, str]  # its own database roles
    trust: dict[str, Any]  # settings that are the same on all machines

    @property
    def controller(self) -> bool:
        return self.kind is rules.Kind.CONTROLLER

    def keeping(self) -> dict[str, Any]:
        """The controller with the database."""
        return next((one for one in self.controllers if one["keeper"]), self.controllers[0])


def joined(settings: Settings) -> bool:
    """Whether this state folder is of a machine that joined another's estate."""
    return (settings.machine_folder / ABOUT).exists() and not about(settings).keeper


def about(settings: Settings) -> About:
    path = settings.machine_folder / ABOUT
    try:
        body = json.loads(path.read_text())
        return About(
            name=body["name"], kind=rules.Kind(body["kind"]), keeper=body["keeper"], controllers=tuple(body["controllers"]),
            roles=body["roles"], trust=body["trust"],
        )  # fmt: skip
    except FileNotFoundError:
        hint = "On a new server: cloister server join CONTROLLER --token T. On the controller: set CLOISTER_FARM_ADDRESS."
        raise Invalid("This machine belongs to no estate.", hint=hint, reason="not-joined") from None
    except (OSError, ValueError, KeyError, TypeError) as wrong:
        raise Corrupt(f"{path} cannot be read.", hint="Join this machine again with a new token.") from wrong


def write_about(settings: Settings, found: About) -> None:
    body = {
        "name": found.name, "kind": str(found.kind), "keeper": found.keeper, "controllers": list(found.controllers),
        "roles": found.roles, "trust": found.trust,
    }  # fmt: skip
    replaced(settings.machine_folder / ABOUT, json.dumps(body, indent=1).encode(), 0o600)


def own_key(settings: Settings) -> Secret:
    """Made here, once, before the machine joins."""
    settings.machine_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = settings.machine_folder / "key.pem"
    if not path.exists():
        write_once(path, certificates.new_key())
    return Secret(path.read_bytes())


def credentials(settings: Settings) -> Credentials:
    """For this machine's processes; the key is read now, while this process may."""
    folder = settings.machine_folder
    authority = (folder / "authority.pem").read_bytes()
    return Credentials(key=Secret((folder / "key.pem").read_bytes()), authority=authority, chain=settings.farm_folder / "chain.pem")


def authority(settings: Settings) -> enrolment.Authority:
    """The estate's own, on controllers."""
    folder = settings.secrets_folder
    key, public = (folder / f"{AUTHORITY}.key").read_bytes(), (folder / f"{AUTHORITY}.pem").read_bytes()
    return enrolment.Authority(key=Secret(key), certificate=public)


def life(settings: Settings) -> timedelta:
    return timedelta(minutes=settings.certificate_minutes)


async def found_estate(settings: Settings, connection: asyncpg.Connection[Any]) -> None:
    """On the machine with the database, at each start: authority and own certificate, made when missing or due."""
    folder = settings.secrets_folder
    settings.machine_folder.mkdir(mode=0o700, exist_ok=True)
    if not (folder / f"{AUTHORITY}.pem").exists():
        key, public = certificates.new_authority("Cloister estate authority")
        (folder / f"{AUTHORITY}.key").unlink(missing_ok=True)
        write_once(folder / f"{AUTHORITY}.key", key)
        write_once(folder / f"{AUTHORITY}.pem", public)
    name = rules.checked_name(settings.machine)
    own = {"id": name, "address": settings.farm_address, "port": settings.farm_port, "keeper": True}
    write_about(settings, About(name=name, kind=rules.Kind.CONTROLLER, keeper=True, controllers=(own,), roles={}, trust={}))
    await renew_own(settings, connection)
    store = machine_store.MachineStore(connection)
    await store.beat(name, keeper=True)
    write_revocations(settings, await _enrolment(settings, connection).revocations())


def _enrolment(settings: Settings, connection: Any) -> enrolment.Enrolment:
    store = machine_store.MachineStore(connection)
    return enrolment.Enrolment(store, authority(settings), clock=system_clock, told=lambda kind: {}, life=life(settings))


async def renew_own(settings: Settings, connection: asyncpg.Connection[Any]) -> None:
    """The first controller signs for itself."""
    key, ca, name = own_key(settings), authority(settings), settings.machine
    replaced(settings.machine_folder / "authority.pem", ca.certificate, 0o600)
    asked = certificates.request(key.reveal())
    store = machine_store.MachineStore(connection)
    hashed = certificates.requested_key(asked)
    await store.put_machine(name, rules.Kind.CONTROLLER, hashed, FOUNDER, settings.farm_address, settings.farm_port)
    names = rules.names_of(name, rules.Kind.CONTROLLER)
    chain = certificates.signed(ca.key.reveal(), ca.certificate, asked, names, now=system_clock(), life=life(settings))
    made = certificates.facts(chain)
    before = own_chain(settings)
    await store.add_certificate(made.serial, name, made.ends, beside=[before.serial] if before is not None else [])
    replaced(settings.machine_folder / "chain.pem", chain, 0o600)


def own_chain(settings: Settings) -> certificates.MachineCertificate | None:
    try:
        return certificates.facts((settings.machine_folder / "chain.pem").read_bytes())
    except (OSError, Corrupt):
        return None


def is_due(settings: Settings) -> bool:
    found = own_chain(settings)
    return found is None or rules.due(found.begins, found.ends, now=system_clock())


# --- what Envoys watch ------------------------------------------------------------------------------------


def plan_of(settings: Settings, own: Path) -> estate.Estate:
    return estate.Estate(
        folder=settings.farm_folder, own=own, name=settings.machine, address=settings.farm_address, port=settings.farm_port
    )


def prepare_folder(settings: Settings, owner: Account) -> None:
    """The watched folder, with what is known now; `owner` is whose process keeps it up to date."""
    folder, found = settings.farm_folder, about(settings)
    folder.mkdir(mode=0o755, exist_ok=True)
    folder.chmod(0o755)
    show_chain(settings)
    replaced(folder / "authority.pem", (settings.machine_folder / "authority.pem").read_bytes(), 0o644)
    replaced(folder / "revoked.pem", (settings.machine_folder / "revoked.pem").read_bytes(), 0o644)
    write_controllers(settings, found.controllers)
    if not (folder / "servers.json").exists():
        write_servers(settings, [])
    if os.geteuid() == 0:
        for path in (folder, *folder.iterdir()):
            os.chown(path, owner.uid, owner.gid)


def keeper_now(settings: Settings, known: dict[str, Any]) -> tuple[str, int]:
    """Address and port of the audit log's keeper, as the watched file has it today; for a process that may read no more than that."""
    try:
        body = json.loads((settings.farm_folder / "database.json").read_text())
        where = body["resources"][0]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
        return str(where["address"]), int(where["port_value"]) + AUDIT
    except (OSError, ValueError, LookupError, TypeError):
        return str(known["address"]), int(known["port"]) + AUDIT


def show_chain(settings: Settings) -> None:
    replaced(settings.farm_folder / "chain.pem", (settings.machine_folder / "chain.pem").read_bytes(), 0o644)


def write_revocations(settings: Settings, signed: bytes) -> None:
    """Kept for the next start, and shown to Envoys."""
    if settings.machine_folder.exists() and os.access(settings.machine_folder, os.W_OK):
        replaced(settings.machine_folder / "revoked.pem", signed, 0o600)
    if settings.farm_folder.exists():
        replaced(settings.farm_folder / "revoked.pem", signed, 0o644)


def write_controllers(settings: Settings, controllers: Iterable[dict[str, Any]]) -> None:
    """Doors and the database; this machine's own door is asked first, because it knows a sign-in that began there."""
    found = list(controllers)
    doors = [
        estate.Member(f"{one['id']}{estate.CONTROLLERS}", one["address"], one["port"], first=one["id"] == settings.machine) for one in found
    ]
    database = [estate.Member(f"{one['id']}{estate.CONTROLLERS}", one["address"], one["port"]) for one in found if one["keeper"]]
    _write_members(settings, "door", doors)
    _write_members(settings, "database", database)


def write_servers(settings: Settings, places: Iterable[dict[str, Any]]) -> None:
    found = [estate.Member(f"{one['id']}{estate.SERVERS}", one["address"], one["port"]) for one in places]
    _write_members(settings, "servers", found)


def _write_members(settings: Settings, cluster: str, found: list[estate.Member]) -> None:
    replaced(settings.farm_folder / f"{cluster}.json", json.dumps(estate.members(cluster, found)).encode(), 0o644)


def write_secrets(settings: Settings, own: Path, account: Account) -> None:
    """In an Envoy's own folder: the machine's key, and the files that say which certificate is shown and believed."""
    replaced(own / "machine.key", (settings.machine_folder / "key.pem").read_bytes(), 0o600)
    for name, body in estate.files_of(plan_of(settings, own)).items():
        replaced(own / name, json.dumps(body).encode(), 0o644)
    if os.geteuid() == 0:
        for path in own.iterdir():
            os.chown(path, account.uid, account.gid)


def replaced(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and only when it differs: Envoys watch some of these."""
    try:
        if path.read_bytes() == content:
            return
    except OSError:
        pass
    new = path.with_name(f".{path.name}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
