"""A session from the inside: its state, its fresh unlock key, its keyring while unlocked, and its clock. sessions.md "Unlocking".

Built blank in the zygote, so that the application can be built around it before the fork; `begin` gives it
its person in the child. Keys exist between `unlock` and `lock`; locking closes and wipes the keyring.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloister.access import Actor
from cloister.base.clock import Clock, iso, system_clock
from cloister.base.errors import CloisterError, Conflict, Corrupt, Denied, Invalid, NotFound, Unavailable
from cloister.base.secret import Secret
from cloister.base.telemetry import log
from cloister.base.wire import Caller
from cloister.farm import SessionEvent, SessionState, step
from cloister.server.assignment import Assignment
from cloister.server.binding import Binding
from cloister.server.gate_caller import GateCaller
from cloister.server.limits import ENDINGS, NEVER, Due, Moments, due
from cloister.server.notices import Notice, Notices
from cloister.server.open_pages import OpenPages
from cloister.server.opening import Opened, opened
from cloister.server.passes import Passes
from cloister.server.renewal import Renewal
from cloister.server.shut_out import TOLD
from cloister.zones import Keyring, TrustRoots, algorithms, unlockers

TRIES_MAX: Final = 5
REFUSED_MAX: Final = 1000  # tokens taken back; each lives ten minutes at most
LAST_WORD_SECONDS: Final = 1.0
USED_TOLD_SECONDS: Final = 5.0
TELLING_SECONDS: Final = 10.0  # a revoked person's next request is still answered, with why, by a process without keys
ASKING_SECONDS: Final = 20.0  # an operator's act on many servers takes its time
SAVE_SECONDS: Final = 1.5  # for the pages to send what is typed, before a session ends
PAGE_CHARACTERS_MAX: Final = 500

OnOpen = Callable[[Keyring, Actor, Caller], Awaitable[None]]
OnLock = Callable[[], None]
OnChange = Callable[[frozenset[str]], None]
OnRefuse = Callable[[str], None]
OnRules = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Proved:
    """The last proof by which this session's keys were opened, or their person proved again: its kind, and when (monotonic)."""

    kind: str
    at: float


@dataclass(slots=True)
class Used:
    """What the controller has not been told yet of a program's use."""

    refused: int = 0


