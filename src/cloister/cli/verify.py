"""`cloister verify`: walk every dossier's chain without any key. Spec: docs/spec/zones.md 12.

Checks hashes, sequence, signatures by certified authors, index parts against the head, and that no version is missing.
What it cannot see without keys is inside: that a sealed version opens, and that it stands under its own id.
"""

from __future__ import annotations

import asyncio
import sys

import typer
from rich.console import Console

from cloister.assemble import pinned_roots
from cloister.base.clock import iso
from cloister.base.errors import EXIT_CODE
from cloister.base.settings import Settings, read_settings
from cloister.cli import chains
from cloister.cli.database import owner


def verify() -> None:
    """Check every dossier's signed chain; needs the database, no keys."""
    asyncio.run(_verify(read_settings()))


async def _verify(settings: Settings) -> None:
    whole = broken = 0
    async with owner(settings) as connection:
        authors = await chains.known_authors(connection, pinned_roots(settings))
        with Console(stderr=True).status("walking dossiers") as status:
            async for one in chains.walk(connection, authors):
                for commit in one.renewals:
                    print(f"new keys: dossier {one.dossier}: key {commit.key_no} since {iso(commit.at)}, made by {commit.author.person}")
                if one.fault:
                    broken += 1
                    print(f"broken: dossier {one.dossier}: {one.fault}")
                else:
                    whole += 1
                if (whole + broken) % 50 == 0:
                    status.update(f"walking dossiers: {whole + broken:,}")
    print(f"{whole:,} dossiers are whole, {broken:,} are not")
    if broken:
        print("hint: Stop writing to this trust, keep the database as it is, and compare it with a backup.", file=sys.stderr)
        raise typer.Exit(EXIT_CODE["corrupt"])
