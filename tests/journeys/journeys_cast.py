"""Who takes part in the journeys: the database's administrator, clients of the FHIR endpoint, and the patients they speak of."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import httpx
from audit_rig import kem_of_office, opened_log
from running_trust import RunningTrust, SignedIn

from cloister.assemble import owner_connection, pinned_roots
from cloister.base.settings import Settings, read_settings
from cloister.zones import TrustRoots

FHIR: Final = "/fhir/R4"
LOINC: Final = "http://loinc.org"
TOKEN_SECONDS: Final = 300  # half of what a token lives
CARDIOLOGIST: Final = "claire.vasseur"  # holds cardiology and the whole of Saint-Roch
CARDIOLOGY_NURSE: Final = "adele.morel"  # holds cardiology
PSYCHIATRIC_NURSE: Final = "elise.renaud"  # holds one ward of Sainte-Anne
PSYCHIATRIST: Final = "marc.delorme"
SURGERY_NURSE: Final = "nadia.haddad"
OPERATOR: Final = "damien.colin"
PRIVACY_OFFICER: Final = "agnes.maillard"


@dataclass(frozen=True)
class Administrator:
    """Whoever holds the machine's disk and the database's password: reads and changes every table, beside the gate."""

    settings: Settings

    @classmethod
    def of(cls, trust: RunningTrust) -> Administrator:
        return cls(read_settings(trust.environment))

    @property
    def roots(self) -> TrustRoots:
        return pinned_roots(self.settings)

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        async def ask() -> list[dict[str, Any]]:
            connection = await owner_connection(self.settings)
            try:
                return [dict(row) for row in await connection.fetch(sql, *values)]
            finally:
                await connection.close()

        return asyncio.run(ask())

    def one(self, sql: str, *values: Any) -> Any:
        (row,) = self.rows(sql, *values)
        return next(iter(row.values())) if len(row) == 1 else row

    def change(self, *statements: str | tuple[Any, ...]) -> None:
        """All of it or nothing; a statement may bring its values along."""

        async def do() -> None:
            connection = await owner_connection(self.settings)
            try:
                async with connection.transaction():
                    for statement in statements:
                        sql, *values = (statement,) if isinstance(statement, str) else statement
                        await connection.execute(sql, *values)
            finally:
                await connection.close()

        asyncio.run(do())

    def entries(self, after: int = -1, session: str = "") -> list[dict[str, Any]]:
        """The audit log as a privacy officer opens it: number and texts of each entry, of one session or of all."""

        async def ask() -> list[dict[str, Any]]:
            connection = await owner_connection(self.settings)
            try:
                kem = await kem_of_office(connection, PRIVACY_OFFICER, self._passphrase_of(PRIVACY_OFFICER))
                opened = await opened_log(connection, self.roots.trust_id, kem)
            finally:
                await connection.close()
            return [{"seq": seq, **asdict(one)} for seq, one in opened if seq > after and session in ("", one.session)]

        return asyncio.run(ask())

    def _passphrase_of(self, sign_in: str) -> str:
        people = json.loads((self.settings.state / "demo" / "sign-ins.json").read_text())["people"]
        return str(next(one["passphrase"] for one in people if one["sign_in"] == sign_in))

    def dossier_of(self, resource: str) -> uuid.UUID:
        """The dossier that holds 'Type/uuid'."""
        return uuid.UUID(str(self.one("select dossier from care.res where id = $1", uuid.UUID(resource.partition("/")[2]))))

    @contextlib.contextmanager
    def kept(self, *tables: str) -> Iterator[None]:
        """What is done to these tables inside is undone afterwards, as if from a backup."""
        saved = {table: "kept_" + table.translate(str.maketrans('."', "__")) for table in tables}
        for table, copy in saved.items():
            self.change(f"drop table if exists public.{copy}", f"create table public.{copy} as table {table}")
        try:
            yield
        finally:
            for table, copy in saved.items():
                # What the trust itself appended to its log meanwhile stays; of every other table, nothing that came since.
                since = f" where seq <= (select max(seq) from public.{copy})" if table == "audit.event" else ""
                since = f" where (level, place) in (select level, place from public.{copy})" if table == "audit.node" else since
                self.change(
                    "set local session_replication_role = replica",  # no foreign key, no trigger: a restored backup asks nobody
                    f"delete from {table}{since}",
                    f"insert into {table} select * from public.{copy}",
                    f"drop table public.{copy}",
                )


@dataclass
class Company:
    """The signed-in people and programs of one trust; each signs in once and is let in again when the session has ended."""

    trust: RunningTrust
    _people: dict[str, SignedIn] = field(default_factory=dict)
    _programs: dict[tuple[int, str], tuple[float, httpx.Client]] = field(default_factory=dict)

    def person(self, sign_in: str) -> httpx.Client:
        """The person's browser, at the site's root."""
        known = self._people.get(sign_in)
        if known is None or known.client.get("/session/state").json().get("state") != "active":
            known = self._people[sign_in] = self.trust.sign_in(self.trust.person(sign_in=sign_in))
        return known.client

    def signed_in(self, sign_in: str) -> SignedIn:
        self.person(sign_in)
        return self._people[sign_in]

    def fresh(self, sign_in: str) -> httpx.Client:
        """The same person in a session that remembers nothing."""
        known = self._people.pop(sign_in, None)
        if known is not None:
            known.client.post("/session/end")
            known.client.close()
            time.sleep(0.1)
        return self.person(sign_in)

    def forget_people(self) -> None:
        """Sign everybody out: their next session opens what the rows then say."""
        for known in self._people.values():
            known.client.post("/session/end")
            known.client.close()
        self._people.clear()

    def program(self, number: int = 0, label: str = "") -> httpx.Client:
        """A program's client, at the site's root like a person's."""
        began, client = self._programs.get((number, label), (0.0, None))
        if client is None or time.monotonic() - began > TOKEN_SECONDS:
            client = self._program(number, label)
            self._programs[number, label] = time.monotonic(), client
        return client

    def end_program(self, number: int, label: str) -> None:
        """Four sessions of a program at once are the most: who had one for a while gives it back."""
        _, client = self._programs.pop((number, label))
        end_program(client)

    def _program(self, number: int, label: str) -> httpx.Client:
        client = self.trust.program(number, label=label)
        client.base_url = httpx.URL(self.trust.base)
        return client

    def fresh_program(self, number: int = 0) -> httpx.Client:
        """A program in a session of its own that remembers nothing; ended by `end_program`."""
        return self._program(number, f"fresh-{secrets.token_hex(4)}")

    def close(self) -> None:
        for one in self._people.values():
            with contextlib.suppress(httpx.HTTPError):
                one.client.post("/session/end")
            one.client.close()
        for _, client in self._programs.values():
            end_program(client)


