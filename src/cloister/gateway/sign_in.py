"""People sign in: a name, then a proof, then a session of their own and the ticket that leads to it. docs/sign-in.md.

The passphrase never comes here, only a verifier derived from it; a passkey's PRF output never comes here at all. A directory's
password comes here, proves, and is forgotten: it opens no key. Whoever fails gets one answer, after one time, for whichever reason;
passphrase and code are judged together, so that nobody learns that the one was right and the other missing.
"""

from __future__ import annotations

import base64
import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloister.access import rules
from cloister.base.errors import CloisterError, Denied, Invalid, Unavailable
from cloister.farm import Bearer, queue
from cloister.gateway import waiting
from cloister.gateway.binding import key_of
from cloister.gateway.house_rules import GUESSABLE, aal_of
from cloister.gateway.ports import Door, note, ticket_cookie
from cloister.gateway.refusals import new_number
from cloister.gateway.requests import (
    address_of,
    bytes_of,
    card_of,
    fingerprint_of,
    gateway_of,
    json_of,
    language_of,
    not_before,
    refusal_response,
    text_of,
)
from cloister.identity import Authenticator, Kind, Known, cards, challenge, passkey, sign_in, store

VERIFIER_BYTES: Final = 32
CODE_CHARACTERS_MAX: Final = 40
PASSWORD_CHARACTERS_MAX: Final = 256
UNLOCKER_CHARACTERS_MAX: Final = 100
DIRECTORY_SECONDS: Final = 1.5  # a refused directory sign-in is answered no sooner: an answer of a directory takes its time
CERTIFICATE: Final = "certificate"  # the factor that a card proves at its own name
PROVED: Final = "proved"  # kept: a proof that came by another way round (provider, card's own address)
NUMBERED: Final = {"en": "Refusal {number}.", "fr": "Refus {number}."}
CONFIRM: Final = ("salt", "passes", "memory_kib", "lanes")
CREDENTIAL: Final = "credential_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What one request proved. `unlocker`: the authenticator, where the same secret also opens the keys."""

    kind: str
    unlocker: Authenticator | None = None
    most: int = 0  # the assurance that a provider claims, as far as it is believed
    factors: frozenset[str] = field(default_factory=frozenset)
    account: str = "none"  # at the directory


