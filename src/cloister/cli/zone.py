"""`cloister zone`: encrypted folders of a zone. docs/files.md.

The person signs in here as in a browser; the session passes the zone's file keys to this process alone, sealed. While a mount lasts,
its session is asked every few seconds: when it ends (signed out, revoked, the grant over), the mount ends with everything in it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from cloister.base.clock import iso
from cloister.base.errors import EXIT_CODE, CloisterError, Conflict, Invalid, Unavailable
from cloister.base.settings import read_settings
from cloister.cli.own_session import OwnSession, from_base64, signed_in, to_base64
from cloister.files import Options, converting, passing, place, run_inside, verifying, versions
from cloister.zones import Refusal, files

app = typer.Typer(help="Encrypted folders of a zone.", no_args_is_help=True, rich_markup_mode=None)

WATCH_SECONDS: Final = 2.0
SILENCE_SECONDS_MAX: Final = 60.0  # a trust that does not answer for so long ends the mount
SEEN: Final = Path("cloister") / "folders"

Folder = Annotated[Path, typer.Argument(help="The encrypted folder, as it lies on the storage.")]
Person = Annotated[str, typer.Option("--as", help="Who signs in.", envvar="CLOISTER_SIGN_IN", prompt="Sign in as")]
PassphraseFile = Annotated[Path | None, typer.Option(help="A file with the passphrase, instead of asking.")]


class Opened:
    """A session and the file keys that it passed on."""

    def __init__(self, who: str, zone: str, passphrase_file: Path | None) -> None:
        settings = read_settings()
        if passphrase_file is None:
            self.session = signed_in(settings, who)
        else:
            self.session = OwnSession(settings, who, passphrase_file.read_text().rstrip("\n"))
        receiver = passing.Receiver()
        answer = self.session.post("/files/keys", {"zone": zone, "public_key": to_base64(receiver.public)})
        self.passed = receiver.opened(from_base64(answer["sealed"]), zone=answer["zone"], session=answer["session"])

    @property
    def keys(self) -> files.FileKeys:
        return self.passed.keys

    def writing(self) -> files.FileKeys:
        if not self.keys.writes:
            raise Conflict("Your grant for this zone allows to read only.", hint="Ask an access officer.", reason="right-missing")
        return self.keys

    def watch(self, end: Callable[[], None]) -> None:
        """Until the session ends, the grant is over, or the trust has not answered for a while."""
        heard = time.monotonic()
        while datetime.now(UTC) < self.passed.live_until:
            time.sleep(WATCH_SECONDS)
            try:
                self.session.touch("/here")
                heard = time.monotonic()
            except Unavailable:
                if time.monotonic() - heard > SILENCE_SECONDS_MAX:
                    break
            except CloisterError:
                break
        end()


def _opened(folder: Path, who: str, passphrase_file: Path | None) -> Opened:
    return Opened(who, place.read_mark(folder).zone, passphrase_file)


@app.command("mount", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def mount_folder(
    context: typer.Context,
    folder: Folder,
    point: Annotated[Path, typer.Argument(help="An empty folder where the files are to be seen.")],
    who: Person,
    passphrase_file: PassphraseFile = None,
    keep: Annotated[int, typer.Option(min=0, max=1000, help="Older versions that are kept of each document.")] = Options().versions_kept,
) -> None:
    """See the files at POINT, in a shell (or the command after --) and its children only. When it ends, nothing is seen any more."""
    opened = _opened(folder, who, passphrase_file)
    command = [one for one in context.args if one != "--"] or [os.environ.get("SHELL", "/bin/sh")]
    right = "" if opened.keys.writes else ", read-only"
    print(f"zone {opened.passed.name}{right}, until {iso(opened.passed.live_until)}; leave with 'exit'", file=sys.stderr)
    status = run_inside(opened.keys, folder, point, command, Options(versions_kept=keep), watch=opened.watch)
    raise typer.Exit(status)


@app.command()
def encrypt(
    folder: Annotated[Path, typer.Argument(help="The folder that is to be sealed where it stands.")],
    zone: Annotated[str, typer.Option(help="The zone, by name or id.")],
    who: Person,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Seal everything in FOLDER for a zone. Interrupted, it goes on when it is run again."""
    keys = Opened(who, zone, passphrase_file).writing()
    documents, size = converting.count(folder)
    with _bar() as bar:
        task = bar.add_task(f"sealing {documents:,} documents", total=size)
        done = converting.encrypt(keys, folder, lambda _, sealed: bar.update(task, completed=sealed))
    print(f"{done.documents:,} documents, {done.bytes:,} bytes are sealed for zone {keys.zone}")
    if done.left_out:
        print(f"{done.left_out} pipes, sockets or devices were left in {folder / converting.PLAIN}")
    print("The file system keeps what it freed until it writes there again: trim or overwrite free space if that matters.")


