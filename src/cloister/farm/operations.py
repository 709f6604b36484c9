"""What operators do to the farm: look at it, speak to people, end sessions, set their limits. One door for the console and the CLI.

Every act is audited before it is done, with the operator's name. Operators see names of people and servers, and nothing of a
patient: there is no path to it from here. Other rooms of the estate add their own acts with `register` (drain, power, licences).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cloister.base.clock import Clock, iso
from cloister.base.errors import CloisterError, Conflict, Denied, Invalid, Unavailable
from cloister.base.ids import new_id
from cloister.base.telemetry import log
from cloister.farm.calls import AgentCalls
from cloister.farm.groups import DEFAULT_GROUP
from cloister.farm.operating_store import OperatingStore
from cloister.farm.placement import Server, Session, Wanted
from cloister.farm.policies import SessionPolicy, limits_of, policy_of

__all__ = ["FARM", "Act", "Audit", "OperatingStore", "Operations", "Operator", "scope_of"]

OPERATOR: Final = "it-operator"
SELECTORS: Final = ("sessions", "person", "ward", "server", "hospital", "gateway", "all")
TEXT_CHARACTERS_MAX: Final = 500
LANGUAGES: Final = ("en", "fr")
END_SECONDS_MAX: Final = 8.0
TELL_SECONDS_MAX: Final = 5.0
LIMITS_KEPT_SECONDS: Final = 10.0
MESSAGES_KEPT: Final = timedelta(days=90)

Audit = Callable[[Sequence[dict[str, str]]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who acts: a person in a session of the console, an account at the machine's command line, or a part of the farm itself."""

    id: str
    name: str
    session: str = ""


FARM: Final = Operator(id="farm", name="Cloister")


@dataclass(frozen=True, slots=True)
class _Known:
    """The policies as they were read last, and the delivery groups of every server."""

    at: float
    policies: list[SessionPolicy]
    groups: dict[str, tuple[str, ...]]


Act = Callable[[Operator, Mapping[str, Any]], Awaitable[Any]]


