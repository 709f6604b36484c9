"""Second factors at the door: one-time codes and codes on paper, each taken once by one statement. They open no key.

RFC 6238 5.2: the verifier must not take the second attempt of a code; so also the code of the enrolment is used up.
NIST SP 800-63B-4 3.1.2 (look-up secrets), 3.1.4 (single-factor OTP).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from cloister.base.clock import Clock
from cloister.base.errors import Denied, NotFound
from cloister.base.secret import Secret
from cloister.farm import Session
from cloister.gateway.kept import DoorKey, Queries
from cloister.identity import codes, store

TOTP: Final = "select sealed, confirmed from estate.totp where person = $1"
PUT_TOTP: Final = """
    insert into estate.totp (person, sealed) values ($1, $2)
    on conflict (person) do update set sealed = excluded.sealed, last_step = 0, confirmed = false, made = now()"""
# The one statement by which a code counts: of ten thousand at once, one moves the step on.
TAKE_TOTP: Final = """
    update estate.totp set last_step = $2, confirmed = true where person = $1 and last_step < $2 and (confirmed or $3) returning person"""
REMOVE_TOTP: Final = "delete from estate.totp where person = $1"
WAYS: Final = """
    select (select confirmed from estate.totp where person = $1) as totp,
           (select count(*) from estate.paper_code where person = $1 and used is null) as paper"""
FORGET_PAPER: Final = "delete from estate.paper_code where person = $1"
PUT_PAPER: Final = "insert into estate.paper_code (person, digest) select $1, unnest($2::bytea[])"
TAKE_PAPER: Final = "update estate.paper_code set used = $3 where person = $1 and digest = $2 and used is null returning person"
PROOF: Final = """
    with gone as (delete from estate.proof where at < $6::timestamptz - interval '2 days')
    insert into estate.proof (session, person, aal, factors, account, at, card) values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (session) do update
       set aal = excluded.aal, factors = excluded.factors, account = excluded.account, at = excluded.at, card = excluded.card"""
PROOF_OF: Final = """
    select aal, factors, account from estate.proof
     where session = $1 and person = $2 and at > $3::timestamptz - interval '24 hours'"""
PHONE, PAPER = "totp", "paper"


class Factors:
    """What the door keeps of people's second factors, and what their own sessions may do with them."""

    def __init__(self, queries: Queries, door_secret: Secret, clock: Clock, issuer: str) -> None:
        self._queries = queries
        self._secret = door_secret
        self._key = DoorKey(door_secret, "totp")
        self._clock = clock
        self._issuer = issuer

    async def take(self, person: str, code: str) -> str | None:
        """Which factor this code is, and thereby used up; None for a wrong or used one."""
        plain = code.replace(" ", "")
        if plain.isdigit() and len(plain) == 6:
            return PHONE if await self._take_totp(person, plain, confirming=False) else None
        digest = codes.paper_digest(self._secret, person, plain)
        taken = await self._queries.fetchrow(TAKE_PAPER, person, digest, self._clock())
        return PAPER if taken is not None else None

    async def _take_totp(self, person: str, code: str, *, confirming: bool) -> bool:
        row = await self._queries.fetchrow(TOTP, person)
        if row is None:
            return False
        step = codes.step_of(self._opened(person, bytes(row["sealed"])), code, now=self._clock())
        return step is not None and await self._queries.fetchrow(TAKE_TOTP, person, step, confirming) is not None

    def _opened(self, person: str, sealed: bytes) -> Secret:
        return Secret(self._key.open(sealed, person.encode()))

    # --- how a session was signed in to ------------------------------------------------------------------------

    async def proved(self, session: str, person: str, aal: int, factors: list[str], account: str, card: bytes | None = None) -> None:
        """`card`: the SHA-256 of the certificate that was one of the factors; the session ends with it (cards_in_use.py)."""
        await self._queries.fetch(PROOF, session, person, aal, json.dumps(factors), account, self._clock(), card)

    # --- asked by people's own sessions; whose, the kernel said ---------------------------------------------------

    @property
    def further(self) -> dict[str, Any]:
        return {
            "signed_in_how": self.signed_in_how,
            "ways_list": self.ways,
            "totp_begin": self.begin_totp,
            "totp_confirm": self.confirm_totp,
            "totp_remove": self.remove_totp,
            "paper_make": self.make_paper,
        }

    async def signed_in_how(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        row = await self._queries.fetchrow(PROOF_OF, session.id, session.person, self._clock())
        if row is None:
            return {}
        return {"aal": row["aal"], "factors": json.loads(row["factors"]), "account": row["account"]}

    async def ways(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        row = await self._queries.fetchrow(WAYS, session.person)
        return {"totp": bool(row["totp"]), "paper": int(row["paper"])}

    async def begin_totp(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        """A new secret, which does not count before its first code; one that counts already is taken away by hand first."""
        row = await self._queries.fetchrow(TOTP, session.person)
        if row is not None and row["confirmed"]:
            raise Denied("You have one-time codes already.", hint="Remove them first.", reason="totp-exists")
        person, secret = await store.person(self._queries, session.person), codes.new_totp_secret()
        await self._queries.fetch(PUT_TOTP, person.id, self._key.seal(secret.reveal(), person.id.encode()))
        return {"secret": codes.shown(secret), "uri": codes.uri(secret, name=person.sign_in, issuer=self._issuer)}

    async def confirm_totp(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        code = str(words.get("code", "")).replace(" ", "")
        if not await self._take_totp(session.person, code, confirming=True):
            raise NotFound("This code is not right.", hint="Type the code that is shown now.", reason="totp-wrong")
        return {}

    async def remove_totp(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        await self._queries.fetch(REMOVE_TOTP, session.person)
        return {}

    async def make_paper(self, session: Session, words: Mapping[str, Any]) -> dict[str, Any]:
        made = codes.new_paper_codes()
        await self._queries.fetch(FORGET_PAPER, session.person)
        await self._queries.fetch(PUT_PAPER, session.person, [codes.paper_digest(self._secret, session.person, one) for one in made])
        return {"codes": made}
