"""A zone's rules, for access officers: who may open it in need, which machines seal in, how long a record stays after a discharge.

And for clinicians: what machines sealed in and could not be taken up. docs/need.md, docs/ingest.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from cloister.access import Page
from cloister.base.errors import CloisterError, Invalid
from cloister.epr import Visit
from cloister.offices import zone_rules
from cloister.web.desk import Desk
from cloister.web.offices.acting import acting, desk_of, typed
from cloister.web.offices.route import OfficeRoute

RULES: Final = "/need/rules/{zone}"
MACHINES: Final = "/machines"
LISTS: Final = ("askers", "pool", "machines")
NUMBERS: Final = ("approvers", "minutes", "share_days")


async def show_rules(request: Request, *, typed: Mapping[str, str] | None = None, refused: CloisterError | None = None) -> Response:
    desk = desk_of(request)
    record, rules = await zone_rules.present(desk.keyring, desk.gate, request.path_params["zone"][:200])
    known = {name: "\n".join(getattr(rules, name)) for name in LISTS} | {name: str(getattr(rules, name)) for name in NUMBERS}
    return Visit.of(request).page(
        "offices-zone-rules.html",
        nav="/offices/zones",
        zone=record,
        values={**known, "right": rules.right, **(typed or {})},
        refused=refused,
        done=request.query_params.get("done") == "1" and refused is None,
    )


async def _change(request: Request, desk: Desk, values: Mapping[str, str]) -> str:
    zone = request.path_params["zone"][:200]
    numbers = {name: values.get(name, "").strip() for name in NUMBERS}
    if not all(one.isdigit() and len(one) <= 5 for one in numbers.values()):
        raise Invalid("A number is missing.", hint="Fill in all three numbers.", reason="form")
    rules = zone_rules.Rules(
        approvers=int(numbers["approvers"]),
        minutes=int(numbers["minutes"]),
        right=values.get("right", "read"),
        askers=values.get("askers", "").split(),
        pool=values.get("pool", "").split(),
        machines=values.get("machines", "").split(),
        share_days=int(numbers["share_days"]),
    )
    await zone_rules.change(desk.keyring, desk.gate, zone=zone, rules=rules, now=desk.clock())
    return f"/need/rules/{zone}?done=1"


async def show_machines(request: Request) -> Response:
    """GET /machines: what waits or was refused in this person's zones, and numbers that never came."""
    desk = desk_of(request)
    found = await desk.gate.call("ingest_listed")
    names = {held.zone: held.name for held in desk.keyring.zones}
    return Visit.of(request).page("offices-machines.html", nav=MACHINES, **found, zone_names=names)


async def try_again(request: Request) -> Response:
    desk, values = desk_of(request), await typed(request)
    number = values.get("seq", "")
    if not number.isdigit() or len(number) > 18:
        raise Invalid("This is no message.", hint="Load the page again.", reason="form")
    await desk.gate.call("ingest_again", device=values.get("device", "")[:200], seq=int(number))
    await desk.records.take_up()
    return RedirectResponse(MACHINES, status_code=303)


ROUTES: Final = (
    OfficeRoute(RULES, Page.GRANTING, show_rules),
    OfficeRoute(RULES, Page.GRANTING, acting(show_rules, _change), ("POST",)),
    OfficeRoute(MACHINES, Page.CHART, show_machines),
    OfficeRoute(MACHINES, Page.CHART, try_again, ("POST",)),
)
