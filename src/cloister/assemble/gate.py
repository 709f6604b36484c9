"""The store gate's process: the only one with the care role's password."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Final

import uvloop

from cloister.assemble.checkpoints import keys_of_log
from cloister.assemble.folders import secret_file
from cloister.assemble.listening import bound_socket
from cloister.assemble.postgres import ACCOUNT as DATABASE_ACCOUNT
from cloister.assemble.postgres import GATE, where
from cloister.base.preload import forbid_late_imports
from cloister.base.process import die_with_parent, drop_to, system_account
from cloister.base.settings import Settings
from cloister.records.gate import run_gate

ACCOUNT: Final = "cloister-gate"
SERVICES: Final = ("agent", "controller")


def service_token(settings: Settings, service: str) -> str:
    return secret_file(settings, f"{service}.token").read_text().strip()


def run_store_gate(settings: Settings) -> None:
    account, database = system_account(ACCOUNT), system_account(DATABASE_ACCOUNT)
    arguments = where(settings, GATE).arguments()
    tokens = {service: service_token(settings, service) for service in SERVICES}
    # Open to every session's account: who calls is asked of the kernel, and nobody unknown is answered.
    listener = bound_socket(settings.socket("gate"), uid=account.uid, gid=account.gid, mode=0o666)
    signing = keys_of_log(settings)
    drop_to(account, groups=(database.gid,))
    forbid_late_imports()
    die_with_parent(signal.SIGTERM)

    async def serve() -> None:
        task = asyncio.ensure_future(run_gate(arguments, listener, tokens, audit_keys=signing))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
