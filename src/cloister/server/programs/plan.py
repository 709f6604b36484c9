"""What is run for whom: said by the controller's row of the application, completed by the agent. Holds no secret. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Final

from cloister.base.errors import Invalid

MIB: Final = 1024 * 1024
MEMORY_BYTES: Final = 2048 * MIB
MEMORY_BYTES_MIN: Final = 64 * MIB
PROCESSES: Final = 256
COMMAND_WORDS_MAX: Final = 64
REACHES_MAX: Final = 32
SIDE_MIN, SIDE_MAX = 320, 4096  # of a screen, in pixels
FILE_BYTES_MAX: Final = 512 * MIB
FILE_KINDS_MAX: Final = 32
LINGER_SECONDS_MAX: Final = 7 * 86_400
LAYOUTS: Final = ("us", "gb", "fr", "de", "be", "ch(fr)", "ch(de)", "es", "it", "pt", "ca(fr)")
SECURITIES: Final = ("", "nla", "tls")  # of RDP; nothing: the best that both sides know, network level authentication first
_REMOTE_PROGRAM: Final = re.compile(r"(?:\|\|)?[^\x00-\x1f\"|]{1,250}")
_FILE_KIND: Final = re.compile(r"[a-z0-9]{1,12}")
_REACH: Final = re.compile(r"(?:\[([0-9a-fA-F:]{2,45})\]|([A-Za-z0-9.-]{1,253})):(\d{1,5})")


class ProgramKind(StrEnum):
    DESKTOP = "desktop"  # a window manager, and programs in it
    WINDOW = "window"  # one program, as large as the browser's window
    WINDOWS = "windows"  # one Windows program, or a Windows desktop, over RDP


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What may cross between the person's computer and the program; each direction for itself. `file_kinds`: endings of names
    that may pass, small letters; none for all."""

    clipboard_in: bool = False
    clipboard_out: bool = False
    transfer_in: bool = False
    transfer_out: bool = False
    file_bytes_max: int = FILE_BYTES_MAX
    file_kinds: tuple[str, ...] = ()

    def takes(self, name: str) -> bool:
        return not self.file_kinds or name.rpartition(".")[2].lower() in self.file_kinds


