"""Whether the database is older than what a witness or folder holds: then it was cut, or put back from a backup.

Nothing is served until a certificate officer and an access officer have both signed that it is so and why. Their words go
into the log, and the witnesses of this machine go on from there; others ask their own keepers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from cloister.assemble.witnesses import local_signer, local_state, places
from cloister.assemble.witnessing import log_key
from cloister.audit import Checkpoint, store, verified_checkpoint
from cloister.base.errors import Corrupt
from cloister.base.settings import Settings
from cloister.witness import Folder, FolderWitness, Witness
from cloister.zones import TrustRoots, certificates, grants, restores

SIZE: Final = "select coalesce(max(seq), -1) + 1 from audit.event"
WORDS: Final = "select body from audit.restore order by made limit 1000"
ADD_WORD: Final = "insert into audit.restore (hash, body) values ($1, $2) on conflict (hash) do nothing"
CERTIFICATES: Final = "select der from trust.certificate where revoked is null order by hash limit 200000"
MANDATES: Final = "select body from trust.mandate order by hash limit 10000"


@dataclass(frozen=True, slots=True)
class Break:
    """Somebody saw `lost`; the database goes only as far as `found`, or another way."""

    lost: Checkpoint
    found: Checkpoint
    keeper: str

    @property
    def heads(self) -> tuple[restores.Head, restores.Head]:
        return (self.lost.size, self.lost.root), (self.found.size, self.found.root)

    def text(self) -> str:
        return (
            f"The database's audit log ends at {self.found.size:,} entries ({self.found.at:%Y-%m-%d %H:%M:%S} UTC), but the witness "
            f"'{self.keeper}' holds a signed checkpoint of {self.lost.size:,} ({self.lost.at:%Y-%m-%d %H:%M:%S} UTC): "
            "it was cut, rewritten, or put back from a backup. Nothing is served."
        )

    def hint(self) -> str:
        return (
            "If it was restored on purpose, a certificate officer and an access officer each run: "
            "cloister audit accept-restore --officer NAME --reason TEXT. This start then goes on."
        )


async def broken(settings: Settings, connection: asyncpg.Connection[Any]) -> Break | None:
    """The break with the longest log that any keeper on this machine has seen; None when all fit."""
    row = await connection.fetchrow(store.LAST_CHECKPOINT)
    size = int(await connection.fetchval(SIZE))
    found = verified_checkpoint(row["note"], log_key(settings)) if row is not None else None
    for keeper, seen in sorted(_seen(settings), key=lambda one: one[1].size, reverse=True):
        if seen.size > size or (await store.tiles(connection.fetch, [(0, seen.size)])).hash((0, seen.size)) != seen.root:
            if found is None:
                hint = "Put back a backup that holds the audit log."
                raise Corrupt("The audit log has no signed checkpoint any more.", hint=hint, reason="rolled-back")
            return Break(seen, found, keeper)
    return None


def _seen(settings: Settings) -> list[tuple[str, Checkpoint]]:
    found = []
    for keeper, witness in _keepers(settings):
        if witness.seen is not None and witness.seen.size > 0:
            found.append((keeper, witness.seen))
    return found


def _keepers(settings: Settings) -> list[tuple[str, Witness | FolderWitness]]:
    key = log_key(settings)
    folders = [(place.name, FolderWitness(key, Folder(place.folder))) for place in places(settings) if place.folder is not None]
    return [("witness", Witness(key, local_signer(settings), Folder(local_state(settings)))), *folders]


async def words_for(connection: asyncpg.Connection[Any], roots: TrustRoots, found: Break) -> Sequence[restores.Restore]:
    """Both officers' words about this break, or nothing."""
    offices = await offices_of(connection, roots)
    lost, kept = found.heads
    blobs = [bytes(row["body"]) for row in await connection.fetch(WORDS)]
    return restores.accepted(blobs, offices, lost=lost, found=kept, now=datetime.now(UTC))


async def offices_of(connection: asyncpg.Connection[Any], roots: TrustRoots) -> grants.Offices:
    ders = [bytes(row["der"]) for row in await connection.fetch(CERTIFICATES)]
    mandates = [bytes(row["body"]) for row in await connection.fetch(MANDATES)]
    return grants.Offices(roots, certificates.Certificates(roots, ders, {}), mandates)


def tell_keepers(settings: Settings, found: Break, words: Sequence[restores.Restore]) -> None:
    """The witnesses of this machine watch from the restored checkpoint on; the lost one stays on file."""
    why = "; ".join(f"{one.person} signed {one.hash.hex()}: {one.reason}" for one in words)
    for _, keeper in _keepers(settings):
        keeper.start_again(found.found.note, why)


def entries_of(found: Break, words: Sequence[restores.Restore]) -> list[dict[str, str]]:
    """For the log itself, once the gate writes it again."""
    what = f"{found.lost.size} to {found.found.size}"
    return [
        {
            "action": "restore-accepted",
            "kind": "audit",
            "actor": one.person,
            "object": one.hash.hex(),
            "reason": f"{what}: {one.reason}"[:200],
        }
        for one in words
    ]
