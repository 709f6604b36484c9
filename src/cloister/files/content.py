"""What is inside a document: a version that is read, a draft of the next one, a file rewritten in place. Spec: docs/spec/zones.md 27.2.

A version never changes. A draft has a key of its own and no name that anybody knows, until it replaces the version in one
rename(2); so whoever is killed leaves the old or the new one. In place, each block is replaced where it stands: for lock files and
temporary files, which others must see at once and nobody keeps.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from cloister.files.ahead import DRAFT_FLAGS
from cloister.files.behind import Pending, behind
from cloister.zones import Forged, Refusal, files

BLOCK: Final = files.BLOCK_BYTES
SEALED: Final = files.SEALED_BLOCK_BYTES
OVERHEAD: Final = files.OVERHEAD_BYTES
HEADER: Final = files.HEADER_BYTES
BATCH_BLOCKS: Final = 16  # a request of 1 MiB
BEHIND_BLOCKS_MIN: Final = 4
BLOCKS_HELD_MAX: Final = 128  # of a draft in memory: 8 MiB
ZEROS: Final = bytes(BLOCK)


class Buffers:
    """Room for one request at a time: each thread that reads or seals has its own."""

    __slots__ = ("block", "sealed")

    def __init__(self) -> None:
        self.sealed = memoryview(bytearray(SEALED * (BATCH_BLOCKS + 2)))
        self.block = memoryview(bytearray(BLOCK))


_own: Final = Buffers()  # of the loop
_scratch_view: Final = _own.sealed


class Content(Protocol):
    @property
    def size(self) -> int: ...
    def read_into(self, offset: int, out: memoryview) -> int: ...


def read_blocks(fd: int, blocks: files.Blocks, size: int, offset: int, out: memoryview, buffers: Buffers = _own) -> int:
    """Plaintext from `offset` into `out`; the number of bytes. Forged when the storage has less than `size` says."""
    end = min(offset + len(out), size)
    if end <= offset:
        return 0
    done = offset
    while done < end:
        first, last = done // BLOCK, min((end - 1) // BLOCK, done // BLOCK + BATCH_BLOCKS)
        want = min((last + 1) * BLOCK, size) - first * BLOCK
        view = buffers.sealed[: want + (last - first + 1) * OVERHEAD]
        if os.preadv(fd, [view], HEADER + first * SEALED) != len(view):
            raise Forged(Refusal.TAG)
        for number in range(first, last + 1):
            start = number * BLOCK
            length = min(BLOCK, size - start)
            sealed = view[(number - first) * SEALED : (number - first) * SEALED + length + OVERHEAD]
            if start >= done and start + length <= end:
                blocks.open_into(number, sealed, out[start - offset : start - offset + length])
            else:
                blocks.open_into(number, sealed, buffers.block[:length])
                begin, stop = max(done, start), min(end, start + length)
                out[begin - offset : stop - offset] = buffers.block[begin - start : stop - start]
        done = min(end, (last + 1) * BLOCK)
    return end - offset


class Version:
    """A document as it was saved, open for reading. The first block came with the header."""

    __slots__ = ("fd", "head")

    def __init__(self, keys: files.FileKeys, fd: int) -> None:
        self.fd = fd
        self.head = keys.head(os.pread(fd, HEADER, 0))
        if not self.head.flags & files.IN_PLACE and os.fstat(fd).st_size != files.sealed_size(self.head.size):
            raise Forged(Refusal.TAG)  # cut or lengthened

    @property
    def size(self) -> int:
        return self.head.size

    def read_into(self, offset: int, out: memoryview) -> int:
        return read_blocks(self.fd, self.head.blocks, self.head.size, offset, out)

    def close(self) -> None:
        os.close(self.fd)


class Draft:
    """The next version of a document. Whole blocks are sealed as they come; parts wait in memory until they are whole, or saved."""

    __slots__ = ("_held", "_pending", "_sealed_to", "changed_ns", "dir_fd", "fd", "mode", "new", "size", "stored")

    def __init__(self, new: files.NewDocument, dir_fd: int, stored: str, mode: int, *, fd: int = -1) -> None:
        self.new = new
        self.dir_fd = dir_fd
        self.stored = stored
        self.mode = mode
        self.fd = fd
        self.size = 0
        self.changed_ns = time.time_ns()
        self._sealed_to = 0  # blocks that the file on the storage has room for
        self._held: OrderedDict[int, bytearray] = OrderedDict()
        self._pending = Pending()

    def open(self) -> int:
        """The draft's file, made when it is needed first."""
        if self.fd < 0:
            self.fd = os.open(self.stored, DRAFT_FLAGS, self.mode | 0o600, dir_fd=self.dir_fd)
        return self.fd

    def copy(self, version: Content) -> None:
        """Begin with what another version holds."""
        buffer = memoryview(bytearray(BLOCK * BATCH_BLOCKS))
        for offset in range(0, version.size, len(buffer)):
            got = version.read_into(offset, buffer)
            self.write(offset, buffer[:got])

    def read_into(self, offset: int, out: memoryview) -> int:
        end = min(offset + len(out), self.size)
        at = offset
        while at < end:
            number, skip = divmod(at, BLOCK)
            take = min(BLOCK - skip, end - at)
            out[at - offset : at - offset + take] = memoryview(self._block(number))[skip : skip + take]
            at += take
        return max(0, end - offset)

    def write(self, offset: int, data: memoryview) -> None:
        self.changed_ns = time.time_ns()
        if offset > self.size:
            self._fill(offset)
        at, end = offset, offset + len(data)
        while at < end:
            number, skip = divmod(at, BLOCK)
            whole = (end - at) // BLOCK if not skip else 0
            if whole:
                whole = min(whole, BATCH_BLOCKS)
                self._seal(number, [data[at - offset + n * BLOCK : at - offset + (n + 1) * BLOCK] for n in range(whole)])
                at += whole * BLOCK
            else:
                take = min(BLOCK - skip, end - at)
                block = self._block(number)
                if len(block) < skip + take:
                    block.extend(ZEROS[: skip + take - len(block)])
                block[skip : skip + take] = data[at - offset : at - offset + take]
                self._hold(number, block)
                at += take
            self.size = max(self.size, at)

    def truncate(self, size: int) -> None:
        if size > self.size:
            self._fill(size)
            return
        last, rest = divmod(size, BLOCK)
        if size < self.size and rest:
            block = self._block(last)
            del block[rest:]
            self._hold(last, block)
        for number in [one for one in self._held if one * BLOCK >= size]:
            del self._held[number]
        self.size = size

    def _fill(self, size: int) -> None:
        """Zeros up to there: holes are sealed like anything else, for a hole on the storage could be made by anybody."""
        while self.size < size:
            take = min(BLOCK - self.size % BLOCK, size - self.size)
            self.write(self.size, memoryview(ZEROS)[:take])

    def _block(self, number: int) -> bytearray:
        held = self._held.get(number)
        if held is not None:
            self._held.move_to_end(number)
            return held
        length = max(0, min(BLOCK, self.size - number * BLOCK))
        block = bytearray(length)
        if length:
            self._settle()
            read_blocks(self.open(), self.new.blocks, self.size, number * BLOCK, memoryview(block))
        return block

    def _hold(self, number: int, block: bytearray) -> None:
        self._held[number] = block
        self._held.move_to_end(number)
        if len(self._held) > BLOCKS_HELD_MAX:
            self._spill()

    def _spill(self) -> None:
        """Seal held blocks that are whole; the last one of the document may still grow."""
        for number in sorted(self._held):
            if len(self._held[number]) == BLOCK:
                self._seal(number, [memoryview(self._held[number])])

    def _seal(self, first: int, blocks: list[memoryview]) -> None:
        """Many blocks are written behind, a few at once."""
        offset = HEADER + first * SEALED
        if len(blocks) >= BEHIND_BLOCKS_MIN:
            writer = behind()
            buffer = writer.buffer()
            writer.write(self._pending, self.open(), buffer, self._sealed(first, blocks, buffer), offset)
        else:
            self._settle()
            write_all(self.open(), [_scratch_view[: self._sealed(first, blocks, _scratch_view)]], offset)
        self._sealed_to = max(self._sealed_to, first + len(blocks))

    def _settle(self) -> None:
        """Everything that is on its way has arrived, or its error is heard here."""
        if self._pending.some:
            behind().wait()
            self._pending.some = False
        wrong, self._pending.wrong = self._pending.wrong, None
        if wrong is not None:
            raise wrong

    def _sealed(self, first: int, blocks: list[memoryview], out: memoryview) -> int:
        at = 0
        for number, block in enumerate(blocks, first):
            at += self.new.blocks.seal_into(number, block, out[at : at + len(block) + OVERHEAD])
            self._held.pop(number, None)
        return at

    def finish(self, keys: files.FileKeys) -> None:
        """Everything onto the storage; a small document in one write."""
        self._settle()
        held = sorted(self._held)
        header = keys.header(self.new, self.size)
        if held and held[0] == 0 and len(held) <= BATCH_BLOCKS and held[-1] == len(held) - 1:
            length = self._sealed(0, [memoryview(self._held[number]) for number in held], _scratch_view)
            write_all(self.open(), [header, _scratch_view[:length]], 0)
        else:
            for number in held:
                self._seal(number, [memoryview(self._held[number])])
            write_all(self.open(), [header], 0)
        stored = files.sealed_size(self.size)
        if self._sealed_to * SEALED + HEADER > stored:
            os.ftruncate(self.fd, stored)

    def saved(self, keys: files.FileKeys) -> Version:
        """The same as a version, once it has its name."""
        version = Version.__new__(Version)
        version.fd = self.fd
        version.head = files.Head(self.new.file, self.new.version, self.new.flags, self.size, self.new.tag, keys.newest, self.new.blocks)
        return version

    def discard(self) -> None:
        with contextlib.suppress(OSError):
            self._settle()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            try:
                os.unlink(self.stored, dir_fd=self.dir_fd)
            except FileNotFoundError:
                return


