"""What a browser says to a screen, message by message: RFC 6143 7.5, and the extensions that noVNC uses. Pure.

The session passes on only whole messages of known kinds, so that it, and not only Xvnc, decides what of the clipboard comes in and goes
out, and so that it knows when its person works. What comes from the screen is passed on as it is, because its length is known only to who
decodes it. A clipboard that may not go out is therefore never asked for: the screen is told, before anything else, that this viewer
takes the extended clipboard (rfbproto, 7.7.27) in notices alone, and no request of the browser passes. A server then sends no text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloister.base.errors import Invalid

VERSION_BYTES: Final = 12
MESSAGE_BYTES_MAX: Final = 1_048_576
SET_PIXEL_FORMAT, SET_ENCODINGS, UPDATE_REQUEST, KEY, POINTER, CUT_TEXT = 0, 2, 3, 4, 5, 6
CONTINUOUS_UPDATES, FENCE, XVP, SET_DESKTOP_SIZE, QEMU = 150, 248, 250, 251, 255
FIXED: Final = {SET_PIXEL_FORMAT: 20, UPDATE_REQUEST: 10, KEY: 8, POINTER: 6, CONTINUOUS_UPDATES: 10, XVP: 4, QEMU: 12}
BY_HAND: Final = frozenset({KEY, POINTER, QEMU})
REFUSED: Final = frozenset({XVP})  # "shut down, reboot": of a machine, which a program has none of
HANDS: Final = BY_HAND | {CUT_TEXT, SET_DESKTOP_SIZE}  # what one who only looks may not do
EXTENDED_CLIPBOARD: Final = bytes.fromhex("C0A1E5CE")  # a pseudo-encoding
TEXT, CAPS, REQUEST, PEEK, NOTIFY, PROVIDE = 1, 1 << 24, 1 << 25, 1 << 26, 1 << 27, 1 << 28
ACTIONS: Final = CAPS | REQUEST | PEEK | NOTIFY | PROVIDE
ENCODINGS_MAX: Final = 256


def cut_text(flags: int, body: bytes = b"") -> bytes:
    """An extended clipboard message: its length is written as a negative number."""
    return bytes((CUT_TEXT, 0, 0, 0)) + (-(4 + len(body))).to_bytes(4, "big", signed=True) + flags.to_bytes(4, "big") + body


def set_encodings(encodings: bytes) -> bytes:
    return bytes((SET_ENCODINGS, 0)) + (len(encodings) // 4).to_bytes(2, "big") + encodings


# This viewer takes texts of no length unasked, and says so as its first words.
NOTICES_ALONE: Final = set_encodings(EXTENDED_CLIPBOARD) + cut_text(CAPS | NOTIFY | REQUEST | PROVIDE | TEXT, bytes(4))


@dataclass(slots=True)
class FromBrowser:
    """`clipboard_in`, `clipboard_out`: whether cut text may pass; `view_only` for one who looks and touches nothing. `worked` is set
    when a key or the pointer moved."""

    clipboard_in: bool
    clipboard_out: bool
    view_only: bool = False
    worked: bool = False
    _held: bytes = b""
    _greetings: int = 3  # protocol version, security type, ClientInit

    def feed(self, data: bytes) -> bytes:
        """What of it goes to the screen now. Raises Invalid for what is no RFB."""
        held, out = self._held + data, []
        while held:
            length = self._length(held)
            if length is None or length > len(held):
                break
            message, held = held[:length], held[length:]
            out.append(self._onward(message))
        if len(held) > MESSAGE_BYTES_MAX:
            raise Invalid("A message of the screen is too long.", reason="rfb")
        self._held = held
        return b"".join(out)

    def _length(self, held: bytes) -> int | None:
        """Of the message that begins here; None while that cannot be known."""
        if self._greetings:
            return VERSION_BYTES if self._greetings == 3 else 1
        kind = held[0]
        if kind in FIXED:
            return FIXED[kind]
        if kind == SET_ENCODINGS:
            return 4 + 4 * int.from_bytes(held[2:4], "big") if len(held) >= 4 else None
        if kind == CUT_TEXT:  # negative: the extended clipboard
            return 8 + abs(int.from_bytes(held[4:8], "big", signed=True)) if len(held) >= 8 else None
        if kind == FENCE:
            return 9 + held[8] if len(held) >= 9 else None
        if kind == SET_DESKTOP_SIZE:
            return 8 + 16 * held[6] if len(held) >= 7 else None
        raise Invalid("The browser says what no screen understands.", hint="Load the page again.", reason="rfb")

    def _onward(self, message: bytes) -> bytes:
        """What the screen hears of it."""
        if self._greetings:
            self._greetings -= 1
            return message if self._greetings or self.clipboard_out else message + NOTICES_ALONE
        kind = message[0]
        if kind in REFUSED or (self.view_only and kind in HANDS):
            return b""
        if kind in BY_HAND:
            self.worked = True
        if kind == CUT_TEXT:
            return message if self._may_cut(message) else b""
        if kind == SET_ENCODINGS and not self.clipboard_out:
            rest = [message[at : at + 4] for at in range(4, len(message), 4)]
            return set_encodings(b"".join([EXTENDED_CLIPBOARD, *(one for one in rest[:ENCODINGS_MAX] if one != EXTENDED_CLIPBOARD)]))
        return message

    def _may_cut(self, message: bytes) -> bool:
        length = int.from_bytes(message[4:8], "big", signed=True)
        if length >= 0:
            return self.clipboard_in
        action = int.from_bytes(message[8:12], "big") & ACTIONS if length <= -4 else 0
        if action in (NOTIFY, PROVIDE):
            return self.clipboard_in
        # What this viewer can take has been said; a request, or other words about it, would bring text out.
        return self.clipboard_out and bool(action & CAPS or action in (REQUEST, PEEK))
