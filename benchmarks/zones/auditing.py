"""Audit entries a second, sealed, in the tree and durable through the writer; beside a plaintext INSERT of the same entries."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final

import asyncpg

from benchmarks.measure import Result, at_most, rounded, told
from benchmarks.zones.place import Place
from cloister.assemble import postgres
from cloister.audit import DataKey, Entry, store
from cloister.base.clock import system_clock
from cloister.base.migrations import migrate, read_migrations
from cloister.base.settings import Settings
from cloister.records.gate.audit_writer import AuditKeys, AuditWriter
from cloister.records.gate.connections import Connections
from cloister.zones import algorithms, audit_keys

DATABASE: Final = "bench_audit"
SECONDS: Final = 15.0
SENDERS: Final = 64
EACH: Final = 10  # entries of one call, about what a search of several charts leaves
GOAL_ENTRIES: Final = 10_000
PLAIN_TABLE: Final = """
    create table public.plain (at timestamptz, actor text, session text, action text, kind text, object text, outcome text, reason text,
                               source text, patient text, turn text)"""
PLAIN: Final = f"insert into public.plain select * from unnest($1::timestamptz[], {', '.join(f'${n}::text[]' for n in range(2, 12))})"


async def run(place: Place) -> list[Result]:
    settings = place.trust.settings
    async with _database(settings) as arguments:
        sealed, slowest = await _sealed(arguments)
        plain = await _plain(arguments)
        head = await _proof_milliseconds(arguments)
    return [
        Result(
            name="audit entries a second, sealed and durable, on this machine's cores",
            value=rounded(sealed),
            unit="entries/s",
            baseline=rounded(plain),
            ratio=rounded(sealed / plain),
            goal=f">= {GOAL_ENTRIES:,} entries/s",
            holds=sealed >= GOAL_ENTRIES,
        ),
        told("slowest answer of a call with ten entries meanwhile", slowest * 1000, "ms"),
        at_most("consistency proof over that log, from the stored tree", head, "ms", 20),
    ]


@contextlib.asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[dict[str, Any]]:
    """A database of its own in the trust's cluster, with its settings and its disk."""
    owner = await postgres.owner_connection(settings, "postgres")
    await owner.execute(f"drop database if exists {DATABASE} with (force)")
    await owner.execute(f"create database {DATABASE} template template0")
    inside = await postgres.owner_connection(settings, DATABASE)
    await migrate(inside, read_migrations("audit", store.MIGRATIONS))
    await inside.execute(PLAIN_TABLE)
    await inside.execute(f"grant all on public.plain to {postgres.GATE}")
    await inside.close()
    try:
        yield {**postgres.where(settings, postgres.GATE).arguments(), "database": DATABASE}
    finally:
        await owner.execute(f"drop database if exists {DATABASE} with (force)")
        await owner.close()


def entries(count: int) -> list[Entry]:
    now, one = system_clock(), "0199c0de-0000-7000-8000-000000000000"
    return [
        Entry(now, f"p-{number % 900}", one, "read", "Observation", f"Observation/{one}", "success", "", "session", one, str(number))
        for number in range(count)
    ]


async def _sealed(arguments: dict[str, Any]) -> tuple[float, float]:
    office = audit_keys.PrivacyOffice("bench/1", algorithms.kem_public(bytes(32)))

    async def new_data_key(fetch: store.Fetch, number: int, begins: datetime) -> DataKey:
        return audit_keys.new_data_key("bench", number, begins, office)

    keys = AuditKeys(audit_keys.log_signer("bench", bytes(32)), audit_keys.log_signer_65("bench", bytes(32)), new_data_key)
    database = Connections(arguments, largest=2)
    writer = AuditWriter(database, clock=system_clock, keys=keys)
    done, slowest, end = 0, 0.0, time.perf_counter() + SECONDS

    async def sender() -> None:
        nonlocal done, slowest
        while (began := time.perf_counter()) < end:
            await writer.append(entries(EACH), "session")
            done += EACH
            slowest = max(slowest, time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(sender() for _ in range(SENDERS)))
    took = time.perf_counter() - began
    await writer.head()
    await writer.close()
    database.close()
    return done / took, slowest


async def _plain(arguments: dict[str, Any]) -> float:
    """The same entries, as many at once, into a table without an index, a seal or a tree."""
    connection = await asyncpg.connect(**arguments)
    done, began = 0, time.perf_counter()
    try:
        while time.perf_counter() - began < SECONDS / 3:
            rows = entries(SENDERS * EACH)
            await connection.execute(PLAIN, *zip(*((e.at, *(getattr(e, name) for name in _NAMES)) for e in rows), strict=True))
            done += len(rows)
        return done / (time.perf_counter() - began)
    finally:
        await connection.close()


_NAMES: Final = ("actor", "session", "action", "kind", "object", "outcome", "reason", "source", "patient", "turn")


async def _proof_milliseconds(arguments: dict[str, Any]) -> float:
    connection = await asyncpg.connect(**arguments)
    try:
        size = await connection.fetchval("select max(size) from audit.checkpoint")
        began = time.perf_counter()
        for old in range(1, size, max(1, size // 50)):
            await store.consistency_proof(connection.fetch, old, size)
        return (time.perf_counter() - began) / 50 * 1000
    finally:
        await connection.close()
