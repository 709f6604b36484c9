"""What a trust brings along, read and checked: FHIR JSON, packages of implementation guides, tables of codes.

Spec: https://confluence.hl7.org/display/FHIR/NPM+Package+Specification (a gzipped tar with `package/`), FHIR R4 Bundle, RFC 4180.
Everything good is kept; each entry that is not is named with its reason. Nothing is written here (cli/terminology.py does that).
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cloister.base.errors import CloisterError, Invalid, NotFound
from cloister.records.fhir.text import decode
from cloister.records.terminology.pack import KINDS
from cloister.records.validation import issues_of

FILE_BYTES_MAX: Final = 1024 * 1024 * 1024
MEMBER_BYTES_MAX: Final = 256 * 1024 * 1024
MEMBERS_MAX: Final = 50_000
R4: Final = ("4.0", "4.3")
WITHOUT: Final = ("text", "contained", "meta")  # of no use here, and large
ISSUES_SHOWN_MAX: Final = 3

Progress = Callable[[int, int], None]  # bytes read, bytes in all


@dataclass(frozen=True, slots=True)
class Rejected:
    """An entry that was not taken: where it stands, why, what to do."""

    where: str
    text: str
    hint: str = ""


@dataclass(slots=True)
class Loaded:
    """What was read: the resources by kind and address, in order; what was rejected; how many are of no concern here."""

    resources: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    aside: int = 0
    name: str = ""

    def reject(self, where: str, error: CloisterError) -> None:
        self.rejected.append(Rejected(where, error.text, error.hint))

    def take(self, where: str, resource: Any) -> None:
        """Keep a resource, or what a Bundle or a list holds, if it is one that counts here and holds what it must."""
        if isinstance(resource, list):
            resource = {"resourceType": "Bundle", "entry": [{"resource": one} for one in resource]}
        kind = resource.get("resourceType") if isinstance(resource, dict) else None
        if kind == "Bundle" and isinstance(resource.get("entry"), list):
            for number, entry in enumerate(resource["entry"]):
                self.take(f"{where} entry {number}", entry.get("resource") if isinstance(entry, dict) else None)
            return
        if kind not in KINDS:
            self.aside += 1
            return
        body = {name: value for name, value in resource.items() if name not in WITHOUT}
        try:
            checked(body)
        except CloisterError as wrong:
            self.reject(f"{where} ({kind}/{str(body.get('id', '?'))[:64]})", wrong)
            return
        self.resources[kind, body["url"], str(body.get("version", ""))] = body


def checked(resource: dict[str, Any]) -> None:
    """Returns if a definition can be used; raises Invalid with the reason otherwise."""
    if not isinstance(resource.get("url"), str) or not resource["url"]:
        raise Invalid("It has no canonical address.", hint="Give it a url.")
    issues = issues_of(resource)
    if issues:
        told = "; ".join(f"{one.expression}: {one.text}" for one in issues[:ISSUES_SHOWN_MAX])
        raise Invalid(f"It is no valid FHIR R4: {told}", hint=issues[0].hint)
    if resource["resourceType"] == "CodeSystem":
        _check_codes(resource)


def _check_codes(resource: dict[str, Any]) -> None:
    """csd-1: within a code system, all codes are unique (http://hl7.org/fhir/R4/codesystem.html#invs)."""
    seen: set[str] = set()
    waiting = list(resource.get("concept", ()))
    while waiting:
        concept = waiting.pop()
        code = concept.get("code", "")
        if not code:
            raise Invalid("One of its concepts has no code.", hint="Give it one, or leave it out.")
        if code in seen:
            raise Invalid(f"The code '{code[:80]}' stands in it twice.", hint="Correct the code system: each code once.")
        seen.add(code)
        waiting.extend(concept.get("concept", ()))


def read_path(path: Path, progress: Progress | None = None) -> Loaded:
    """A JSON file, a package (.tgz), or a folder of them. Raises NotFound and Invalid for what cannot be read at all."""
    loaded = Loaded(name=path.name.partition(".")[0] if path.suffix == ".json" else path.stem)
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.suffix == ".json" and one.is_file())
        total = sum(one.stat().st_size for one in files)
        done = 0
        for one in files[:MEMBERS_MAX]:
            _read_json(loaded, str(one.relative_to(path)), one.read_bytes())
            done += one.stat().st_size
            if progress is not None:
                progress(done, total)
        return loaded
    try:
        size = path.stat().st_size
    except OSError as wrong:
        raise NotFound(f"{path} cannot be read: {wrong.strerror}.", hint="Name a file, a package (.tgz) or a folder.") from None
    if size > FILE_BYTES_MAX:
        raise Invalid(f"{path.name} is larger than {FILE_BYTES_MAX // 1024**2} MiB.", hint="Load it in parts.")
    if path.suffix in (".tgz", ".gz", ".tar"):
        _read_package(loaded, path, size, progress)
    else:
        _read_json(loaded, path.name, path.read_bytes())
        if progress is not None:
            progress(size, size)
    return loaded


def _read_json(loaded: Loaded, where: str, body: bytes) -> None:
    try:
        loaded.take(where, decode(body.removeprefix(b"\xef\xbb\xbf")))
    except CloisterError as broken:
        loaded.reject(where, broken)


def _read_package(loaded: Loaded, path: Path, size: int, progress: Progress | None) -> None:
    try:
        with path.open("rb") as raw, tarfile.open(fileobj=raw) as package:
            for where, body in _members(loaded, package):
                if where == "package/package.json":
                    loaded.name = _manifest(body) or loaded.name
                else:
                    _read_json(loaded, where, body)
                if progress is not None:
                    progress(min(raw.tell(), size), size)
    except (tarfile.TarError, EOFError, OSError) as broken:
        raise Invalid(f"{path.name} is no package: {type(broken).__name__}.", hint="Take the .tgz of the implementation guide.") from None


def _members(loaded: Loaded, package: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    """The JSON files of a package: its manifest and its resources, without examples."""
    for number, member in enumerate(package):
        folder, _, name = member.name.removeprefix("./").rpartition("/")
        if number >= MEMBERS_MAX:
            raise Invalid(f"The package has more than {MEMBERS_MAX} files.", hint="Load it in parts.")
        if not member.isfile() or folder != "package" or not name.endswith(".json") or name == ".index.json":
            continue
        if member.size > MEMBER_BYTES_MAX:
            loaded.rejected.append(Rejected(member.name, f"It is larger than {MEMBER_BYTES_MAX // 1024**2} MiB.", "Load it in parts."))
            continue
        content = package.extractfile(member)
        if content is not None:
            yield f"{folder}/{name}", content.read()


def _manifest(body: bytes) -> str:
    """Name and version of the package; raises Invalid when it is made for another FHIR than R4."""
    manifest = decode(body)
    if not isinstance(manifest, dict):
        return ""
    versions = manifest.get("fhirVersions") or manifest.get("fhir-version-list") or []
    if versions and not any(str(one).startswith(R4) for one in versions):
        made = ", ".join(str(one)[:20] for one in versions[:4])
        raise Invalid(f"This package is made for FHIR {made}, and this server speaks R4.", hint="Take the guide's edition for 4.0.1.")
    return f"{str(manifest.get('name', ''))[:100]}-{str(manifest.get('version', ''))[:40]}"


def merged(several: Iterable[Loaded]) -> Loaded:
    """All of them as one; of the same resource the last counts."""
    whole = Loaded()
    for one in several:
        whole.resources.update(one.resources)
        whole.rejected += one.rejected
        whole.aside += one.aside
        whole.name = whole.name or one.name
    return whole
