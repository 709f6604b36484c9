"""The store gate's process: the only one with the care role's password."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
from typing import Any, Final

import uvloop

from cloister.assemble import accounts, machine
from cloister.assemble.checkpoints import far_log, keys_of_log
from cloister.assemble.folders import service_token
from cloister.assemble.listening import bound_socket
from cloister.assemble.postgres import GATE, where
from cloister.base.preload import forbid_late_imports
from cloister.base.process import die_with_parent, drop_to, system_account
from cloister.base.settings import LOOPBACK, Replica, Settings
from cloister.machines import Credentials
from cloister.records.gate import AuditKeys, Far, Keeping, run_gate

SERVICES: Final = ("agent", "controller")


def _reached(replica: Replica) -> dict[str, Any]:
    """By its socket, or by TLS with its name verified; in the clear only on this machine."""
    if replica.host.startswith("/") or replica.host in LOOPBACK:
        return {"host": replica.host, "port": replica.port, "ssl": False}
    return {"host": replica.host, "port": replica.port, "ssl": ssl.create_default_context(cafile=replica.ca)}


def run_store_gate(settings: Settings) -> None:
    account, database = system_account(accounts.GATE), system_account(accounts.DATABASE)
    arguments = where(settings, GATE).arguments()
    tokens = {service: service_token(settings, service) for service in SERVICES}
    replicas = {one.name: {**arguments, **_reached(one)} for one in settings.replicas}
    # Open to every session's account: who calls is asked of the kernel, and nobody unknown is answered.
    listener = bound_socket(settings.socket("gate"), uid=account.uid, gid=account.gid, mode=0o666)
    signing: AuditKeys | Far
    keeping, server = None, ""
    if settings.farm_address:
        found, own = machine.about(settings), machine.credentials(settings)
        server = found.name
        signing = keys_of_log(settings) if found.keeper else _far(settings, own)
        keeping = _keeping(settings, own) if found.keeper else None
    else:
        signing = keys_of_log(settings)
    drop_to(account, groups=(database.gid,))
    forbid_late_imports()
    die_with_parent(signal.SIGTERM)

    async def serve() -> None:
        copies: dict[str, Any] = {"replicas": replicas, "staleness_seconds": settings.replica_staleness_ms / 1000}
        task = asyncio.ensure_future(run_gate(arguments, listener, tokens, audit_keys=signing, server=server, keeping=keeping, **copies))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())


def _keeping(settings: Settings, own: Credentials) -> Keeping:
    """Where the gates of other machines bring their audit entries."""
    tls = own.listening()
    port = settings.farm_port + machine.AUDIT
    return Keeping(address=settings.farm_address, port=port, tls=tls, fresh=lambda: own.refresh(tls))


def _far(settings: Settings, own: Credentials) -> Far:
    """Where this machine's gate brings its own: it has no signing key."""
    place = machine.about(settings).keeping()

    def keeper() -> tuple[str, int]:
        return machine.keeper_now(settings, place)

    log_key, new_data_key = far_log(settings)
    return Far(machine=settings.machine, keeper=keeper, tls=own.dialling, log_key=log_key, new_data_key=new_data_key)
