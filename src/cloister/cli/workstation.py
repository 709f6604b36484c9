"""`cloister workstation`: the kit that sets workstations and thin terminals up alike, its key, and its check. docs/workstations.md."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from cloister.assemble import server_names
from cloister.base.errors import Invalid, NotFound
from cloister.base.settings import Settings, read_settings
from cloister.cli.kit import signing
from cloister.cli.kit.making import Wanted, make

app = typer.Typer(help="Set workstations and thin terminals up.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def kit(
    out: Annotated[Path, typer.Option(help="A new folder.")],
    origin: Annotated[str, typer.Option(help="The trust's address, such as https://record.example; of the settings otherwise.")] = "",
    card_origin: Annotated[
        str, typer.Option(help="Where browsers show a card's certificate by themselves, if there is such an address.")
    ] = "",
    ca: Annotated[Path | None, typer.Option(help="The authority of the trust's certificate, in PEM; its own otherwise.")] = None,
    names: Annotated[
        list[str] | None, typer.Option("--name", help="A further name in the server's certificate; its own otherwise.")
    ] = None,
    public_ca: Annotated[bool, typer.Option("--public-ca", help="Browsers know the authority already: no trust anchor.")] = False,
    card: Annotated[bool, typer.Option("--card/--without-card", help="With the card agent's package (needs dpkg-deb).")] = True,
) -> None:
    """Make a kit: browser policies, trust anchor, terminal unit, card agent, installer; with a signed list of its files."""
    settings = read_settings()
    key = signing.signer(settings)
    address = checked_origin(origin or settings.base_url)
    wanted = Wanted(
        origin=address,
        card_origin=checked_origin(card_origin) if card_origin else "",
        authority=b"" if public_ca else _read(ca or settings.ca_file),
        names=tuple(dict.fromkeys([urlsplit(address).hostname or "", *(names or server_names(settings))])),
        card=card,
    )
    count = make(out, wanted, key)
    print(f"{out}: {count} files for {wanted.origin}")
    print(f"signed with {signing.fingerprint(key.public)}")


@app.command("key")
def show_key() -> None:
    """The public key that checks kits, for those who distribute them; its fingerprint goes to them by another way."""
    public = signing.signer(read_settings()).public
    print(signing.public_pem(public), end="")
    print(signing.fingerprint(public))


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="The kit.")],
    key: Annotated[Path | None, typer.Option(help="What `cloister workstation key` printed; this trust's own otherwise.")] = None,
) -> None:
    """Whether a kit is whole and signed."""
    public = signing.public_of(_read(key).decode("utf-8", "replace")) if key is not None else _own(read_settings())
    print(f"{folder}: {signing.check(folder, public)} files, as they were signed with {signing.fingerprint(public)}")


def _own(settings: Settings) -> bytes:
    return signing.signer(settings).public


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as missing:
        raise NotFound(f"{path} cannot be read.", hint="Name a file that is there, or run this where the trust runs.") from missing


def checked_origin(text: str) -> str:
    """https://host[:port], as browsers' policies want it; Invalid for anything else."""
    parts = urlsplit(text.rstrip("/"))
    try:
        port = f":{parts.port}" if parts.port and parts.port != 443 else ""
    except ValueError:
        port = ":?"
    host = parts.hostname or ""
    plain = host.replace("-", "a").replace(".", "a").isalnum() and host.isascii()
    if parts.scheme != "https" or not plain or port == ":?" or parts.path or parts.query or parts.fragment or parts.username:
        raise Invalid("This is no address of a trust.", hint="Write https://record.example, without a path.")
    return f"https://{host}{port}"
