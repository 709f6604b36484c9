"""`cloister look ciphertext`: what the machine's administrator sees. The owner of the database, and still nothing to read.

Connects as PostgreSQL's owner over its socket, beside the store gate and its rules, because an administrator could.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from cloister.base.settings import Settings, read_settings
from cloister.cli.database import owner

app = typer.Typer(help="Look at what the database holds.", no_args_is_help=True, rich_markup_mode=None)

SCHEMAS: Final = ["care", "trust"]
TABLES: Final = """
    select n.nspname || '.' || c.relname as name, pg_total_relation_size(c.oid) as bytes
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and not c.relispartition and n.nspname = any ($1)
     order by 1 limit 100"""
# The widest columns are the sealed ones; a row is shown with all of them, so that nothing is held back.
SAMPLED: Final = ("care.res", "care.index_part", "care.zidx", "care.dossier_key", "care.commit", "care.shard_part")
CELL_CHARACTERS: Final = 64


@app.callback()
def looking() -> None:
    """Look at what the database holds."""


@app.command()
def ciphertext(rows: Annotated[int, typer.Option(min=1, max=100, help="Rows of each table.")] = 3) -> None:
    """Tables, counts, and sample rows exactly as they are stored."""
    asyncio.run(_look(read_settings(), rows))


def shown(value: Any) -> str:
    """A cell as text; bytes in hexadecimal."""
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= CELL_CHARACTERS else f"{text[: CELL_CHARACTERS - 1]}… ({len(value)})"


async def _look(settings: Settings, rows: int) -> None:
    console = Console()
    async with owner(settings) as connection:
        found = await connection.fetch(TABLES, SCHEMAS)
        summary = Table("table", "rows", "bytes", box=None, pad_edge=False)
        for table in found:
            # The name comes from the catalogue, not from anybody's input.
            count = await connection.fetchval(f"select count(*) from {table['name']}")
            summary.add_row(table["name"], f"{count:,}", f"{table['bytes']:,}")
        console.print(summary)
        for name in SAMPLED:
            if name not in {table["name"] for table in found}:
                continue
            sample = await connection.fetch(f"select * from {name} limit $1", rows)
            console.print(f"\n{name}", style="bold")
            for row in sample:
                console.print(
                    "  " + "  ".join(f"{column}={shown(value)}" for column, value in row.items()),
                    highlight=False,
                    markup=False,
                    soft_wrap=True,
                )
        print("\nThis is all that the owner of the database sees. Keys exist only in people's sessions.")
