"""`cloister import PATH`: real records into the running trust."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cloister.base.clock import system_clock
from cloister.base.errors import EXIT_CODE
from cloister.base.settings import Settings, read_settings
from cloister.cli.importing.documents import documents_of, holds_others, import_documents
from cloister.cli.importing.journal import Journal
from cloister.cli.importing.people import open_people, units_of
from cloister.cli.importing.progress import ImportProgress
from cloister.cli.importing.reading import Reading
from cloister.cli.importing.report import Report
from cloister.cli.importing.run import WORKERS_MAX, Import, run_import
from cloister.cli.importing.unit import Rejected, Unit
from cloister.cli.place import Trust, find_trust

INTERRUPTED: Final = 130


def import_records(
    path: Annotated[
        Path, typer.Argument(help="A folder, a .json or .ndjson file, an archive of them; CDA documents (.xml); a list of patients (.csv).")
    ],
    hospital: Annotated[str | None, typer.Option(help="Whose zones the records enter; the first hospital's by default.")] = None,
    program: Annotated[str | None, typer.Option(help="Import as this program instead of the demo's.")] = None,
    secret_file: Annotated[Path | None, typer.Option(help="A file with that program's secret.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=WORKERS_MAX, help="Sessions at once.")] = 2,
    zone: Annotated[str | None, typer.Option(help="Place new records in this zone of the hospital, such as a ward's.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Send also what an earlier import has stored.")] = False,
    system: Annotated[str, typer.Option(help="Of a .csv: who gave the identifiers, such as https://hospital.example/ipp.")] = "",
    mapping: Annotated[Path | None, typer.Option(help="Of a .csv: a JSON file that says what its header does not.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Of a .csv: say what would go in, and send nothing.")] = False,
) -> None:
    """Import FHIR R4 bundles and NDJSON, CDA documents, or a list of patients.

    Running it again stores nothing twice; after an interruption it goes on.
    """
    settings = read_settings()
    trust = find_trust(settings, hospital=hospital, program=program, secret_file=secret_file)
    if path.suffix.lower() == ".csv":
        _import_list(settings, trust, path, mapping, system, dry_run, {"workers": workers, "again": again, "zone": zone})
        return
    documents = documents_of(path)
    if documents:
        import_documents(trust, documents, zone)
        if path.is_file() or not holds_others(path):
            return
    reading = Reading(path)
    run_and_tell(
        settings,
        trust,
        reading.units(),
        title="Importing",
        source=str(path),
        size=lambda: reading.size,
        workers=workers,
        again=again,
        zone=zone,
    )


def _import_list(
    settings: Settings, trust: Trust, path: Path, mapping: Path | None, system: str, dry_run: bool, terms: dict[str, Any]
) -> None:
    found = open_people(path, mapping, system)
    used = ", ".join(found.columns.values())
    print(f"{path.name}: {found.charset}, separated by {found.separator!r}; columns: {used}")
    if found.passed_over:
        print(f"not used: {', '.join(found.passed_over)}")
    if not dry_run:
        lines = found.text.count("\n") + 1
        run_and_tell(settings, trust, units_of(found, path.name), title="Importing", source=str(path), size=lambda: lines, **terms)
        return
    good = wrong = 0
    for one in units_of(found, path.name):
        if isinstance(one, Rejected):
            wrong += 1
            print(f"line {one.entry}: {one.element} {one.text} {one.hint}")
        else:
            good += one.size
    print(f"{good:,} patients would go in where they are not here yet, {wrong:,} lines would not; nothing was sent")
    if wrong:
        raise typer.Exit(EXIT_CODE["invalid"])


def run_and_tell(
    settings: Settings,
    trust: Trust,
    units: Iterator[Unit | Rejected],
    *,
    title: str,
    source: str,
    size: Callable[[], int],
    workers: int,
    again: bool,
    zone: str | None = None,
) -> None:
    """Import, write the report, say how it went, and raise or exit where it did not go well."""
    folder = settings.state / "import"
    journal = Journal(folder, trust.program.hospital or trust.program.client_id)
    report = Report(folder, system_clock())
    one = Import(
        trust=trust, journal=journal, report=report, progress=ImportProgress(title), size=size, workers=workers, again=again, zone=zone
    )
    seconds, stopped, interrupted = run_import(one, units)
    journal.close()
    summary = report.finish(
        source=source,
        hospital=trust.program.hospital,
        program=trust.program.client_id,
        seconds=seconds,
        complete=stopped is None and not interrupted,
    )
    _tell(report, seconds, summary)
    if stopped is not None:
        raise stopped
    if interrupted:
        print("interrupted: run the same command again, it goes on where it stopped", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)
    if report.counts.rejected:
        raise typer.Exit(EXIT_CODE["invalid"])


def _tell(report: Report, seconds: float, summary: Path) -> None:
    counts = report.counts
    stored = counts.new + counts.present
    print(f"{counts.new:,} resources stored in {seconds:.1f} s ({stored / max(seconds, 0.001):,.0f}/s)")
    if counts.present or counts.skipped:
        print(f"{counts.present + counts.skipped:,} were there already")
    for one in report.shown:
        entry = f" entry {one.entry}" if one.entry else ""
        print(f"rejected: {one.file}{entry} {one.resource} {one.element}: {one.text}".replace("  ", " "))
    if counts.rejected:
        print(f"{counts.rejected:,} entries rejected; every one with its reason: {report.rejected_file}")
    print(f"summary: {summary}")
