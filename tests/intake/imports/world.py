"""What the tests of imports share: uploading, working off, reading results."""

import csv
import io
from typing import Any

import httpx

from intake.imports.pool import Here
from intake.imports.working import Importer
from tests.intake.adapters import export
from tests.intake.world import COURT, SENDER, Intake, bearer, token

CSV = "text/csv"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
TYPES = {
    "csv": CSV, "json": "application/json", "ndjson": "application/x-ndjson",
    "xml": "application/xml", "xlsx": XLSX,
}  # fmt: skip


async def upload(
    intake: Intake,
    body: bytes,
    organisation: str = COURT,
    *,
    kind: str = CSV,
    headers: dict[str, str] | None = None,
    **params: Any,
) -> httpx.Response:
    """POST a file as an organisation's client."""
    head = {**bearer(token(organisation, *SENDER)), "Content-Type": kind, **(headers or {})}
    return await intake.http.post("/v1/imports", content=body, headers=head, params=params)


def importer(intake: Intake) -> Importer:
    """An importer in this process."""
    return Importer(intake.runtime, Here(intake.runtime))


async def work_off(intake: Intake) -> int:
    """Do what waits."""
    working = importer(intake)
    try:
        return await working.work_off()
    finally:
        await working.close()


async def imported(
    intake: Intake, body: bytes, organisation: str = COURT, **given: Any
) -> dict[str, Any]:
    """A file that was uploaded and read to its end."""
    answer = await upload(intake, body, organisation, **{"mode": "run", **given})
    assert answer.status_code == 202, answer.text
    await work_off(intake)
    return await shown(intake, answer.json()["import_id"], organisation)


async def shown(intake: Intake, import_id: str, organisation: str = COURT) -> dict[str, Any]:
    """The import as its sender sees it."""
    answer = await intake.get(f"/v1/imports/{import_id}", organisation)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def rows_of(
    intake: Intake, import_id: str, organisation: str = COURT, **params: Any
) -> list[dict[str, Any]]:
    """Every result line, over all pages."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        answer = await intake.http.get(
            f"/v1/imports/{import_id}/rows",
            headers=bearer(token(organisation, *SENDER)),
            params={**params, **({"cursor": cursor} if cursor else {})},
        )
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        cursor = answer.json()["next"]
        if cursor is None:
            return found


async def refused_file(intake: Intake, import_id: str, organisation: str = COURT) -> httpx.Response:
    """The refused rows as a file."""
    path = f"/v1/imports/{import_id}/refused"
    head = bearer(token(organisation, *SENDER))
    return await intake.http.get(path, headers=head, params={"purpose": "handling"})


def native(name: str) -> bytes:
    """A sample export."""
    return export(name).read_bytes()


def court_rows(count: int, *, start: int = 1, longer: int = 0) -> bytes:
    """An export of the court with so many rows that are all in order."""
    head, *rows = csv.reader(io.StringIO(native("court_pre_export").decode("utf-8-sig")))
    pattern = dict(zip(head, rows[0], strict=True))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(head)
    for number in range(start, start + count):
        row = {**pattern, "案号": f"（2026）浙0681民诉前调{number}号"}
        row["事实与理由"] += "甲" * longer
        writer.writerow([row[name] for name in head])
    return text.getvalue().encode("utf-8-sig")
