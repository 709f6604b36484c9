"""What an administrator carries away: every table, every file, and every 32 bytes in them that may be a key."""

from __future__ import annotations

import base64
import binascii
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from journeys_cast import Administrator

from cloister.assemble.sealed_roots import ROOTS, open_root
from cloister.base.errors import CloisterError
from cloister.zones import algorithms

# The people's memory: what they would know by heart or keep on paper. A real trust has no such folder.
MEMORY: Final = "demo"
BYTES_MIN: Final = 6  # shorter ones occur by chance in a hundred megabytes of ciphertext
COLUMN_ROWS_MAX: Final = 40


def dump(administrator: Administrator, folder: Path) -> list[Path]:
    """Every table of every schema, as COPY writes it for a backup."""
    tables = administrator.rows(
        "select schemaname || '.' || quote_ident(tablename) as name from pg_tables"
        " where schemaname in ('care', 'trust', 'audit', 'estate', 'public')"
    )
    written = []
    for table in sorted(row["name"] for row in tables):
        path = folder / f"{table}.txt"
        path.write_text("\n".join(str(row["line"]) for row in administrator.rows(f"select t::text as line from {table} t")))
        written.append(path)
    return written


def files(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and MEMORY not in path.relative_to(folder).parts:
                yield path


def spellings(text: str) -> set[bytes]:
    """A text as it may stand in a file: as it is, escaped, in hexadecimal, or in base64 at any place of it."""
    plain = text.encode()
    found = {plain, text.encode("ascii", "backslashreplace"), quote(text).encode()}
    found = {one for one in found if len(one) >= BYTES_MIN and b"\n" not in one and b"\0" not in one}  # grep takes lines of text
    if len(plain) < BYTES_MIN:
        return found
    found |= {plain.hex().encode(), plain.hex().upper().encode()}
    for lead in range(3):
        coded = base64.b64encode(b"\0" * lead + plain)
        start, spare = (0, 2, 3)[lead], (lead + len(plain)) % 3
        whole = coded[start : len(coded) - (0, 3, 2)[spare] if spare else None]  # only characters that no neighbour changes
        found |= {whole, whole.replace(b"+", b"-").replace(b"/", b"_")}
    return found


def occurrences(texts: Iterable[str], paths: Iterable[Path], work: Path) -> dict[str, set[str]]:
    """Which of these texts stand in which of these files, in any spelling. One pass of grep for all of them."""
    by_spelling: dict[bytes, str] = {}
    for text in texts:
        by_spelling.update(dict.fromkeys(spellings(text), text))
    patterns = work / "patterns"
    patterns.write_bytes(b"\n".join(sorted(by_spelling)) + b"\n")
    found: dict[str, set[str]] = {}
    for some in _lots([str(path) for path in paths]):
        answer = _searched(patterns, some)
        for line in answer.stdout.splitlines():
            name, _, spelling = line.partition(b"\0")
            found.setdefault(by_spelling[spelling], set()).add(name.decode())
    return found


def _searched(patterns: Path, names: list[str]) -> subprocess.CompletedProcess[bytes]:
    """One pass of grep. A running database takes files of its own away meanwhile: what is gone is left out, anything else is a fault."""
    while True:
        answer = subprocess.run(
            ["grep", "-aoFH", "--null", "-f", str(patterns), *names],
            capture_output=True,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
            check=False,
        )
        there = [name for name in names if Path(name).exists()]
        if answer.returncode in (0, 1):
            return answer
        assert len(there) < len(names), answer.stderr
        names = there


def _lots(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), 400):
        yield names[start : start + 400]


def keys_of_it(administrator: Administrator, memory_of_roots: dict[str, str]) -> set[bytes]:
    """Every 32 bytes that whoever runs the machines can lay hands on: from files, from tables, and the opened roots."""
    state = administrator.settings.state
    found: set[bytes] = set()
    for path in files(state / "secrets", state / "roots", state / "public", state / "import"):
        found |= keys_in(path.read_bytes())
    for root in ROOTS:
        found.add(open_root(state / "roots", root, memory_of_roots[root], trust=administrator.roots.trust_id).reveal())
    found |= {algorithms.sha256(one) for one in found}
    for table, column in administrator_columns(administrator):
        for row in administrator.rows(f'select distinct "{column}" as value from {table} limit {COLUMN_ROWS_MAX}'):
            found |= keys_in(bytes(row["value"] or b""))
    return found


def administrator_columns(administrator: Administrator) -> list[tuple[str, str]]:
    rows = administrator.rows(
        "select table_schema || '.' || quote_ident(table_name) as t, column_name as c from information_schema.columns"
        " where table_schema = 'trust' and data_type = 'bytea' order by 1, 2"
    )
    return [(row["t"], row["c"]) for row in rows]


def keys_in(content: bytes) -> set[bytes]:
    """The whole of it if it has the size of a key; else runs of base64 or hexadecimal text that have; else its ends."""
    found = {content} if len(content) == 32 else {content[:32], content[-32:]} if len(content) > 32 else set()
    for run in re.findall(rb"[A-Za-z0-9_+/=-]{43,64}", content):
        for decoded in (_base64(run), _hexadecimal(run)):
            if decoded is not None and len(decoded) >= 32:
                found |= {decoded[:32], decoded[-32:]}  # a DER private key ends with its seed (RFC 8410)
    return found


def _base64(run: bytes) -> bytes | None:
    try:
        return base64.urlsafe_b64decode(run.replace(b"+", b"-").replace(b"/", b"_") + b"=" * (-len(run) % 4))
    except (binascii.Error, ValueError):
        return None


def _hexadecimal(run: bytes) -> bytes | None:
    try:
        return bytes.fromhex(run.decode())
    except ValueError:
        return None


def opens(attempt: Any) -> bool:
    """Whether the attempt gives anything but a refusal."""
    try:
        attempt()
    except CloisterError:
        return False
    return True