class SignIn:
    """The calls of a sign-in. A flow is used once: after a refusal the browser starts again."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def start(self, request: Request) -> Response:
        """POST /login/start {sign_in, cards?}: what this name may prove itself with; of the same form for a name that nobody has.

        What a card is asked takes 22 kB, so that it is sent only to a page that has a card (`cards` is true).
        """
        door = self._door
        try:
            address = address_of(request)
            door.limits.begin(address)
            asked = await json_of(request)
            name = sign_in.normalised(text_of(asked, "sign_in", sign_in.SIGN_IN_CHARACTERS_MAX))
            if not isinstance(asked.get("cards", False), bool):
                raise Invalid("'cards' is true or false.", reason="field", expression="cards")
            known = self._people(await store.known(door.people, name))
            flow = await door.challenges.issue(challenge.Purpose.SIGN_IN, name)
            body = {
                "flow": flow.flow,
                "passphrase": sign_in.passphrase_parameters(known, door.secret),
                "passkey": passkey.authentication_options(door.party, known, flow, door.secret),
                "code": door.rules.code_from(address),
                **({"cards": cards.offers(known)} if asked.get("cards") is True else {}),
            }
            return JSONResponse(body, headers={"cache-control": "no-store"})
        except CloisterError as refused:
            return refusal_response(refused)

    async def passphrase(self, request: Request) -> Response:
        """POST /login/passphrase {flow, verifier, code?}."""
        return await self._proven(request, Kind.PASSPHRASE)

    async def passkey(self, request: Request) -> Response:
        """POST /login/passkey {flow, assertion}: a PublicKeyCredential as JSON (WebAuthn 3, 5.1.8.1)."""
        return await self._proven(request, Kind.PASSKEY)

    async def card(self, request: Request) -> Response:
        """POST /login/card {flow, unlocker, verifier}."""
        return await self._proven(request, Kind.CARD)

    async def wait(self, request: Request) -> Response:
        """POST /login/wait {waiting}: the next question of somebody who was proven and found everything taken."""
        door = self._door
        try:
            who = waiting.opened(text_of(await json_of(request), "waiting", waiting.TOKEN_CHARACTERS_MAX), door.secret, now=door.clock())
            if key_of(request, nonce=who.flow) != who.jkt or card_of(request) != who.x5t:
                raise Denied("Somebody else was waiting.", hint="Sign in again.", reason="challenge-over")
            known = self._people(await store.known(door.people, who.sign_in))
            unlocker = next((one for one in known.authenticators if one.id == who.unlocker), None)
            if known.person is None or known.person.disabled or (unlocker is None and who.unlocker):
                raise Denied("You may not sign in any more.", hint="Sign in again.", reason="challenge-over")
            proof = Proof(kind=who.kind, unlocker=unlocker, most=who.most, factors=frozenset(who.factors.split()))
            return await self._started(request, known, await self._judged(request, known, proof), who, again=True)
        except CloisterError as refused:
            return refusal_response(refused)

    async def directory(self, request: Request) -> Response:
        """POST /login/directory {flow, password, code?}: the answer says which of the person's own ways opens the keys."""
        return await self._proven(request, "directory")

    async def continued(self, request: Request) -> Response:
        """POST /login/continued {proved}: somebody who proved themselves at a provider, or with a card at the card's own address."""
        door, address = self._door, address_of(request)
        try:
            door.limits.begin(address)
            nonce = text_of(await json_of(request), "proved", 100)
            body = await door.kept.take(PROVED, nonce)
            if body is None or body.get("card", "") != card_of(request):
                raise Denied("This took too long, or was answered before.", hint="Start again.", reason="challenge-over")
            known = self._people(await store.known(door.people, str(body["sign_in"])))
            if known.person is None or known.person.disabled:
                raise sign_in.refusal()
            proof = Proof(kind=str(body["kind"]), most=int(body["aal"]), factors=frozenset({str(body["kind"])}))
            proof = await self._judged(request, known, proof)
            return await self._started(request, known, proof, self._proven_by(request, known, proof, nonce))
        except CloisterError as refused:
            return refusal_response(refused)

    @staticmethod
    def _people(known: Known) -> Known:
        """A program's name is no name here: programs have the token endpoint."""
        if known.person is not None and known.person.kind != "person":
            return replace(known, person=None, authenticators=())
        return known

    async def _proven(self, request: Request, kind: str) -> Response:
        door, began = self._door, time.monotonic()
        try:
            body = await json_of(request)
            check_form(kind, body)  # before the flow is used up, so that a slip of a client costs nothing
            flow = await door.challenges.take(text_of(body, "flow"), challenge.Purpose.SIGN_IN)
            async with door.limits.turn(flow.subject):
                known, proof = await self._proved(request, kind, flow, body)
            return await self._started(request, known, proof, self._proven_by(request, known, proof, flow.flow))
        except CloisterError as refused:
            if refused.reason in (sign_in.REFUSED, "challenge-over"):
                await (not_before(began, DIRECTORY_SECONDS) if kind == "directory" else not_before(began))
            return refusal_response(refused)

    async def _proved(self, request: Request, kind: str, flow: challenge.Challenge, body: dict[str, Any]) -> tuple[Known, Proof]:
        """Who it is and by which proof; a failure is counted and audited before it is raised."""
        door, address = self._door, address_of(request)
        known = self._people(await store.known(door.people, flow.subject))
        guessable = kind in GUESSABLE or (kind == Kind.CARD and cards.guessable(known, str(body.get("unlocker"))))
        await door.limits.check(address, flow.subject if guessable else None)
        try:
            proof = await self._proof(kind, known, flow, body)
            proof = await self._with_code(known, proof, body)
            proof = await self._judged(request, known, proof)
        except Denied as refused:
            await self._failed(address, known, refused)
            raise
        await door.limits.succeeded(flow.subject)
        return known, proof

    async def _proof(self, kind: str, known: Known, flow: challenge.Challenge, body: dict[str, Any]) -> Proof:
        door = self._door
        if kind == "directory":
            await door.directories.prove(known, text_of(body, "password", PASSWORD_CHARACTERS_MAX))
            return Proof(kind=kind, factors=frozenset({kind}))
        if kind == Kind.PASSPHRASE:
            found = sign_in.prove(known, Kind.PASSPHRASE, bytes_of(body, "verifier", VERIFIER_BYTES), door.secret)
        elif kind == Kind.CARD:
            verifier = bytes_of(body, "verifier", VERIFIER_BYTES)
            found = cards.prove(known, text_of(body, "unlocker", UNLOCKER_CHARACTERS_MAX), verifier, door.secret, now=door.clock())
        else:
            found = passkey.verified_authentication(door.party, known, flow, body["assertion"])
        await store.mark_used(door.people, found, now=door.clock())
        return Proof(kind=kind, unlocker=found, factors=frozenset({str(kind)}))

    async def _with_code(self, known: Known, proof: Proof, body: dict[str, Any]) -> Proof:
        """A code that came along counts, or refuses."""
        code = body.get("code")
        if not isinstance(code, str) or not code.strip():
            return proof
        assert known.person is not None  # a proof has a person
        factor = await self._door.factors.take(known.person.id, code.strip()[:CODE_CHARACTERS_MAX])
        if factor is None:
            raise sign_in.refusal()
        return replace(proof, factors=proof.factors | {factor})

    async def _judged(self, request: Request, known: Known, proof: Proof) -> Proof:
        """The trust's rules. Whoever proved only what can be guessed learns nothing but that it was refused."""
        door, person = self._door, known.person
        assert person is not None
        account = await door.directories.account_of(person.id)
        aal = aal_of(proof.factors, proof.most)
        standing = door.rules.standing(address_of(request), proof.factors, aal=aal, account=account)
        refused = door.rules.refusal(person, standing)
        if refused is None:
            return replace(proof, account=account)
        language, number = person.language or language_of(request), new_number()
        said = rules.Forbidden(refused, language)
        with contextlib.suppress(Unavailable):  # refused either way
            await door.refusals.at_the_door(number, person.id, person.role, refused, standing)
        if aal < 2 and proof.kind in GUESSABLE:
            quiet = sign_in.refusal()
            quiet.expression = refused.rule  # for the audit log alone
            raise quiet
        said.hint = f"{said.hint} {NUMBERED.get(language[:2], NUMBERED['en']).format(number=number)}".strip()
        raise said

    async def _failed(self, address: str, known: Known, refused: Denied) -> None:
        actor = known.person.id if known.person else ""
        if not isinstance(refused, rules.Forbidden):  # who has proved themselves and may not from here has not guessed
            await self._door.limits.failed(address, known.sign_in)
        await self._door.audit([note("sign-in", address, actor=actor, outcome="refused", reason=refused.expression or refused.reason)])

    def _proven_by(self, request: Request, known: Known, proof: Proof, nonce: str) -> waiting.Proven:
        """The word to wait with, bound to the browser's key; `nonce` is the flow that its proof must name."""
        return waiting.proven(
            known.sign_in, proof.unlocker.id if proof.unlocker else "", str(proof.kind), key_of(request, nonce=nonce),
            now=self._door.clock(), factors=" ".join(sorted(map(str, proof.factors))), most=proof.most, x5t=card_of(request),
        )  # fmt: skip

    async def _started(self, request: Request, known: Known, proof: Proof, who: waiting.Proven, *, again: bool = False) -> Response:
        """A session, bound to the browser's key and card (`who`) as its ticket is; or the place in the queue."""
        door, person, address = self._door, known.person, address_of(request)
        assert person is not None  # a proof has a person
        try:
            own = {"hospital": person.hospital or "", "where": address, "gateway": gateway_of(request)}
            started = await door.broker.start_session(person.id, person.role, "person", to=Bearer(jkt=who.jkt, x5t=who.x5t), **own)
        except queue.Wait as wait:
            if not again:
                await door.audit([note("sign-in", address, actor=person.id, outcome="failed", reason=f"waits: {wait.reason}")])
            return waiting.waiting_response(wait, who, door.secret)
        except CloisterError as refused:
            await door.audit([note("sign-in", address, actor=person.id, outcome="failed", reason=refused.reason or refused.category)])
            raise
        card = fingerprint_of(who.x5t) if CERTIFICATE in proof.factors else None
        await door.factors.proved(started.session, person.id, aal_of(proof.factors, proof.most), sorted(proof.factors), proof.account, card)
        how = " and ".join([proof.kind, *sorted(proof.factors - {proof.kind})])
        reason = f"{how}, joined again" if started.reconnected else how
        await door.audit([note("sign-in", address, actor=person.id, session=started.session, reason=reason)])
        body = {
            "session": started.session,
            "public_key": base64.b64encode(started.public_key).decode("ascii"),
            "unlocker": {"id": proof.unlocker.id, "kind": str(proof.unlocker.kind)} if proof.unlocker else None,
            **({} if proof.unlocker else {"ways": ways_of(known)}),
            "next": "/",
        }
        return JSONResponse(body, headers={"cache-control": "no-store", "set-cookie": ticket_cookie(started.ticket)})


