"""The keeper of one run: a second process of the session, outside the program's namespace, that serves the person's encrypted folders.

It alone has their file keys, sealed to it by the session; the program sees files, agent and zygote see nothing. Between session and
namespace it passes messages on. Its end is the run's end: the session's end closes its socket, and then the namespace goes.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from cloister.base import wire
from cloister.base.errors import CloisterError, Invalid
from cloister.base.process import Account, drop_to, name_process
from cloister.base.telemetry import log, name_part
from cloister.files import FOLDER_FLAGS, Options, Served, more_descriptors, passing, place
from cloister.server import cgroups, landlock
from cloister.server.programs import channel, first, network, walls
from cloister.server.programs.plan import ProgramPlan

CONNECT_SECONDS_MAX: Final = 20.0
SAVE_SECONDS_MAX: Final = 30.0
GONE_SECONDS_MAX: Final = 10.0
ZONES_MAX: Final = 32
FOLDERS_LOOKED_AT_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class Storage:
    """The encrypted folders of an application's storage, open, by zone; and the account that owns them."""

    folders: dict[str, int]
    owner: Account | None
    left_out: tuple[str, ...] = ()


def open_storage(folder: str) -> Storage:
    """As root, before the walls. A folder that root owns is left out: it cannot be served without root."""
    if not folder:
        return Storage({}, None)
    found: dict[str, int] = {}
    left_out: list[str] = []
    owner: Account | None = None
    try:
        inner = sorted(os.listdir(folder))[:FOLDERS_LOOKED_AT_MAX]
    except OSError as refused:
        return Storage({}, None, (f"storage: {refused.strerror}",))
    for name in inner:
        path = Path(folder) / name
        try:
            mark = place.read_mark(path)
            fd = os.open(path, FOLDER_FLAGS)
        except (CloisterError, OSError):
            continue
        at = os.fstat(fd)
        whose = Account("files", at.st_uid, at.st_gid)
        if at.st_uid == 0 or (owner is not None and whose.uid != owner.uid):
            left_out.append("an encrypted folder is owned by root, or by another account than its neighbours")
            os.close(fd)
            continue
        owner = whose
        found[mark.zone] = channel.high(fd)
    return Storage(found, owner, tuple(sorted(set(left_out))))


def run_keeper(plan: ProgramPlan, listener: socket.socket) -> NoReturn:
    """In a fresh child of the zygote, as root. Never returns."""
    status = 1
    try:
        _run(plan, listener)
        status = 0
    except Exception as fault:  # the process's edge
        log("program.keeper_fault", level="error", kind=type(fault).__name__, where=wire.where_of(fault))
    finally:
        os._exit(status)


def _run(plan: ProgramPlan, listener: socket.socket) -> None:
    name_part("program")
    name_process("program-keeper")
    gc.enable()
    cgroups.give_way()
    tree = cgroups.find().programs
    limits = cgroups.Limits(memory_bytes=plan.memory_bytes, processes=plan.processes)
    missing = cgroups.enter(tree, plan.group, limits)
    counted = cgroups.out_of_memory_counter(tree, plan.group)
    counter = None if counted is None else channel.high(counted)
    storage = open_storage(plan.folders.storage)
    ours, inside = channel.pair()
    relay = _start_relay(plan, (listener, ours, inside)) if plan.reaches else None
    outer = os.fork()
    if outer == 0:
        listener.close()
        ours.close()
        for fd in storage.folders.values():
            os.close(fd)
        first.between(plan, inside, relay)
    inside.close()
    if relay is not None:
        relay.close()
    session = _accept(plan, listener)
    account = storage.owner or Account("session", plan.session_uid, plan.session_uid)
    more_descriptors()
    drop_to(account)
    missing += landlock.allow_only(storage.folders.values())
    missing += walls.filter_keeper()
    keeper = Keeper(plan, session, ours, storage, counter, tuple(missing))
    signal.signal(signal.SIGTERM, lambda *_: keeper.ended_by_operator())
    keeper.run()
    _wait_for(outer)


def _start_relay(plan: ProgramPlan, unwanted: tuple[socket.socket, ...]) -> socket.socket:
    """The process that carries allowed connections on, in this server's network; it has no key and no file."""
    ours, theirs = channel.pair()
    if os.fork() == 0:
        try:
            for one in (*unwanted, ours):
                one.close()
            network.run_relay(theirs, Account("relay", plan.session_uid, plan.session_uid))
        finally:
            os._exit(0)
    theirs.close()
    return ours


