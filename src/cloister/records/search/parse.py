"""The parameters of a search request, as a Query. Spec: http://hl7.org/fhir/R4/search.html.

What is unknown is refused under `Prefer: handling=strict` and otherwise left out and named; what is known and not
offered is always refused, because leaving it out would silently answer another question.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl, unquote

from cloister.base.errors import Invalid, NotFound, Unsupported
from cloister.records.definitions import is_type
from cloister.records.search.compile import parameter, parameters
from cloister.records.search.entry import IndexEntry
from cloister.records.search.filter import filtered
from cloister.records.search.query import (
    COUNT_DEFAULT,
    COUNT_MAX,
    Chain,
    Filter,
    Include,
    Kind,
    Parameter,
    Pointed,
    Query,
    SortKey,
    Term,
    Tree,
)
from cloister.records.search.terms import PREFIX, Asked, date_within, placed, split, term, unescape
from cloister.records.search.words import words_term

PARAMETERS_MAX: Final = 100
VALUE_CHARACTERS_MAX: Final = 100_000
CHAIN_TYPES_MAX: Final = 8
STEPS_MAX: Final = 4  # of chains and `_has` inside each other
REFUSED: Final = frozenset({"_query", "_containedType", "_type"})
FORMAT: Final = frozenset({"_format", "_pretty"})  # the HTTP face looks at these
TOTALS: Final = frozenset({"none", "estimate", "accurate"})
SUMMARIES: Final = frozenset({"true", "text", "data", "count", "false"})


@dataclass(slots=True)
class Draft:
    """A query being read: fields as in Query."""

    type: str
    asked: Asked
    strict: bool
    terms: list[Term] = field(default_factory=list)
    chains: list[Chain] = field(default_factory=list)
    pointed: list[Pointed] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)
    trees: list[Tree] = field(default_factory=list)
    sort: list[SortKey] = field(default_factory=list)
    count: int = COUNT_DEFAULT
    includes: list[Include] = field(default_factory=list)
    total: str = "accurate"
    summary: str = "false"
    elements: tuple[str, ...] = ()
    ids: frozenset[str] | None = None
    ignored: list[str] = field(default_factory=list)
    applied: list[tuple[str, str]] = field(default_factory=list)
    inside: bool = False  # a step further along a chain

    def unknown(self, name: str) -> None:
        if self.strict:
            left = "" if self.inside else ", or send 'Prefer: handling=lenient' to have it left out"
            raise Invalid(
                f"{self.type} has no search parameter '{name[:64]}'.",
                hint=f"Correct it{left}.",
                reason="unknown-parameter",
                expression=name[:64],
            )
        self.ignored.append(name[:64])


def parse(type: str, pairs: Iterable[tuple[str, str]], *, strict: bool = False, base: str = "", now: datetime | None = None) -> Query:
    """The query that these name-value pairs ask for. `base` is our own FHIR base address: references that begin with it are ours.

    Raises NotFound for what is no resource type, Invalid and Unsupported with the parameter's name as expression.
    """
    if not is_type(type):
        raise NotFound(f"There is no resource type '{type[:64]}' in FHIR R4.", hint="Mind upper and lower case: Patient, Observation.")
    return _parsed(Draft(type, Asked(base, now), strict), pairs)


def _parsed(draft: Draft, pairs: Iterable[tuple[str, str]]) -> Query:
    for number, (name, text) in enumerate(pairs):
        if number >= PARAMETERS_MAX or len(text) > VALUE_CHARACTERS_MAX:
            raise Invalid("This search is too long.", hint=f"At most {PARAMETERS_MAX} parameters; split long lists of values.")
        if name not in FORMAT:
            before = len(draft.ignored)
            _read(draft, name, text)
            if len(draft.ignored) == before:
                draft.applied.append((name, text))
    return Query(
        type=draft.type,
        terms=tuple(draft.terms),
        chains=tuple(draft.chains),
        pointed=tuple(draft.pointed),
        filters=tuple(draft.filters),
        trees=tuple(draft.trees),
        sort=tuple(draft.sort),
        count=draft.count,
        includes=tuple(draft.includes),
        total=draft.total,
        summary=draft.summary,
        elements=draft.elements,
        ids=draft.ids,
        ignored=tuple(draft.ignored),
        applied=tuple(draft.applied),
    )


def parse_url(url: str, *, strict: bool = True, base: str = "", now: datetime | None = None) -> Query:
    """A query written as 'Patient?identifier=x': a conditional reference, If-None-Exist with its type, a batch entry."""
    path, _, text = url.removeprefix(base).lstrip("/").partition("?")
    return parse(unquote(path), pairs_of(text), strict=strict, base=base, now=now)


def pairs_of(text: str) -> list[tuple[str, str]]:
    """The name-value pairs of a query string or form; raises Invalid when there are too many."""
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=PARAMETERS_MAX, errors="strict")
    except ValueError:  # UnicodeDecodeError is one too
        hint = f"Percent-encode it as UTF-8; at most {PARAMETERS_MAX} parameters."
        raise Invalid("The query string cannot be read.", hint=hint) from None


def _read(draft: Draft, name: str, text: str) -> None:
    code, _, modifier = name.partition(":")
    if code in RESULT:
        RESULT[code](draft, name, text)
    elif code == "_has":
        _has(draft, name, text)
    elif code in REFUSED:
        raise Unsupported(f"Searching by '{code}' is not offered.", hint="See the CapabilityStatement for what is.", expression=code)
    elif "." in name:
        _chain(draft, name, text)
    else:
        known = parameter(draft.type, code)
        if known is None:
            draft.unknown(name)
        elif modifier in ("above", "below") and known.kind is Kind.REFERENCE and known.places and not known.canonical:
            draft.trees.append(_tree(known, name, modifier, text, draft.asked))
        else:
            draft.terms.append(term(known, name, modifier, text, draft.asked))


# --- chains, and what points here ---------------------------------------------------------------------------------


def _bounded(name: str) -> None:
    if name.count(".") + name.count("_has:") > STEPS_MAX:
        text = f"A chain of more than {STEPS_MAX} steps is not offered."
        raise Unsupported(text, hint="Search in two parts.", expression=name[:64])


def _inside(draft: Draft, type: str, name: str, inner: str, text: str) -> Query:
    """The query of a step further along a chain; what is unknown there is always refused."""
    return _parsed(Draft(type, draft.asked, strict=True, inside=True), [(inner, text)])


def _chain(draft: Draft, name: str, text: str) -> None:
    """search.html#chaining. Of the types that a reference may point at, those that know what follows are asked."""
    _bounded(name)
    link, _, rest = name.partition(".")
    code, _, type = link.partition(":")
    known = parameter(draft.type, code)
    if known is None or known.kind is not Kind.REFERENCE or not known.places:
        draft.unknown(name)
        return
    types = (type,) if type else (known.only.rstrip("/"),) if known.only else known.targets
    able = [one for one in types if is_type(one) and _knows(one, rest)]
    if types and not able:
        draft.unknown(name)
        return
    if not types or len(able) > CHAIN_TYPES_MAX:
        raise Invalid(f"'{name}' may mean too many types.", hint=f"Name the type: {code}:Patient.{rest}", expression=name)
    draft.chains.append(Chain(name, known, tuple(_inside(draft, one, name, rest, text) for one in able)))


