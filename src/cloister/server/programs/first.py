"""The first process of a program's namespaces: builds what the program sees, starts screen, window manager and program, and ends them all.

Root until everything is started, then the program's own account for good. When it ends, the kernel ends every process inside.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import socket
import stat
import time
from pathlib import Path
from typing import Any, Final, NoReturn

from cloister.base.errors import CloisterError
from cloister.base.process import Account, die_with_parent, drop_to, name_process, system_call, unshare
from cloister.base.telemetry import log
from cloister.base.wire import where_of
from cloister.files import attach, mounts, open_device
from cloister.server.hardening import CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWUTS
from cloister.server.programs import channel, display, network, remote, rooting
from cloister.server.programs.plan import ProgramKind, ProgramPlan, layout_or_default
from cloister.server.programs.walls import filter_program

SET_HOSTNAME: Final = 170
SCREEN_SECONDS_MAX: Final = 15.0
SCREEN_GONE_SECONDS: Final = 0.2
MANAGER_SECONDS_MAX: Final = 5.0
LEAVE_SECONDS: Final = 2.0  # between being asked to leave and being ended
SAID_BYTES_MAX: Final = 4096
LISTED_MAX: Final = 200
NAME_BYTES_MAX: Final = 200


def between(plan: ProgramPlan, keeper: socket.socket, relay: socket.socket | None) -> NoReturn:
    """Makes the namespaces; its child is the first process in them. It stays outside, and only waits."""
    status = 1
    try:
        name_process("program-outer")
        die_with_parent(signal.SIGKILL)
        targets = network.resolve(plan.reaches)  # with this server's own network and names
        if plan.kind is ProgramKind.WINDOWS and not network.answers(targets[0]):
            _last_word(keeper, {"event": "ended", "why": "rdp-unreachable", "text": ""})
            os._exit(0)
        unshare(mounts.CLONE_NEWNS | mounts.CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET)
        pid = os.fork()
        if pid == 0:
            _edge(plan, keeper, relay, targets)
        keeper.close()
        if relay is not None:
            relay.close()
        _, status = os.waitpid(pid, 0)
    except OSError as refused:  # the process's edge
        log("program.namespace_refused", level="error", number=refused.errno, where=where_of(refused))
        _last_word(keeper, {"event": "ended", "why": "namespace", "text": refused.strerror or ""})
    finally:
        os._exit(0 if status == 0 else 1)


def _edge(
    plan: ProgramPlan, keeper: socket.socket, relay: socket.socket | None, targets: tuple[list[network.Target], list[str]]
) -> NoReturn:
    try:
        name_process("program")
        die_with_parent(signal.SIGKILL)
        First(plan, keeper, relay, targets).run()
    except CloisterError as refused:
        _last_word(keeper, {"event": "ended", "why": "namespace", "text": refused.text})
    except Exception as fault:  # the process's edge
        log("program.fault", level="error", kind=type(fault).__name__, where=where_of(fault))
        _last_word(keeper, {"event": "ended", "why": "namespace", "text": type(fault).__name__})
    finally:
        os._exit(0)


def _last_word(keeper: socket.socket, body: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        channel.send(keeper, body)


class First:
    def __init__(
        self, plan: ProgramPlan, keeper: socket.socket, relay: socket.socket | None, targets: tuple[list[network.Target], list[str]]
    ) -> None:
        self._plan = plan
        self._keeper = keeper
        self._relay = relay
        self._targets, self._hosts = targets
        self._person = Account("person", plan.program_uid, plan.program_uid)
        self._environment: dict[str, str] = {}
        self._screen = self._manager = self._program = 0
        self._said_fd = -1
        self._said = b""

    def run(self) -> None:
        message = channel.receive(self._keeper)
        if message is None:
            return
        begin, _ = message
        self._build(begin)
        self._environment = display.environment(str(begin.get("language", "en")))
        width, height = int(begin["width"]), int(begin["height"])
        layout = layout_or_default(str(begin.get("layout", "")), str(begin.get("language", "en")))
        command = self._command(width, height, layout)
        if command and shutil.which(command[0], path=self._environment["PATH"]) is None:
            _last_word(self._keeper, {"event": "ended", "why": "missing", "text": Path(command[0]).name})
            return
        self._start(command, width, height, layout, begin)

    # --- building -----------------------------------------------------------------------------------------

    def _build(self, begin: dict[str, Any]) -> None:
        os.umask(0o022)
        zones = [(str(one["zone"]), str(one["name"])) for one in begin["zones"]]
        places = rooting.build(self._plan, zones)
        for zone, place in places:
            fuse = open_device()
            attach(fuse, place, "cloister", (self._plan.program_uid, self._plan.program_uid))
            channel.send(self._keeper, {"event": "mounted", "zone": zone}, [fuse])
            os.close(fuse)
        network.raise_loopback()
        if self._relay is not None:
            rooting.add_hosts(self._hosts)
            for (address, port), listener in zip(self._targets, network.listen(self._targets), strict=True):
                channel.send(self._relay, {"address": address, "port": port}, [listener.fileno()])
                listener.close()
        rooting.enter()
        system_call(SET_HOSTNAME, ctypes.cast(ctypes.c_char_p(b"program"), ctypes.c_void_p), 7)

    def _command(self, width: int, height: int, layout: str) -> list[str]:
        if self._plan.kind is not ProgramKind.WINDOWS:
            return list(self._plan.command)
        client = remote.installed() or remote.CLIENTS[0]
        return remote.command(self._plan, width=width, height=height, layout=layout, client=client)

    # --- starting -----------------------------------------------------------------------------------------

    def _start(self, command: list[str], width: int, height: int, layout: str, begin: dict[str, Any]) -> None:
        if not self._start_screen(width, height):
            return
        self._lay_out(layout)
        self._start_manager()
        said, saying = os.pipe()
        if command:
            self._program = self._as_person(command, said=saying, told=self._credentials(begin))
        os.close(saying)
        os.set_blocking(said, False)
        self._said_fd = said
        drop_to(self._person)
        filter_program()
        channel.send(self._keeper, {"event": "running"})
        self._serve()

    def _start_screen(self, width: int, height: int) -> bool:
        plan = self._plan
        cookie = display.authority()
        for path, owner in ((Path(rooting.XAUTHORITY), plan.program_uid), (rooting.DISPLAY_FOLDER / "authority", plan.display_uid)):
            path.write_bytes(cookie)
            path.chmod(0o600)
            os.chown(path, owner, plan.program_uid)
        for name, text in display.FILES.items():
            file = Path(display.PRIVATE) / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        ready, told = os.pipe()
        words = display.xvnc(
            plan.rules, width=width, height=height, title=plan.title, ready_fd=told, cookie=str(rooting.DISPLAY_FOLDER / "authority")
        )
        self._screen = self._as(Account("display", plan.display_uid, plan.program_uid), words, keep=told)
        os.close(told)
        try:
            if _whole_line(ready):
                return True
        finally:
            os.close(ready)
        _last_word(self._keeper, {"event": "ended", "why": "screen", "text": "Xvnc"})
        return False

    def _start_manager(self) -> None:
        """And wait until it manages: a window that is there before it gets no keys."""
        os.mkfifo(display.READY)
        os.chown(display.READY, self._plan.program_uid, self._plan.program_uid)
        ready = os.open(display.READY, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._manager = self._as_person(display.manager(self._plan.kind))
        select.select([ready], [], [], MANAGER_SECONDS_MAX)
        os.close(ready)
        os.unlink(display.READY)
        if self._plan.kind is ProgramKind.DESKTOP:
            self._as_person([display.ICEWMBG])

    def _lay_out(self, layout: str) -> None:
        name, _, variant = layout.partition("(")
        words = [display.SETXKBMAP, "-layout", name, *(("-variant", variant.rstrip(")")) if variant else ())]
        pid = self._as_person(words)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)

    def _credentials(self, begin: dict[str, Any]) -> bytes:
        """What xfreerdp asks on its standard input: the password. The name it reads from a file beside it."""
        given = begin.get("credentials") or {}
        if self._plan.kind is not ProgramKind.WINDOWS:
            return b""
        path = Path(remote.RDP_FILE)
        path.write_text(remote.rdp_file(str(given.get("user", "")), str(given.get("domain", ""))), encoding="utf-8")
        path.chmod(0o600)
        os.chown(path, self._plan.program_uid, self._plan.program_uid)
        return (str(given.get("password", "")).replace("\n", "") + "\n").encode()

    def _as_person(self, words: list[str], *, said: int = -1, told: bytes = b"") -> int:
        return self._as(self._person, words, said=said, told=told)

    def _as(self, account: Account, words: list[str], *, keep: int = -1, said: int = -1, told: bytes = b"") -> int:
        pid = os.fork()
        if pid != 0:
            return pid
        try:
            os.setsid()
            nothing = os.open(os.devnull, os.O_RDWR)
            reading = _pipe_with(told) if told else nothing
            for fd, source in ((0, reading), (1, said if said >= 0 else nothing), (2, said if said >= 0 else nothing)):
                os.dup2(source, fd)
            if keep >= 0:
                os.set_inheritable(keep, True)
            for fd in range(3, 256):
                if fd != keep:
                    with contextlib.suppress(OSError):
                        os.close(fd)
            os.chdir(rooting.HOME if account is self._person else "/")
            if os.geteuid() == 0:
                drop_to(account)
            os.umask(0o077)
            for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGCHLD, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            filter_program()
            os.execvpe(words[0], words, self._environment)
        except OSError:
            os._exit(127)
        finally:
            os._exit(126)

    # --- serving ------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        woken, waking = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
        poll = select.poll()
        for fd in (self._keeper.fileno(), woken, self._said_fd):
            poll.register(fd, select.POLLIN)
        ended = self._reap()
        while ended is None:
            for fd, _ in poll.poll():
                if fd == woken:
                    os.read(woken, 4096)
                elif fd == self._said_fd:
                    if not self._hear():
                        poll.unregister(fd)
                elif not self._answer():
                    self._end_all()
                    return
            ended = self._reap()
        self._hear()
        self._end_all()
        _last_word(self._keeper, ended)

    def _hear(self) -> bool:
        """Keep the end of what the program says on its standard output and error."""
        try:
            data = os.read(self._said_fd, 65_536)
        except BlockingIOError:
            return True
        self._said = (self._said + data)[-SAID_BYTES_MAX:]
        return bool(data)

    def _reap(self) -> dict[str, Any] | None:
        """What ended the run, if anything has."""
        while True:
            try:
                pid, found = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return {"event": "ended", "why": "program", "status": 0, "text": ""}
            if pid == 0:
                return None
            code = os.waitstatus_to_exitcode(found)
            if pid == self._screen:
                return {"event": "ended", "why": "screen", "status": code, "text": "Xvnc"}
            desktop = self._plan.kind is ProgramKind.DESKTOP
            if pid in (self._program, self._manager) and code != 0 and self._screen_is_gone():
                return {"event": "ended", "why": "screen", "status": code, "text": "Xvnc"}  # it died first, and they with it
            if pid == self._program and not desktop:
                self._hear()
                said = self._said.decode("utf-8", "replace")
                why = remote.why(code, said) if self._plan.kind is ProgramKind.WINDOWS else "program"
                return {"event": "ended", "why": why, "status": code, "text": said}
            if pid == self._manager and desktop:
                return {"event": "ended", "why": "program", "status": code, "text": ""}

    def _screen_is_gone(self) -> bool:
        """Looked at for a moment: whoever lost the screen may be heard of before the screen."""
        deadline = time.monotonic() + SCREEN_GONE_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(self._screen, os.WNOHANG)[0] != 0:
                    return True
            time.sleep(0.01)
        return False

    def _answer(self) -> bool:
        message = channel.receive(self._keeper)
        if message is None:
            return False
        asked, fds = message
        channel.close_all(fds)
        number = asked.get("n", 0)
        try:
            body, sent = self._do(str(asked.get("do", "")), asked)
        except OSError as refused:
            body, sent = {"refused": refused.strerror or "refused"}, []
        channel.send(self._keeper, {"n": number, **body}, sent)
        channel.close_all(sent)
        return True

    def _do(self, what: str, asked: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        rules = self._plan.rules
        if what == "connect":
            screen = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            with contextlib.closing(screen):
                screen.connect(str(rooting.RFB_SOCKET))
                return {}, [screen.detach()]
        if what == "layout":
            self._lay_out(layout_or_default(str(asked.get("layout", "")), "en"))
            return {}, []
        if what == "put" and rules.transfer_in:
            name, fd = _new_file(str(asked.get("name", "")))
            return {"name": name}, [fd]
        if what == "list" and rules.transfer_out:
            return {"files": _listed()}, []
        if what == "get" and rules.transfer_out:
            return {}, [_file(str(asked.get("name", "")))]
        return {"refused": "not allowed"}, []

    def _end_all(self) -> None:
        """Ask all processes to leave, then end them: this is the first, and nothing outlives it. The screen goes with us."""
        _all(signal.SIGHUP)
        _all(signal.SIGTERM)
        deadline = time.monotonic() + LEAVE_SECONDS
        while time.monotonic() < deadline and self._others():
            time.sleep(0.01)
        _all(signal.SIGKILL)

    def _others(self) -> bool:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        return any(name.isdigit() and int(name) not in (1, self._screen) for name in os.listdir("/proc"))


def _all(number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(-1, number)


def _whole_line(fd: int) -> bool:
    """Xvnc writes the display's number and the line's end one after the other, and dies when nobody hears the second."""
    said = b""
    deadline = time.monotonic() + SCREEN_SECONDS_MAX
    while not said.endswith(b"\n"):
        if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        more = os.read(fd, 64)
        if not more:
            return False
        said += more
    return True


def _pipe_with(data: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return reading


# --- the folder for files that come and go ------------------------------------------------------------------------


def _plain(name: str) -> str:
    """A file's own name, without any folder."""
    plain = "".join(one for one in name.replace("\\", "/").rsplit("/", 1)[-1] if one.isprintable()).strip()
    if plain in ("", ".", "..") or len(plain.encode()) > NAME_BYTES_MAX:
        raise OSError(22, "This is no name for a file")
    return plain


def _new_file(wanted: str) -> tuple[str, int]:
    """(its name, open for writing): never in the place of another."""
    name = _plain(wanted)
    stem, dot, kind = name.partition(".") if not name.startswith(".") else (name, "", "")
    for number in range(1, 100):
        shown = name if number == 1 else f"{stem} ({number}){dot}{kind}"
        with contextlib.suppress(FileExistsError):
            return shown, os.open(rooting.EXCHANGE / shown, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    raise OSError(17, "There are too many files of this name")


def _file(name: str) -> int:
    fd = os.open(rooting.EXCHANGE / _plain(name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(22, "This is no file")
    return fd


def _listed() -> list[list[Any]]:
    found: list[list[Any]] = []
    with os.scandir(rooting.EXCHANGE) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False) and len(found) < LISTED_MAX and entry.name.isprintable():
                info = entry.stat(follow_symlinks=False)
                found.append([entry.name, info.st_size, int(info.st_mtime)])
    return sorted(found)
