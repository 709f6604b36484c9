"""`:in`, `:not-in`, `:below`, `:above` on codes: the tokens of a value set, of everything under a code, of everything above it.

Spec: http://hl7.org/fhir/R4/search.html#token, #modifiers. What is loaded decides (docs/terminology.md); the set is made once, when
the search is read, and compared with opened values like any list of codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cloister.base.errors import CloisterError, Invalid
from cloister.records.search.entry import UNIT

OF_CODES: Final = frozenset({"in", "not-in", "below", "above"})
CODES_MAX: Final = 50_000


def tokens_of(modifier: str, alternatives: Sequence[tuple[str, str]], *, plain: bool) -> frozenset[str]:
    """The tokens that the modifier means. `alternatives`: of a value set its address with an empty code, else system and code.

    Raises Invalid where nothing loaded tells what is meant.
    """
    try:
        pairs = [pair for system, code in alternatives for pair in _pairs(modifier, system, code)]
    except Invalid:
        raise
    except CloisterError as absent:
        raise Invalid(absent.text, hint=absent.hint, reason=absent.reason) from None
    return frozenset(f"{'' if plain else system}{UNIT}{code.lower()}" for system, code in pairs)


def _pairs(modifier: str, system: str, code: str) -> list[tuple[str, str]]:
    # Not at the top: terminology folds text as search does, so each would import the other first.
    from cloister.records.terminology import shelf
    from cloister.records.terminology.coding import Coded, located

    value_sets = shelf.value_sets()
    found: list[tuple[str, str]] = []
    if modifier in ("in", "not-in"):
        for concept in value_sets.concepts(value_sets.composed(system)):
            found.append((concept.system, concept.code))
            if len(found) > CODES_MAX:
                hint = "Search for fewer: a smaller value set, or the codes themselves."
                raise Invalid(f"This value set has more than {CODES_MAX} codes.", hint=hint, reason="too-costly")
        return found
    concept = located(value_sets.library, Coded(system, code))
    of, number = concept.of, concept.number
    if of is None or number is None:
        return [(system, concept.code)]
    numbers = of.under(number) if modifier == "below" else of.over(number)
    return [(system, of.code(one)) for one in numbers]
