"""Templates and words, read and compiled once: afterwards a page is drawn without opening a file (a session may open none)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import DictLoader, Environment, FileSystemBytecodeCache, StrictUndefined
from jinja2 import __version__ as jinja_version
from jinja2.bccache import Bucket
from markupsafe import Markup

from cloister.access import rules
from cloister.base.errors import CloisterError, number_of
from cloister.epr import KIT_FOLDER, MODULES, Card, Catalogue, Module, Words, read_catalogue
from cloister.web.assets import Asset, read_assets
from cloister.web.icons import icon

FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Pages:
    """Draws pages. Every template is compiled already; an unknown variable is a mistake and raises."""

    environment: Environment
    catalogue: Catalogue
    modules: tuple[Module, ...]

    def render(self, name: str, *, language: str = "en", **context: Any) -> str:
        """A page in one language. What each page needs stands at the top of its template."""
        return self.draw(name, self.catalogue.of(language), context)

    def draw(self, name: str, words: Words, context: Mapping[str, Any]) -> str:
        whole = {**context, "t": words, "sentence": _sentences(words), "hint": _hints(words), "js_words": _part_of(words)}
        whole["card_of"] = lambda card, values: self._card(card, whole, values)
        return self.environment.get_template(name).render(whole)

    def _card(self, card: Card, page: Mapping[str, Any], values: Mapping[str, Any]) -> Markup:
        return Markup(self.environment.get_template(card.template).render({**page, **values}))


def _sentences(words: Words) -> Any:
    def sentence(error: CloisterError) -> str:
        """What went wrong, in the person's language: by its reason, else as the store said it, else by its category."""
        if isinstance(error, rules.Forbidden):
            return rules.hinted(error.refused, words.language)[0]
        if words.has(f"web.reason.{error.reason}"):
            return words(f"web.reason.{error.reason}")
        return error.text if words.language == "en" else words(f"web.error.{error.category}")

    return sentence


def _hints(words: Words) -> Any:
    def hint(error: CloisterError) -> str:
        """What to do next, found in the same order, and the number by which an officer finds a refusal."""
        number = number_of(error)
        return f"{_next(error)} {words('web.refusals.number', number=number)}".strip() if number else _next(error)

    def _next(error: CloisterError) -> str:
        if isinstance(error, rules.Forbidden):
            return rules.hinted(error.refused, words.language)[1]
        if words.has(f"web.reason-hint.{error.reason}"):
            return words(f"web.reason-hint.{error.reason}")
        return error.hint if words.language == "en" and error.hint else words(f"web.hint.{error.category}")

    return hint


def _part_of(words: Words) -> Any:
    def part(prefix: str) -> dict[str, str]:
        """The sentences that a script of the page may need, without their prefix."""
        return {key.removeprefix(prefix): text for key, text in words.sentences.items() if key.startswith(prefix)}

    return part


class Compiled(FileSystemBytecodeCache):
    """Compiled templates beside this package's compiled modules, as trusted as those: who may write here may write the program.

    A changed template, another Python or another Jinja is compiled anew; a folder that cannot be written is done without.
    """

    def __init__(self) -> None:
        super().__init__(str(FOLDER / "__pycache__"), f"page-{jinja_version}-%s.cache")

    def dump_bytecode(self, bucket: Bucket) -> None:
        with contextlib.suppress(OSError):
            super().dump_bytecode(bucket)


def read_pages(modules: tuple[Module, ...] = MODULES, assets: Mapping[str, Asset] | None = None) -> Pages:
    """Reads and compiles everything. Raises Corrupt for words that are missing in a language."""
    sources = dict(_templates("", FOLDER / "templates"))
    sources.update(_templates("kit/", KIT_FOLDER / "templates"))
    for module in modules:
        sources.update(_templates(f"{module.name}/", module.folder / "templates"))
    environment = Environment(
        loader=DictLoader(sources),
        autoescape=True,
        auto_reload=False,
        bytecode_cache=Compiled(),
        cache_size=-1,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(asset=_asset(read_assets() if assets is None else assets), icon=icon, clock=_clock)
    environment.filters["json_block"] = _json_block
    catalogue = read_catalogue([FOLDER / "words", KIT_FOLDER / "words", *(module.folder / "words" for module in modules)])
    for name in sources:
        environment.get_template(name)
    return Pages(environment, catalogue, modules)


def _templates(prefix: str, folder: Path) -> Iterable[tuple[str, str]]:
    for path in sorted(folder.rglob("*.html")):
        yield prefix + path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8")


def _asset(assets: Mapping[str, Asset]) -> Any:
    def asset(name: str) -> Asset:
        return assets[name]

    return asset


def _clock(at: datetime) -> str:
    return at.astimezone().strftime("%H:%M:%S")


def _json_block(value: Any) -> Markup:
    """JSON inside <script type="application/json">: no '<' can end the block early."""
    return Markup(json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace("&", "\\u0026"))