class InPlace:
    """A file whose blocks are rewritten where they stand, seen by other mounts at once. Its length is the storage's word."""

    __slots__ = ("fd", "head")

    def __init__(self, keys: files.FileKeys, fd: int) -> None:
        self.fd = fd
        self.head: Final = keys.head(os.pread(fd, HEADER, 0))
        if not self.head.flags & files.IN_PLACE:
            raise Forged(Refusal.SWAPPED)

    @property
    def size(self) -> int:
        return files.plain_size(os.fstat(self.fd).st_size)

    def read_into(self, offset: int, out: memoryview) -> int:
        return read_blocks(self.fd, self.head.blocks, self.size, offset, out)

    def write(self, offset: int, data: memoryview) -> None:
        size = self.size
        if offset > size:
            self.truncate(offset)
            size = offset
        at, end = offset, offset + len(data)
        while at < end:
            number, skip = divmod(at, BLOCK)
            take = min(BLOCK - skip, end - at)
            length = max(0, min(BLOCK, size - number * BLOCK))
            block = bytearray(max(length, skip + take))
            if length and (skip or take < length):
                read_blocks(self.fd, self.head.blocks, size, number * BLOCK, memoryview(block)[:length])
            block[skip : skip + take] = data[at - offset : at - offset + take]
            self._put(number, block)
            at += take
            size = max(size, at)

    def truncate(self, size: int) -> None:
        now = self.size
        while now < size:
            take = min(BLOCK - now % BLOCK, size - now)
            self.write(now, memoryview(ZEROS)[:take])
            now += take
        if size < now:
            number, rest = divmod(size, BLOCK)
            block = bytearray(rest)
            read_blocks(self.fd, self.head.blocks, now, number * BLOCK, memoryview(block))
            os.ftruncate(self.fd, HEADER + number * SEALED)
            if rest:
                self._put(number, block)

    def _put(self, number: int, block: bytearray) -> None:
        length = self.head.blocks.seal_into(number, block, _scratch_view[: len(block) + OVERHEAD])
        write_all(self.fd, [_scratch_view[:length]], HEADER + number * SEALED)

    def close(self) -> None:
        os.close(self.fd)


@contextlib.contextmanager
def unless_done(undo: Callable[[], None]) -> Iterator[None]:
    """Undo when what is done inside does not come to its end, for whatever reason."""
    done = False
    try:
        yield
        done = True
    finally:
        if not done:
            undo()


def write_all(fd: int, parts: Sequence[bytes | memoryview], offset: int) -> None:
    """Every byte, also where the kernel takes them in pieces."""
    left = sum(len(part) for part in parts)
    done = os.pwritev(fd, parts, offset)
    if done == left:
        return
    raw = memoryview(b"".join(parts))
    while done < left:
        done += os.pwrite(fd, raw[done:], offset + done)
