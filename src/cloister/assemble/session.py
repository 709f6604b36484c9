"""The zygote, and the application that every session serves: the FHIR interface and the pages, around one runtime.

Everything is read and built before the fork; a session opens no file. What was opened with a person's keys
lives in one desk, made when the session is unlocked and closed before the keys are wiped.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import Any, Final, NoReturn

from cloister.access import Actor, Narrowed, Policy, read_policy, read_scopes, rules
from cloister.assemble.background import work
from cloister.assemble.outbound_key import delivery_key
from cloister.assemble.roots import pinned_roots
from cloister.assemble.standings import Standings
from cloister.base.clock import system_clock
from cloister.base.errors import Denied
from cloister.base.settings import Settings
from cloister.base.wire import Caller
from cloister.epr import CLINICAL_ROLES
from cloister.identity import passkey
from cloister.integration import operations as integration_operations
from cloister.integration import warm as warm_integration
from cloister.offices import glass, recovery
from cloister.records import OnBehalf, Records, endpoint, loading, warm
from cloister.server import Application, Asgi, SessionRuntime, Token, control_socket, programs, run_zygote
from cloister.web import AppsAllowed, CameBack, Desk, Drafts, Pages, Refusals, Shadows, read_pages, wards_of, workspace
from cloister.zones import Keyring, TrustRoots

NARROWED_MAX: Final = 8  # differently narrowed tokens of one session at once


class Workplace:
    """A session's record and desk, while it is unlocked."""

    def __init__(self, runtime: SessionRuntime, policy: Policy, party: passkey.RelyingParty, roots: TrustRoots, delivery: bytes) -> None:
        self._runtime = runtime
        self._delivery = delivery
        self.standings = Standings(runtime, roots)
        self._policy = rules.Placed(policy, self.standings.in_force)
        self._party = party
        self._records: Records | None = None
        self._narrowed: OrderedDict[str, Records] = OrderedDict()  # by what narrows them
        self._desk: Desk | None = None
        self._glass: glass.Glass | None = None
        self._work: asyncio.Task[None] | None = None
        self._seats = recovery.Seats()
        self._drafts: Drafts | None = None
        self._shadows: Shadows | None = None
        self._programs = programs.Programs(runtime)
        self._came_back = CameBack(runtime.ask_controller)
        self._refusals = Refusals(runtime.ask_controller, time.monotonic)
        self._apps = AppsAllowed(runtime.ask_controller, self._app_ended)
        runtime.on_refuse(self._apps.end)
        runtime.on_open(self.open)
        runtime.on_lock(self.close)
        runtime.on_change(self.forget)

    async def open(self, keyring: Keyring, actor: Actor, gate: Caller) -> None:
        if self._runtime.assignment.kind == "person":
            await asyncio.gather(self.standings.begin(), self._came_back.look())
        else:
            await self.standings.begin()
        self._records = Records(actor, keyring, gate, self._policy, bulk=self._runtime.take_bulk, delivery=self._delivery)
        self._records.subscriptions.heed()
        if self._runtime.assignment.kind == "person":
            self._drafts = Drafts(keyring.draft_keys(), gate, system_clock)
        if actor.role in CLINICAL_ROLES:
            self._work = asyncio.get_running_loop().create_task(work(self._records))
        self._glass = glass.Glass(keyring, gate, session=actor.session, clock=system_clock, changed=self.forget)

    def close(self) -> None:
        records, self._records, self._desk = self._records, None, None
        if self._shadows is not None:
            self._shadows.close()
            self._shadows = None
        if self._drafts is not None:
            self._drafts.keys.close()
            self._drafts = None
        self._forget_tokens()
        if self._work is not None:
            self._work.cancel()
            self._work = None
        if self._glass is not None:
            self._glass.close()
            self._glass = None
        self._seats = recovery.Seats()
        if records is not None:
            records.close()

    def forget(self, lost: frozenset[str]) -> None:
        """The person's zones have changed: what the lost ones opened goes, the rest stays, the desk is laid anew."""
        self._desk = None
        for records in (self._records, *self._narrowed.values()):
            if records is not None:
                records.forget(lost)

    def narrowed(self, token: Token) -> tuple[Records, frozenset[str]]:
        """The record as a token leaves it, kept apart from all others, also in what is found and paged; and the app's origins.

        What an app may is what the person allowed, as this session keeps it: the ticket only names it.
        """
        runtime = self._runtime
        app = self._apps.of(token.grant) if token.grant else None
        key = token.grant or token.scope
        records = self._narrowed.get(key)
        if records is None:
            gate: Caller = runtime.gate
            policy = Narrowed(self._policy, read_scopes(token.scope))
            if app is not None:
                gate, policy = OnBehalf(runtime.gate, app.client), Narrowed(self._policy, app.scopes, patient=app.confined)
            main = self._records.subscriptions if self._records is not None else None
            records = self._narrowed[key] = Records(
                runtime.actor, runtime.keyring, gate, policy, bulk=runtime.take_bulk, delivery=self._delivery, main=main
            )
            while len(self._narrowed) > NARROWED_MAX:
                self._narrowed.popitem(last=False)[1].close()
        self._narrowed.move_to_end(key)
        return records, app.origins if app is not None else frozenset()

    def _shadowed(self) -> Shadows:
        """Made when the directory is there, because others ask for a person by the sign-in name."""
        if self._shadows is None:
            runtime = self._runtime
            self._shadows = Shadows(
                runtime.keyring, runtime.gate, runtime.session, str(runtime.directory["person"]["sign_in"]),
                runtime.assignment.shadow != "never", system_clock,
            )  # fmt: skip
        return self._shadows

    def _app_ended(self, grant: str) -> None:
        records = self._narrowed.pop(grant, None)
        if records is not None:
            records.close()

    def _forget_tokens(self) -> None:
        for records in self._narrowed.values():
            records.close()
        self._narrowed.clear()

    def desk(self, runtime: Any) -> Desk:
        """Made at the first request after unlocking, when the directory of names is there."""
        if self._desk is None:
            self._desk = self._new_desk()
        return self._desk

    def _new_desk(self) -> Desk:
        runtime, records = self._runtime, self._records
        if records is None:
            raise Denied("This session is locked.", hint="Unlock it, or sign in again.", reason="locked")
        directory, actor = runtime.directory, runtime.actor
        names = {str(row["id"]): str(row["name"]) for row in directory["hospitals"]}
        return Desk(
            actor=actor,
            records=records,
            gate=runtime.gate,
            policy=self._policy,
            trust=str(directory["trust"]["name"]),
            hospital=names.get(actor.hospital or "", ""),
            wards=wards_of(runtime.keyring.zones, directory["wards"], directory["hospitals"]),
            idle_lock_seconds=runtime.assignment.idle_lock_seconds,
            card=runtime.card,
            party=self._party,
            opened=runtime.keyring,
            directory=directory,
            seats=self._seats,
            in_need=self._glass,
            apps=self._apps,
            drafts=self._drafts,
            came_back=self._came_back,
            shadows=self._shadowed(),
            nudge=runtime.ask_controller,
            programs=self._programs,
            operate=runtime.ask_controller if actor.role == "it-operator" else None,
            ask=runtime.ask_controller,
            standings=self.standings,
            refusals=self._refusals,
        )


