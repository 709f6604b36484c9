"""Long reads of saved versions, in threads beside the loop: one opens blocks while another waits for the storage or the kernel.

A version never changes, so nothing is shared with the loop but a descriptor, which each read has for itself.
"""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue
from typing import Final

from cloister.files import protocol
from cloister.files.connection import Answer, Connection
from cloister.files.content import Buffers, Version, read_blocks

THREADS: Final = 2
LONG_BYTES: Final = 128 * 1024


class Readers:
    """Made at the first long read, because a fork(2) takes no thread along."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._work: SimpleQueue[tuple[int, int, Version, int, int]] = SimpleQueue()
        for number in range(THREADS):
            threading.Thread(target=self._run, daemon=True, name=f"files-read-{number}").start()

    def read(self, unique: int, version: Version, offset: int, size: int) -> None:
        self._work.put((unique, os.dup(version.fd), version, offset, size))

    def _run(self) -> None:
        buffers, out = Buffers(), memoryview(bytearray(protocol.REQUEST_BYTES_MAX))
        while True:
            unique, fd, version, offset, size = self._work.get()

            def opened(fd: int = fd, version: Version = version, offset: int = offset, size: int = size) -> Answer:
                return out[: read_blocks(fd, version.head.blocks, version.head.size, offset, out[:size], buffers)]

            answer = self._connection.handled(opened, protocol.READ)
            os.close(fd)
            if answer is not None:
                self._connection.answer(unique, answer)
