"""Mounting a zone's folder where only its own processes see it: mount(2), unshare(2), namespaces(7). <linux/fuse.h>.

The mount lives in a mount and process namespace of its own. Processes outside see an empty folder at the mount point; whoever enters
the mount namespace alone is refused as well, because the kernel then names no process (pid 0). Root that enters both namespaces reads:
SECURITY.md says so.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from cloister.base.errors import EXIT_CODE, CloisterError, Invalid, NotFound, Unavailable
from cloister.base.process import die_with_parent, forbid_dumps, is_root, name_process, unshare
from cloister.base.telemetry import log
from cloister.base.wire import where_of
from cloister.files import protocol
from cloister.files.connection import Connection
from cloister.files.folder import FOLDER_FLAGS
from cloister.files.locks import Locks
from cloister.files.mounts import (
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_REC,
    MS_SLAVE,
    detach,
    mount,
)
from cloister.files.names import Names
from cloister.files.opened import Opened
from cloister.files.saving import VERSIONS_KEPT, Saver
from cloister.files.tree import Tree
from cloister.zones import files

DEVICE: Final = "/dev/fuse"
LEAVE_SECONDS: Final = 1.0  # between being asked to leave and being ended
SAVE_SECONDS_MAX: Final = 30.0
GUARDED: Final = frozenset(
    {protocol.LOOKUP, protocol.OPEN, protocol.CREATE, protocol.OPENDIR, protocol.MKDIR, protocol.UNLINK, protocol.RMDIR, protocol.RENAME,
     protocol.RENAME2, protocol.SYMLINK, protocol.READLINK, protocol.MKNOD}
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`guarded`: refuse processes outside this process namespace. `shown_as`: the user and group id that own everything in the mount,
    where it is for another account than the one that serves it; the storage keeps the server's."""

    versions_kept: int = VERSIONS_KEPT
    guarded: bool = True
    shown_as: tuple[int, int] | None = None


class Served:
    """One mounted zone: the file system over a storage folder, spoken over a descriptor of /dev/fuse."""

    def __init__(self, keys: files.FileKeys, folder_fd: int, fuse_fd: int, options: Options) -> None:
        self.tree = Tree(keys, folder_fd)
        saver = Saver(self.tree, versions_kept=options.versions_kept)
        names = Names(self.tree, saver, options.shown_as)
        self._opened = Opened(self.tree, saver, names, Locks(self.tree))
        handlers = {**names.handlers(), **self._opened.handlers()}
        self.connection = Connection(fuse_fd, handlers, guarded=GUARDED if options.guarded else frozenset())

    def run(self) -> None:
        """Until it is unmounted."""
        self.connection.run()
        self._opened.save_all()
        self.tree.rest()


def more_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536, hard))


def open_device() -> int:
    try:
        return os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as refused:
        hint = "Load the module: modprobe fuse. In a container, pass --device /dev/fuse."
        raise Unavailable(f"{DEVICE} cannot be opened: {refused.strerror}.", hint=hint) from None


def attach(fuse_fd: int, point: Path, name: str, owner: tuple[int, int] | None = None) -> None:
    """mount(2) for one user alone, this one unless said otherwise; permissions are checked by the kernel."""
    user, group = owner or (os.getuid(), os.getgid())
    options = f"fd={fuse_fd},rootmode=40000,user_id={user},group_id={group},default_permissions"
    mount("cloister", str(point), f"fuse.{name}", MS_NOSUID | MS_NODEV, f"{options},max_read={protocol.REQUEST_BYTES_MAX}")


def read_further_ahead(point: Path) -> None:
    """Let the kernel ask for two of the largest requests at once. Needs root; without, reading is a little slower."""
    device = os.stat(point).st_dev
    with contextlib.suppress(OSError):
        Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb").write_text(str(2 * protocol.REQUEST_BYTES_MAX // 1024))


def checked(folder: Path, point: Path) -> None:
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder}.")
    if not point.is_dir():
        raise NotFound(f"There is no folder {point} to mount at.", hint=f"mkdir {point}")
    if point.resolve().is_relative_to(folder.resolve()):
        raise Invalid("The mount point lies inside the folder that is mounted.", hint="Choose a point elsewhere.")


