"""The delivery process: the only part that speaks to addresses outside, and the only one that may read those of subscriptions.

It has an account, a database role for its queue alone, and a key that opens addresses and headers, and nothing of a record.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal

from cloister.assemble import accounts
from cloister.assemble.folders import seed_file
from cloister.assemble.listening import bound_socket
from cloister.assemble.outbound_key import SEED
from cloister.assemble.postgres import OUTBOUND, where
from cloister.base.preload import forbid_late_imports
from cloister.base.process import die_with_parent, drop_to, system_account
from cloister.base.settings import Settings
from cloister.gateway.outbound import Rounds
from cloister.zones import algorithms


def run_outbound(settings: Settings) -> None:
    account, database = system_account(accounts.OUTBOUND), system_account(accounts.DATABASE)
    arguments = where(settings, OUTBOUND).arguments()
    key = algorithms.KemPrivate(seed_file(settings, SEED).reveal())
    listener = bound_socket(settings.socket("outbound"), uid=account.uid, gid=account.gid, mode=0o600)  # only says that it runs
    forbid_late_imports()
    drop_to(account, groups=(database.gid,))
    die_with_parent(signal.SIGTERM)

    async def serve() -> None:
        task = asyncio.ensure_future(Rounds(arguments, key, tries_max=settings.delivery_tries).run())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    with listener:
        asyncio.run(serve())
