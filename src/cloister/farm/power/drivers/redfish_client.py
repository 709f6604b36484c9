"""`redfish`: a baseboard controller by DMTF's Redfish (DSP0266), with DMTF's own client. HTTPS with a checked certificate only.

ComputerSystem.Reset with On, GracefulShutdown, ForceOff; PowerState says what it sees. The client blocks, so each call has a thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import redfish
import requests
from redfish.rest import v1

from cloister.base.errors import Denied, Invalid, Unavailable
from cloister.base.secret import Secret
from cloister.farm.power.drivers.driver import OFF_SECONDS, Seen

ANSWER_SECONDS: Final = 20
LOOK_SECONDS: Final = 2.0
STATES: Final = {"On": Seen.ON, "PoweringOn": Seen.ON, "PoweringOff": Seen.ON, "Off": Seen.OFF}

Answer = TypeVar("Answer")
# The client logs what it sends, a sign-in too; nothing of it is ours to keep.
logging.getLogger("redfish").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A baseboard controller. `ca`: the file of the authority that signed its certificate. `auth`: session or basic."""

    url: str
    system: str  # such as /redfish/v1/Systems/1
    user: str = field(repr=False)
    password: Secret = field(repr=False)
    ca: Path
    auth: str = "session"


class RedfishDriver:
    def __init__(self, service: Service, *, off_seconds: float = OFF_SECONDS) -> None:
        if not service.url.startswith("https://"):
            raise Invalid("A Redfish service is spoken to over HTTPS only.", hint="Write its address as https://…")
        self._service, self._off_seconds = service, off_seconds

    async def on(self) -> None:
        if await self.seen() is not Seen.ON:
            await self._reset("On")

    async def off(self) -> None:
        if await self.seen() is Seen.OFF:
            return
        await self._reset("GracefulShutdown")
        end = asyncio.get_running_loop().time() + self._off_seconds
        while await self.seen() is not Seen.OFF:
            if asyncio.get_running_loop().time() > end:
                await self._reset("ForceOff")
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def seen(self) -> Seen:
        def look(client: Any) -> Seen:
            answer = _well(client.get(self._service.system))
            return STATES.get(str(answer.dict.get("PowerState")), Seen.UNKNOWN)

        return await self._with(look)

    async def _reset(self, kind: str) -> None:
        def reset(client: Any) -> None:
            _well(client.post(f"{self._service.system}/Actions/ComputerSystem.Reset", body={"ResetType": kind}))

        await self._with(reset)

    async def _with(self, work: Callable[[Any], Answer]) -> Answer:
        return await asyncio.to_thread(self._blocking, work)

    def _blocking(self, work: Callable[[Any], Answer]) -> Answer:
        s = self._service
        try:
            client = redfish.redfish_client(
                base_url=s.url,
                username=s.user,
                password=s.password.reveal().decode(),
                cafile=str(s.ca),
                timeout=ANSWER_SECONDS,
                max_retry=1,
            )
            client.login(auth=s.auth)
            try:
                return work(client)
            finally:
                client.logout()
        except (v1.InvalidCredentialsError, v1.SessionCreationError):
            raise Denied(
                f"The Redfish service at {s.url} refused the sign-in.", hint="Check the credentials file of this machine.", reason="redfish"
            ) from None
        except (
            v1.RetriesExhaustedError, v1.ServerDownOrUnreachableError, v1.DecompressResponseError, v1.JsonDecodingError,
            requests.exceptions.RequestException, OSError,
        ):  # fmt: skip
            # Without the cause: its text may hold what was sent.
            raise Unavailable(
                f"The Redfish service at {s.url} does not answer.",
                hint="Check its address, its certificate and its network.",
                reason="redfish",
            ) from None


def _well(answer: Any) -> Any:
    if answer.status in (401, 403):
        raise Denied("The Redfish service refuses this account.", hint="It needs the right to switch power.", reason="redfish")
    if answer.status >= 400:
        raise Unavailable(f"The Redfish service answered {answer.status}.", hint="Does it know this system?", reason="redfish")
    return answer
