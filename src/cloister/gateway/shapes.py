"""The form of what is sent to the door and of what it answers: JSON Schema 2020-12, by name, for the rows of offered.py.

What the door takes is checked by the code that takes it (requests.py, proving.py); these say the same to somebody who writes a client,
and a test holds one against the other.
"""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

TEXT: Final[Json] = {"type": "string"}
WORD: Final[Json] = {"type": "string", "minLength": 1, "maxLength": 512, "pattern": r"^[^\x00]+$"}
ANY: Final[Json] = {"type": "object"}
COUNT: Final[Json] = {"type": "integer", "minimum": 0}
BASE64: Final[Json] = {"type": "string", "contentEncoding": "base64", "minLength": 1}
KEY_HALF: Final[Json] = {
    "type": "string",
    "contentEncoding": "base64",
    "description": "32 bytes in base64 (RFC 4648).",
    "pattern": r"^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$",
}
VISIBLE: Final[Json] = {"type": "string", "pattern": r"^[\x20-\x7e]+$", "maxLength": 1000}
CODE: Final[Json] = {"type": "string", "maxLength": 40, "description": "A one-time code, where the rules or the person want one."}


def _object(needed: str = "", /, **properties: Json) -> Json:
    return {"type": "object", "required": needed.split(), "properties": properties}


