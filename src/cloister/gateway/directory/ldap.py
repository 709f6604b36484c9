"""One directory over LDAPS (RFC 4511, RFC 4513): bind, and what changed. Alone imports ldap3, which blocks: run in threads.

The server's certificate is verified against the directory's own authority, and its name against the address; there is no other way in.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import ldap3
from ldap3.core.exceptions import LDAPException
from ldap3.utils.conv import escape_filter_chars
from ldap3.utils.dn import parse_dn

from cloister.base.errors import Denied, Invalid, Unavailable
from cloister.base.secret import Secret
from cloister.gateway.directory.schemas import SCHEMAS, Account, Changes, Entry

PORT: Final = 636
CONNECT_SECONDS: Final = 3
ANSWER_SECONDS: Final = 10
PAGE: Final = 500
PAGED: Final = "1.2.840.113556.1.4.319"
BINDS_BY_NAME: Final = "active-directory"
HINTS: Final = {
    "": "Look at its own log.",
    "noSuchObject": "Look at --base.",
    "insufficientAccessRights": "Look at what its reader may see.",
    "sizeLimitExceeded": "Let its reader page through everything (docs/directory.md).",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """How one directory is reached. `urls` of its servers, the first that answers is asked."""

    id: str
    kind: str
    priority: int
    urls: tuple[str, ...]
    base: str
    bind: str
    password: Secret = field(repr=False)
    ca: str = field(repr=False)
    schema: str = "active-directory"


def checked_url(url: str) -> tuple[str, int]:
    """Host and port of an ldaps address; raises Invalid for any other."""
    parts = urlsplit(url)
    if parts.scheme != "ldaps" or not parts.hostname or parts.path not in ("", "/"):
        raise Invalid(f"'{url[:80]}' is no address of a directory.", hint="Write ldaps://dc1.hospital.example.", reason="directory")
    return parts.hostname, parts.port or PORT


class Ldap:
    """Calls to one directory. Every method blocks, up to its servers' time limits, and raises Unavailable when none answers."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._schema = SCHEMAS[directory.schema]

    def prove(self, id: str, name: str, password: Secret) -> None:
        """Binds as this account; Denied when the directory says no. An empty password would be no proof (RFC 4513 5.1.2)."""
        if not password.reveal():
            raise Denied("The password is empty.", reason="directory")
        if self._directory.schema != BINDS_BY_NAME:
            try:
                with self._connected() as reader:
                    name = self._schema.name_of(reader, id, name)
            except Denied as refused:  # the reader's own password: nobody has guessed wrongly
                raise Unavailable(
                    f"Directory '{self._directory.id}' does not take its reader.", hint="See `cloister directory list`.", reason="directory"
                ) from refused
        with self._connected(name, password):
            pass

    def looked_at(self) -> str:
        """For whoever adds a directory: that it answers, and is what it is said to be."""
        with self._connected() as reader:
            return self._schema.looked_at(reader)

    def changed(self, source: str, cursor: int) -> Changes:
        """Accounts and groups that changed since then, read from one server."""
        with self._connected() as reader:
            return self._schema.changed(reader, source, cursor)

    def people(self) -> list[Account]:
        """Of everybody who is there now: whoever is missing was removed."""
        with self._connected() as reader:
            return self._schema.people(reader)

    @contextmanager
    def _connected(self, name: str | None = None, password: Secret | None = None) -> Iterator[Connected]:
        """Bound as the account that reads, or as somebody who proves themselves."""
        directory = self._directory
        user, secret = (directory.bind, directory.password) if name is None or password is None else (name, password)
        fault = ""
        for url in directory.urls:
            host, port = checked_url(url)
            tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, version=ssl.PROTOCOL_TLS_CLIENT, ca_certs_data=directory.ca)
            server = ldap3.Server(host, port=port, use_ssl=True, tls=tls, get_info=ldap3.NONE, connect_timeout=CONNECT_SECONDS)
            try:
                connection = ldap3.Connection(
                    server,
                    user=user,
                    password=secret.reveal().decode(),
                    receive_timeout=ANSWER_SECONDS,
                    read_only=True,
                    raise_exceptions=False,
                )
                connection.open()
                bound = connection.bind()
            except (LDAPException, OSError) as lost:
                fault = type(lost).__name__
                continue
            try:
                if not bound:
                    raise Denied("The directory does not know this account and password.", reason="directory")
                yield Connected(connection, directory.base)
            except (LDAPException, OSError) as lost:
                raise Unavailable("The directory went away.", hint="It is asked again in a moment.", reason="directory") from lost
            finally:
                connection.unbind()
            return
        raise Unavailable(
            f"No server of directory '{directory.id}' answers ({fault}).", hint="See `cloister directory list`.", reason="directory"
        )


class Connected:
    """A bound connection (schemas.Reader)."""

    def __init__(self, connection: Any, base: str) -> None:
        self._connection = connection
        self._base = base

    def rows(self, wanted: str, attributes: Sequence[str]) -> Iterator[Entry]:
        """Page by page (RFC 2696). A page that did not come whole is an error: whoever is missing from a list is taken for removed."""
        cookie: Any = None
        while True:
            self._connection.search(
                self._base, wanted, ldap3.SUBTREE, attributes=list(attributes), paged_size=PAGE, paged_criticality=True, paged_cookie=cookie
            )
            result = self._connection.result
            if result["result"] != ldap3.core.results.RESULT_SUCCESS:
                said = f"{result['description']}"
                raise Unavailable(f"The directory gave no whole answer ({said}).", hint=HINTS.get(said, HINTS[""]), reason="directory")
            yield from (_entry(row) for row in self._connection.response if row["type"] == "searchResEntry")
            cookie = result.get("controls", {}).get(PAGED, {}).get("value", {}).get("cookie")
            if not cookie:
                return

    def root(self, attributes: Sequence[str]) -> Entry:
        """What the server says of itself (RFC 4512 5.1)."""
        self._connection.search("", "(objectClass=*)", ldap3.BASE, attributes=list(attributes))
        found = [row for row in self._connection.response or () if row["type"] == "searchResEntry"]
        return _entry(found[0]) if found else Entry(dn="", values={})

    def escaped(self, text: str) -> str:
        return str(escape_filter_chars(text))

    def same(self, dn: str) -> str:
        """A form in which two writings of one name are equal (RFC 4514), as far as members of groups are written."""
        try:
            return ",".join(f"{name.strip().lower()}={value.strip().lower()}" for name, value, _ in parse_dn(dn))
        except LDAPException:
            return dn.lower()


def _entry(row: dict[str, Any]) -> Entry:
    return Entry(dn=str(row["dn"]), values=row["raw_attributes"])