class Operations:
    """Acts by name. `servers` are all that were ever heard of; `agents` reaches a server's agent."""

    def __init__(
        self,
        *,
        store: OperatingStore,
        servers: Callable[[], Awaitable[list[Server]]],
        agents: Callable[[str], AgentCalls],
        audit: Audit,
        clock: Clock,
    ) -> None:
        self.store = store
        self.servers = servers
        self._agents = agents
        self._audit = audit
        self._clock = clock
        self._known = _Known(0.0, [], {})
        self.warming: dict[str, int] = {}  # people whose session is being started before they come, and how long it waits
        self._acts: dict[str, Act] = {
            "farm": self._farm,
            "sessions": self._sessions,
            "messages": self._messages,
            "policies": self._policies,
            "message": lambda by, words: self.message(_selector(words), _text(words), by=by, urgent=words.get("urgent") is True),
            "end": lambda by, words: self.end(_selector(words), _word(words, "why", "operator"), by=by),
            "set_policy": self._set_policy,
            "forget_policy": self._forget_policy,
        }

    def register(self, name: str, act: Act) -> None:
        """A further act: it audits itself with `noted`, and raises what it refuses."""
        self._acts[name] = act

    def now(self) -> datetime:
        return self._clock()

    async def answer(self, by: Operator, name: str, words: Mapping[str, Any]) -> Any:
        act = self._acts.get(name)
        if act is None:
            raise Invalid("Operators have no such act.", reason="method")
        return await act(by, words)

    async def of_session(self, session: Session, arguments: dict[str, Any]) -> dict[str, Any]:
        """`operate` as a session asks it: only an operator's own session may. Whose it is, the broker's row says."""
        if session.role != OPERATOR:
            raise Denied("Only an IT operator may do this.", reason="operators-only")
        by = Operator(id=session.person, name=await self.store.name_of(session.person), session=session.id)
        return {"answer": await self.answer(by, str(arguments.get("act", "")), dict(arguments.get("words") or {}))}

    async def message_seen(self, session: Session, arguments: dict[str, Any]) -> dict[str, Any]:
        """A session says that its person has closed a message."""
        return {"known": await self.store.seen(str(arguments.get("message", ""))[:64], session.id, now=self._clock())}

    async def nudge(self, session: Session, arguments: dict[str, Any]) -> dict[str, Any]:
        """{person}: the open pages of that person look whether somebody asks to see their screen. Says how many pages there are."""
        chosen = await self.store.chosen(person=str(arguments.get("person", ""))[:200])

        async def tell(server: str, sessions: list[str]) -> int:
            return int((await self._agents(server).call("nudge", timeout_seconds=TELL_SECONDS_MAX, sessions=sessions))["told"])

        return {"pages": sum(pages or 0 for _, pages in await self._of_each(chosen, tell))}

    async def noted(self, by: Operator, action: str, *, object: str, reason: str = "") -> None:
        """Durable when this returns; raises when it cannot be written, and then nothing may be done."""
        entry = {"action": action, "kind": "estate", "actor": by.id, "session": by.session, "object": object[:200], "reason": reason[:200]}
        await self._audit([entry])

    async def limits(self, wanted: Wanted, server: str) -> dict[str, Any]:
        """What a new session is started with. A storm asks once in LIMITS_KEPT_SECONDS; without the database, the last known."""
        now = self._clock().timestamp()
        if now - self._known.at > LIMITS_KEPT_SECONDS:
            with contextlib.suppress(Unavailable):
                groups = {one.id: one.groups for one in await self.servers()}
                self._known = _Known(now, await self.store.policies(), groups)
        groups_here = self._known.groups.get(server, (DEFAULT_GROUP,))
        found = limits_of(self._known.policies, hospital=wanted.hospital, groups=groups_here, role=wanted.role)
        if wanted.person in self.warming:
            found["unlock_seconds"] = self.warming[wanted.person]
        return found

    # --- acts ------------------------------------------------------------------------------------------

    async def message(
        self, selector: Mapping[str, Any], text: Mapping[str, str], *, by: Operator = FARM, urgent: bool = False
    ) -> dict[str, Any]:
        """Show a text to the people of these sessions; {id, sessions, told, shown}. Told: the session has it. Shown: a page was open."""
        now, chosen = self._clock(), await self.store.chosen(**selector)
        id, words = new_id(), {language: text[language] for language in LANGUAGES if text.get(language)}
        await self.noted(by, "message", object=scope_of(selector), reason=f"{len(chosen)} sessions")
        await self.store.add_message(id, words, sender=by.name, scope=scope_of(selector), urgent=urgent, now=now)
        body = {"id": id, "text": words, "sender": by.name, "at": iso(now), "urgent": urgent}
        shown = await self._told(chosen, body)
        await self.store.add_receivers(id, [(row["id"], row["person"], shown.get(row["id"])) for row in chosen])
        await self.store.forget_messages(now - MESSAGES_KEPT)
        return {"id": id, "sessions": len(chosen), "told": len(shown), "shown": sum(pages > 0 for pages in shown.values())}

    async def _told(self, chosen: Iterable[Any], body: dict[str, Any]) -> dict[str, int]:
        async def tell(server: str, sessions: list[str]) -> dict[str, int]:
            told = await self._agents(server).call("message", timeout_seconds=TELL_SECONDS_MAX, sessions=sessions, message=body)
            return {str(session): int(pages) for session, pages in told.items()}

        answers = await self._of_each(chosen, tell)
        return {session: pages for _, answer in answers if answer is not None for session, pages in answer.items()}

    async def end(self, selector: Mapping[str, Any], why: str, *, by: Operator = FARM) -> dict[str, Any]:
        """End these sessions: their pages first send what is typed, and who is late is killed. {sessions, ended, killed, silent}.

        Never the one that asks, which is to see what came of it; who asks for that one alone is told to sign out.
        """
        meant = await self.store.chosen(**selector)
        chosen = [row for row in meant if row["id"] != by.session]
        if meant and not chosen:
            raise Conflict("This is your own session.", hint="Sign out instead.", reason="own-session")
        await self.noted(by, "end-sessions", object=scope_of(selector), reason=f"{why}; {len(chosen)} sessions")
        await self.store.ending([row["id"] for row in chosen], why[:64], now=self._clock())

        async def end(server: str, sessions: list[str]) -> dict[str, Any]:
            wanted = None if selector.get("all") is True or selector.get("server") == server else sessions
            spare = {"spare": by.session} if wanted is None and by.session else {}
            answer: dict[str, Any] = await self._agents(server).call(
                "end_many", timeout_seconds=END_SECONDS_MAX, sessions=wanted, reason=why, **spare
            )
            return answer

        answers = await self._of_each(chosen, end)
        done = [answer for _, answer in answers if answer is not None]
        silent = sorted(server for server, answer in answers if answer is None)
        return {
            "sessions": len(chosen),
            "ended": sum(int(one["ended"]) for one in done),
            "killed": sum(int(one["killed"]) for one in done),
            "silent": silent,
        }

    async def _of_each(self, chosen: Iterable[Any], work: Callable[[str, list[str]], Awaitable[Any]]) -> list[tuple[str, Any]]:
        """Ask every server of these sessions, side by side; None for one that does not answer."""
        by_server: dict[str, list[str]] = {}
        for row in chosen:
            by_server.setdefault(row["server"], []).append(row["id"])

        async def one(server: str, sessions: list[str]) -> tuple[str, Any]:
            try:
                return server, await work(server, sessions)
            except CloisterError as refused:
                log("operations.silent", level="warning", server=server, reason=refused.reason)
                return server, None

        return list(await asyncio.gather(*(one(server, sessions) for server, sessions in by_server.items())))

    # --- looking -----------------------------------------------------------------------------------------

    async def _farm(self, by: Operator, words: Mapping[str, Any]) -> dict[str, Any]:
        """Every server with its sessions by state, for one picture of the farm."""
        servers, counts = await self.servers(), await self.store.by_server()
        return {
            "now": iso(self._clock()),
            "groups": await self.store.groups(),
            "servers": [{**_wire(asdict(one)), **counts.get(one.id, NONE)} for one in servers],
        }

    async def _sessions(self, by: Operator, words: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Sessions of a person (by name or sign-in), of a server, or by id; the newest first."""
        rows = await self.store.search(_word(words, "search", "")[:100].strip(), words.get("ended") is True)
        return [_wire(row) for row in rows]

    async def _messages(self, by: Operator, words: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [_wire(row) for row in await self.store.messages()]

    async def _policies(self, by: Operator, words: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [asdict(one) for one in await self.store.policies()]

    async def _set_policy(self, by: Operator, words: Mapping[str, Any]) -> None:
        try:
            policy = policy_of(words)
        except TypeError:
            raise Invalid("This is no session policy.", reason="policy") from None
        await self.noted(by, "session-policy", object=_place(policy), reason=_said(policy))
        await self.store.set_policy(policy)

    async def _forget_policy(self, by: Operator, words: Mapping[str, Any]) -> dict[str, bool]:
        place = SessionPolicy(hospital=_word(words, "hospital", ""), grp=_word(words, "grp", ""), role=_word(words, "role", ""))
        await self.noted(by, "session-policy", object=_place(place), reason="forgotten")
        return {"known": await self.store.forget_policy(place.hospital, place.grp, place.role)}


NONE: Final = {"active": 0, "locked": 0, "disconnected": 0, "sessions": 0}


def scope_of(selector: Mapping[str, Any]) -> str:
    """A selector in words, as the audit log and the list of messages show it."""
    for name in SELECTORS:
        value = selector.get(name)
        if value:
            return "all" if name == "all" else f"{name}/{','.join(value) if isinstance(value, list) else value}"[:200]
    return "none"


def _selector(words: Mapping[str, Any]) -> dict[str, Any]:
    """Exactly one of SELECTORS: nobody ends everybody by leaving a word out."""
    found = {name: words[name] for name in SELECTORS if words.get(name)}
    if len(found) != 1:
        raise Invalid(
            "Say whose sessions.", hint="One of: a session, a person, a ward, a server, a hospital, a gateway, or all.", reason="selector"
        )
    if "sessions" in found:
        found["sessions"] = [str(one) for one in found["sessions"]][:20_000]
    elif "all" not in found:
        found = {name: str(value)[:200] for name, value in found.items()}
    return found


def _text(words: Mapping[str, Any]) -> dict[str, str]:
    given = words.get("text")
    text = {language: str(given.get(language) or "").strip() for language in LANGUAGES} if isinstance(given, Mapping) else {}
    if not any(text.values()) or max(map(len, text.values())) > TEXT_CHARACTERS_MAX:
        raise Invalid(
            "A message needs a text.", hint=f"At most {TEXT_CHARACTERS_MAX} characters, in English, French or both.", reason="text"
        )
    return text


def _word(words: Mapping[str, Any], name: str, usual: str) -> str:
    value = words.get(name)
    return value if isinstance(value, str) and value else usual


def _wire(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: iso(value) if isinstance(value, datetime) else value for name, value in row.items()}


def _place(policy: SessionPolicy) -> str:
    return f"policy/{policy.hospital or '*'}/{policy.grp or '*'}/{policy.role or '*'}"


def _said(policy: SessionPolicy) -> str:
    return ", ".join(f"{name}={value}" for name, value in asdict(policy).items() if value is not None and value != "")
