"""A PDF of plain lines and rows (ISO 32000-1): Helvetica in WinAnsi, A4, page numbers. All that a report needs.

Written here because a session opens no file once it is walled in: libraries look for fonts and images when they are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

WIDTH: Final = 595
HEIGHT: Final = 842
MARGIN: Final = 40
LEADING: Final = 13
SIZE: Final = 9
CHARACTER: Final = 0.5  # of Helvetica's size, about: for cutting what does not fit a column


class Pdf:
    def __init__(self, title: str, *, footer: str) -> None:
        self._title = title
        self._footer = footer
        self._pages: list[list[str]] = [[]]
        self._at = HEIGHT - MARGIN

    def heading(self, text: str) -> None:
        self._down(LEADING * 2)
        self._put(MARGIN, text, size=16, bold=True)

    def line(self, text: str) -> None:
        most = int((WIDTH - 2 * MARGIN) / (SIZE * CHARACTER))
        for start in range(0, max(len(text), 1), most):
            self._down(LEADING)
            self._put(MARGIN, text[start : start + most])

    def space(self) -> None:
        self._down(LEADING)

    def row(self, cells: Sequence[str], widths: Sequence[int], *, bold: bool = False) -> None:
        self._down(LEADING)
        left = MARGIN
        for cell, width in zip(cells, widths, strict=True):
            most = int(width / (SIZE * CHARACTER)) - 1
            self._put(left, cell if len(cell) <= most else cell[: most - 1] + "\u2026", bold=bold)
            left += width

    def finished(self) -> bytes:
        count = len(self._pages)
        kids = " ".join(f"{5 + 2 * number} 0 R" for number in range(count))
        objects = [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            f"<< /Type /Pages /Count {count} /Kids [{kids}] >>".encode(),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>",
        ]
        for number, page in enumerate(self._pages):
            fonts = "<< /Font << /F1 3 0 R /F2 4 0 R >> >>"
            place = f"/MediaBox [0 0 {WIDTH} {HEIGHT}] /Resources {fonts} /Contents {6 + 2 * number} 0 R"
            objects.append(f"<< /Type /Page /Parent 2 0 R {place} >>".encode())
            drawn = [*page, _shown(MARGIN, MARGIN / 2, f"{self._footer}   {number + 1} / {count}", 8, "F1")]
            stream = "\n".join(drawn).encode("latin-1")
            objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(b"<< /Title (%s) /Producer (Cloister) >>" % _escaped(self._title).encode("latin-1"))
        return _file(objects)

    def _down(self, points: int) -> None:
        self._at -= points
        if self._at < MARGIN + LEADING:
            self._pages.append([])
            self._at = HEIGHT - MARGIN - LEADING

    def _put(self, left: int, text: str, *, size: int = SIZE, bold: bool = False) -> None:
        self._pages[-1].append(_shown(left, self._at, text, size, "F2" if bold else "F1"))


def _shown(left: float, up: float, text: str, size: int, font: str) -> str:
    return f"BT /{font} {size} Tf {left} {up} Td ({_escaped(text)}) Tj ET"


def _escaped(text: str) -> str:
    """WinAnsi (7.3.4.2), each byte as a Latin-1 character; what the encoding lacks becomes a question mark."""
    raw = text.encode("cp1252", "replace").decode("latin-1")
    return "".join(f"\\{c}" if c in "()\\" else c if c >= " " else " " for c in raw)


def _file(objects: Sequence[bytes]) -> bytes:
    """Header, numbered objects, cross-reference table, trailer (7.5); the last object is the document's information."""
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer << /Size %d /Root 1 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(objects), start)
    return bytes(out)