def application_of(settings: Settings) -> Application:
    """What builds a session's application around its runtime."""
    pages, policy, roots, delivery = read_pages(), read_policy(), pinned_roots(settings), delivery_key(settings)
    rules.usual()
    warm(known_profiles_only=settings.known_profiles_only)
    warm_integration()
    party = passkey.RelyingParty(id=settings.host, name="Cloister", origins=tuple(filter(None, (settings.base_url, settings.card_url))))

    def application(runtime: SessionRuntime) -> Asgi:
        return _around(runtime, pages, Workplace(runtime, policy, party, roots, delivery), settings.base_url)

    return application


def _around(runtime: SessionRuntime, pages: Pages, workplace: Workplace, base_url: str) -> Asgi:
    return workspace(pages, workplace.desk, fhir=endpoint(base_url, integration_operations()), narrowed=workplace.narrowed)


def run_session_zygote(settings: Settings, number: int) -> NoReturn:
    """What was loaded with `cloister terminology load` is looked for before each fork: a session has what was there when it began."""

    def refresh() -> bool:
        return loading.refresh(settings.terminology)

    run_zygote(
        control_socket(number),
        application=application_of(settings),
        trust=pinned_roots(settings),
        origins=tuple(filter(None, (settings.base_url, settings.card_url))),
        refresh=refresh,
    )
