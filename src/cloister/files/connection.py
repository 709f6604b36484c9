"""The request loop on /dev/fuse: reads the kernel's requests, calls what answers them, writes the answers. <linux/fuse.h>.

One loop, one thread: of a small request's time most is the kernel's waking of both sides, and Python's lock would make threads
wait for each other. What blocks (a lock that others hold, an fsync) is answered later from another thread.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from cloister.base.errors import CloisterError
from cloister.base.telemetry import log
from cloister.base.wire import where_of
from cloister.files import protocol
from cloister.zones import Forged

NO_ANSWER: Final = None
ENDED: Final = frozenset({errno.ENODEV, errno.EBADF})
LATER_THREADS: Final = 4

# A handler gets (node, arguments, caller's pid/uid/gid) and returns the answer's parts, an error number, or None for no answer.
Answer = bytes | memoryview | int | None


class Request:
    """What a handler needs of the request at hand. Valid until it returns."""

    __slots__ = ("body", "connection", "gid", "node", "pid", "uid", "unique")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.unique = self.node = 0
        self.uid = self.gid = self.pid = 0
        self.body = memoryview(b"")


Handler = Callable[[Request], Answer]


def told(wrong: Exception, opcode: int) -> int:
    """The error number of what went wrong. The log has its reason, never its text, which may quote a name."""
    if isinstance(wrong, OSError):
        return wrong.errno or errno.EIO
    if isinstance(wrong, Forged):
        log("files.refused", level="warning", reason=str(wrong.refusal), request=opcode, where=where_of(wrong))
        return errno.EIO
    if isinstance(wrong, CloisterError):
        log("files.refused", level="warning", reason=wrong.reason, request=opcode)
        return errno.EACCES
    log("files.fault", level="error", kind=type(wrong).__name__, where=where_of(wrong), request=opcode)
    return errno.EIO


class Connection:
    """One mounted file system's channel to the kernel."""

    def __init__(self, fd: int, handlers: dict[int, Handler], *, guarded: frozenset[int]) -> None:
        """`guarded` requests are refused when their process is outside this one's process namespace: the kernel then says pid 0."""
        self.fd = fd
        self._handlers = handlers | {protocol.INIT: self._init}
        self._guarded = guarded
        self._later = ThreadPoolExecutor(LATER_THREADS, thread_name_prefix="files")
        self.minor = 0
        self.ended = threading.Event()

    def run(self) -> None:
        """Until the file system is unmounted."""
        buffer = bytearray(protocol.BUFFER_BYTES)
        view = memoryview(buffer)
        request = Request(self)
        unpack, head, fd = protocol.IN_HEADER.unpack_from, protocol.HEAD, self.fd
        guarded, readv = self._guarded, os.readv
        handler_of, parts = self._handlers.get, [buffer]
        while True:
            try:
                length = readv(fd, parts)
            except OSError as refused:
                if refused.errno in ENDED:
                    break
                if refused.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):  # ENOENT: the request was interrupted
                    continue
                raise
            if length < head:
                break
            _, opcode, unique, request.node, request.uid, request.gid, request.pid, _, _ = unpack(buffer)
            request.unique, request.body = unique, view[head:length]
            handler = handler_of(opcode)
            if handler is None:
                self.answer(unique, errno.ENOSYS)
            elif not request.pid and opcode in guarded:
                self.answer(unique, errno.EACCES)
            else:
                try:
                    answer = handler(request)
                except Exception as wrong:  # the process's edge: one request fails, the mount goes on
                    answer = told(wrong, opcode)
                if answer is not None:
                    self.answer(unique, answer)
        self.ended.set()
        self._later.shutdown(wait=False)

    def handled(self, work: Callable[[], Answer], opcode: int) -> Answer:
        """What was answered, or the error number of what went wrong."""
        try:
            return work()
        except Exception as wrong:  # the process's edge: one request fails, the mount goes on
            return told(wrong, opcode)

    def later(self, request: Request, work: Callable[[], Answer], opcode: int) -> None:
        """Answer from another thread: for what waits."""
        unique = request.unique

        def run() -> None:
            answer = self.handled(work, opcode)
            if answer is not None:
                self.answer(unique, answer)

        self._later.submit(run)

    def answer(self, unique: int, answer: bytes | memoryview | int) -> None:
        try:
            if not answer:
                os.write(self.fd, protocol.OUT_HEADER.pack(protocol.OUT, 0, unique))
            elif isinstance(answer, int):
                os.write(self.fd, protocol.OUT_HEADER.pack(protocol.OUT, -answer, unique))
            else:
                os.writev(self.fd, (protocol.OUT_HEADER.pack(protocol.OUT + len(answer), 0, unique), answer))
        except OSError as refused:
            if refused.errno != errno.ENOENT:  # nobody waits for it any more
                raise

    def _init(self, request: Request) -> Answer:
        major, minor, readahead, flags = protocol.INIT_IN.unpack_from(request.body)
        if major != protocol.MAJOR or minor < protocol.MINOR_MIN:
            log("files.kernel_too_old", level="error", major=major, minor=minor)
            return errno.EPROTO
        self.minor = min(minor, protocol.MINOR)
        return protocol.INIT_OUT.pack(
            protocol.MAJOR, self.minor, min(readahead, protocol.REQUEST_BYTES_MAX), flags & protocol.WANTED,
            64, 48, protocol.REQUEST_BYTES_MAX, 1, protocol.PAGES_MAX, 0, 0, 0,
        )  # fmt: skip
