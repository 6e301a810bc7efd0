"""The police of the place, or another organ, are asked at once when somebody may be harmed."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import structlog

from routing import repository
from routing.directory import chain_of
from routing.handlers import linking
from services.calendar import day_of
from services.events import lanes
from services.events.intake import AlertRaised, AlertWithdrawn
from services.unit_of_work import UnitOfWork

log = structlog.get_logger(__name__)
# Police with this lane guard public security; traffic police alone do not.
SECURITY_LANE: Final = "police"
ITEMS: Final = ("protect-a-person",)


def police_of(
    organisations: Iterable[Mapping[str, Any]], chain: tuple[str, ...], *, but: str, today: str
) -> str | None:
    """The police nearest to the place: its station, else those of the district above it."""
    found = [
        (chain.index(value["place"]), value["code"])
        for value in organisations
        if value["kind"] == "police"
        and value["code"] != but
        and value["place"] in chain
        and SECURITY_LANE in (value.get("lanes") or ())
        and value.get("active", True)
        and not value.get("successor")
        and (value.get("valid_from") or "") <= today <= (value.get("valid_to") or "9999")
    ]
    return min(found)[1] if found else None


async def raise_alert(uow: UnitOfWork, alert: AlertRaised) -> None:
    """Ask the police, whoever has a turn and whether or not anybody accepted (人民调解法 25).

    Or the organ that the alert names (反家庭暴力法 14, 未成年人保护法 11: N-07, N-08). Emits
    ``ParticipantJoined``, ``LinkageRequested`` and a clock. Nobody asks itself. Where the directory
    has no police for the place nobody can be asked: intake's doctor tells it.
    """
    await uow.lock_case(alert.case_id)
    case = await repository.case_of(uow.db, alert.case_id)
    if case is None or case["state"] == "closed" or alert.asks == alert.raised_by:
        return
    asked = alert.asks or police_of(
        uow.runtime.directory.all("organisation").values(),
        chain_of(uow.runtime, case["place"]),
        but=alert.raised_by,
        today=day_of(uow.now).isoformat(),
    )
    if asked is None:
        log.error("no police for an alert", case_id=str(alert.case_id), code="alert_unheard")
        return
    await linking.open_linkage(
        uow,
        case,
        kind=linking.ALERT,
        asked_by=alert.raised_by,
        asked=asked,
        items=list(ITEMS),
        legal_basis=alert.legal_basis,
        answer_by=None,
        length=lanes.site("alert"),
        rule_id="site-alert",
        alert_id=alert.alert_id,
    )


async def withdraw_alert(uow: UnitOfWork, alert: AlertWithdrawn) -> None:
    """The police need not answer any more; emits ``LinkageCancelled``."""
    await uow.lock_case(alert.case_id)
    for row in await repository.open_linkages(uow.db, alert.case_id):
        if row["alert_id"] == alert.alert_id:
            await linking.call_off(uow, row, "alert-withdrawn")
