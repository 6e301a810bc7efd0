"""``liandiao import``: uploads an export, follows it, prints each row, keeps the refused ones.

Only a client of the API: it needs a token and an address, and no part of the installation.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import typer

from services.client import PATIENCE_SECONDS, asks_again, rest_as_asked

DONE, REFUSED, MISUSED = 0, 1, 2
LOOK_SECONDS: Final = 0.3
MEDIA_TYPES: Final = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".xml": "application/xml",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


class Failure(Exception):
    """What is printed instead of going on."""


class Session:
    """Requests with a token, tried again where the service asks for it."""

    def __init__(self, server: str, token: str) -> None:
        self.http = httpx.Client(
            base_url=server,
            headers={"Authorization": f"Bearer {token}"},
            timeout=120,
            trust_env=False,
        )

    def request(self, method: str, path: str, **given: Any) -> httpx.Response:
        """The answer. Raises ``Failure`` with the problem's code."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self.http.request(method, path, **given)
            if asks_again(answer) and time.monotonic() < end:
                rest_as_asked(answer)
                continue
            if answer.status_code >= 400:
                problem = answer.json()
                faults = "".join(f"\n  {e['pointer']} {e['message']}" for e in problem["errors"])
                raise Failure(f"{answer.status_code} {problem['code']}{faults}")
            return answer


def main(
    file: Path,
    *,
    client: str | None,
    layout: str | None,
    dry: bool,
    server: str | None,
    refused: Path | None,
) -> int:
    """Upload, follow, print; the exit code."""
    try:
        session = _session(client, server)
        params = {"mode": "dry_run" if dry else "run", **({"layout": layout} if layout else {})}
        kind = MEDIA_TYPES.get(file.suffix.lower(), "application/octet-stream")
        body = file.read_bytes() if file.stat().st_size < 2**20 else None
        with file.open("rb") as stream:
            answer = session.request(
                "POST",
                "/v1/imports",
                params=params,
                headers={"Content-Type": kind},
                content=stream if body is None else body,
            )
        found = _followed(session, answer.json()["import_id"])
        for row in _rows(session, found["import_id"]):
            typer.echo(_line(row))
        return _end(session, found, file, refused)
    except (Failure, OSError, httpx.TransportError) as error:
        typer.echo(str(error) or type(error).__name__, err=True)
        return MISUSED


def _session(client: str | None, server: str | None) -> Session:
    home = Path(os.environ.get("LIANDIAO_HOME", ".liandiao"))
    file = home / "stack.json"
    stack = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    server = server or stack.get("services", {}).get("intake")
    if not server:
        raise Failure("say which server: --server, or INTAKE_URL")
    token = os.environ.get("LIANDIAO_TOKEN", "")
    if client is not None:
        entry = next((c for c in stack.get("clients", ()) if c["id"] == client), None)
        if entry is None:
            raise Failure(f"there is no client of that name in {file}")
        answer = httpx.post(
            stack["token_url"],
            data={"grant_type": "client_credentials"},
            auth=(entry["id"], entry["secret"]),
            trust_env=False,
        )
        token = answer.json().get("access_token", "")
    if not token:
        raise Failure("say who you are: --client, or a token in LIANDIAO_TOKEN")
    return Session(server, token)


def _followed(session: Session, import_id: str) -> dict[str, Any]:
    """Wait for the end; progress on standard error."""
    show = sys.stderr.isatty()
    while True:
        found: dict[str, Any] = session.request("GET", f"/v1/imports/{import_id}").json()
        if show:
            share = 100 * found["bytes_read"] // max(1, found["bytes_total"])
            typer.echo(
                f"\r{found['state']}: {found['rows_read']} rows, {share} %", nl=False, err=True
            )
        if found["state"] in ("done", "failed", "cancelled"):
            if show:
                typer.echo(err=True)
            return found
        time.sleep(LOOK_SECONDS)


def _rows(session: Session, import_id: str) -> Iterator[dict[str, Any]]:
    params: dict[str, Any] = {"limit": 200}
    while True:
        page = session.request("GET", f"/v1/imports/{import_id}/rows", params=params).json()
        yield from page["items"]
        if page["next"] is None:
            return
        params["cursor"] = page["next"]


def _line(row: dict[str, Any]) -> str:
    number = f"{row['reference']} {row['case_number']}" if row["case_number"] else "-"
    lines = [f"row {row['row']} (line {row['line']})  {row['outcome']}  {number}"]
    for reason in row["reasons"]:
        where = reason["column"] or reason["pointer"] or "the row"
        lines.append(f"    {reason['level']}: {where}: {reason['rule']}: {reason['message']}")
    return "\n".join(lines)


def _end(session: Session, found: dict[str, Any], file: Path, refused: Path | None) -> int:
    names = ("accepted", "warned", "repeated", "refused")
    told = ", ".join(f"{found[name]} {name}" for name in names)
    typer.echo(f"{found['mode']} {found['import_id']}: {found['rows_read']} rows: {told}")
    if found["fault"]:
        line = f" (line {found['fault']['line']})" if found["fault"]["line"] else ""
        typer.echo(f"{file.name} cannot be read on: {found['fault']['message']}{line}", err=True)
    if found["refused"]:
        target = refused or file.with_name(f"{file.stem}.refused{file.suffix}")
        path = f"/v1/imports/{found['import_id']}/refused"
        answer = session.request("GET", path, params={"purpose": "handling"})
        target.write_bytes(answer.content)
        typer.echo(f"refused rows: {target}")
    return REFUSED if found["refused"] or found["fault"] else DONE
