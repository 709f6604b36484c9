"""PKCS#11 v2.40 through ctypes: slots, tokens, sessions, and the three operations that an unlock may need.

OASIS PKCS#11 Base Specification v2.40: 5 (functions), 3 (types), and the order of CK_FUNCTION_LIST in pkcs11f.h.
Numbers are CK_ULONG as on Linux (the C type `unsigned long`, structures not packed).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from ctypes import byref, c_ubyte, c_ulong, c_void_p, sizeof
from dataclasses import dataclass
from typing import Any, Final

from cloister.workstation.faults import CardFault

# Places in CK_FUNCTION_LIST, and how many arguments; each is a number or an address, and fits a machine word.
FUNCTIONS: Final = {
    "C_Initialize": (0, 1),
    "C_Finalize": (1, 1),
    "C_GetSlotList": (4, 3),
    "C_GetSlotInfo": (5, 2),
    "C_GetTokenInfo": (6, 2),
    "C_GetMechanismList": (7, 3),
    "C_OpenSession": (12, 5),
    "C_CloseSession": (13, 1),
    "C_Login": (18, 4),
    "C_Logout": (19, 1),
    "C_CreateObject": (20, 4),
    "C_GetAttributeValue": (24, 4),
    "C_FindObjectsInit": (26, 3),
    "C_FindObjects": (27, 4),
    "C_FindObjectsFinal": (28, 1),
    "C_DecryptInit": (33, 3),
    "C_Decrypt": (34, 5),
    "C_SignInit": (42, 3),
    "C_Sign": (43, 5),
    "C_GenerateKeyPair": (59, 8),
    "C_DeriveKey": (62, 6),
}
FUNCTION_COUNT: Final = 68
FUNCTIONS_AT: Final = sizeof(c_void_p)  # after CK_VERSION and its padding
FUNCTION: Final = ctypes.CFUNCTYPE

OS_LOCKING_OK: Final = 2
TOKEN_PRESENT: Final = 1
SERIAL_SESSION, RW_SESSION, USER = 4, 2, 1
PIN_COUNT_LOW, PIN_FINAL_TRY, PIN_LOCKED, PIN_PAD = 0x10000, 0x20000, 0x40000, 0x100
DATA, CERTIFICATE, PUBLIC_KEY, PRIVATE_KEY, SECRET_KEY = 0, 1, 2, 3, 4
RSA, EC, GENERIC_SECRET = 0, 3, 0x10
CLASS, TOKEN, PRIVATE, LABEL, APPLICATION, VALUE = 0, 1, 2, 3, 0x10, 0x11
KEY_TYPE, ID, SENSITIVE, DECRYPT, SIGN, DERIVE, VALUE_LEN, EXTRACTABLE = 0x100, 0x102, 0x103, 0x105, 0x108, 0x10C, 0x161, 0x162
CKM_RSA_PKCS, CKM_RSA_PKCS_OAEP, CKM_SHA256_RSA_PKCS, CKM_ECDH1_DERIVE = 1, 9, 0x40, 0x1050
CKM_SHA_1, CKM_SHA256 = 0x220, 0x250
EC_PARAMS, EC_POINT, CKM_EC_KEY_PAIR_GEN = 0x180, 0x181, 0x1040
P256: Final = bytes.fromhex("06082a8648ce3d030107")  # its name, DER
MGF1_SHA1, MGF1_SHA256, LABEL_GIVEN, KDF_NULL = 1, 2, 1, 1
UNAVAILABLE: Final = 2 ** (8 * sizeof(c_ulong)) - 1

Template = dict[int, int | bytes | bool]  # CK_ATTRIBUTEs: numbers are CK_ULONG, truths CK_BBOOL

OK, ALREADY_INITIALIZED, ALREADY_LOGGED_IN = 0, 0x191, 0x100
PIN_INCORRECT, PIN_LEN_RANGE, PIN_IS_LOCKED = 0xA0, 0xA2, 0xA4
FUNCTION_CANCELED: Final = 0x50
GONE: Final = frozenset({0x30, 0x31, 0x32, 0xB0, 0xB3, 0xE0, 0xE1, 0x03})  # device error, memory, removed, session, token not there, slot


class Refusal(Exception):
    """A return value other than CKR_OK."""

    def __init__(self, function: str, value: int) -> None:
        super().__init__(f"{function}: 0x{value:x}")
        self.value = value


class InitializeArguments(ctypes.Structure):
    _fields_ = [("mutexes", c_void_p * 4), ("flags", c_ulong), ("reserved", c_void_p)]


class SlotInfo(ctypes.Structure):
    _fields_ = [("description", c_ubyte * 64), ("maker", c_ubyte * 32), ("flags", c_ulong), ("versions", c_ubyte * 4)]


class TokenInfo(ctypes.Structure):
    _fields_ = [
        ("label", c_ubyte * 32),
        ("maker", c_ubyte * 32),
        ("model", c_ubyte * 16),
        ("serial", c_ubyte * 16),
        ("flags", c_ulong),
        ("counts", c_ulong * 10),
        ("versions", c_ubyte * 4),
        ("time", c_ubyte * 16),
    ]


class Attribute(ctypes.Structure):
    _fields_ = [("type", c_ulong), ("value", c_void_p), ("length", c_ulong)]


class Mechanism(ctypes.Structure):
    _fields_ = [("mechanism", c_ulong), ("parameter", c_void_p), ("length", c_ulong)]


class OaepParameters(ctypes.Structure):
    _fields_ = [("hash", c_ulong), ("mgf", c_ulong), ("source", c_ulong), ("label", c_void_p), ("label_length", c_ulong)]


class EcdhParameters(ctypes.Structure):
    _fields_ = [("kdf", c_ulong), ("shared_length", c_ulong), ("shared", c_void_p), ("public_length", c_ulong), ("public", c_void_p)]


@dataclass(frozen=True, slots=True)
class Token:
    """A card in a reader."""

    slot: int
    label: str
    serial: str
    flags: int


class Module:
    """One PKCS#11 module, initialised. Calls are made one at a time: whoever shares it holds a lock."""

    def __init__(self, table: int) -> None:
        """`table` is the address of a CK_FUNCTION_LIST."""
        places = (c_void_p * FUNCTION_COUNT).from_address(table + FUNCTIONS_AT)
        self._functions: dict[str, Callable[..., int]] = {
            name: FUNCTION(c_ulong, *[c_void_p] * count)(places[place] or 0) for name, (place, count) in FUNCTIONS.items()
        }
        try:
            self.call("C_Initialize", byref(InitializeArguments(flags=OS_LOCKING_OK)))
        except Refusal as refused:
            if refused.value != ALREADY_INITIALIZED:
                raise CardFault("no-module") from None

    @classmethod
    def load(cls, path: str) -> Module:
        table = c_void_p()
        try:
            library = ctypes.CDLL(path)
            failed = library.C_GetFunctionList(byref(table))
        except (OSError, AttributeError):
            raise CardFault("no-module") from None
        if failed or not table.value:
            raise CardFault("no-module")
        module = cls(table.value)
        module._library = library  # type: ignore[attr-defined]  # kept loaded
        return module

    def call(self, name: str, *arguments: Any) -> None:
        value = self._functions[name](*arguments)
        if value != OK:
            raise Refusal(name, value)

    def close(self) -> None:
        self.call("C_Finalize", None)

    def tokens(self) -> list[Token]:
        """The cards that are in readers now."""
        count = c_ulong()
        self.call("C_GetSlotList", 1, None, byref(count))
        slots = (c_ulong * max(count.value, 1))()
        count.value = len(slots)
        self.call("C_GetSlotList", 1, slots, byref(count))
        return [token for slot in slots[: count.value] if (token := self.token(slot)) is not None]

    def token(self, slot: int) -> Token | None:
        """The card in this reader, or None: also when its middleware still lists one that was pulled out."""
        reader, card = SlotInfo(), TokenInfo()
        try:
            self.call("C_GetSlotInfo", slot, byref(reader))
            if not reader.flags & TOKEN_PRESENT:
                return None
            self.call("C_GetTokenInfo", slot, byref(card))
        except Refusal:
            return None
        serial = _text(card.serial)
        return Token(slot, _text(card.label), serial, card.flags) if serial else None

    def mechanisms(self, slot: int) -> frozenset[int]:
        count = c_ulong()
        self.call("C_GetMechanismList", slot, None, byref(count))
        found = (c_ulong * max(count.value, 1))()
        self.call("C_GetMechanismList", slot, found, byref(count))
        return frozenset(found[: count.value])

    @contextmanager
    def session(self, slot: int, *, writing: bool = False) -> Iterator[Session]:
        """Open for one use; whatever the card was asked in it is over, logged out and closed, afterwards."""
        handle = c_ulong()
        with faults():
            self.call("C_OpenSession", slot, SERIAL_SESSION | (RW_SESSION if writing else 0), None, None, byref(handle))
            session = Session(self, slot, handle.value)
            try:
                yield session
            finally:
                session.close()


