"""`cloister server token` and `cloister server join`: how a further machine comes into the estate, from both ends.

The token pins the estate's authority, so the joining machine believes nobody by first sight; its secret never travels, only a
hash of it. Each machine gets database roles of its own, whose passwords both ends make from the token.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import socket
import ssl
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg

from cloister.assemble import machine
from cloister.assemble.folders import write_once
from cloister.assemble.machine import WIRE, About
from cloister.assemble.postgres import ESTATE, GATE, owner_connection
from cloister.base.clock import iso, system_clock
from cloister.base.errors import CloisterError, Conflict, Corrupt, Denied, Invalid, Unavailable
from cloister.base.settings import Settings
from cloister.farm import machine_store
from cloister.farm import machines as rules
from cloister.machines import between, certificates

ROLES: Final = {rules.Kind.SERVER: (GATE,), rules.Kind.CONTROLLER: (GATE, ESTATE)}
LOOK_SECONDS_MIN, LOOK_SECONDS_MAX = 1.0, 60.0  # between looks at a certificate: the nearer its end, the more often
SECRET_NAME: Final = re.compile(r"[a-z0-9-]{1,40}\.(key|pem)")


# --- on the controller with the database -------------------------------------------------------------------


async def new_token(settings: Settings, kind: rules.Kind, life: timedelta) -> str:
    """A token's text, shown once; Invalid where no machine could join."""
    if not settings.farm_address:
        raise Invalid(
            "This controller listens for no machine.",
            hint="Set CLOISTER_FARM_ADDRESS to its address on the farm's network, and start it again.",
            reason="no-farm",
        )
    if not timedelta(minutes=1) <= life <= rules.TOKEN_LIFE_MAX:
        raise Invalid("A token lives from 1 minute to a day.", hint="--minutes 15", reason="token-life")
    token = rules.new_token(machine.authority(settings).certificate)
    connection = await owner_connection(settings)
    try:
        await _forget_unused(connection)
        for role in ROLES[kind]:
            name = role_of(role, token.id)
            # Without inheritance: whoever logs in has no right but that of becoming the role itself.
            await connection.execute(f"create role {name} login noinherit in role {role} password '{token.password(role)}'")
            await connection.execute(f"alter role {name} set role to {role}")
        store = machine_store.MachineStore(connection)
        await store.add_token(token.id, token.hash, kind, system_clock() + life)
    finally:
        await connection.close()
    return token.text()


def role_of(role: str, token: str) -> str:
    return f"{role}_{token}"


async def _forget_unused(connection: asyncpg.Connection[Any]) -> None:
    """Expired tokens, and the roles of those that nobody used."""
    limit = system_clock() - rules.TOKEN_LIFE_MAX
    for row in await connection.fetch(machine_store.OLD_TOKENS, limit):
        if not row["used"]:
            await _drop_roles(connection, row["id"])
    await connection.fetch(machine_store.FORGET_TOKENS, limit)


async def _drop_roles(connection: asyncpg.Connection[Any], token: str) -> None:
    for role in (GATE, ESTATE):
        name = role_of(role, token)
        if await connection.fetchval("select true from pg_roles where rolname = $1", name):
            await connection.execute(f"alter role {name} nologin")
            await connection.fetch("select pg_terminate_backend(pid) from pg_stat_activity where usename = $1", name)
            await connection.execute(f"drop role {name}")


async def remove(settings: Settings, name: str) -> None:
    """From now on nothing of this machine is believed: its certificates, its database roles, its lines."""
    connection = await owner_connection(settings)
    try:
        token = await machine_store.MachineStore(connection).remove(name)
        rules.check_exists(name, token is not None)
        if re.fullmatch(r"[0-9a-f]{12}", token or ""):
            await _drop_roles(connection, token or "")
    finally:
        await connection.close()


# --- on the machine that joins ------------------------------------------------------------------------------


async def join(settings: Settings, place: str, text: str, *, name: str = "", address: str = "") -> About:
    """Makes this machine's key, gets its certificate and what it needs to know; raises by name, saying what to do."""
    token = rules.read_token(text)
    if (settings.machine_folder / machine.ABOUT).exists() and machine.joined(settings):
        raise Conflict(
            f"This machine has joined already, as '{machine.about(settings).name}'.",
            hint=f"To join anew, move {settings.machine_folder} away.",
            reason="joined",
        )
    if (settings.state / "database").exists():
        raise Conflict(
            f"{settings.state} holds a trust of its own.", hint="Set CLOISTER_STATE to an empty folder on this machine.", reason="state"
        )
    host, port = between.split(place, settings.farm_port + WIRE)
    authority = await _authority(host, port, token)
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = machine.own_key(settings)
    tls = between.context(listening=False, authority=authority)
    link = await _dialled(host, port, tls)
    try:
        seen = rules.shown(link.certificate)
        if seen.kind is not rules.Kind.CONTROLLER:
            raise Denied(f"'{seen.machine}' is no controller.", hint="Give the address of a controller.", reason="machine-other")
        own = address or str(link.transport.get_extra_info("sockname")[0])
        wanted = rules.checked_name(name or settings.machine)
        asked = {"token": token.id, "hash": token.hash.hex(), "name": wanted, "address": own, "port": settings.farm_port}
        said = {"request": certificates.request(key.reveal()).decode(), "now": iso(system_clock())}
        told = await link.call("join", timeout_seconds=15, **asked, **said)
    finally:
        link.close()
    return _keep(settings, token, wanted, own, authority, told)


