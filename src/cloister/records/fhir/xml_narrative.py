"""The narrative inside a resource's XML, as the text that JSON has for it. Spec: http://hl7.org/fhir/R4/narrative.html.

Only the form is changed here: prefixes, entities and comments go, and the one namespace stands on the outermost div. What
may stand in a narrative is decided by validation, as for JSON.
"""

from __future__ import annotations

from typing import Final

from cloister.records.fhir.xml_shapes import XHTML

DEPTH_MAX: Final = 200
START: Final = f"{XHTML} "
XML_LANG: Final = "http://www.w3.org/XML/1998/namespace lang"
VOID: Final = frozenset({"br", "hr", "img", "col"})  # of HTML; others are closed by an end tag, so that HTML readers close them
IN_TEXT: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})
IN_ATTRIBUTE: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"})


class Narrative:
    """Collects one div. `start` says what is wrong, in a sentence without its end, or gives an empty text."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._open: list[tuple[str, int]] = []  # name, and the place of its start among the pieces

    def start(self, name: str, attributes: dict[str, str]) -> str:
        if not name.startswith(START):
            return f"The narrative holds <{name.rpartition(' ')[2][:64]}>, which is no XHTML"
        if len(self._open) >= DEPTH_MAX:
            return "The narrative is nested too deeply"
        local = name[len(START) :]
        written = "" if self._open else f' xmlns="{XHTML}"'
        for attribute, text in attributes.items():
            short = "xml:lang" if attribute == XML_LANG else attribute
            if " " in short:
                return f"The narrative holds the attribute '{short.rpartition(' ')[2][:64]}', which is no XHTML"
            written += f' {short}="{text.translate(IN_ATTRIBUTE)}"'
        self._pieces.append(f"<{local}{written}>")
        self._open.append((local, len(self._pieces) - 1))
        return ""

    def characters(self, text: str) -> None:
        self._pieces.append(text.translate(IN_TEXT))

    def end(self, name: str) -> bool:
        """True when this was the end of the narrative."""
        local, place = self._open.pop()
        if local in VOID and place == len(self._pieces) - 1:
            self._pieces[place] = f"{self._pieces[place][:-1]}/>"
        else:
            self._pieces.append(f"</{local}>")
        return not self._open

    def text(self) -> str:
        return "".join(self._pieces)
