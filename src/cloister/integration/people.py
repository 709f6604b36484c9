"""A hospital's list of patients in CSV as FHIR patients: header in English or French, separator and character set found out. Pure.

RFC 4180, and what spreadsheets make of it. Every line stands for itself: what is wrong with one is said with its number, and the
others go in. Nobody is changed by a list: who is here already, by identifier, stays as they are.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import msgspec

from cloister.base.errors import Invalid

Json = dict[str, Any]
LIST_BYTES_MAX: Final = 256 * 1024 * 1024
SEPARATORS: Final = (";", ",", "\t", "|")
VALUE_CHARACTERS_MAX: Final = 500
COLUMNS: Final = {
    "identifier": "identifier|id|patient id|mrn|medical record number|ipp|n ipp|no ipp|numero ipp|numero patient|n patient|identifiant"
    "|identifiant patient|dossier|n dossier",
    "family": "family|family name|last name|lastname|surname|name|birth name|nom|nom de naissance|nom naissance|nom de famille",
    "usual": "usual name|married name|nom d usage|nom usage|nom usuel|nom marital",
    "given": "given|given name|given names|first name|firstname|forename|prenom|prenoms|prenom s|prenom de naissance|prenoms de naissance",
    "birth": "birth date|birthdate|date of birth|dob|born|date de naissance|date naissance|ne le|naissance",
    "sex": "sex|gender|sexe|genre",
    "phone": "phone|telephone|tel|mobile|portable|phone number|numero de telephone",
    "email": "email|e mail|mail|courriel|adresse mail|adresse electronique",
    "address": "address|street|adresse|rue|adresse postale",
    "city": "city|town|ville|commune",
    "postal": "postal code|postcode|zip|zip code|code postal|cp",
    "country": "country|pays",
}
NAMES: Final = {alias: name for name, aliases in COLUMNS.items() for alias in aliases.split("|")}
SEXES: Final = {
    **dict.fromkeys(("f", "female", "femme", "feminin", "w", "2", "mme"), "female"),
    **dict.fromkeys(("m", "male", "homme", "masculin", "h", "1"), "male"),
    **dict.fromkeys(("other", "autre", "o", "x"), "other"),
    **dict.fromkeys(("u", "unknown", "inconnu", "i", "0"), "unknown"),
}
DATES: Final = ("%Y-%m-%d", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y%m%d", "%Y/%m/%d")


class ListMapping(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a header does not say by itself. `columns`: header to one of COLUMNS, or "" to pass it over."""

    system: str = ""  # of the identifiers
    columns: dict[str, str] = {}
    sexes: dict[str, str] = {}
    date: str = ""  # as strptime writes it, such as %m/%d/%Y


@dataclass(frozen=True, slots=True)
class Row:
    """A line that can go in. `number` is its line in the file, from 1."""

    number: int
    identifier: str
    patient: Json


@dataclass(frozen=True, slots=True)
class Wrong:
    number: int
    column: str
    text: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleList:
    """What was found out about a list before its lines are read."""

    charset: str
    separator: str
    columns: Mapping[int, str]  # place to name
    passed_over: tuple[str, ...]  # headers that are not used
    text: str
    mapping: ListMapping
    system: str


def read_mapping(body: bytes) -> ListMapping:
    try:
        found = msgspec.json.decode(body, type=ListMapping)
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise Invalid(
            f"The mapping cannot be read: {str(wrong)[:200]}.", hint="docs/integration.md shows its form.", reason="mapping"
        ) from None
    unknown = sorted({name for name in found.columns.values() if name and name not in COLUMNS})
    if unknown:
        raise Invalid(f"The mapping names '{unknown[0][:40]}'.", hint=f"Known are: {', '.join(COLUMNS)}.", reason="mapping")
    return found


def open_list(raw: bytes, mapping: ListMapping, system: str = "") -> PeopleList:
    """Raises Invalid where the file is no list, or lacks what every patient needs."""
    if len(raw) > LIST_BYTES_MAX:
        raise Invalid(f"A list has at most {LIST_BYTES_MAX // 2**20} MiB.", hint="Split it.", reason="csv-size")
    charset, text = _decoded(raw)
    head = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(SEPARATORS, key=lambda one: (head.count(one), -SEPARATORS.index(one)))
    given = {_plain(header): name for header, name in mapping.columns.items()}
    columns: dict[int, str] = {}
    passed = []
    for place, header in enumerate(next(csv.reader([head], delimiter=separator), [])):
        name = given.get(_plain(header), NAMES.get(_plain(header), ""))
        if name and name not in columns.values():
            columns[place] = name
        else:
            passed.append(header.strip()[:60])
    for needed in ("identifier", "family"):
        if needed not in columns.values():
            raise Invalid(
                f"The list has no column for '{needed}'.",
                hint=f"Name it in the header, such as {COLUMNS[needed].split('|')[0]}, or in a mapping file.",
                reason="csv-header",
            )
    chosen = system or mapping.system
    if not re.fullmatch(r"(https?://|urn:)\S{1,200}", chosen):
        raise Invalid(
            "Nobody knows who gave the identifiers.", hint="Give --system, such as https://hospital.example/ipp.", reason="csv-system"
        )
    return PeopleList(
        charset=charset, separator=separator, columns=columns, passed_over=tuple(passed), text=text, mapping=mapping, system=chosen
    )


