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
    match part:
        case "postgres":
            from cloister.assemble.postgres import run_postgres

            run_postgres(settings)
        case "envoy":
            from cloister.assemble.edge import run_edge

            run_edge(settings)
        case "acme":
            from cloister.assemble.acme_order import run_order

            run_order(settings)
        case "ingress":
            from cloister.assemble.ingress import run_ingress

            run_ingress(settings)
        case "vpn":
            from cloister.assemble.vpn import run_vpn

            run_vpn(settings)
        case "gate":
            from cloister.assemble.gate import run_store_gate

            run_store_gate(settings)
        case "witness":
            from cloister.assemble.witnessing import run_witness

            run_witness(settings)
        case "witnessing":
            from cloister.assemble.witnessing import run_witnessing

            run_witnessing(settings)
        case "outbound":
            from cloister.assemble.outbound import run_outbound

            run_outbound(settings)
        case "controller":
            from cloister.assemble.controller import run_controller

            run_controller(settings)
        case "agent":
            from cloister.assemble.agent import run_server_agent

            run_server_agent(settings)
        case "zygote":
            from cloister.assemble.session import run_session_zygote

            run_session_zygote(settings, int(sys.argv[2]))
        case _:
            raise Invalid(f"There is no part '{part[:40]}'.")


def _orphaned(part: str) -> bool:
    """Whether the supervisor died before `die_with_parent` was in force. The zygote has the agent's socket as lifeline."""
    die_with_parent(signal.SIGTERM)
    return part != "zygote" and os.environ.get("SUPERVISOR", "") not in ("", str(os.getppid()))


def main() -> int:
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    name_part(part or "assemble")
    if _orphaned(part):
        return 0
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor, which stops its parts in order
    try:
        run(part, read_settings())
    except CloisterError as refused:
        log("part.refused", level="error", text=refused.text, hint=refused.hint, reason=refused.reason)
        return EXIT_CODE[refused.category]
    return 0


if __name__ == "__main__":
    sys.exit(main())