def _tree(known: Parameter, name: str, modifier: str, text: str, asked: Asked) -> Tree:
    """search.html, "Searching hierarchies". The types that can be part of their own kind, and of nothing else, have one."""
    targets = (known.only.rstrip("/"),) if known.only else known.targets
    links = {type: link for type in targets for link in (_part_of(type),) if link is not None}
    roots = []
    for piece in split(text, ","):
        place = placed(piece, asked)
        type, _, id = place.rpartition("/") if "/" in place else (next(iter(links)) if len(links) == 1 else "", "", place)
        if type not in links or not id:
            hint = f"Name one of them by type and id: {', '.join(links)}." if links else "See the CapabilityStatement."
            raise Unsupported(f"':{modifier}' of '{name}' is offered where there is a hierarchy.", hint=hint, expression=name[:64])
        roots.append(f"{type}/{id}")
    (type, *others) = dict.fromkeys(root.partition("/")[0] for root in roots)
    if others:
        raise Unsupported("Only one hierarchy is searched at once.", hint="Search in two parts.", expression=name[:64])
    return Tree(name, known, tuple(roots), links[type], modifier == "above")


def _part_of(type: str) -> Parameter | None:
    found = (parameter(type, code) for code in ("partof", "part-of"))
    return next((one for one in found if one is not None and one.targets == (type,)), None)


