"""Bulk jobs of one session: asked for now, fetched later, ended with the session. HL7 FHIR asynchronous request pattern.

A job's name is random and known to its session alone; nobody else's has one here.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any, Final, Generic, Protocol, TypeVar

from cloister.base.errors import Busy, CloisterError, NotFound

JOBS_MAX: Final = 8  # kept; the oldest that does not run goes first


class Job(Protocol):
    """Its result is final when it is `done`; `failed` says why it never will be."""

    id: str
    done: bool
    failed: CloisterError | None
    task: asyncio.Task[None] | None


T = TypeVar("T", bound=Job)


class Jobs(Generic[T]):
    def __init__(self, running_max: int, gone: str) -> None:
        """`gone`: what to do about a job that is not here any more."""
        self._running_max = running_max
        self._gone = gone
        self._kept: OrderedDict[str, T] = OrderedDict()

    def check_room(self) -> None:
        """Busy when as many run as may."""
        if sum(map(running, self._kept.values())) >= self._running_max:
            hint = "Wait for it, or cancel it with DELETE."
            raise Busy("A job of this session is still running.", hint=hint, reason="jobs", expression="10")

    def start(self, job: T, work: Coroutine[Any, Any, None]) -> None:
        while len(self._kept) >= JOBS_MAX:
            del self._kept[next(id for id, kept in self._kept.items() if not running(kept))]
        self._kept[job.id] = job
        job.task = asyncio.get_running_loop().create_task(work)

    def get(self, id: str) -> T:
        found = self._kept.get(id)
        if found is None:
            raise NotFound("There is no such job.", hint=f"Jobs end with the session that began them. {self._gone}", reason="job-gone")
        return found

    def end(self, id: str) -> None:
        """Cancels it, or forgets that it is done."""
        job = self.get(id)
        if job.task is not None:
            job.task.cancel()
        del self._kept[id]

    def close(self) -> None:
        for id in list(self._kept):
            self.end(id)


def running(job: Job) -> bool:
    return not job.done and job.failed is None


def new_name() -> str:
    return secrets.token_urlsafe(16)
