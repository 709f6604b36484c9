"""One part of the running trust: `python -m cloister.assemble PART`. The supervisor starts these; people use `cloister up`."""

from __future__ import annotations

import os
import signal
import sys

from cloister.base.errors import EXIT_CODE, CloisterError, Invalid
from cloister.base.process import die_with_parent
from cloister.base.settings import Settings, read_settings
from cloister.base.telemetry import log, name_part


def run(part: str, settings: Settings) -> None:
    """Each part imports only what it needs, so that the quick ones start quickly."""
    if part == "postgres":
        from cloister.assemble.postgres import run_postgres

        run_postgres(settings)
    elif part == "envoy":
        from cloister.assemble.edge import run_edge

        run_edge(settings)
    elif part == "gate":
        from cloister.assemble.gate import run_store_gate

        run_store_gate(settings)
    elif part == "controller":
        from cloister.assemble.controller import run_controller

        run_controller(settings)
    elif part == "agent":
        from cloister.assemble.agent import run_server_agent

        run_server_agent(settings)
    elif part == "demo":
        from cloister.assemble.patients import run_demo_import

        run_demo_import(settings)
    else:
        raise Invalid(f"There is no part '{part[:40]}'.")


def main() -> int:
    part = sys.argv[1] if len(sys.argv) == 2 else ""
    name_part(part or "assemble")
    # The supervisor is our lifeline; a supervisor that died before this line is noticed by the parent's number.
    die_with_parent(signal.SIGTERM)
    if os.environ.get("CLOISTER_SUPERVISOR", "") not in ("", str(os.getppid())):
        return 0
    try:
        run(part, read_settings())
    except CloisterError as refused:
        log("part.refused", level="error", text=refused.text, hint=refused.hint, reason=refused.reason)
        return EXIT_CODE[refused.category]
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