def rows(people: PeopleList) -> Iterator[Row | Wrong]:
    """The lines after the header; an identifier that comes twice goes in once."""
    seen: dict[str, int] = {}
    reader = csv.reader(io.StringIO(people.text), delimiter=people.separator, strict=True)
    header = True
    while True:
        try:
            values = next(reader, None)
        except csv.Error as wrong:
            yield Wrong(reader.line_num, "", f"This line is no CSV: {wrong}.", "Correct its quotes.")
            continue
        if values is None:
            return
        if not any(value.strip() for value in values):
            continue
        if header:
            header = False
            continue
        made = _row(people, values, reader.line_num)
        if isinstance(made, Row):
            first = seen.setdefault(made.identifier, made.number)
            if first != made.number:
                made = Wrong(made.number, "identifier", f"Line {first} has this identifier too.", "Keep the right one.")
        yield made


def _row(people: PeopleList, values: list[str], number: int) -> Row | Wrong:
    told = {name: values[place].strip() for place, name in people.columns.items() if place < len(values) and values[place].strip()}
    for name, text in told.items():
        if len(text) > VALUE_CHARACTERS_MAX or any(unicodedata.category(one) == "Cc" for one in text):
            return Wrong(number, name, "The value is too long, or has control characters.", "Correct it.")
    for needed in ("identifier", "family"):
        if needed not in told:
            return Wrong(number, needed, "The value is missing.", "Fill it in.")
    sexes = {**SEXES, **{_plain(text): sex for text, sex in people.mapping.sexes.items()}}
    patient: Json = {
        "resourceType": "Patient",
        "identifier": [
            {
                "use": "usual",
                "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "PI"}]},
                "system": people.system,
                "value": told["identifier"],
            }
        ],
        "active": True,
        "name": _names(told),
    }
    if "birth" in told:
        born = _date(told["birth"], people.mapping.date)
        if born is None:
            return Wrong(number, "birth", "The date cannot be read.", "Write 1950-03-14 or 14/03/1950, or give the mapping's 'date'.")
        patient["birthDate"] = born
    if "sex" in told:
        sex = sexes.get(_plain(told["sex"]))
        if sex not in ("male", "female", "other", "unknown"):
            return Wrong(number, "sex", "The sex is in no table.", "Write F or M, or add it to the mapping's 'sexes'.")
        patient["gender"] = sex
    telecom = [{"system": kind, "value": told[name]} for name, kind in (("phone", "phone"), ("email", "email")) if name in told]
    place: Json = {to: told[name] for name, to in (("city", "city"), ("postal", "postalCode"), ("country", "country")) if name in told}
    if "address" in told:
        place = {"line": [told["address"]], **place}
    patient |= {name: value for name, value in (("telecom", telecom), ("address", [{"use": "home", **place}] if place else [])) if value}
    return Row(number, told["identifier"], patient)


def _names(told: Mapping[str, str]) -> list[Json]:
    given = [part for part in re.split(r"[,;]\s*|\s+", told.get("given", "")) if part]
    official: Json = {"use": "official", "family": told["family"]}
    names = [{**official, "given": given} if given else official]
    if told.get("usual", told["family"]) != told["family"]:
        names.append({"use": "usual", "family": told["usual"], **({"given": given[:1]} if given else {})})
    return names


def _date(text: str, form: str) -> str | None:
    for one in (form,) if form else DATES:
        try:
            born = datetime.strptime(text, one).date()
        except ValueError:
            continue
        return born.isoformat() if date(1850, 1, 1) <= born else None
    return None


def _plain(text: str) -> str:
    """Without accents, case and marks: 'N° IPP' is 'n ipp'."""
    bare = "".join(one for one in unicodedata.normalize("NFKD", text.replace("°", " ").replace("º", " ")) if not unicodedata.combining(one))
    return " ".join(re.sub(r"[^a-z0-9]+", " ", bare.casefold()).split())


def _decoded(raw: bytes) -> tuple[str, str]:
    """(character set, text): by a byte order mark, else UTF-8 where it is that, else Windows-1252."""
    marks = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
    charset = next((named for mark, named in marks if raw.startswith(mark)), "utf-8")
    try:
        return charset, raw.decode(charset)
    except UnicodeDecodeError:
        if charset != "utf-8":
            raise Invalid("The list's character set cannot be read.", hint="Save it as UTF-8.", reason="csv-charset") from None
    return "windows-1252", raw.decode("cp1252", "replace")
