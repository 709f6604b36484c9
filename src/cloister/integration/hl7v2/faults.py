"""What can be wrong with a message, as its sender hears of it: HL7 v2.5 table 0357 (ERR-3) and the place (ERR-2)."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar, Final

from cloister.base.errors import Invalid


class Condition(IntEnum):
    """Table 0357, message error condition codes."""

    ACCEPTED = 0
    SEGMENT_SEQUENCE = 100
    FIELD_MISSING = 101
    DATA_TYPE = 102
    TABLE_VALUE = 103
    MESSAGE_TYPE = 200
    EVENT_CODE = 201
    PROCESSING_ID = 202
    VERSION = 203
    KEY_UNKNOWN = 204
    KEY_DUPLICATE = 205
    LOCKED = 206
    INTERNAL = 207


NAMES: Final = {
    Condition.ACCEPTED: "Message accepted",
    Condition.SEGMENT_SEQUENCE: "Segment sequence error",
    Condition.FIELD_MISSING: "Required field missing",
    Condition.DATA_TYPE: "Data type error",
    Condition.TABLE_VALUE: "Table value not found",
    Condition.MESSAGE_TYPE: "Unsupported message type",
    Condition.EVENT_CODE: "Unsupported event code",
    Condition.PROCESSING_ID: "Unsupported processing id",
    Condition.VERSION: "Unsupported version id",
    Condition.KEY_UNKNOWN: "Unknown key identifier",
    Condition.KEY_DUPLICATE: "Duplicate key identifier",
    Condition.LOCKED: "Application record locked",
    Condition.INTERNAL: "Application internal error",
}


class Unfit(Invalid):
    """The message cannot be taken as it is. `place` is SEG^sequence^field^repetition^component, as far as known; never a value."""

    rejects: ClassVar[bool] = False

    def __init__(self, text: str, *, condition: Condition, place: str = "", hint: str = "", reason: str = "") -> None:
        super().__init__(text, hint=hint, reason=reason or condition.name.lower().replace("_", "-"))
        self.condition = condition
        self.place = place


class Unreadable(Unfit):
    """Not even its header can be followed: AR, and there is nothing to park."""

    rejects: ClassVar[bool] = True
