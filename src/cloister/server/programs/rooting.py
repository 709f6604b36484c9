"""The file system that a program sees: this server's programs read-only, an empty home and /tmp in memory, and nothing else.

Built as root in a mount namespace of its own, which ends with the run; what was written outside an encrypted folder is then gone.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cloister.files import mounts
from cloister.server.programs.plan import ProgramPlan

HOME: Final = Path("/home/person")
EXCHANGE: Final = HOME / "Exchange"
ZONES: Final = HOME / "zones"
DISPLAY_FOLDER: Final = Path("/run/display")
RFB_SOCKET: Final = DISPLAY_FOLDER / "rfb"
XAUTHORITY: Final = "/run/person/xauthority"
BUILDING: Final = Path("/mnt")  # only covered in our own namespace
DEVICES: Final = ("null", "zero", "full", "random", "urandom", "tty")
# Of /etc only what programs need to start, to draw and to speak a language; no account, no key, no host of this server.
ETC: Final = (
    "alternatives", "fonts", "X11", "xdg", "ssl/certs", "ssl/openssl.cnf", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime",
    "timezone",
    "mime.types", "gtk-2.0", "gtk-3.0", "gtk-4.0", "libreoffice", "default/locale", "locale.alias", "papersize", "ca-certificates",
    "dconf", "java-17-openjdk", "chromium", "firefox-esr",
)  # fmt: skip
VAR: Final = ("cache/fontconfig", "lib/xkb", "lib/dbus/machine-id", "cache/ldconfig")
TMPFS: Final = mounts.MS_NOSUID | mounts.MS_NODEV


def build(plan: ProgramPlan, zones: Sequence[tuple[str, str]]) -> list[tuple[str, Path]]:
    """Cover BUILDING with the new root; returns (zone, place) of the folders to mount encrypted folders at. Not yet the root.

    What is written in memory counts against the program's own limit of memory.
    """
    root, half = BUILDING, f"size={plan.memory_bytes // 2}"
    mounts.mount("none", "/", "", mounts.MS_REC | mounts.MS_PRIVATE)
    mounts.mount("tmpfs", str(root), "tmpfs", TMPFS, "mode=755,size=8m")
    _programs(root)
    _devices(root, half)
    _etc(root, plan)
    for name in VAR:
        _shown(Path("/var") / name, root / "var" / name)
    for place in plan.folders.reads:
        _shown(Path(place), root / place.lstrip("/"))
    _fresh(root / "tmp", 0o1777, half)
    _fresh(root / "run", 0o755, "size=16m")
    _fresh(root / HOME.relative_to("/"), 0o700, half)
    (root / "var").mkdir(exist_ok=True)
    for link, target in (("var/tmp", "../tmp"), ("var/run", "../run")):
        with contextlib.suppress(FileExistsError):
            (root / link).symlink_to(target)
    places = _home(root, plan, zones)
    (root / "proc").mkdir()
    mounts.mount("proc", str(root / "proc"), "proc", mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC)
    mounts.mount("none", str(root), "", mounts.MS_REMOUNT | mounts.MS_RDONLY | TMPFS, "mode=755,size=8m")
    return places


def enter() -> None:
    """From now on there is nothing else."""
    mounts.become_root(BUILDING)


def _programs(root: Path) -> None:
    _shown(Path("/usr"), root / "usr")
    _shown(Path("/opt"), root / "opt")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        there = Path("/") / name
        if there.is_symlink():
            (root / name).symlink_to(os.readlink(there))
        else:
            _shown(there, root / name)


def _shown(source: Path, target: Path) -> None:
    """The same thing here, read-only; what this machine lacks is left out."""
    try:
        folder = source.is_dir()
        if not folder and not source.is_file():
            return
    except PermissionError:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if folder:
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    mounts.show(str(source.resolve()), target)


def _fresh(target: Path, mode: int, options: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    mounts.mount("tmpfs", str(target), "tmpfs", TMPFS, f"mode={mode:o},{options}")


def _devices(root: Path, size: str) -> None:
    folder = root / "dev"
    folder.mkdir()
    for name in DEVICES:
        (folder / name).touch()
        mounts.show(f"/dev/{name}", folder / name, flags=mounts.MS_NOSUID | mounts.MS_NOEXEC)
    (folder / "pts").mkdir()
    mounts.mount("devpts", str(folder / "pts"), "devpts", mounts.MS_NOSUID | mounts.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    (folder / "ptmx").symlink_to("pts/ptmx")
    for name, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (folder / name).symlink_to(f"/proc/self/{target}")
    _fresh(folder / "shm", 0o1777, size)


def _etc(root: Path, plan: ProgramPlan) -> None:
    folder = root / "etc"
    folder.mkdir()
    for name in ETC:
        _shown(Path("/etc") / name, folder / name)
    uid, shown = plan.program_uid, plan.display_uid
    _write(folder / "passwd", f"person:x:{uid}:{uid}:You:{HOME}:/bin/bash\ndisplay:x:{shown}:{uid}::/:/usr/sbin/nologin\n")
    _write(folder / "group", f"person:x:{uid}:\n")
    _write(folder / "nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
    _write(folder / "hosts", "127.0.0.1 localhost program\n::1 localhost\n")
    _write(folder / "hostname", "program\n")
    _write(folder / "machine-id", secrets.token_hex(16) + "\n")


def add_hosts(lines: Sequence[str]) -> None:
    """Names of what the program may reach: before the root is read-only to it (we are still root)."""
    path = BUILDING / "etc/hosts"
    mounts.mount("none", str(BUILDING), "", mounts.MS_REMOUNT | TMPFS, "mode=755,size=8m")
    with path.open("a", encoding="ascii") as file:
        file.writelines(f"{line}\n" for line in lines)
    mounts.mount("none", str(BUILDING), "", mounts.MS_REMOUNT | mounts.MS_RDONLY | TMPFS, "mode=755,size=8m")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)


def _home(root: Path, plan: ProgramPlan, zones: Sequence[tuple[str, str]]) -> list[tuple[str, Path]]:
    uid = plan.program_uid
    folders = [HOME]
    if plan.rules.transfer_in or plan.rules.transfer_out:
        folders.append(EXCHANGE)
    places: list[tuple[str, Path]] = []
    taken: set[str] = set()
    for zone, name in zones:
        shown = _folder_name(name, taken)
        places.append((zone, ZONES / shown))
    folders += [ZONES, *(place for _, place in places)] if places else []
    (root / "run/person").mkdir(mode=0o700)
    (root / "run/display").mkdir()
    for place in (*folders, Path("/run/person")):
        inner = root / place.relative_to("/")
        inner.mkdir(parents=True, exist_ok=True)
        os.chown(inner, uid, uid)
        inner.chmod(0o700)
    os.chown(root / "run/display", plan.display_uid, uid)
    (root / "run/display").chmod(0o750)
    (root / "tmp/.X11-unix").mkdir()
    (root / "tmp/.X11-unix").chmod(0o1777)
    return [(zone, root / place.relative_to("/")) for zone, place in places]


def _folder_name(name: str, taken: set[str]) -> str:
    """A zone's name as a folder's: what no path may hold becomes a dash."""
    plain = "".join("-" if one in "/\0" or ord(one) < 32 else one for one in name).strip(". ")[:80] or "zone"
    shown, number = plain, 2
    while shown in taken:
        shown, number = f"{plain} {number}", number + 1
    taken.add(shown)
    return shown
