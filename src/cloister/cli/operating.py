"""How the command line acts on the farm: through the controller, as the console does, so that both do the same and both are audited."""

from __future__ import annotations

import asyncio
import getpass
import os
from typing import Any, Final

from cloister.assemble import controller_token
from cloister.base.settings import Settings, read_settings
from cloister.base.wire import Caller

SECONDS_MAX: Final = 30.0


def operate(act: str, **words: Any) -> Any:
    """One act of `farm.operations`, by its name. Unavailable when the trust does not run, Denied for another account's trust."""
    return asyncio.run(operated(read_settings(), act, words))


async def operated(settings: Settings, act: str, words: dict[str, Any]) -> Any:
    controller = Caller(settings.socket("controller"), part="controller")
    token = controller_token(settings)
    try:
        return await controller.call("operate_here", timeout_seconds=SECONDS_MAX, token=token, name=_account(), act=act, words=words)
    finally:
        controller.close()


def _account() -> str:
    """Who typed it: behind sudo the person, not root."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"account {os.geteuid()}"