@app.command()
def decrypt(
    folder: Folder,
    target: Annotated[Path, typer.Argument(help="Where the plain files go; made if need be.")],
    who: Person,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Copy everything out as plain files, for leaving. The encrypted folder stays as it is."""
    keys = _opened(folder, who, passphrase_file).keys
    if target.resolve().is_relative_to(folder.resolve()):
        raise Invalid("The target lies inside the encrypted folder.", hint="Choose a folder elsewhere.")
    faults = 0
    with _bar() as bar:
        task = bar.add_task("opening", total=converting.count(folder)[1])
        for where, stored, reason in converting.decrypt(keys, folder, target, lambda _, size: bar.update(task, completed=size)):
            faults += 1
            _say_fault(where, stored, reason)
    _finish(faults, "was copied")


@app.command()
def verify(
    folder: Folder,
    who: Person,
    passphrase_file: PassphraseFile = None,
    rewrap: Annotated[bool, typer.Option(help="Bring the documents' keys under the zone's newest epoch.")] = False,
    accept: Annotated[str | None, typer.Option(help="After a power failure: let stand what genuinely lies in this folder.")] = None,
) -> None:
    """Check every name, journal and block; also against what this account has seen of the folder before."""
    opened = _opened(folder, who, passphrase_file)
    if accept is not None:
        _say_accepted(verifying.accept(opened.writing(), folder, accept))
    done, faults, seen = verifying.Verified(), 0, _seen_file(folder)
    known = json.loads(seen.read_text()) if seen.exists() else {}
    for fault in verifying.verify(opened.writing() if rewrap else opened.keys, folder, done, seen=known, rewrap=rewrap):
        faults += 1
        _say_fault(fault.where, fault.stored, fault.reason)
    print(f"{done.documents:,} documents ({done.bytes:,} bytes), {done.versions:,} older versions, {done.folders:,} folders")
    if rewrap:
        print(f"{done.rewrapped:,} documents came under epoch {opened.keys.newest}")
    if not faults and done.heads is not None:
        seen.parent.mkdir(parents=True, exist_ok=True)
        seen.write_text(json.dumps(known | done.heads))
    _finish(faults, "is whole")


@app.command("versions")
def list_versions(
    folder: Folder,
    who: Person,
    path: Annotated[str | None, typer.Argument(help="The document, below the folder.")] = None,
    passphrase_file: PassphraseFile = None,
    show: Annotated[str | None, typer.Option(help="Write this version to standard output, by the beginning of its name.")] = None,
    prune: Annotated[int | None, typer.Option(min=0, help="Throw away what was saved more than so many days ago.")] = None,
) -> None:
    """The older versions of a document: list, show, prune."""
    opened = _opened(folder, who, passphrase_file)
    if prune is not None:
        print(f"{versions.prune(opened.writing(), folder, before=datetime.now(UTC) - timedelta(days=prune)):,} versions were thrown away")
        return
    if path is None:
        raise Invalid("Which document?", hint="cloister zone versions FOLDER PATH")
    if show is not None:
        versions.read(opened.keys, folder, path, show, lambda data: _out(data))
        return
    for one in versions.of(opened.keys, folder, path):
        print(f"{one.tag[:12]}  {iso(one.saved)}  {one.size:>12,}  {'current' if one.current else ''}".rstrip())


def _say_accepted(accepted: verifying.Accepted) -> None:
    """By name, quoted, so that no name can write to the terminal by itself."""
    for name in accepted.changed:
        print(f"another version stands now: {name!r}")
    for name in accepted.found:
        print(f"taken in: {name!r}")
    if accepted.gone:
        print(f"{accepted.gone} documents or folders are gone, and with them their names; a backup has them")


def _out(data: memoryview) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True))


def _seen_file(folder: Path) -> Path:
    """What this account remembers of a folder: numbers of lines, nobody's secret."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / SEEN / (str(folder.resolve()).strip("/").replace("/", "-") + ".json")


def _say_fault(where: str, stored: str, reason: Refusal) -> None:
    print(f"{reason}: {stored} in {where or 'the top folder'}")


def _finish(faults: int, well: str) -> None:
    if not faults:
        print(f"everything {well}")
        return
    print(f"{faults} faults. Keep the storage as it is, and compare it with a backup.", file=sys.stderr)
    raise typer.Exit(EXIT_CODE["corrupt"])
