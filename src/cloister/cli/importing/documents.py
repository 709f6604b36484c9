"""`cloister import FILE.xml` or a folder of them: CDA documents, one after the other, each with what of it was not understood."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any, Final

import typer

from cloister.base.errors import EXIT_CODE, NotFound
from cloister.cli.importing.channel import Channel
from cloister.cli.place import Trust

SHOWN_MAX: Final = 20


def documents_of(path: Path) -> list[Path]:
    """The .xml files meant by this path; none, where it is something else."""
    if path.is_file():
        return [path] if path.suffix.lower() == ".xml" else []
    return sorted(one for one in path.rglob("*.xml") if one.is_file()) if path.is_dir() else []


def holds_others(folder: Path) -> bool:
    """Whether there is something else to import in it."""
    return any(one.is_file() and one.suffix.lower() not in (".xml", "") for one in folder.rglob("*"))


def import_documents(trust: Trust, files: list[Path], zone: str | None) -> None:
    """Prints a line for each; exits with the code of invalid input where one was refused."""
    refused = asyncio.run(_sent(trust, files, zone))
    print(f"{len(files) - refused:,} of {len(files):,} documents are in the record")
    if refused:
        raise typer.Exit(EXIT_CODE["invalid"])


async def _sent(trust: Trust, files: list[Path], zone: str | None) -> int:
    channel = Channel(trust, "documents", lambda text: print(text, file=sys.stderr), zone=zone)
    refused = 0
    try:
        for path in files:
            try:
                body = path.read_bytes()
            except OSError as wrong:
                raise NotFound(f"{path} cannot be read: {wrong.strerror}.") from wrong
            answer = await channel.ask("POST", "$cda", content=body, headers={"content-type": "text/xml"})
            refused += _told(path.name, answer.status_code, answer.json())
    finally:
        await channel.close()
    return refused


def _told(name: str, status: int, body: dict[str, Any]) -> int:
    """Says what became of it; 1 where it was refused."""
    if status not in (200, 201):
        issue = (body.get("issue") or [{}])[0]
        print(f"{name}: refused: {issue.get('details', {}).get('text', status)} {issue.get('diagnostics', '')}".rstrip())
        return 1
    print(f"{name}: {body['document']}, {'was there already' if body['again'] else str(body['resources']) + ' resources'}")
    for line in body["not-understood"][:SHOWN_MAX]:
        print(f"  kept in the document only: {line['section']} {line['entry']}: {line['why']}")
    if len(body["not-understood"]) > SHOWN_MAX:
        print(f"  and {len(body['not-understood']) - SHOWN_MAX:,} more")
    return 0