class Session:
    def __init__(self, module: Module, slot: int, handle: int) -> None:
        self._module, self._slot, self._handle, self._logged_in = module, slot, handle, False

    def _call(self, name: str, *arguments: Any) -> None:
        self._module.call(name, self._handle, *arguments)

    def close(self) -> None:
        for name in ("C_Logout", "C_CloseSession") if self._logged_in else ("C_CloseSession",):
            try:
                self._call(name)
            except Refusal:  # a card that was pulled out is logged out
                continue

    def login(self, pin: str | None) -> None:
        """None: the PIN is typed at the reader. Each way to fail has its name."""
        raw = None if pin is None else _buffer(pin.encode())
        try:
            self._call("C_Login", USER, raw, 0 if raw is None else len(raw))
        except Refusal as refused:
            if refused.value == FUNCTION_CANCELED:
                raise CardFault("pin-cancelled") from None
            if refused.value == PIN_IS_LOCKED:
                raise CardFault("card-blocked") from None
            if refused.value not in (PIN_INCORRECT, PIN_LEN_RANGE, ALREADY_LOGGED_IN):
                raise
            raise CardFault(self._wrong_pin()) from None
        finally:
            if raw is not None:
                ctypes.memset(raw, 0, len(raw))
        self._logged_in = True

    def _wrong_pin(self) -> str:
        card = self._module.token(self._slot)
        flags = card.flags if card else 0
        if flags & PIN_LOCKED:
            return "card-blocked"
        if flags & PIN_FINAL_TRY:
            return "wrong-pin-final"
        return "wrong-pin-low" if flags & PIN_COUNT_LOW else "wrong-pin"

    def find(self, wanted: Template) -> list[int]:
        """Handles of at most 32 objects."""
        template, _kept = _template(wanted)
        self._call("C_FindObjectsInit", template, len(template))
        found, count = (c_ulong * 32)(), c_ulong()
        try:
            self._call("C_FindObjects", found, len(found), byref(count))
        finally:
            self._call("C_FindObjectsFinal")
        return found[: count.value]

    def attribute(self, thing: int, kind: int) -> bytes:
        """Its value; nothing when the object has none."""
        one = Attribute(kind, None, 0)
        try:
            self._call("C_GetAttributeValue", thing, byref(one), 1)
            if one.length in (0, UNAVAILABLE):
                return b""
            value = (c_ubyte * one.length)()
            one.value = ctypes.addressof(value)
            self._call("C_GetAttributeValue", thing, byref(one), 1)
        except Refusal as refused:
            if refused.value in GONE:
                raise
            return b""
        return bytes(value[: one.length])

    def create(self, values: Template) -> None:
        template, _kept = _template(values)
        self._call("C_CreateObject", template, len(template), byref(c_ulong()))

    def derive(self, key: int, point: bytes, size: int) -> bytes:
        """ECDH's x-coordinate with this point (CKM_ECDH1_DERIVE, CKD_NULL)."""
        public = _buffer(point)
        parameters = EcdhParameters(KDF_NULL, 0, None, len(public), ctypes.addressof(public))
        wanted: Template = {CLASS: SECRET_KEY, KEY_TYPE: GENERIC_SECRET, TOKEN: False, SENSITIVE: False, EXTRACTABLE: True}
        wanted[VALUE_LEN] = size
        template, _kept = _template(wanted)
        derived = c_ulong()
        mechanism = Mechanism(CKM_ECDH1_DERIVE, ctypes.addressof(parameters), sizeof(parameters))
        self._call("C_DeriveKey", byref(mechanism), key, template, len(template), byref(derived))
        return self.attribute(derived.value, VALUE)

    def make_ec_key(self, label: bytes) -> bytes:
        """A P-256 key that derives, never leaves the card, and is used after the PIN only; its public point."""
        public: Template = {CLASS: PUBLIC_KEY, KEY_TYPE: EC, TOKEN: True, LABEL: label, EC_PARAMS: P256}
        private: Template = {CLASS: PRIVATE_KEY, KEY_TYPE: EC, TOKEN: True, PRIVATE: True, LABEL: label}
        private |= {SENSITIVE: True, EXTRACTABLE: False, DERIVE: True}
        (public_template, _kept), (private_template, _also) = _template(public), _template(private)
        made, hidden = c_ulong(), c_ulong()
        mechanism = Mechanism(CKM_EC_KEY_PAIR_GEN, None, 0)
        templates = (public_template, len(public_template), private_template, len(private_template))
        self._call("C_GenerateKeyPair", byref(mechanism), *templates, byref(made), byref(hidden))
        point = self.attribute(made.value, EC_POINT)
        return point[2:] if point[:2] == b"\x04\x41" else point  # a DER OCTET STRING; some cards give the bare point

    def decrypt(self, key: int, sealed: bytes, mechanism: int, oaep: tuple[int, int] | None = None) -> bytes:
        parameters = OaepParameters(*oaep, LABEL_GIVEN, None, 0) if oaep else None
        return self._answered("Decrypt", key, sealed, mechanism, parameters)

    def sign(self, key: int, message: bytes, mechanism: int) -> bytes:
        return self._answered("Sign", key, message, mechanism, None)

    def _answered(self, what: str, key: int, message: bytes, mechanism: int, parameters: OaepParameters | None) -> bytes:
        place = (ctypes.addressof(parameters), sizeof(parameters)) if parameters else (None, 0)
        self._call(f"C_{what}Init", byref(Mechanism(mechanism, *place)), key)
        given, answer = _buffer(message), (c_ubyte * 1024)()
        size = c_ulong(len(answer))
        self._call(f"C_{what}", given, len(given), answer, byref(size))
        return bytes(answer[: size.value])


@contextmanager
def faults() -> Iterator[None]:
    """Return values as faults with names."""
    try:
        yield
    except Refusal as refused:
        raise CardFault("card-pulled" if refused.value in GONE else "card-broken") from None


def _template(values: Template) -> tuple[ctypes.Array[Attribute], Sequence[Any]]:
    """CK_ATTRIBUTEs, and what they point to."""
    kept = []
    for value in values.values():
        match value:
            case bool():
                kept.append((c_ubyte * 1)(value))
            case int():
                kept.append(_buffer(bytes(c_ulong(value))))
            case _:
                kept.append(_buffer(value))
    rows = [Attribute(kind, ctypes.addressof(one), len(one)) for kind, one in zip(values, kept, strict=True)]
    return (Attribute * len(rows))(*rows), kept


def _buffer(raw: bytes) -> ctypes.Array[c_ubyte]:
    return (c_ubyte * max(len(raw), 1)).from_buffer_copy(raw or b"\0") if raw else (c_ubyte * 0)()


def _text(raw: Any) -> str:
    return bytes(raw).decode("utf-8", "replace").replace("\0", " ").strip()
