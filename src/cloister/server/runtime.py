"""A session from the inside: its state, its fresh unlock key, its keyring while unlocked, and its clock. sessions.md "Unlocking".

Built blank in the zygote, so that the application can be built around it before the fork; `begin` gives it
its person in the child. Keys exist between `unlock` and `lock`; locking closes and wipes the keyring.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloister.access import Actor
from cloister.base.clock import Clock, system_clock
from cloister.base.errors import CloisterError, Conflict, Corrupt, Denied, Invalid, NotFound, Unavailable
from cloister.base.secret import Secret
from cloister.base.telemetry import log
from cloister.base.wire import Caller
from cloister.farm import SessionEvent, SessionState, step
from cloister.server.assignment import Assignment
from cloister.server.gate_caller import GateCaller
from cloister.server.opening import Opened, opened
from cloister.server.renewal import Renewal
from cloister.zones import Keyring, TrustRoots, algorithms, unlockers

TRIES_MAX: Final = 5
REFUSED_MAX: Final = 1000  # tokens taken back; each lives ten minutes at most
LAST_WORD_SECONDS: Final = 1.0
REVOKED: Final = "revoked"
USED_TOLD_SECONDS: Final = 5.0
TELLING_SECONDS: Final = 10.0  # a revoked person's next request is still answered, with why, by a process without keys

OnOpen = Callable[[Keyring, Actor, Caller], Awaitable[None]]
OnLock = Callable[[], None]
OnChange = Callable[[frozenset[str]], None]
OnRefuse = Callable[[str], None]


@dataclass(slots=True)
class Used:
    """What the controller has not been told yet of a program's use."""

    refused: int = 0