def _accept(plan: ProgramPlan, listener: socket.socket) -> socket.socket:
    """The session, and nobody else: the kernel says who connects."""
    listener.settimeout(CONNECT_SECONDS_MAX)
    while True:
        session, _ = listener.accept()
        peer = wire.peer_of(session)
        if (peer.pid, peer.uid) == (plan.session_pid, plan.session_uid):
            listener.close()
            session.setblocking(True)
            return session
        log("program.stranger", level="warning", pid=peer.pid, uid=peer.uid)
        session.close()


def _wait_for(outer: int) -> None:
    """Until nothing is left in the namespace: then this keeper's end says so."""
    deadline = time.monotonic() + GONE_SECONDS_MAX
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(outer, os.WNOHANG)[0] == 0 and time.monotonic() < deadline:
            time.sleep(0.01)


class Keeper:
    def __init__(
        self,
        plan: ProgramPlan,
        session: socket.socket,
        inside: socket.socket,
        storage: Storage,
        counter: int | None,
        missing: tuple[str, ...],
    ) -> None:
        self._plan = plan
        self._session = session
        self._inside = inside
        self._storage = storage
        self._counter = counter
        self._missing = missing
        self._receiver = passing.Receiver()
        self._keys: dict[str, passing.Passed] = {}
        self._serving: list[threading.Thread] = []

    def run(self) -> None:
        """Until one side is gone; what was written is saved before it returns."""
        hello = {"event": "hello", "public_key": self._receiver.public, "zones": sorted(self._storage.folders)}
        channel.send(self._session, {**hello, "missing": list(self._missing), "left_out": list(self._storage.left_out)})
        poll = select.poll()
        for one in (self._session, self._inside):
            poll.register(one.fileno(), select.POLLIN)
        try:
            while all(self._pass_on(fd) for fd, _ in poll.poll()):
                pass
        finally:
            self._inside.close()  # then the first process ends everything in the namespace
            for thread in self._serving:
                thread.join(SAVE_SECONDS_MAX)

    def ended_by_operator(self) -> None:
        """The agent says so by SIGTERM: the session learns why, and loses its end of the line, which ends the run."""
        with contextlib.suppress(OSError):
            channel.send(self._session, {"event": "ended", "why": "operator", "status": 0, "text": ""})
            self._session.shutdown(socket.SHUT_RD)

    def _pass_on(self, fd: int) -> bool:
        from_session = fd == self._session.fileno()
        message = channel.receive(self._session if from_session else self._inside)
        if message is None:
            return False
        body, fds = message
        try:
            if from_session:
                self._from_session(body, fds)
            else:
                self._from_inside(body, fds)
        except OSError:
            return False
        finally:
            channel.close_all(fds)
        return True

    def _from_session(self, body: dict[str, Any], fds: list[int]) -> None:
        if body.get("do") == "begin":
            body = {**body, "zones": [self._take(one) for one in body["zones"][:ZONES_MAX]]}
        channel.send(self._inside, body, fds)

    def _take(self, sealed: dict[str, Any]) -> dict[str, str]:
        zone = str(sealed["zone"])
        if zone not in self._storage.folders:
            raise Invalid("This storage has no folder of that zone.", reason="zone")
        self._keys[zone] = self._receiver.opened(bytes(sealed["sealed"]), zone=zone, session=self._plan.session)
        return {"zone": zone, "name": self._keys[zone].name}

    def _from_inside(self, body: dict[str, Any], fds: list[int]) -> None:
        if body.get("event") == "mounted":
            self._serve(str(body["zone"]), os.dup(fds[0]))
            return
        if body.get("event") == "ended" and cgroups.ended_for_memory(self._counter):
            body = {**body, "why": "memory"}
        channel.send(self._session, body, fds)

    def _serve(self, zone: str, fuse: int) -> None:
        """One thread a folder: the kernel's requests are answered from here on."""
        keys, fd = self._keys[zone].keys, self._storage.folders[zone]
        options = Options(guarded=True, shown_as=(self._plan.program_uid, self._plan.program_uid))

        def serve() -> None:
            with contextlib.suppress(OSError):
                Served(keys, fd, fuse, options).run()

        thread = threading.Thread(target=serve, name="files", daemon=True)
        thread.start()
        self._serving.append(thread)