async def _authority(host: str, port: int, token: rules.JoinToken) -> bytes:
    """The estate's authority, if it is the one that the token was made for."""
    link = await _dialled(host, port, between.stranger_context())
    try:
        told = await link.call("authority", timeout_seconds=5)
    finally:
        link.close()
    found = bytes(told["authority"])
    if certificates.fingerprint(found) != token.authority:
        raise Denied(
            f"The machine at {host} port {port} is not of the estate that made this token.",
            hint="Check the address. If it is right, somebody answers in the controller's place: ask who runs the network.",
            reason="wrong-authority",
        )
    rules.check_clock(system_clock(), now=datetime.fromisoformat(str(told["now"])))
    return found


async def _dialled(host: str, port: int, tls: ssl.SSLContext) -> between.Link:
    try:
        return await between.dial(host, port, tls, part="controller")
    except ssl.SSLCertVerificationError as wrong:
        raise Denied(
            f"The controller's certificate is not good: {wrong.verify_message}.",
            hint="Compare the clocks of both machines; if they agree, somebody answers in the controller's place.",
            reason="wrong-authority",
        ) from wrong
    except (OSError, TimeoutError, socket.gaierror) as lost:
        raise Unavailable(
            f"No controller answers at {host} port {port}.",
            hint="Is it running, with CLOISTER_FARM_ADDRESS set? Does a firewall stand between?",
            reason="no-controller",
        ) from lost


def _keep(settings: Settings, token: rules.JoinToken, name: str, address: str, authority: bytes, told: dict[str, Any]) -> About:
    """Everything that this machine was given, in files of its own; the last one makes it a member."""
    kind, state = rules.Kind(told["kind"]), settings.state
    for folder, mode in (("secrets", 0o700), ("public", 0o755), ("logs", 0o700), ("machine", 0o700)):
        (state / folder).mkdir(mode=mode, parents=True, exist_ok=True)
    for secret, text in dict(told["secrets"]).items():
        if not SECRET_NAME.fullmatch(secret):
            raise Corrupt("The controller's answer has an unknown part.", reason="answer")
        _given(state / "secrets" / secret, _decoded(text))
    for role in ROLES[kind]:
        _given(state / "secrets" / f"database-{role}", token.password(role).encode())
    machine.replaced(state / "public" / "ca.pem", bytes(told["tls_authority"]), 0o644)
    machine.replaced(state / "public" / "trust.json", json.dumps(told["roots"], indent=1).encode(), 0o644)
    for file, content in (("authority.pem", authority), ("chain.pem", told["chain"]), ("revoked.pem", told["revocations"])):
        machine.replaced(settings.machine_folder / file, bytes(content), 0o600)
    found = About(
        name=name,
        kind=kind,
        keeper=False,
        controllers=tuple(told["controllers"]),
        roles={role: role_of(role, token.id) for role in ROLES[kind]},
        trust={**told["trust"], "farm_address": address, "farm_port": settings.farm_port},
    )
    machine.write_about(settings, found)
    return found


def _given(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    write_once(path, content)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Corrupt("The controller's answer cannot be read.", reason="answer") from None


# --- afterwards ----------------------------------------------------------------------------------------------


async def renew(settings: Settings) -> None:
    """A new certificate from any controller, by the one that this machine has; raises what the last one said."""
    found, own = machine.about(settings), replace(machine.credentials(settings), chain=settings.machine_folder / "chain.pem")
    asked = certificates.request(own.key.reveal()).decode()
    last: CloisterError = Unavailable("This machine knows no controller.", reason="no-controller")
    for one in found.controllers:
        try:
            link = await _dialled(one["address"], one["port"] + WIRE, own.dialling())
            try:
                told = await link.call("renew", timeout_seconds=10, request=asked)
            finally:
                link.close()
        except CloisterError as refused:
            last = refused
            continue
        machine.replaced(settings.machine_folder / "chain.pem", bytes(told["chain"]), 0o600)
        if settings.farm_folder.exists():  # it runs
            machine.show_chain(settings)
        return
    raise last


async def renew_now(settings: Settings) -> None:
    """At the machine's own command line."""
    if machine.about(settings).keeper:
        await _renew_keeper(settings)
    else:
        await renew(settings)


async def keep_fresh(settings: Settings, tell: Any) -> None:
    """Renews this machine's certificate in time, until cancelled; says so when it cannot."""
    told = ""
    while True:
        try:
            if machine.is_due(settings):
                if machine.about(settings).keeper:
                    await _renew_keeper(settings)
                else:
                    await renew(settings)
                tell("this machine's certificate was renewed")
                told = ""
        except (CloisterError, OSError, asyncpg.PostgresError) as refused:
            text = refused.text if isinstance(refused, CloisterError) else type(refused).__name__
            if text != told:
                own = machine.own_chain(settings)
                ends = f"; the present one ends {iso(own.ends)}" if own is not None else ""
                tell(f"this machine's certificate could not be renewed: {text}{ends}")
                told = text
        found = machine.own_chain(settings)
        left = (found.ends - system_clock()).total_seconds() if found is not None else 0.0
        await asyncio.sleep(min(LOOK_SECONDS_MAX, max(LOOK_SECONDS_MIN, left / 5)))


async def _renew_keeper(settings: Settings) -> None:
    connection = await owner_connection(settings)
    try:
        await machine.renew_own(settings, connection)
    finally:
        await connection.close()
    machine.show_chain(settings)
