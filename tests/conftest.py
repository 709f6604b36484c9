"""What all tests may use: one whole trust, started once for those who ask for it."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from running_trust import RunningTrust, founded_folder, running_trust

from cloister.zones import algorithms

DEMO_PATIENTS: Final = "12"

# The same few people sign in again and again, and each derivation costs a quarter of a second of processor: the same input, the same bytes.
algorithms.argon2id = functools.lru_cache(maxsize=4096)(algorithms.argon2id)


# What drives browsers, servers and whole trusts beside each other: on a crowded machine one of thousands is late now and then. It is tried
# again, twice at most, and named as such at the end (R). What is reckoned in one process, and so holds or does not, is tried once.
OF_REAL_PROCESSES: Final = (
    "administration", "assemble", "browser", "directory", "farm", "files", "gateway", "integration", "journeys", "openid", "server", "vpn",
    "workstation",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(Path(__file__).parent).parts[0] in OF_REAL_PROCESSES:
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=2))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Why a test was tried again: what passes then must not be forgotten."""
    for one in terminalreporter.stats.get("rerun", []):
        crash = getattr(one.longrepr, "reprcrash", None)
        where = f"{crash.path}:{crash.lineno}: {crash.message[:600]}" if crash is not None else str(one.longrepr)[-600:]
        terminalreporter.write_line(f"tried again: {one.nodeid} ({one.when})\n  {where}")


def pytest_sessionfinish() -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(founded_folder(), ignore_errors=True)


@pytest.fixture(scope="session")
def trust() -> Iterator[RunningTrust]:
    """The demo trust, running, with a few patients. Who changes what others rely on starts one of their own (running_trust)."""
    settings = {"CLOISTER_CARD_HOST": "card.localhost"}
    with running_trust(**settings, CLOISTER_DEMO_PATIENTS=os.environ.get("CLOISTER_TEST_PATIENTS", DEMO_PATIENTS)) as running:
        yield running
