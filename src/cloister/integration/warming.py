"""What is loaded at first use, loaded once before sessions are forked: a session may open no file."""

from __future__ import annotations

import encodings.iso8859_1
import encodings.iso8859_15  # noqa: F401 - MSH-18

from cloister.integration import serving, waiting  # noqa: F401 - and all that they load
from cloister.integration.hl7v2.message import read_message
from cloister.integration.hl7v2.overrides import built_in, encoded, read_overrides
from cloister.integration.summary.narrative import words


def warm() -> None:
    """Read the tables and one message of each character set."""
    built_in()
    words()
    encoded(read_overrides(b'{"senders":[{"sender":"*"}]}'))
    for charset in ("UNICODE UTF-8", "8859/1", "8859/15"):
        read_message(f"MSH|^~\\&|A|B|||20260101||ADT^A28|1|P|2.5||||||{charset}\rPID|1||1^^^A&1.2&ISO~2^^^B\r".encode())
