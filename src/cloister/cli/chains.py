"""Walking dossiers' chains without keys: what the signatures and hashes prove to anybody. Spec: docs/spec/zones.md 12."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

import asyncpg

from cloister.base.errors import CloisterError
from cloister.zones import TrustRoots, algorithms, certificates, commits, dossiers

DOSSIERS: Final = "select id::text, seq from care.dossier where id > $1::uuid order by id limit 500"
COMMITS: Final = "select seq, blob from care.commit where dossier = $1::uuid order by seq limit 1000000"
PARTS: Final = "select part_no, ct from care.index_part where dossier = $1::uuid order by part_no limit 100000"
VERSIONS: Final = """
    select (select count(*) from care.res where dossier = $1::uuid) + (select count(*) from care.res_hist where dossier = $1::uuid)"""
CERTIFICATES: Final = "select der, hash, revoked from trust.certificate order by hash limit 1000000"
NIL: Final = "00000000-0000-0000-0000-000000000000"


class KnownAuthors:
    """The certificates of a trust, for a verifier who holds no keys."""

    def __init__(self, roots: TrustRoots, known: certificates.Certificates) -> None:
        self._roots = roots
        self._certificates = known

    @property
    def trust_id(self) -> str:
        return self._roots.trust_id

    def author(self, certificate_hash: bytes) -> certificates.Certified:
        return self._certificates.chained(certificate_hash)

    def author_at(self, certificate_hash: bytes, moment: datetime) -> certificates.Certified:
        return self._certificates.valid(certificate_hash, moment)


async def known_authors(connection: asyncpg.Connection[Any], roots: TrustRoots) -> KnownAuthors:
    rows = await connection.fetch(CERTIFICATES)
    revoked = {bytes(row["hash"]): row["revoked"] for row in rows if row["revoked"] is not None}
    return KnownAuthors(roots, certificates.Certificates(roots, [bytes(row["der"]) for row in rows], revoked))


@dataclass(frozen=True, slots=True)
class Walked:
    """One dossier: what is wrong with it, or the empty text; and the commits that gave it new keys."""

    dossier: str
    fault: str
    renewals: tuple[commits.Commit, ...] = ()


async def walk(connection: asyncpg.Connection[Any], authors: KnownAuthors) -> AsyncIterator[Walked]:
    """Every dossier."""
    last = NIL
    while True:
        # One transaction a page, so that a write between two statements does not look like a fault.
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            page = await connection.fetch(DOSSIERS, last)
            for row in page:
                yield await _walked(connection, authors, row["id"], row["seq"])
        if not page:
            return
        last = page[-1]["id"]


async def _walked(connection: asyncpg.Connection[Any], authors: KnownAuthors, dossier: str, seq: int) -> Walked:
    rows = await connection.fetch(COMMITS, dossier)
    parts = {row["part_no"]: algorithms.sha256(bytes(row["ct"])) for row in await connection.fetch(PARTS, dossier)}
    versions: int = await connection.fetchval(VERSIONS, dossier)
    try:
        chain = commits.verify_chain([bytes(row["blob"]) for row in rows], authors, dossier=dossier)
    except CloisterError as wrong:
        return Walked(dossier, f"{wrong.reason}: {wrong.text}")
    renewals = tuple(commit for before, commit in pairwise(chain) if commits.renewed(before, commit))
    return Walked(dossier, fault(chain, seq, parts, versions), renewals)


def fault(chain: list[commits.Commit], seq: int, parts: dict[int, bytes], versions: int) -> str:
    """What does not fit a chain that is whole in itself, by name. Pure."""
    if not chain or chain[-1].seq != seq:
        return f"rolled-back: the chain ends at {chain[-1].seq if chain else 0}, the dossier says {seq}"
    if chain[-1].parts != dossiers.parts_root(parts):
        return "parts: the index parts are not those that the head signed"
    written = sum(commit.count for commit in chain)
    if written != versions:
        kind = "missing-row" if versions < written else "extra-row"
        return f"{kind}: {written} versions were signed, {versions} are stored"
    return ""
