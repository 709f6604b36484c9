"""Run, once and before the first fork, what every session will run: its pages are then shared and its imports done."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import tempfile
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import uvicorn

from cloister.base import wire
from cloister.base.errors import Unavailable
from cloister.base.secret import Secret
from cloister.base.telemetry import log
from cloister.server import session
from cloister.server.opening import opened
from cloister.zones import TrustRoots, algorithms, bundle, certificates, envelope, epochs, grants, unlockers

DAY: Final = timedelta(days=1)
CLAIMS: Final = b'{"sid":"warm","dst":"warm","slot":0,"person":"warm","epoch":1,"iat":0,"exp":0}'
TICKET: Final = base64.urlsafe_b64encode(CLAIMS).rstrip(b"=")
REQUESTS: Final = (b"GET /session/state HTTP/1.1\r\nhost: warm\r\nx-cloister-ticket: " + TICKET + b"\r\n\r\n",)


async def warm_session(config: uvicorn.Config) -> None:
    with tempfile.TemporaryDirectory() as folder:
        await _warm_http(config, Path(folder) / "http")
        await _warm_wire(Path(folder) / "wire")
    seed = algorithms.random(32)
    private = algorithms.KemPrivate(seed)
    private.open(algorithms.kem_seal(private.public, b"warm", b"warm"), b"warm")
    algorithms.verify(algorithms.sign_public(seed), b"warm", algorithms.sign(seed, b"warm"))
    algorithms.aead_open(seed, algorithms.aead_seal(seed, b"warm", b""), b"")
    try:
        raise Unavailable("warm")
    except Unavailable as fault:
        traceback.format_exception(fault)
    await asyncio.to_thread(len, "")


def warm_keys() -> None:
    """Open the keys of somebody who never was, in a trust that is forgotten at once."""
    now = datetime.now(UTC)
    root, root_der = certificates.new_root("warm")
    access, person = Secret(algorithms.random(32)), bundle.new_bundle("warm")
    der = certificates.certificate(root, root_der, "warm", "warm", person.sign_public, person.kem_public, None, 2, now)
    signer, keys = envelope.access_root(access), epochs.EpochKeys("warm", 1, epochs.new_zone_key())
    grant = grants.sign_grant(
        signer, trust="warm", zone="warm", epoch=1, floor=1, person="warm", certificate=algorithms.sha256(der),
        kem_public=person.kem_public, zone_key=keys.key, right="write", not_before=now - DAY, live_until=now + DAY, reason="warm",
    )  # fmt: skip
    zone = epochs.zone_record(signer, trust="warm", zone="warm", name="warm", hospital="warm", ward=None, policy={}, made=now)
    epoch = epochs.epoch_record(signer, trust="warm", keys=keys, index_key=epochs.new_index_key(), previous=None, made=now)
    key, kek = bundle.new_unlock_key(), Secret(algorithms.random(32))
    unlocker = unlockers.wrap_unlock_key(kek, "warm", "warm", "service", {}, key)
    rows: dict[str, Any] = {
        "person": {"id": "warm", "name": "warm", "role": "nurse", "hospital": None, "language": "en"},
        "identity": {"sealed_private": bundle.seal_bundle(person, key)},
        "unlockers": [{"id": "warm", "kind": "service", "params": {}, "sealed": unlocker.sealed}],
        "certificates": [{"der": root_der}, {"der": der}],
        "mandates": [],
        "grants": [{"body": grant, "hash": b"", "revoked": False}],
        "zones": [{"body": zone}],
        "epochs": [{"body": epoch}],
        "revoked": [],
    }
    roots = TrustRoots("warm", certificates.public_of(root_der), algorithms.sign_public(access.reveal()))
    known = opened(rows, person="warm", session="warm", unlocker="warm", kek=kek, trust=roots, now=now)
    if [zone.zone for zone in known.keyring.zones] != ["warm"]:
        log("zygote.keys_cold", level="warning", refused=str(known.keyring.refused))
    known.keyring.close()


async def _warm_http(config: uvicorn.Config, path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    server = await session.serve_http(config, listener, None)
    for request in REQUESTS:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(request)
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(4096), 5)
        writer.close()
    server.close()


async def _warm_wire(path: Path) -> None:
    async def answer(peer: wire.Peer, method: str, arguments: dict[str, Any]) -> Any:
        if method == "no":
            raise Unavailable("warm")
        return arguments

    server = await wire.serve(path, answer)
    caller = wire.Caller(path, part="warm")
    await caller.call("yes", a=b"1", b=[1, "2", None])
    with contextlib.suppress(Unavailable):
        await caller.call("no")
    caller.close()
    server.close()
    await asyncio.sleep(0)