class SessionRuntime:
    def __init__(self, *, trust: TrustRoots, clock: Clock = system_clock, origins: tuple[str, ...] = ()) -> None:
        """`trust` comes from this server's own files: roots that the database offered would prove nothing."""
        self._trust = trust
        self.passes = Passes()
        self.origins = origins  # whose pages alone may open a WebSocket here (RFC 6454)
        self._clock = clock
        self._assignment: Assignment | None = None
        self._state = SessionState.STARTING
        self._epoch = 0
        self._private: algorithms.KemPrivate | None = None
        self._opened: Opened | None = None
        self._tries = 0
        self._shut_out = ""  # why
        self._busy = 0
        self._at = Moments()
        self._timer: asyncio.TimerHandle | None = None
        self._words: set[asyncio.Task[None]] = set()
        self._on_open: list[OnOpen] = []
        self._on_lock: list[OnLock] = []
        self._on_change: list[OnChange] = []
        self._on_refuse: list[OnRefuse] = []
        self._on_rules: list[OnRules] = []
        self.proved: Proved | None = None
        self._refused_epochs: dict[int, None] = {}
        self.binding = Binding()
        self.missing: tuple[str, ...] = ()
        self.used = Used()
        self._telling: asyncio.TimerHandle | None = None
        self.pages = OpenPages(self._pages_changed)
        self.notices = Notices()
        self.page = ""  # the page that its person saw last: where they go on, at whichever terminal

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

    def on_rules(self, callback: OnRules) -> None:
        """Called when the trust's rules may have changed."""
        self._on_rules.append(callback)

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
        now = self._loop.time()
        self._at = Moments(began=now, seen=now, locked=now)
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
            kind = next((str(row["kind"]) for row in rows["unlockers"] if row["id"] == unlocker), "")
            self.proved = Proved(kind, time.monotonic())
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
        self._at.was_unlocked = True
        self._renewal.begin(rows)
        self.touch()
        self._change(SessionEvent.UNLOCK, "")

    async def renew(self) -> None:
        """The gate says that this person's keys have changed: look again, verify again, and go on."""
        await self._renewal.renew()
        await self.rules_changed()

    async def rules_changed(self) -> None:
        for callback in self._on_rules:
            await callback()

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
        """Wipe the keys; the person must unlock again. Every open page is told at once."""
        self._wipe()
        self._change(SessionEvent.LOCK, why)
        self.pages.dismiss("lock", why=why)

    def rejoin(self, epoch: int, where: str = "") -> bytes:
        """The person signed in again, perhaps elsewhere: older tickets end, keys are wiped, a fresh unlock key is offered.
        The pages that were open are covered at once and say where the session went.

        The keys go because the door alone must not be enough to reach an unlocked session. A program's door
        holds the program's secret anyway, and its other workers go on.
        """
        if self._state is SessionState.ENDING:
            raise NotFound("This session is ending.", reason="session")
        if epoch <= self._epoch:
            raise Conflict("This session is past that epoch.", reason="epoch")
        self._epoch = epoch
        if self.assignment.kind != "program":
            self.binding = Binding()
            self._wipe()
            self._private = None
            self._tries = 0
            self._change(SessionEvent.REJOIN, "rejoined")
            self.pages.dismiss("moved", where=where[:100], at=iso(self._clock()))
        return self.public_key

    def refuse(self, epoch: int, grant: str) -> None:
        """One token was taken back by whoever holds it (RFC 7009): a program's by its epoch, an app's by its grant."""
        if epoch and self.assignment.kind == "program":
            self._refused_epochs[epoch] = None
            while len(self._refused_epochs) > REFUSED_MAX:
                del self._refused_epochs[next(iter(self._refused_epochs))]
        for callback in self._on_refuse if grant else ():
            callback(grant)

    async def end_gracefully(self, why: str, seconds: float = SAVE_SECONDS) -> None:
        """Let the open pages send what is typed, then end. While they do, the session is as it was."""
        if self._state is SessionState.ACTIVE and len(self.pages):
            saved = await self.pages.save(seconds)
            log("session.saved", session=self.session, whole=saved)
        self.end(why)

    def end(self, why: str) -> None:
        """Wipe the keys and let the process exit, after a last word to the agent."""
        if self._state is SessionState.ENDING:
            return
        self._wipe()
        self._private = None
        self._state = step(self._state, SessionEvent.END)
        self._shut_out = why if why in TOLD else ""
        if self._timer is not None:
            self._timer.cancel()
        self.pages.dismiss("end", why=why)
        self._speak(self._last_word(why))

    async def _last_word(self, why: str) -> None:
        if self._at.was_unlocked:
            with contextlib.suppress(CloisterError):
                await self._note("end", reason=why, seconds=LAST_WORD_SECONDS)
        with contextlib.suppress(CloisterError):
            await self.agent.call("session_state", timeout_seconds=LAST_WORD_SECONDS, state=str(self._state), why=why)
        if self._shut_out:
            await asyncio.sleep(TELLING_SECONDS)
        self.ended.set()

    async def renewed_ticket(self) -> str | None:
        """A fresh ticket from the agent, or None when it cannot be had now; the old one still has minutes."""
        try:
            reply = await self.agent.call("session_renew", timeout_seconds=2.0, jkt=self.binding.jkt, x5t=self.binding.x5t)
        except (Unavailable, Denied, NotFound):
            return None
        return str(reply["ticket"])

    async def ask_controller(self, what: str, **words: Any) -> dict[str, Any]:
        """Through the agent, which says whose question it is."""
        answer: dict[str, Any] = await self.agent.call("session_asks", timeout_seconds=ASKING_SECONDS, what=what, words=words)
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
        self._at.seen = self._loop.time()

    @contextlib.contextmanager
    def in_use(self) -> Any:
        """While a request is served the session is not idle, however long it takes."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self.touch()

    def shown(self, page: str) -> None:
        """A whole page was shown to its person: where they go on after a lock or at another terminal."""
        if len(page) <= PAGE_CHARACTERS_MAX:
            self.page = page

    def idle_seconds_left(self) -> int:
        return max(0, round(self._at.seen + self.assignment.idle_lock_seconds - self._loop.time()))

    def ends_in_seconds(self) -> int | None:
        """Until the absolute limit; None when there is none."""
        absolute = self.assignment.absolute_seconds
        return max(0, round(self._at.began + absolute - self._loop.time())) if absolute else None

    def _pages_changed(self, open_now: int) -> None:
        self._at.left = NEVER if open_now else self._loop.time()
        if self._state is not SessionState.ENDING:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        when, _ = due(self._state, self._at, self.assignment)
        self._timer = self._loop.call_at(when, self._woken) if when < NEVER else None

    def _woken(self) -> None:
        when, what = due(self._state, self._at, self.assignment)
        if self._loop.time() >= when:
            if what in ENDINGS:
                self._speak(self.end_gracefully(str(what)))
                return
            self._come(what)
        self._arm()

    def _come(self, what: Due) -> None:
        if what is Due.WARN:
            self._at.warned = True
            self.pages.tell("ends", seconds=self.ends_in_seconds())
        elif self._busy:
            self.touch()
        else:
            self._wipe()
            self._change(SessionEvent.IDLE if what is Due.IDLE else SessionEvent.LEAVE, str(what))
            self.pages.dismiss("lock", why=str(what))

    # --- what others tell its person ---------------------------------------------------------------------------

    def tell(self, notice: Notice) -> int:
        """Show a message in every open page, and in those that open later, until its person has seen it."""
        self.notices.add(notice)
        return self.pages.tell("message", **notice.as_wire())

    async def seen(self, notice: str) -> None:
        if self.notices.take(notice):
            await self.ask_controller("message_seen", message=notice)

    # --- inside ------------------------------------------------------------------------------------------------

    def _keys(self) -> Opened:
        if self._shut_out:
            text, hint = TOLD[self._shut_out]
            raise Denied(text, hint=hint, reason=self._shut_out)
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
            self._at.locked = self._loop.time()
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