def _knows(type: str, name: str) -> bool:
    """True if this type has the parameter, or the whole chain of parameters, of this name."""
    step, dot, rest = name.partition(".")
    code, _, modifier = step.partition(":")
    if code in ("_id", "_lastUpdated", "_has", "_list"):
        return True
    known = parameter(type, code)
    if known is None or not dot:
        return known is not None
    types = (modifier,) if modifier else (known.only.rstrip("/"),) if known.only else known.targets
    return known.kind is Kind.REFERENCE and any(is_type(one) and _knows(one, rest) for one in types)


def _has(draft: Draft, name: str, text: str) -> None:
    """search.html#has: `_has:Observation:patient:code`, where `code` may be a chain, or `_has` once more."""
    _bounded(name)
    _, type, code, inner = (*name.split(":", 3), "", "", "")[:4]
    known = parameter(type, code) if is_type(type) else None
    able = known is not None and known.kind is Kind.REFERENCE and known.places and _may_point(known, draft.type)
    if known is None or not able or not inner or not _knows(type, inner):
        draft.unknown(name)
        return
    draft.pointed.append(Pointed(name, known, _inside(draft, type, name, inner, text)))


def _list(draft: Draft, name: str, text: str) -> None:
    """search.html#list: what a List that this session can open has as its items."""
    if name != "_list" or "$" in text:
        hint = "Name the id of a List: _list=42."
        raise Unsupported("Only the ids of lists are offered in '_list'.", hint=hint, expression=name)
    item = parameter("List", "item")
    if item is not None:
        ids = ",".join(piece.strip().removeprefix("List/") for piece in split(text, ","))
        draft.pointed.append(Pointed(name, item, _inside(draft, "List", name, "_id", ids)))


# --- parameters about the resource as a whole, and about the result -----------------------------------------------


def _id(draft: Draft, name: str, text: str) -> None:
    if name != "_id":
        raise Unsupported("'_id' takes no modifier.", expression=name)
    ids = frozenset(unescape(piece).strip() for piece in split(text, ",") if piece.strip())
    draft.ids = ids if draft.ids is None else draft.ids & ids


def _last_updated(draft: Draft, name: str, text: str) -> None:
    if name != "_lastUpdated":
        raise Unsupported("'_lastUpdated' takes no modifier.", expression=name)
    alternatives = tuple(split(text, ","))
    tests = []
    for piece in alternatives:
        match = PREFIX.fullmatch(piece.strip())
        try:
            tests.append(date_within((match[1] if match else None) or "eq", match[2] if match else piece, draft.asked.now))
        except Invalid as wrong:
            raise Invalid(f"The parameter '_lastUpdated': {wrong.text}", hint=wrong.hint, expression=name) from None

    def test(entry: IndexEntry) -> bool:
        low = entry.updated // 1000 * 1000  # lastUpdated is shown in milliseconds, so it is compared in them
        return any(within(low, low + 1000) for within in tests)

    draft.terms.append(Term(name, None, "", alternatives, None, (), test))


