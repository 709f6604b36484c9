"""The one statement that writes dossiers: columns in, all or nothing. The SQL is migrations/002_write.sql.

Columns and not rows, because PostgreSQL unnests arrays five times faster than it takes parameters one row at a time.
"""

from __future__ import annotations

from typing import Annotated, Final

import asyncpg
from msgspec import Meta

from cloister.base.errors import Conflict, Denied, Invalid
from cloister.records.gate.statement import RESOURCES_MAX, Arguments, Call, Medium, Number, RowId, Small, Statement, ZoneName

_Many = Meta(max_length=RESOURCES_MAX)
Bytes = Annotated[list[bytes], _Many]
Ids = Annotated[list[RowId], _Many]
Numbers = Annotated[list[Number], Meta(max_length=RESOURCES_MAX * 64)]
Mediums = Annotated[list[Medium], _Many]
Smalls = Annotated[list[Small], _Many]
Zones = Annotated[list[ZoneName], _Many]
Kinds = Annotated[list[Annotated[str, Meta(pattern="^(patient|register)$")]], _Many]

# The order of care.write's parameters after p_zones; each list of columns is of one length.
COLUMNS: Final = (
    ("dossier", "kind", "expected", "commit"),
    ("key_d", "key_no", "key_epoch", "key_zone", "key_wrapped"),
    ("new_d", "new_rtype", "new_id", "new_ver", "new_key", "new_dict", "new_ct"),
    ("upd_d", "upd_rtype", "upd_id", "upd_ver", "upd_key", "upd_dict", "upd_ct"),
    ("part_d", "part_no", "part_ct"),
    ("drop_d", "drop_no"),
    ("tok_zone", "tok_d", "tok_rtype", "tok_id", "tok_first", "tok_last"),
    ("toks",),
    ("shard_zone", "shard_no", "shard_ct"),
    ("shard_drop_zone", "shard_drop_no"),
)
NAMES: Final = tuple(name for group in COLUMNS for name in group)
WRITE: Final = f"select care.write({', '.join(f'${place}' for place in range(1, len(NAMES) + 2))})"

CONFLICTS: Final = frozenset({"CL001", "23505", "40001", "40P01"})  # a moved head; unique_violation; serialisation; deadlock
UNKNOWN: Final = "CL002"
REPLACED: Final = "CL003"


class Write(Arguments):
    dossier: Ids = []
    kind: Kinds = []
    expected: Numbers = []  # the head this was built on; 0: a new dossier
    commit: Bytes = []
    key_d: Mediums = []
    key_no: Smalls = []
    key_epoch: Mediums = []
    key_zone: Zones = []
    key_wrapped: Bytes = []
    new_d: Mediums = []
    new_rtype: Smalls = []
    new_id: Ids = []
    new_ver: Mediums = []
    new_key: Smalls = []
    new_dict: Smalls = []
    new_ct: Bytes = []
    upd_d: Mediums = []
    upd_rtype: Smalls = []
    upd_id: Ids = []
    upd_ver: Mediums = []
    upd_key: Smalls = []
    upd_dict: Smalls = []
    upd_ct: Bytes = []
    part_d: Mediums = []
    part_no: Mediums = []
    part_ct: Bytes = []
    drop_d: Mediums = []
    drop_no: Mediums = []
    tok_zone: Zones = []
    tok_d: Mediums = []
    tok_rtype: Smalls = []
    tok_id: Ids = []
    tok_first: Mediums = []
    tok_last: Mediums = []
    toks: Numbers = []
    shard_zone: Zones = []
    shard_no: Numbers = []
    shard_ct: Bytes = []
    shard_drop_zone: Zones = []
    shard_drop_no: Numbers = []


def _checked(arguments: Write) -> None:
    """Raises Invalid unless the columns of each group are of one length and point at a dossier of this write."""
    for group in COLUMNS:
        if len({len(getattr(arguments, name)) for name in group}) != 1:
            raise Invalid("The columns of a write are not of one length.", reason="columns")
    count = len(arguments.dossier)
    for places in (arguments.key_d, arguments.new_d, arguments.upd_d, arguments.part_d, arguments.drop_d, arguments.tok_d):
        if places and not (min(places) >= 1 and max(places) <= count):
            raise Invalid("A row of a write belongs to no dossier of it.", reason="columns")
    if count == 0 and not arguments.shard_no:
        raise Invalid("A write without a dossier.", reason="columns")
    if arguments.expected and min(arguments.expected) < 0:
        raise Invalid("A write names a head that cannot be.", reason="columns")


async def write(call: Call, arguments: Write) -> None:
    """Conflict when a head has moved; nothing of the write is kept then."""
    _checked(arguments)
    try:
        await call.database.execute(WRITE, call.zones, *(getattr(arguments, name) for name in NAMES))
    except asyncpg.PostgresError as refused:
        if refused.sqlstate in CONFLICTS:
            raise Conflict("This record has changed in the meantime.", hint="Read it again and repeat.", reason="head-moved") from refused
        if refused.sqlstate == REPLACED:
            text = "A zone of this write has new keys."
            raise Conflict(text, hint="Repeat it; your session fetches them.", reason="epoch-replaced") from refused
        if refused.sqlstate == UNKNOWN:
            raise Denied("This dossier or zone is not open to you.", reason="zone-not-held") from refused
        raise


STATEMENTS: Final = (Statement("write", Write, write, noted_first=False),)
