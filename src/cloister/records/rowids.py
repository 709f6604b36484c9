"""Ids of rows: a resource's id where it is a UUID, otherwise 16 random bytes, so that no telling id is stored.

A client may choose ids such as 'mrs-lopez'. Such an id is only inside sealed bytes: the dossier's index knows
its row (`Line.row`), and a token of the zone finds it (tokens.py).
"""

from __future__ import annotations

import functools
import re
import uuid
from typing import Final

from cloister.base.errors import Invalid

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch  # datatypes.html#id


@functools.lru_cache(maxsize=4096)  # asked several times of each resource of a transaction; rows' ids are no secret
def uuid_row(id: str) -> bytes | None:
    """The row of an id that is a UUID in its written form; None for any other id."""
    return bytes.fromhex(id.replace("-", "")) if _UUID(id) else None


def check_id(id: str) -> str:
    if not _ID(id):
        raise Invalid("This is not a FHIR id.", hint="An id has 1 to 64 of: letters, digits, '-' and '.'.", expression="id")
    return id


def text_of(row: bytes) -> str:
    return str(uuid.UUID(bytes=row))