def _filter(draft: Draft, name: str, text: str) -> None:
    if name != "_filter":
        raise Unsupported("'_filter' takes no modifier.", expression=name)
    parts = filtered(draft.type, text, draft.asked)
    draft.terms += parts.terms
    draft.chains += parts.chains
    draft.filters += parts.filters
    if parts.ids is not None:
        draft.ids = parts.ids if draft.ids is None else draft.ids & parts.ids


def _words(draft: Draft, name: str, text: str) -> None:
    code, _, modifier = name.partition(":")
    if modifier:
        raise Unsupported(f"'{code}' takes no modifier.", expression=name)
    if parameter(draft.type, code) is None:
        draft.unknown(name)
    else:
        draft.terms.append(words_term(code, text))


def _count(draft: Draft, name: str, text: str) -> None:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Invalid("'_count' takes a whole number.", hint=f"From 0 to {COUNT_MAX}.", expression=name)
    if int(text) == 0:
        draft.summary = "count"  # search.html#count: _count=0 is the same as _summary=count
    draft.count = min(max(int(text), 1), COUNT_MAX)


def _sort(draft: Draft, name: str, text: str) -> None:
    for piece in split(text, ","):
        code = piece.strip().lstrip("-")
        descending = piece.strip().startswith("-")
        known = parameter(draft.type, code)
        if code in ("_id", "_lastUpdated"):
            draft.sort.append(SortKey(None, code, descending))
        elif known is not None and known.places:
            draft.sort.append(SortKey(known, code, descending))
        elif code:
            draft.unknown(f"_sort={code}")


def _include(draft: Draft, name: str, text: str) -> None:
    code, _, modifier = name.partition(":")
    if modifier not in ("", "iterate", "recurse"):
        raise Unsupported(f"The modifier ':{modifier}' is not offered on '{code}'.", hint="Use :iterate or none.", expression=name)
    reverse = code == "_revinclude"
    for piece in split(text, ","):
        source, _, rest = piece.strip().partition(":")
        link, _, target = rest.partition(":")
        if source == "*" and reverse:
            hint = "Name the type: _revinclude=Observation:*."
            raise Unsupported("'_revinclude' of every type is not offered.", hint=hint, expression=name)
        if source == "*":
            source, link = draft.type, "*"
        found = [known for known in _links(source, link) if not reverse or _may_point(known, draft.type)]
        if not found or (target and not is_type(target)):
            draft.unknown(f"{name}={piece}")
        draft.includes += [Include(known, target, reverse, modifier != "") for known in found]


def _links(source: str, code: str) -> list[Parameter]:
    if not is_type(source):
        return []
    wanted = parameters(source).values() if code == "*" else [one for one in (parameter(source, code),) if one is not None]
    return [one for one in wanted if one.kind is Kind.REFERENCE and one.places]


def _may_point(known: Parameter, type: str) -> bool:
    return known.only == f"{type}/" if known.only else not known.targets or type in known.targets


def _total(draft: Draft, name: str, text: str) -> None:
    if text not in TOTALS:
        raise Invalid("'_total' takes none, estimate or accurate.", expression=name)
    draft.total = text


def _summary(draft: Draft, name: str, text: str) -> None:
    if text not in SUMMARIES:
        raise Invalid("'_summary' takes true, text, data, count or false.", expression=name)
    draft.summary = text


def _elements(draft: Draft, name: str, text: str) -> None:
    draft.elements += tuple(piece.strip().removeprefix(f"{draft.type}.") for piece in text.split(",") if piece.strip())


def _contained(draft: Draft, name: str, text: str) -> None:
    if text != "false":
        raise Unsupported("Searching contained resources is not offered.", expression=name)


RESULT: Final = {
    "_id": _id,
    "_lastUpdated": _last_updated,
    "_count": _count,
    "_sort": _sort,
    "_include": _include,
    "_revinclude": _include,
    "_total": _total,
    "_summary": _summary,
    "_elements": _elements,
    "_contained": _contained,
    "_list": _list,
    "_filter": _filter,
    "_text": _words,
    "_content": _words,
}