PASSPHRASE_COST: Final = _object(
    "salt passes memory_kib lanes", salt={"type": "string", "pattern": "^[0-9a-f]+$"}, passes=COUNT, memory_kib=COUNT, lanes=COUNT
)
WAYS: Final = _object(
    "passphrase passkeys",
    passphrase={"oneOf": [{"type": "null"}, _object("unlocker params", unlocker=TEXT, params=PASSPHRASE_COST)]},
    passkeys={"type": "array", "items": _object("unlocker credential", unlocker=TEXT, credential=TEXT)},
)
UNLOCKER: Final = _object("id kind sealed params", id=TEXT, kind=TEXT, sealed=BASE64, params=ANY)
CLIENT: Final[dict[str, Json]] = {
    "client_id": VISIBLE,
    "client_secret": VISIBLE,
    "client_assertion_type": {"type": "string", "const": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
    "client_assertion": {"type": "string", "pattern": r"^[A-Za-z0-9_.-]+$"},
}
# RFC 6749 4.1.1 and SMART App Launch 2. Nothing is required: whatever is missing is answered in the words of the standard.
AUTHORIZE: Final[dict[str, Json]] = {
    "response_type": TEXT, "client_id": TEXT, "redirect_uri": TEXT, "scope": TEXT, "state": TEXT, "nonce": TEXT, "aud": TEXT,
    "launch": TEXT, "code_challenge": TEXT, "code_challenge_method": TEXT,
}  # fmt: skip

SHAPES: Final[dict[str, Json]] = {
    "any": ANY,
    # --- what is sent
    "start": _object("sign_in", sign_in={"type": "string", "minLength": 1, "maxLength": 128}, cards={"type": "boolean"}),
    "passphrase": _object("flow verifier", flow=WORD, verifier=KEY_HALF, code=CODE),
    "passkey": _object("flow assertion", flow=WORD, assertion=ANY, code=CODE),
    "card": _object("flow unlocker verifier", flow=WORD, unlocker={**WORD, "maxLength": 100}, verifier=KEY_HALF, code=CODE),
    "directory": _object("flow password", flow=WORD, password={**WORD, "maxLength": 256}, code=CODE),
    "continued": _object("proved", proved={**WORD, "maxLength": 100}),
    "wait": _object("waiting", waiting={**WORD, "maxLength": 2048}),
    "enrol_start": _object("sign_in code", sign_in={"type": "string", "minLength": 1, "maxLength": 128}, code={**WORD, "maxLength": 64}),
    "enrol_finish": _object(
        "flow kem_public sign_public sealed_private unlockers proof",
        flow=WORD, kem_public=BASE64, sign_public=KEY_HALF, sealed_private=BASE64, proof=BASE64,
        unlockers={"type": "array", "minItems": 2, "maxItems": 6, "items": UNLOCKER},
    ),
    "authorize": _object("", **AUTHORIZE),
    "token": _object(
        "grant_type", grant_type={"type": "string", "enum": ["client_credentials", "authorization_code", "refresh_token"]}, scope=VISIBLE,
        code=VISIBLE, redirect_uri=VISIBLE, code_verifier=VISIBLE, refresh_token=VISIBLE, session_label=VISIBLE, session_unlock=BASE64,
        **CLIENT,
    ),
    "unlock": _object("client_assertion client_assertion_type", session_label=VISIBLE, **CLIENT),
    "introspect": _object("token", token=VISIBLE, **CLIENT),
    "revoke": _object("token", token=VISIBLE, **CLIENT),
    # --- what is answered
    "refusal": _object(
        "error category text", error={**TEXT, "description": "A closed word for programs."},
        category={"enum": ["invalid", "denied", "not-found", "conflict", "busy", "unavailable", "unsupported", "corrupt"]},
        text={**TEXT, "description": "A sentence that is safe to show."}, hint={**TEXT, "description": "What to do next."},
    ),
    "oauth_error": _object("error", error=TEXT, error_description=TEXT),
    "flow": _object(
        "flow passphrase passkey code", flow=WORD, passphrase=PASSPHRASE_COST, passkey={"type": ["object", "null"]},
        code={"enum": ["no", "may", "must"]}, cards={"type": "array", "items": BASE64},
    ),
    "place": _object(
        "session public_key unlocker next", session=TEXT, public_key=BASE64,
        unlocker={"oneOf": [{"type": "null"}, _object("id kind", id=TEXT, kind=TEXT)]}, ways=WAYS, next=TEXT,
    ),
    "waiting": _object(
        "waiting flow place of reason text after_seconds", waiting=TEXT, flow=WORD, place=COUNT, of=COUNT, reason=TEXT, text=TEXT,
        hint=TEXT, after_seconds=COUNT,
    ),
    "enrolment": _object(
        "flow challenge trust applicant person name role cost passkey", flow=WORD, challenge=BASE64, trust=TEXT, trust_name=TEXT,
        applicant=TEXT, person=TEXT, name=TEXT, role=TEXT, cost=ANY, passkey=ANY,
    ),
    "words": _object("words", words=TEXT),
    "token_answer": _object(
        "access_token token_type expires_in scope", access_token=TEXT, token_type={"enum": ["Bearer", "DPoP"]}, expires_in=COUNT,
        scope=TEXT, refresh_token=TEXT, id_token=TEXT, patient=TEXT, need_patient_banner={"type": "boolean"},
    ),
    "sealing": _object("session public_key unlocker open", session=TEXT, public_key=BASE64, unlocker=TEXT, open={"type": "boolean"}),
    "introspection": _object(
        "active", active={"type": "boolean"}, client_id=TEXT, scope=TEXT, token_type=TEXT, exp=COUNT, iat=COUNT, sub=TEXT, iss=TEXT,
        cnf=_object("jkt", jkt=TEXT),
    ),
    "claims": _object("sub", sub=TEXT, name=TEXT, preferred_username=TEXT, locale=TEXT, fhirUser=TEXT),
    "key_set": _object("keys", keys={"type": "array", "minItems": 1, "items": _object("kty", kty=TEXT, kid=TEXT)}),
    "authority": _object(
        "issuer jwks_uri authorization_endpoint token_endpoint response_types_supported", issuer=TEXT, jwks_uri=TEXT,
        authorization_endpoint=TEXT, token_endpoint=TEXT, response_types_supported={"type": "array", "items": TEXT},
    ),
    "linkset": _object("linkset", linkset={"type": "array", "items": _object("anchor", anchor=TEXT)}),
}  # fmt: skip
