"""Reading input: a folder, a file, or an archive (.tar.xz, .tar.gz, .tar, .zip) read without unpacking it to disk.

Only .json and .ndjson members are read; what an archive says about paths is used as a name only, never opened.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

from cloister.base.errors import Invalid, NotFound

ARCHIVES: Final = (".tar.xz", ".txz", ".tar.gz", ".tgz", ".tar.bz2", ".tar", ".zip")
PLAIN: Final = (".json", ".ndjson")
MEMBER_BYTES_MAX: Final = 512 * 1024 * 1024  # of one bundle, unpacked; NDJSON is read by lines and has no such bound
BROKEN: Final = (OSError, tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, gzip.BadGzipFile)


@dataclass(frozen=True, slots=True)
class Text:
    """One readable text. `position` is how many bytes of the input were used up when it was opened."""

    name: str
    stream: IO[bytes]
    position: int

    @property
    def lines(self) -> bool:
        return self.name.removesuffix(".gz").endswith(".ndjson")


def files_of(path: Path) -> list[Path]:
    """The files to read, in the order of their names."""
    if not path.exists():
        raise NotFound(f"There is no file or folder {path}.", hint="Give a folder, a .json or .ndjson file, or a .tar.xz, .tar.gz or .zip.")
    if path.is_file():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.is_file() and _readable(file.name))
    if not found:
        raise NotFound(f"There is no .json or .ndjson file in {path}.", hint="Give the folder that holds the bundles.")
    return found


def _readable(name: str) -> bool:
    return name.endswith((*PLAIN, *ARCHIVES, ".json.gz", ".ndjson.gz"))


def size_of(files: list[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def name_of(file: Path, root: Path) -> str:
    return file.name if file == root else file.relative_to(root).as_posix()


def texts_of(file: Path, name: str, before: int) -> Iterator[Text]:
    """Every text of one file. Raises Invalid when it is broken; what was read until then is good."""
    try:
        yield from _texts(file, name, before)
    except BROKEN as broken:
        raise Invalid(
            f"{name} cannot be read: {broken}.", hint="Fetch the file again; what was read before the fault was taken."
        ) from broken


def _texts(file: Path, name: str, done: int) -> Iterator[Text]:
    with file.open("rb") as raw:
        if name.endswith(".zip"):
            with zipfile.ZipFile(raw) as archive:
                for entry in archive.infolist():
                    if not entry.is_dir() and entry.filename.endswith(PLAIN):
                        with archive.open(entry) as stream:
                            yield Text(f"{name}!{entry.filename}", stream, done + entry.header_offset)
        elif name.endswith(ARCHIVES):
            with _unpacked(raw, name) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    if member.isfile() and member.name.endswith(PLAIN):
                        opened = tar.extractfile(member)
                        if opened is not None:
                            yield Text(f"{name}!{member.name}", opened, done + raw.tell())
        elif name.endswith(".gz"):
            with gzip.open(raw) as unpacked:
                yield Text(name, cast(IO[bytes], unpacked), done)
        else:
            yield Text(name, raw, done)


@contextmanager
def _unpacked(raw: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    if name.endswith((".tar.xz", ".txz")):
        with lzma.open(raw) as stream:
            yield cast(IO[bytes], stream)
    elif name.endswith((".tar.gz", ".tgz")):
        with gzip.open(raw) as stream:
            yield cast(IO[bytes], stream)
    elif name.endswith(".tar.bz2"):
        with bz2.open(raw) as stream:
            yield cast(IO[bytes], stream)
    else:
        yield raw


def whole(text: Text) -> bytes:
    """A bundle's bytes; Invalid when it is larger than one bundle may be."""
    body = text.stream.read(MEMBER_BYTES_MAX + 1)
    if len(body) > MEMBER_BYTES_MAX:
        raise Invalid(f"{text.name} is larger than {MEMBER_BYTES_MAX // 2**20} MB.", hint="Split the bundle, or export it as NDJSON.")
    return body.removeprefix(b"\xef\xbb\xbf")


def numbered_lines(text: Text) -> Iterator[tuple[int, bytes]]:
    """The lines that are not empty, with their number from 1."""
    for number, line in enumerate(text.stream, start=1):
        stripped = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
        if stripped:
            yield number, stripped