def end_program(client: httpx.Client) -> None:
    with contextlib.suppress(httpx.HTTPError):
        client.post(f"{client.base_url.scheme}://{client.base_url.netloc.decode()}/session/end")
    client.close()


# --- what is written ------------------------------------------------------------------------------------------


def word() -> str:
    """A word that occurs nowhere else."""
    return "Zyx" + secrets.token_hex(6)


def patient(family: str = "", given: str = "Ève", born: str = "1971-03-14", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "name": [{"family": family or word(), "given": [given]}],
        "birthDate": born,
        "gender": "female",
        **more,
    }


def observation(about: str, code: str = "8867-4", value: float = 72, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}], "text": "Heart rate"},
        "subject": {"reference": about},
        "effectiveDateTime": datetime.now(UTC).isoformat(timespec="seconds"),
        "valueQuantity": {"value": value, "unit": "/min", "system": "http://unitsofmeasure.org", "code": "/min"},
        **more,
    }


def condition(about: str, code: str = "I21.4", text: str = "") -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]},
        "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": code}], **({"text": text} if text else {})},
        "subject": {"reference": about},
    }


def bundle(*entries: tuple[str, str, dict[str, Any] | None], kind: str = "transaction", names: Sequence[str] = ()) -> dict[str, Any]:
    """A bundle of (method, url, resource); `names` are the entries' full URLs, in order."""
    made = []
    for number, (method, url, resource) in enumerate(entries):
        entry: dict[str, Any] = {"request": {"method": method, "url": url}}
        if resource is not None:
            entry["resource"] = resource
        if number < len(names) and names[number]:
            entry["fullUrl"] = names[number]
        made.append(entry)
    return {"resourceType": "Bundle", "type": kind, "entry": made}


def created(client: httpx.Client, resource: dict[str, Any], **headers: str) -> dict[str, Any]:
    """The resource as the server stored it."""
    answer = client.post(f"{FHIR}/{resource['resourceType']}", json=resource, headers=headers)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def reference(resource: dict[str, Any]) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


# --- what is answered -----------------------------------------------------------------------------------------


def refusal(answer: httpx.Response) -> str:
    """The reason that an OperationOutcome names."""
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome", answer.text
    details = body["issue"][0].get("details", {})
    return str(details.get("coding", [{}])[0].get("code", ""))


def told(answer: httpx.Response) -> str:
    """All words of an OperationOutcome."""
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome", answer.text
    return " ".join(f"{issue.get('details', {}).get('text', '')} {issue.get('diagnostics', '')}" for issue in body["issue"]).strip()


def until(true: Callable[[], Any], seconds: float = 20.0, every: float = 0.1) -> Any:
    """The first true answer; fails when none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = true()
        if found or time.monotonic() > deadline:
            assert found, f"not within {seconds} s"
            return found
        time.sleep(every)
