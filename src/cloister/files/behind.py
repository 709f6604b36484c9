"""Writing behind: sealed blocks of a draft go to the storage from a second thread, while the next request is read and sealed.

Nobody sees a draft before it is saved, so nothing is promised yet; saving waits for all of it, and hears its errors.
"""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue
from typing import Final

from cloister.zones import files

BUFFERS: Final = 8
BUFFER_BYTES: Final = files.SEALED_BLOCK_BYTES * 16


class WriteBehind:
    """One thread and a few buffers, for all drafts of this process. Whoever wants a buffer waits until one is free."""

    def __init__(self) -> None:
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        for _ in range(BUFFERS):
            self._free.put(memoryview(bytearray(BUFFER_BYTES)))
        self._work: SimpleQueue[tuple[Pending, int, memoryview, int, int] | threading.Event] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True, name="files-behind").start()

    def buffer(self) -> memoryview:
        return self._free.get()

    def write(self, pending: Pending, fd: int, buffer: memoryview, length: int, offset: int) -> None:
        pending.some = True
        self._work.put((pending, fd, buffer, length, offset))

    def wait(self) -> None:
        """Until everything that was given before is written."""
        done = threading.Event()
        self._work.put(done)
        done.wait()

    def _run(self) -> None:
        while True:
            one = self._work.get()
            if isinstance(one, threading.Event):
                one.set()
                continue
            pending, fd, buffer, length, offset = one
            try:
                done = 0
                while done < length:
                    done += os.pwrite(fd, buffer[done:length], offset + done)
            except OSError as refused:
                pending.wrong = refused
            self._free.put(buffer)


class Pending:
    """What of one draft is on its way."""

    __slots__ = ("some", "wrong")

    def __init__(self) -> None:
        self.some = False
        self.wrong: OSError | None = None


_behind: list[WriteBehind] = []


def behind() -> WriteBehind:
    """Made at the first use, because a fork(2) takes no thread along."""
    if not _behind:
        _behind.append(WriteBehind())
    return _behind[0]
