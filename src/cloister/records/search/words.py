"""`_text` and `_content`: words in the narrative, and anywhere in a resource. Spec: http://hl7.org/fhir/R4/search.html#text.

No word of a text is in any index, not even a sealed one: the opened resource decides. Every word asked for must begin a
word of the text; case and accents do not count.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from cloister.base.errors import Invalid, Unsupported
from cloister.records.search.fold import fold
from cloister.records.search.query import Term
from cloister.records.search.terms import split, unescape

WORD: Final = re.compile(r"[^\W_]+")
OPERATOR: Final = re.compile(r'[()"*]|\b(?:AND|OR|NOT|NEAR)\b')
MARKUP: Final = re.compile(r"<[^>]*>")
UNREADABLE: Final = frozenset({"data", "hash", "blob"})  # Base64 (of Attachment, Binary, Signature): no words


def words_term(code: str, text: str) -> Term:
    """The compiled term; raises Invalid or Unsupported with the parameter's name as expression."""
    alternatives = tuple(piece for piece in split(text, ",") if piece.strip())
    if any(OPERATOR.search(one) for one in alternatives):
        hint = "Write the words that must all be there, and a comma between alternatives."
        raise Unsupported(f"Operators and quotes are not offered in '{code}'.", hint=hint, expression=code)
    wanted = [[f" {word}" for word in WORD.findall(fold(unescape(one)))] for one in alternatives]
    if not wanted or not all(wanted):
        raise Invalid(f"The parameter '{code}' has no word.", hint="Give it one word or more.", expression=code)
    pieces: Callable[[dict[str, Any]], Iterator[str]] = _narrative if code == "_text" else _everything

    def whole(resource: dict[str, Any]) -> bool:
        there = " " + " ".join(WORD.findall(fold(" ".join(pieces(resource)))))
        return any(all(word in there for word in one) for one in wanted)

    return Term(code, None, "", alternatives, None, (), lambda entry: True, whole)


def _narrative(resource: dict[str, Any]) -> Iterator[str]:
    div = resource.get("text", {}).get("div")
    if isinstance(div, str):
        yield _read(div)


def _everything(resource: dict[str, Any]) -> Iterator[str]:
    """Every text and number in the resource, its narrative without markup."""
    left: list[Any] = [resource]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            left.extend(
                _read(one) if name == "div" and isinstance(one, str) else one for name, one in node.items() if name not in UNREADABLE
            )
        elif isinstance(node, list):
            left.extend(node)
        elif node is not None and not isinstance(node, bool):
            yield str(node)


def _read(div: str) -> str:
    return html.unescape(MARKUP.sub(" ", div))
