"""What the door offers, a row for each call: address, methods, what is sent, what is answered.

The routes (door.py) and the OpenAPI document (openapi.py) are both made from these rows, so neither can claim what the other does not
have. Rows only: which function answers is said in door.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cloister.gateway import shapes

Json = dict[str, Any]

GET: Final = ("GET",)
POST: Final = ("POST",)
BOTH: Final = ("GET", "POST")
FHIR: Final = "/fhir/R4"
SMART: Final = "/.well-known/smart-configuration"
OPENID: Final = "/.well-known/openid-configuration"
CATALOG: Final = "/.well-known/api-catalog"
DESCRIBED: Final = "/login/openapi.json"

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
HTML: Final = "text/html"
TEXT: Final = "text/plain"
LINKSET: Final = "application/linkset+json"
SIGN_IN, ENROLMENT, OAUTH, PUBLIC = "signing in", "enrolment", "OAuth 2 and OpenID Connect", "what anybody may fetch"


@dataclass(frozen=True, slots=True)
class Answer:
    """`media` none: an answer without content. `headers`: those that it always carries."""

    says: str
    media: str = ""
    shape: str = ""  # of shapes.SHAPES
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """`path` as Starlette writes it. `asked`, `headers`: parameters by name, a schema each; `needs` are those that must be there.

    `bound`: the browser's key is proven in the header DPoP (RFC 9449).
    """

    key: str
    path: str
    methods: tuple[str, ...]
    tag: str
    says: str
    answers: Mapping[str, Answer]
    asked: Mapping[str, Json] = field(default_factory=dict)
    headers: Mapping[str, Json] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    sent: str = ""  # of shapes.SHAPES
    media: str = JSON
    bound: bool = False
    shared: bool = False  # an app's page of another site may read the answer (CORS)


WRONG: Final = Answer("What is wrong with the request, and what to send instead.", JSON, "refusal")
NO: Final = Answer("Refused; the one answer to whatever does not belong together.", JSON, "refusal")
MAY_NOT: Final = Answer("Proven, and still not let in: by the trust's rules, or for a proof of another sign-in.", JSON, "refusal")
OVER: Final = Answer("The flow, word or place in the queue is over. Start again.", JSON, "refusal")
BUSY: Final = Answer("Too many at once, or too many failures. `Retry-After` where it is known when to try again.", JSON, "refusal")
AWAY: Final = Answer("A part does not answer, or everything is taken.", JSON, "refusal")
REFUSALS: Final = {"400": WRONG, "429": BUSY, "503": AWAY}
PROOFS: Final = {
    "200": Answer("A session, and its ticket as a cookie; the browser seals what opens the keys to its public key.", JSON, "place"),
    "202": Answer("Proven, and everything is taken: ask again at /login/wait after `retry_after` seconds.", JSON, "waiting"),
    **REFUSALS, "401": NO, "403": MAY_NOT, "404": OVER,
}  # fmt: skip
PAGE: Final = {"200": Answer("A page.", HTML)}
FOUND: Final = {"200": Answer("The file.", "*/*", headers=("etag",)), "304": Answer("You have it."), "404": Answer("Not here.", TEXT)}
FORM_WRONG: Final = Answer("What is wrong, in the words of RFC 6749 5.2.", JSON, "oauth_error")
OAUTH_ANSWERS: Final = {
    "400": FORM_WRONG,
    "401": Answer("Who asks has not proved itself.", JSON, "oauth_error"),
    "429": Answer("Too many requests; `Retry-After`.", JSON, "oauth_error"),
    "503": Answer("A part does not answer, or everything is taken.", JSON, "oauth_error"),
}
TO_LOGIN: Final = Answer("Onward, by a browser: `Location`.", headers=("location",))
LANGUAGE: Final = {"lang": {"type": "string", "description": "en or fr; another word is as if nothing were said."}}


def _document(key: str, path: str, says: str, shape: str, media: str = JSON) -> Offered:
    return Offered(
        key=key, path=path, methods=GET, tag=PUBLIC, says=says, answers={"200": Answer("The document.", media, shape)}, shared=True
    )


def _file(key: str, path: str, says: str) -> Offered:
    return Offered(key=key, path=path, methods=GET, tag=PUBLIC, says=says, answers=FOUND)


def _page(key: str, path: str, tag: str, says: str) -> Offered:
    return Offered(key=key, path=path, methods=GET, tag=tag, says=says, answers={**PAGE, "429": BUSY}, asked=LANGUAGE)


def _proof(key: str, says: str) -> Offered:
    return Offered(key=key, path=f"/login/{key}", methods=POST, tag=SIGN_IN, says=says, answers=PROOFS, sent=key, bound=True)


def _oauth(key: str, says: str, done: Answer, *, shared: bool = False, headers: Mapping[str, Json] | None = None) -> Offered:
    return Offered(
        key=key, path=f"/oauth2/{key}", methods=POST, tag=OAUTH, says=says, answers={"200": done, **OAUTH_ANSWERS}, sent=key, media=FORM,
        shared=shared, headers=headers or {},
    )  # fmt: skip


def _before(key: str, path: str) -> Offered:
    return Offered(
        key=key, path=path, methods=("OPTIONS",), tag=PUBLIC, says="A browser's question before an app's request (Fetch, CORS preflight).",
        answers={
            "204": Answer("What may be asked, for origins of registered apps."),
            "401": Answer("Without that header it is a request like others, and wants a ticket.", "application/fhir+json", "any"),
        },
        headers={"Origin": {"type": "string"}, "Access-Control-Request-Method": {"type": "string"}},
        needs=frozenset({"Access-Control-Request-Method"}),
    )  # fmt: skip


OFFERED: Final = (
    _page("login", "/login", SIGN_IN, "The page of sign-in."),
    _page("prove", "/login/prove", SIGN_IN, "Sends a page that was asked for without the browser's proof on, with it."),
    _document("described", DESCRIBED, "This document.", "any"),
    Offered(
        key="start", path="/login/start", methods=POST, tag=SIGN_IN, sent="start",
        says="A sign-in begins: what this name may prove itself with; of the same form for a name that nobody has.",
        answers={"200": Answer("The flow, good once and for 120 seconds.", JSON, "flow"), **REFUSALS},
    ),
    _proof("passphrase", "A proof by the passphrase's verifier; the passphrase never comes here."),
    _proof("passkey", "A proof by a passkey (WebAuthn 3); what opens the keys stays in the browser."),
    _proof("card", "A proof by the card agent."),
    _proof("directory", "A proof by a password of the hospital's directories. It opens no key; `ways` say what does."),
    _proof("continued", "Goes on for somebody who proved themselves elsewhere: at a provider, or with a card at its own address."),
    _proof("wait", "The next question of somebody who was proven and found everything taken."),
    Offered(
        key="certificate", path="/login/certificate", methods=GET, tag=SIGN_IN,
        says="A card's certificate, at the cards' own server name; everywhere else no certificate is seen.",
        answers={"303": TO_LOGIN, **REFUSALS, "401": NO, "403": NO},
    ),
    Offered(
        key="leave", path="/login/provider/{provider}", methods=GET, tag=SIGN_IN, says="To another OpenID Connect provider.",
        answers={"303": TO_LOGIN, "429": BUSY},
    ),
    Offered(
        key="back", path="/login/back", methods=GET, tag=SIGN_IN, says="Back from that provider (OpenID Connect Core 3.1.2.5).",
        answers={"303": TO_LOGIN, "429": BUSY},
        asked={name: {"type": "string"} for name in ("state", "code", "iss", "error")},
    ),
    _document("keys", "/login/keys", "The keys of tickets, for the gateway (RFC 7517).", "key_set"),
    _page("enrol", "/enrol", ENROLMENT, "The page of enrolment."),
    Offered(
        key="enrol_start", path="/enrol/start", methods=POST, tag=ENROLMENT, sent="enrol_start",
        says="A name and a one-time code: who they are for, and what the browser needs to make keys.",
        answers={"200": Answer("What to make keys from.", JSON, "enrolment"), **REFUSALS, "401": NO},
    ),
    Offered(
        key="enrol_finish", path="/enrol/finish", methods=POST, tag=ENROLMENT, sent="enrol_finish",
        says="The new public keys, and the private ones sealed; kept for the certificate officer.",
        answers={
            "201": Answer("The words to compare with the officer.", JSON, "words"), **REFUSALS, "403": OVER, "404": OVER, "409": OVER,
            "501": Answer("This passkey cannot open keys.", JSON, "refusal"),
        },
    ),
    Offered(
        key="authorize", path="/oauth2/authorize", methods=BOTH, tag=OAUTH, sent="authorize", media=FORM, asked=shapes.AUTHORIZE,
        says="An app of another maker asks (SMART App Launch 2, OpenID Connect Core 3.1.2.1).",
        answers={
            "200": Answer("A page that goes on to the person's own session.", HTML),
            "303": Answer("Back to the app, with what is wrong.", headers=("location",)),
            "400": Answer("No app of that name has that address to come back to.", HTML), "429": BUSY, "503": AWAY,
        },
    ),
    _oauth(
        "token", "A token, by one of three grants. A program that sends a proof (RFC 9449 5) gets one that is bound to its key.",
        Answer("The token.", JSON, "token_answer"), shared=True, headers={"DPoP": {"type": "string"}},
    ),
    _oauth("unlock", "A session for a program with an assertion, and the key to seal to.", Answer("The key.", JSON, "sealing")),
    _oauth("introspect", "What a token of one's own is worth (RFC 7662).", Answer("Whether it holds.", JSON, "introspection")),
    _oauth("revoke", "Gives a token back (RFC 7009); 200 whatever it was.", Answer("It is of no use any more.", JSON, "any")),
    Offered(
        key="userinfo", path="/oauth2/userinfo", methods=BOTH, tag=OAUTH, says="Who somebody is, for an app with `openid` (Core 5.3).",
        answers={"200": Answer("The claims.", JSON, "claims"), "401": Answer("The token opens nothing.", JSON, "oauth_error"), "429": BUSY},
        shared=True,
    ),
    _document("identity_keys", "/oauth2/keys", "The keys of id_tokens (RFC 7517).", "key_set"),
    _document("openid", OPENID, "OpenID Connect Discovery 3.", "authority"),
    _document("smart", SMART, "SMART App Launch 2, and RFC 8414.", "authority"),
    _document("smart_of_fhir", f"{FHIR}{SMART}", "The same beside the FHIR address.", "authority"),
    _document("catalog", CATALOG, "Where the descriptions of this server's interfaces are (RFC 9727).", "linkset", LINKSET),
    _before("before", FHIR),
    _before("before_all", f"{FHIR}/{{rest:path}}"),
    _file("worker", "/proof.js", "The service worker that proves the browser's key."),
    _file("favicon", "/favicon.ico", "A small picture."),
    _file("static", "/static/{name:path}", "Scripts, styles and pictures of the pages."),
)  # fmt: skip