def own_namespaces() -> None:
    """Private mounts and processes; without root by way of a user namespace in which this user stays itself."""
    uid, gid = os.getuid(), os.getgid()
    try:
        if is_root():
            unshare(CLONE_NEWNS | CLONE_NEWPID)
        else:
            unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID)
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
            Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    except OSError as refused:
        text = f"This machine gives no namespace of its own: {refused.strerror}."
        raise Unavailable(text, hint="Run as root, or allow user namespaces.") from None
    mount("none", "/", "", MS_REC | MS_SLAVE, "")  # nothing of ours gets out; what others unmount is not kept alive here


Watch = Callable[[Callable[[], None]], None]


def run_inside(
    keys: files.FileKeys, folder: Path, point: Path, command: Sequence[str], options: Options, *, watch: Watch | None = None
) -> int:
    """Mount and run a command that sees the files; returns its exit status when it has ended and everything is saved.

    `watch` is called in a thread with what ends the mount early: a grant that ended, a session that was closed.
    """
    checked(folder, point)
    middle = os.fork()  # this process stays outside: it can begin no thread any more once its children belong to other namespaces
    if middle == 0:
        _edge(lambda: _between(keys, folder, point, command, options))
    forbid_dumps()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: _signal(middle, signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the command's
    if watch is not None:
        threading.Thread(target=watch, args=(lambda: _signal(middle, signal.SIGTERM),), daemon=True).start()
    return _ended(middle)


def _edge(main: Callable[[], int]) -> NoReturn:
    """A child's own edge: no exception leaves it, and the parent's exit handlers are not its."""
    status = EXIT_CODE["unavailable"]
    try:
        status = main()
    except CloisterError as refused:
        status = EXIT_CODE[refused.category]
        print(f"error: {refused.text}\nhint: {refused.hint}", file=sys.stderr)
    except Exception as fault:  # the process's edge
        log("files.fault", level="error", kind=type(fault).__name__, where=where_of(fault))
    finally:
        sys.stderr.flush()
        os._exit(status)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _ended(pid: int) -> int:
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _between(keys: files.FileKeys, folder: Path, point: Path, command: Sequence[str], options: Options) -> int:
    """Makes the namespaces; its child is the first process in them, and when that one ends, the kernel ends all the others."""
    die_with_parent(signal.SIGTERM)
    own_namespaces()
    forbid_dumps()
    first = os.fork()
    if first == 0:
        _edge(lambda: _first_process(keys, folder, point, command, options))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: _signal(first, signal.SIGTERM))
    return _ended(first)


def _first_process(keys: files.FileKeys, folder: Path, point: Path, command: Sequence[str], options: Options) -> int:
    name_process("zone-files")
    die_with_parent(signal.SIGTERM)
    os.umask(0)
    more_descriptors()
    with contextlib.suppress(Unavailable):  # where /proc may not be mounted, `ps` shows less
        mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "")
    folder_fd, fuse_fd = os.open(folder, FOLDER_FLAGS), open_device()
    attach(fuse_fd, point, "cloister")
    served = Served(keys, folder_fd, fuse_fd, options)
    loop = threading.Thread(target=served.run, name="files", daemon=True)
    loop.start()
    read_further_ahead(point)
    return _beside(loop, command, point)


def _beside(loop: threading.Thread, command: Sequence[str], point: Path) -> int:
    """Run the command and wait for it, and for orphans; then end the rest, unmount, and let the loop save what is open."""
    child = os.fork()
    if child == 0:
        try:
            os.umask(0o077)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.chdir(point)
            os.execvp(command[0], list(command))
        except OSError:
            os._exit(127)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: _leave())
    signal.signal(signal.SIGALRM, lambda *_: _all(signal.SIGKILL))
    status = 0
    while True:
        try:
            pid, found = os.waitpid(-1, 0)
        except ChildProcessError:
            break
        if pid == child:
            code = os.waitstatus_to_exitcode(found)
            status = code if code >= 0 else 128 - code
            break
    _all(signal.SIGKILL)
    detach(point)
    loop.join(SAVE_SECONDS_MAX)
    return status


def _leave() -> None:
    _all(signal.SIGHUP)
    signal.setitimer(signal.ITIMER_REAL, LEAVE_SECONDS)


def _all(number: int) -> None:
    """Every other process of this namespace: this is its first."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, number)
