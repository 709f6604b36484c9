"""What a clinician's session does on the side while it is unlocked: take up what was sealed or shared to its zones, end what is due.

Any entitled session will do, so each does a little, seldom and not at the same second; nothing of it keeps a session unlocked.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

from cloister.base.errors import CloisterError
from cloister.base.telemetry import log
from cloister.records import Records

FIRST_SECONDS: Final = 2.0
EVERY_SECONDS: Final = 90.0


async def work(records: Records) -> None:
    """Until it is cancelled."""
    pause = FIRST_SECONDS
    while True:
        await asyncio.sleep(pause * (0.5 + random.random()))
        pause = EVERY_SECONDS
        try:
            shared, taken, keys = await records.take_shares(), await records.take_up(), await records.renew_keys()
            await records.subscriptions.look()  # what a session wrote that has ended before it looked
        except CloisterError as away:
            log("session.not_taken_up", level="warning", reason=away.reason or away.category)
            continue
        if shared or taken.done or taken.refused or any(keys):
            log("session.taken_up", shared=shared, done=taken.done, refused=taken.refused, keys=keys[0], rekeyed=keys[1])
