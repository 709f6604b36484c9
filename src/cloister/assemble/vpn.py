"""The VPN's part: ocserv as root with workers of nobody, its files written from `STATE/vpn.json`, and the watch that ends tunnels.

ocserv opens /dev/net/tun and writes packet rules, so this part runs where `cloister up` runs as root, or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg

from cloister.assemble.edge import local_authority
from cloister.assemble.folders import write_once
from cloister.assemble.postgres import ESTATE, where
from cloister.base.clock import system_clock
from cloister.base.database import LOST
from cloister.base.errors import Denied, Unavailable
from cloister.base.process import die_with_parent
from cloister.base.secret import Secret
from cloister.base.settings import Settings
from cloister.base.telemetry import log
from cloister.farm import Session
from cloister.gateway import vpn
from cloister.zones import certificates

Asked = Callable[[Session, dict[str, Any]], Awaitable[dict[str, Any]]]
CERTIFICATE_DAYS: Final = 30
PROGRAMS: Final = ("ocserv", "occtl", "iptables")
LIVE: Final = """
    select distinct person from estate.session
     where kind = 'person' and state in ('starting', 'locked', 'active', 'disconnected')
     order by person limit 100000"""
HOOK: Final = """#!/bin/sh
# Nobody comes in who is not signed in: ocserv asks before a tunnel stands.
[ "$REASON" = connect ] || exit 0
case "$USERNAME" in *[!A-Za-z0-9._-]* | .* | "") exit 1 ;; esac
[ -e "{live}/$USERNAME" ]
"""


def folder_of(settings: Settings) -> Path:
    return settings.runtime / "vpn"


def place_of(settings: Settings) -> vpn.Place:
    folder = folder_of(settings)
    return vpn.Place(folder=folder, port=settings.vpn_port, hook=folder / "hook.sh")


def authority(settings: Settings) -> tuple[bytes, bytes]:
    """Key and certificate of the authority whose certificates open the VPN; made once."""
    key, public = settings.secrets_folder / "vpn-ca.key", settings.state / "public" / "vpn-ca.pem"
    if not (key.exists() and public.exists()):
        key_pem, certificate_pem = certificates.new_tls_ca("Cloister VPN authority")
        key.unlink(missing_ok=True)
        write_once(key, key_pem)
        public.write_bytes(certificate_pem)
    return key.read_bytes(), public.read_bytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the controller holds of the VPN, read while it may still read files."""

    key: Secret
    authority: str
    profile: vpn.Profile
    server: str
    server_authority: str


def held(settings: Settings) -> Held | None:
    if not settings.vpn_host:
        return None
    key, public = authority(settings)
    return Held(
        key=Secret(key),
        authority=public.decode(),
        profile=vpn.read_profile(settings.state / "vpn.json"),
        server=f"{settings.vpn_host}:{settings.port}",
        server_authority=local_authority(settings)[1].decode(),
    )


def issuer_of(held: Held | None, audit: Any) -> vpn.Issuer | None:
    if held is None:
        return None
    return vpn.Issuer(
        authority_key=held.key, authority=held.authority, profile=held.profile, server=held.server,
        server_authority=held.server_authority, audit=audit, clock=system_clock,
    )  # fmt: skip


def asked_by_sessions(held: Held | None, queries: Any, audit: Any) -> tuple[vpn.Tunnels, dict[str, Asked]]:
    """What a session may ask of the controller for its own person: what there is, a certificate of hours, the end of a tunnel."""
    issuer = issuer_of(held, audit)
    tunnels = vpn.Tunnels(queries, issuer, audit, system_clock)

    async def certificate(session: Session, words: dict[str, Any]) -> dict[str, Any]:
        if issuer is None:
            raise Denied("This trust has no VPN.", hint="IT sets CLOISTER_VPN=yes.", reason="vpn-none")
        return await issuer.answer(session.person, session.role, str(session.kind), session.id, words)

    return tunnels, {"vpn_certificate": certificate, "vpn_shown": tunnels.shown, "vpn_end": tunnels.end_own}


def missing() -> list[str]:
    """What this machine lacks for a VPN."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    return absent + ([] if Path("/dev/net/tun").exists() else ["/dev/net/tun"]) + ([] if os.geteuid() == 0 else ["root"])


def prepare(profile: vpn.Profile, place: vpn.Place, *, host: str, tls: tuple[bytes, bytes], people: bytes) -> None:
    """Write everything that ocserv reads. `tls`: key and certificate of the authority that its own certificate comes from."""
    folder = place.folder
    folder.mkdir(mode=0o711, exist_ok=True)
    for name in ("groups", "live"):
        (folder / name).mkdir(mode=0o711, exist_ok=True)
    key, chain = certificates.tls_certificate(*tls, [host], CERTIFICATE_DAYS)
    files: dict[str, bytes] = {name: text.encode() for name, text in vpn.configuration(profile, place).items()}
    files |= {"key.pem": key, "chain.pem": chain, "people.pem": people, "nobody": b"restrict-user-to-routes = true\n"}
    for name, content in files.items():
        (folder / name).unlink(missing_ok=True)
        write_once(folder / name, content)
    place.hook.unlink(missing_ok=True)
    place.hook.write_text(HOOK.format(live=folder / "live"))
    place.hook.chmod(0o700)


class Live:
    """Who has a live session, from the estate's own list, and what stands, told to it; None and nothing while the database is away."""

    def __init__(self, arguments: dict[str, Any], told: vpn.Told) -> None:
        self._arguments = arguments
        self._told = told
        self._connection: asyncpg.Connection[Any] | None = None

    async def people(self) -> frozenset[str] | None:
        rows: Sequence[Any] | None = await self._asked(lambda database: database.fetch(LIVE, timeout=2))
        return None if rows is None else frozenset(str(row["person"]) for row in rows)

    async def tell(self, tunnels: list[vpn.Tunnel]) -> frozenset[int]:
        ended = await self._asked(lambda database: self._told.tell(database, tunnels, now=time.monotonic()))
        if ended is None:
            self._told.forget()
        return ended or frozenset()

    async def leave(self) -> None:
        await self._asked(self._told.leave)

    async def _asked(self, ask: Callable[[Any], Awaitable[Any]]) -> Any:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await asyncpg.connect(**self._arguments, timeout=2)
            return await asyncio.wait_for(ask(self._connection), 2)
        except (*LOST, TimeoutError, asyncpg.PostgresError):
            self._connection = None
            return None


def run_vpn(settings: Settings) -> None:
    die_with_parent(signal.SIGTERM)
    lacking = missing()
    if lacking:
        raise Unavailable(f"The VPN cannot run here: {', '.join(lacking)}.", hint="Run as root; apt install ocserv iptables.", reason="vpn")
    profile, place = vpn.read_profile(settings.state / "vpn.json"), place_of(settings)
    prepare(profile, place, host=settings.vpn_host, tls=local_authority(settings), people=authority(settings)[1])
    live = Live(where(settings, ESTATE).arguments(), vpn.Told(settings.machine))
    process = subprocess.Popen(["ocserv", "-f", "-c", str(place.folder / "ocserv.conf")], stdin=subprocess.DEVNULL)

    async def serve() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        watch = asyncio.create_task(vpn.Watch(place.control, place.folder / "live", live.people, live.tell).keep())
        log("vpn.ready", groups=len(profile.groups))
        gone = asyncio.create_task(asyncio.to_thread(process.wait))
        await asyncio.wait([watch, gone, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        watch.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await gone
        await live.leave()

    asyncio.run(serve())