class SessionRuntime:
    def __init__(self, *, trust: TrustRoots, clock: Clock = system_clock) -> None:
        """`trust` comes from this server's own files: roots that the database offered would prove nothing."""
        self._trust = trust
        self._clock = clock
        self._assignment: Assignment | None = None
        self._state = SessionState.STARTING
        self._epoch = 0
        self._private: algorithms.KemPrivate | None = None
        self._opened: Opened | None = None
        self._tries = 0
        self._was_unlocked = self._revoked = False
        self._busy = 0
        self._seen = 0.0
        self._locked_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._words: set[asyncio.Task[None]] = set()
        self._on_open: list[OnOpen] = []
        self._on_lock: list[OnLock] = []
        self._on_change: list[OnChange] = []
        self._on_refuse: list[OnRefuse] = []
        self._refused_epochs: dict[int, None] = {}
        self.missing: tuple[str, ...] = ()
        self.used = Used()
        self._telling: asyncio.TimerHandle | None = None

    # --- for the application, before the fork ----------------------------------------------------

    def on_open(self, callback: OnOpen) -> None:
        """Called with the keyring, the actor and the way to the store, each time the session was unlocked."""
        self._on_open.append(callback)

    def on_lock(self, callback: OnLock) -> None:
        """Called before the keyring is wiped: forget everything that was opened with it."""
        self._on_lock.append(callback)

    def on_change(self, callback: OnChange) -> None:
        """Called when the keyring has other zones than before, with those that were lost: forget what they opened."""
        self._on_change.append(callback)

    def on_refuse(self, callback: OnRefuse) -> None:
        """Called with what an app was allowed, when the app has given it back."""
        self._on_refuse.append(callback)

    # --- facts ---------------------------------------------------------------------------------------

    @property
    def assignment(self) -> Assignment:
        if self._assignment is None:
            raise Conflict("This session has no person yet.", reason="session-state")
        return self._assignment

    @property
    def session(self) -> str:
        return self.assignment.session

    @property
    def state(self) -> SessionState:
        return self._state

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def keyring(self) -> Keyring:
        return self._keys().keyring

    @property
    def actor(self) -> Actor:
        return self._keys().actor

    @property
    def card(self) -> str:
        """The name of the card's key that unlocked this session, or nothing."""
        return self._keys().card

    @property
    def directory(self) -> dict[str, Any]:
        """Names of people, hospitals, wards and zones, as the store gave them at unlocking."""
        return self._keys().directory

    @property
    def public_key(self) -> bytes:
        """To which a browser seals its unlock secret; a fresh one for each epoch and after each unlocking."""
        if self._private is None:
            self._private = algorithms.KemPrivate(algorithms.random(32))
        return self._private.public

    def takes(self, epoch: int) -> bool:
        """Whether a ticket of this epoch is in force. A person's older tickets end when they sign in elsewhere;
        a program's workers share one session, and each fetches tickets of its own."""
        if self.assignment.kind == "program":
            return 0 < epoch <= self._epoch and epoch not in self._refused_epochs
        return epoch == self._epoch

    # --- life -------------------------------------------------------------------------------------------

    def begin(self, assignment: Assignment, missing: tuple[str, ...]) -> None:
        """In the child, inside its event loop: this session is now this person's."""
        self._assignment = assignment
        self._epoch = assignment.epoch
        self.missing = missing
        self.gate = GateCaller(Path(assignment.gate), part="store gate")
        self.agent = Caller(Path(assignment.agent), part="agent")
        self._loop = asyncio.get_running_loop()
        self._unlocking = asyncio.Lock()
        self._renewal = Renewal(self.gate, self._clock, self._held, self._changed, self.end)
        self.gate.on_replaced = self._renewal.renew
        self.ended = asyncio.Event()
        self._seen = self._locked_at = self._loop.time()
        self._state = step(self._state, SessionEvent.READY)
        self._arm()

    async def unlock(self, unlocker: str, sealed: bytes) -> None:
        """Open the person's keys with a secret that was sealed to this session's fresh key."""
        async with self._unlocking:
            private = self._private
            if self._state is SessionState.ENDING:
                raise Denied("This session is ending.", hint="Sign in again.", reason="session-state")
            if private is None:
                raise Conflict("This session made a new key.", hint="Load the page again.", reason="unlock-key")
            rows = await self.gate.call("trust_material")
            try:
                fresh = self._open(private, rows, unlocker, sealed)
            except (Denied, NotFound, Corrupt, Invalid) as refused:
                await self._refused(refused)
                raise
            await self._note("unlock")
            await self._use(fresh, rows)

    def _open(self, private: algorithms.KemPrivate, rows: dict[str, Any], unlocker: str, sealed: bytes) -> Opened:
        try:
            kek = Secret(private.open(sealed, unlockers.session_unlock_info(self.session)))
        except Corrupt:
            raise Denied("This unlock message is not for this session.", hint="Load the page again.", reason="unlock-message") from None
        a = self.assignment
        return opened(rows, person=a.person, session=a.session, unlocker=unlocker, kek=kek, trust=self._trust, now=self._clock())

    async def _use(self, fresh: Opened, rows: dict[str, Any]) -> None:
        self._private = None  # a recorded message can never be opened again
        self._tries = 0
        if self._opened is not None:  # another worker of a program proved itself; the open keyring is in use
            fresh.keyring.close()
            return
        with contextlib.ExitStack() as undo:
            undo.callback(fresh.keyring.close)
            for callback in self._on_open:
                await callback(fresh.keyring, fresh.actor, self.gate)
            undo.pop_all()
        self._opened = fresh
        self._was_unlocked = True
        self._renewal.begin(rows)
        self.touch()
        self._change(SessionEvent.UNLOCK, "")

    async def renew(self) -> None:
        """The gate says that this person's keys have changed: look again, verify again, and go on."""
        await self._renewal.renew()

    def _held(self) -> Keyring | None:
        return self._opened.keyring if self._opened is not None else None

    def _changed(self, lost: frozenset[str]) -> None:
        for callback in self._on_change:
            callback(lost)

    async def _refused(self, refused: CloisterError) -> None:
        self._tries += 1
        log("session.unlock_refused", level="warning", session=self.session, reason=refused.reason, tries=self._tries)
        with contextlib.suppress(CloisterError):
            await self._note("unlock", outcome="denied", reason=refused.reason)
        if self._tries >= TRIES_MAX:
            self._loop.call_later(0.1, self.end, "too-many-tries")  # the answer leaves first
            refused.hint = "Sign in again."

    async def _note(self, action: str, *, outcome: str = "success", reason: str = "", seconds: float = 30.0) -> None:
        entry = {"action": action, "kind": "session", "object": self.session, "outcome": outcome, "reason": reason}
        await self.gate.call("audit_append", timeout_seconds=seconds, entries=[entry])

    def lock(self, why: str = "locked") -> None:
        """Wipe the keys; the person must unlock again."""
        self._wipe()
        self._change(SessionEvent.LOCK, why)

    def rejoin(self, epoch: int) -> bytes:
        """The person signed in again, perhaps elsewhere: older tickets end, keys are wiped, a fresh unlock key is offered.

        The keys go because the door alone must not be enough to reach an unlocked session. A program's door
        holds the program's secret anyway, and its other workers go on.
        """
        if self._state is SessionState.ENDING:
            raise NotFound("This session is ending.", reason="session")
        if epoch <= self._epoch:
            raise Conflict("This session is past that epoch.", reason="epoch")
        self._epoch = epoch
        if self.assignment.kind != "program":
            self._wipe()
            self._private = None
            self._tries = 0
            self._change(SessionEvent.REJOIN, "rejoined")
        return self.public_key

    def refuse(self, epoch: int, grant: str) -> None:
        """One token was taken back by whoever holds it (RFC 7009): a program's by its epoch, an app's by its grant."""
        if epoch and self.assignment.kind == "program":
            self._refused_epochs[epoch] = None
            while len(self._refused_epochs) > REFUSED_MAX:
                del self._refused_epochs[next(iter(self._refused_epochs))]
        for callback in self._on_refuse if grant else ():
            callback(grant)

    def end(self, why: str) -> None:
        """Wipe the keys and let the process exit, after a last word to the agent."""
        if self._state is SessionState.ENDING:
            return
        self._wipe()
        self._private = None
        self._state = step(self._state, SessionEvent.END)
        self._revoked = why == REVOKED
        if self._timer is not None:
            self._timer.cancel()
        self._speak(self._last_word(why))

    async def _last_word(self, why: str) -> None:
        if self._was_unlocked:
            with contextlib.suppress(CloisterError):
                await self._note("end", reason=why, seconds=LAST_WORD_SECONDS)
        with contextlib.suppress(CloisterError):
            await self.agent.call("session_state", timeout_seconds=LAST_WORD_SECONDS, state=str(self._state), why=why)
        if self._revoked:
            await asyncio.sleep(TELLING_SECONDS)
        self.ended.set()

    async def renewed_ticket(self) -> str | None:
        """A fresh ticket from the agent, or None when it cannot be had now; the old one still has minutes."""
        try:
            reply = await self.agent.call("session_renew", timeout_seconds=2.0)
        except (Unavailable, Denied, NotFound):
            return None
        return str(reply["ticket"])

    async def ask_controller(self, what: str, **words: Any) -> dict[str, Any]:
        """Through the agent, which says whose question it is."""
        answer: dict[str, Any] = await self.agent.call("session_asks", timeout_seconds=5.0, what=what, words=words)
        return answer

    async def take_bulk(self, size: int) -> None:
        """Ask for so many bytes of bulk data before they are made; Busy when the program's day is used up."""
        if self.assignment.kind == "program":
            await self.ask_controller("client_used", refused=0, bulk_bytes=size)

    def tell_used(self) -> None:
        """Tell the controller a little later what was refused, many at once."""
        if self._telling is None:
            self._telling = self._loop.call_later(USED_TOLD_SECONDS, lambda: self._speak(self._tell_used()))

    async def _tell_used(self) -> None:
        self._telling, refused, self.used.refused = None, self.used.refused, 0
        with contextlib.suppress(CloisterError):  # a count for the operator, no more
            await self.ask_controller("client_used", refused=refused, bulk_bytes=0)

    # --- idleness: one timer, no tick -----------------------------------------------------------------------

    def touch(self) -> None:
        self._seen = self._loop.time()

    @contextlib.contextmanager
    def in_use(self) -> Any:
        """While a request is served the session is not idle, however long it takes."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self.touch()

    def _deadlines(self) -> tuple[float, float]:
        """When it becomes idle, and when it ends for want of its person."""
        a = self.assignment
        never = float("inf")
        if self._state is SessionState.ACTIVE:
            return self._seen + a.idle_lock_seconds, never
        idle = self._locked_at + a.idle_lock_seconds if self._state is SessionState.LOCKED else never
        return idle, self._locked_at + (a.linger_seconds if self._was_unlocked else a.unlock_seconds)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(min(self._deadlines()), self._woken)

    def _woken(self) -> None:
        now = self._loop.time()
        idle, end = self._deadlines()
        if now >= end:
            self.end("linger" if self._was_unlocked else "not-unlocked")
            return
        if now >= idle:
            if self._busy:
                self.touch()
            else:
                self._wipe()
                self._change(SessionEvent.IDLE, "idle")
        self._arm()

    # --- inside ------------------------------------------------------------------------------------------------

    def _keys(self) -> Opened:
        if self._revoked:
            raise Denied("Your access was ended.", hint="Ask an officer of your hospital: it was revoked.", reason=REVOKED)
        if self._opened is None:
            raise Denied("This session is locked.", hint="Unlock it, or sign in again.", reason="locked")
        return self._opened

    def _wipe(self) -> None:
        held, self._opened = self._opened, None
        if held is None:
            return
        self._renewal.stop()
        for callback in self._on_lock:
            callback()
        held.keyring.close()

    def _change(self, event: SessionEvent, why: str) -> None:
        before, self._state = self._state, step(self._state, event)
        left = before is SessionState.ACTIVE and self._state is not SessionState.ACTIVE
        if left or event is SessionEvent.REJOIN:
            self._locked_at = self._loop.time()
        if left:
            self._speak(self._note_lock(why))
        self._arm()
        if before is not self._state:
            self._speak(self._report(self._state, why))

    async def _note_lock(self, why: str) -> None:
        with contextlib.suppress(CloisterError):  # the keys are gone either way
            await self._note("lock", reason=why)

    async def _report(self, state: SessionState, why: str) -> None:
        with contextlib.suppress(CloisterError):  # a restarted agent asks for the state itself
            await self.agent.call("session_state", timeout_seconds=5.0, state=str(state), why=why)

    def _speak(self, word: Any) -> None:
        task = self._loop.create_task(word)
        self._words.add(task)
        task.add_done_callback(self._words.discard)