def check_form(kind: str, body: dict[str, Any]) -> None:
    """Raises Invalid where a part of this proof is missing or of another form."""
    text_of(body, "flow")
    if kind in (Kind.PASSPHRASE, Kind.CARD):
        bytes_of(body, "verifier", VERIFIER_BYTES)
    if kind == Kind.CARD:
        text_of(body, "unlocker", UNLOCKER_CHARACTERS_MAX)
    if kind == Kind.PASSKEY and not isinstance(body.get("assertion"), dict):
        raise Invalid("'assertion' is missing or is not an object.", reason="field", expression="assertion")
    if kind == "directory":
        text_of(body, "password", PASSWORD_CHARACTERS_MAX)
    if body.get("code", "") != "":
        text_of(body, "code", CODE_CHARACTERS_MAX)


def ways_of(known: Known) -> dict[str, Any]:
    """What may open this person's keys in the same page, for somebody who proved themselves by something that opens none."""
    phrases = [one for one in known.authenticators if one.kind == Kind.PASSPHRASE]
    phrase = max(phrases, key=lambda one: (str(one.created), one.id)) if phrases else None
    return {
        "passphrase": {"unlocker": phrase.id, "params": {name: phrase.params[name] for name in CONFIRM}} if phrase else None,
        "passkeys": [
            {"unlocker": one.id, "credential": one.params[CREDENTIAL]}
            for one in known.authenticators
            if one.kind == Kind.PASSKEY and CREDENTIAL in one.params
        ],
    }
