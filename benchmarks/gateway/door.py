"""Sign-ins a second that the door's process can do with one core: start, proof, rules, counts, audit, session found again.

By the processor time of the controller, so that a busy machine does not blur it. Argon2id, which the browser does, is done once beforehand.
"""

from __future__ import annotations

import asyncio
import base64
import time
from pathlib import Path
from typing import Final

import httpx

from benchmarks.measure import Result, at_least, told
from benchmarks.processor import used_by
from benchmarks.trust import BenchTrust
from cloister.cli.key_bound import KeyBound
from cloister.zones import unlockers

SIGN_INS: Final = 400
AT_ONCE: Final = 4
GOAL: Final = 100.0


async def run() -> list[Result]:
    async with BenchTrust() as trust:
        people = [one for one in trust.sign_ins()["people"] if one["role"] in ("doctor", "nurse")][:AT_ONCE]
        door = _controller(trust)
        browsers = [Browser(trust, one["sign_in"]) for one in people]
        for one, person in zip(browsers, people, strict=True):
            await one.begin(person["passphrase"])
        before, began = used_by([door]), time.monotonic()
        await asyncio.gather(*(one.many(SIGN_INS // AT_ONCE) for one in browsers))
        used, took = used_by([door]) - before, time.monotonic() - began
        for one in browsers:
            await one.client.aclose()
    return [
        at_least("sign-ins at the door, per second of its processor time", SIGN_INS / used, "1/s", GOAL),
        told("the same by the clock, everything on this machine", SIGN_INS / took, "1/s"),
    ]


class Browser:
    """One person's, with a key of its own that every proof is made with."""

    def __init__(self, trust: BenchTrust, name: str) -> None:
        self._name = name
        self._bound = KeyBound()
        self._verifier = ""
        self.client = httpx.AsyncClient(base_url=trust.base, verify=trust.tls(), trust_env=False, timeout=60, auth=self._bound)

    async def begin(self, passphrase: str) -> None:
        flow = (await self.client.post("/login/start", json={"sign_in": self._name})).json()
        self._verifier = base64.b64encode(unlockers.passphrase_secrets(passphrase, flow["passphrase"])[1]).decode()
        await self.many(1)

    async def many(self, times: int) -> None:
        for _ in range(times):
            flow = (await self.client.post("/login/start", json={"sign_in": self._name})).json()
            self._bound.nonce = flow["flow"]
            answer = await self.client.post("/login/passphrase", json={"flow": flow["flow"], "verifier": self._verifier})
            answer.raise_for_status()


def _controller(trust: BenchTrust) -> int:
    state = str(trust.settings.state).encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                ours = state in (entry / "environ").read_bytes()
                if ours and b"cloister.assemble\0controller\0" in (entry / "cmdline").read_bytes():
                    return int(entry.name)
            except OSError:
                continue
    raise LookupError("controller")