def read_rules(body: Mapping[str, Any]) -> Rules:
    """Raises Invalid with what to write instead."""
    unknown = sorted(set(body) - {one.name for one in fields(Rules)})
    size, kinds = body.get("file_bytes_max", FILE_BYTES_MAX), tuple(map(str, body.get("file_kinds", ())))
    if unknown:
        raise Invalid(f"An application has no rule '{unknown[0][:40]}'.", reason="application-rule")
    if not isinstance(size, int) or not 0 < size <= FILE_BYTES_MAX:
        raise Invalid(f"A file that passes has between 1 and {FILE_BYTES_MAX // MIB} MiB.", reason="application-rule")
    wrong = next((kind for kind in kinds if _FILE_KIND.fullmatch(kind) is None), None)
    if wrong is not None or len(kinds) > FILE_KINDS_MAX:
        text = f"'{wrong[:40]}' is no ending of a file's name." if wrong is not None else "These are too many endings."
        raise Invalid(text, hint="Write small letters and digits, as pdf or docx.", reason="application-rule")
    ways = {name: body.get(name) is True for name in ("clipboard_in", "clipboard_out", "transfer_in", "transfer_out")}
    return Rules(**ways, file_bytes_max=size, file_kinds=kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """`storage`: a folder of encrypted folders on this server, of which those of the person's zones are mounted."""

    storage: str = ""
    reads: tuple[str, ...] = ()  # further folders of this server that the program sees, read-only


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramPlan:
    run: str
    session: str
    session_pid: int
    session_uid: int
    application: str
    title: str
    kind: ProgramKind
    program_uid: int  # also its group
    display_uid: int
    group: str  # of limits: its name under the slice
    command: tuple[str, ...] = ()
    remote: Mapping[str, str] = field(default_factory=dict)  # kind WINDOWS: host, port, program, certificate, security
    rules: Rules = Rules()
    folders: Folders = Folders()
    reaches: tuple[str, ...] = ()  # host:port of this network that the program may speak to by TCP
    memory_bytes: int = MEMORY_BYTES
    processes: int = PROCESSES

    def as_wire(self) -> dict[str, Any]:
        return asdict(self)


def plan_from_wire(body: Mapping[str, Any]) -> ProgramPlan:
    if set(body) - {one.name for one in fields(ProgramPlan)}:
        raise Invalid("A program's plan names something unknown.", reason="plan")
    folders = body["folders"]
    return ProgramPlan(
        **{**body, "kind": ProgramKind(body["kind"]), "command": tuple(body["command"]), "reaches": tuple(body["reaches"])}
        | {"rules": read_rules(body["rules"]), "folders": Folders(storage=folders["storage"], reads=tuple(folders["reads"]))}
    )


# --- settings of an application's row, as an operator wrote them -------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The part of an application's settings that a server needs; `roles` empty: nobody may start it."""

    roles: tuple[str, ...]
    command: tuple[str, ...] = ()
    remote: Mapping[str, str] = field(default_factory=dict)
    rules: Rules = Rules()
    folders: Folders = Folders()
    reaches: tuple[str, ...] = ()
    memory_bytes: int = MEMORY_BYTES
    processes: int = PROCESSES
    linger_seconds: int = 0  # a run that nobody looks at ends then; 0: with its session


def read_settings(kind: ProgramKind, body: Mapping[str, Any]) -> Settings:
    """Raises Invalid with what to write instead."""
    unknown = sorted(set(body) - {one.name for one in fields(Settings)})
    if unknown:
        raise Invalid(f"An application has no setting '{unknown[0][:40]}'.", reason="application-setting")
    command = tuple(map(str, body.get("command", ())))
    remote = {str(name): str(value) for name, value in dict(body.get("remote", {})).items()}
    if kind is ProgramKind.WINDOW and not command:
        raise Invalid("A window needs a command.", hint="cloister application add ... -- /usr/bin/program", reason="application-command")
    if len(command) > COMMAND_WORDS_MAX or any("\0" in word for word in command):
        raise Invalid("This command is too long.", hint="Put it into a script.", reason="application-command")
    if (kind is ProgramKind.WINDOWS) != bool(remote.get("host")):
        raise Invalid("A Windows program needs the server that runs it.", hint="--server HOST[:PORT]", reason="application-server")
    _check_remote(remote)
    memory, processes = int(body.get("memory_bytes", MEMORY_BYTES)), int(body.get("processes", PROCESSES))
    if memory < MEMORY_BYTES_MIN or not 8 <= processes <= 32_768:
        raise Invalid("A program needs at least 64 MiB and 8 processes.", reason="application-limits")
    linger = int(body.get("linger_seconds", 0))
    if not 0 <= linger <= LINGER_SECONDS_MAX:
        raise Invalid("A program lingers for a week at most.", hint="0: as long as its session.", reason="application-limits")
    folders = dict(body.get("folders", {}))
    return Settings(
        roles=tuple(map(str, body.get("roles", ()))), command=command, remote=remote, rules=read_rules(dict(body.get("rules", {}))),
        folders=Folders(storage=str(folders.get("storage", "")), reads=tuple(map(str, folders.get("reads", ())))),
        reaches=tuple(one for one in map(checked_reach, body.get("reaches", ()))), memory_bytes=memory, processes=processes,
        linger_seconds=linger,
    )  # fmt: skip


def _check_remote(remote: Mapping[str, str]) -> None:
    if remote.get("security", "") not in SECURITIES:
        text = f"'{remote['security'][:20]}' is no security of remote desktops."
        raise Invalid(text, hint="--security nla or tls", reason="application-server")
    if remote.get("program") and _REMOTE_PROGRAM.fullmatch(remote["program"]) is None:
        hint = "Write its alias, '||WINWORD', or its whole path on that server."
        raise Invalid("This is no RemoteApp.", hint=hint, reason="application-server")


def checked_reach(text: str) -> str:
    split_reach(text)
    return text


def split_reach(text: str) -> tuple[str, int]:
    """('host', port) of `host:port` or `[v6]:port`."""
    found = _REACH.fullmatch(str(text))
    if found is None or not 0 < int(found[3]) < 65536:
        raise Invalid(f"'{str(text)[:80]}' is no host and port.", hint="Write HOST:PORT, as pacs.trust.example:104.", reason="reach")
    return found[1] or found[2], int(found[3])


def layout_or_default(asked: str, language: str) -> str:
    """A keyboard layout that is known, or the language's."""
    return asked if asked in LAYOUTS else {"fr": "fr", "de": "de"}.get(language, "us")


def side(wanted: int) -> int:
    return max(SIDE_MIN, min(SIDE_MAX, wanted))


def as_text(command: tuple[str, ...]) -> str:
    return shlex.join(command)
