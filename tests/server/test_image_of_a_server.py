"""Which image a server says it runs: as os-release(5) has it, whatever is written there, and to the broker with its first word."""

from __future__ import annotations

from pathlib import Path

import pytest
from server_rig import IN_ONE_LOOP, Rig

from cloister.server.image import IMAGE_CHARACTERS_MAX, OWN, image


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("NAME=Debian\nIMAGE_ID=ward\nIMAGE_VERSION=2026.12\n", "2026.12"),
        ('IMAGE_VERSION="2026.12 b"\n', "2026.12 b"),
        ("IMAGE_VERSION='2026.12", "'2026.12"),
        ("IMAGE_VERSION=\n", OWN),
        ("NAME=Debian\n", OWN),
        ("", OWN),
        ("IMAGE_VERSION=2026\x07.12\n", "2026.12"),
        (f"IMAGE_VERSION={'9' * 300}\n", "9" * IMAGE_CHARACTERS_MAX),
    ],
)
def test_an_image_is_what_os_release_says_or_the_version_of_this_program(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "os-release"
    path.write_text(text)
    assert image((tmp_path / "absent", path)) == said
    assert image((tmp_path / "absent",)) == OWN


@pytest.mark.asyncio
@IN_ONE_LOOP
async def test_a_server_tells_the_broker_its_image_with_its_first_word(server: Rig) -> None:
    (row,) = await server.store.servers()
    assert row.image == image()
