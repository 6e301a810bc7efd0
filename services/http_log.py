"""A driver's log of its own requests, for the outside checker: JSON lines without personal data."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from services.clock import wire


class HttpLog:
    """Appends one line per attempt; a body is told by its SHA-256, a refusal by its problem."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a", encoding="utf-8", buffering=1)

    def write(
        self,
        service: str,
        request: httpx.Request,
        answer: httpx.Response | None,
        *,
        fault: str | None = None,
    ) -> None:
        """One attempt: ``answer`` is None when none came, ``fault`` then says what did."""
        line: dict[str, Any] = {
            "at": wire(datetime.now(UTC)),
            "service": service,
            "method": request.method,
            "path": request.url.path,
            "key": request.headers.get("Idempotency-Key"),
            "digest": hashlib.sha256(request.content).hexdigest() if request.content else None,
            "status": answer.status_code if answer is not None else None,
        }
        if fault is not None:
            line["fault"] = fault
        if answer is not None:
            line |= _told(answer)
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _told(answer: httpx.Response) -> dict[str, Any]:
    """What an answer says of its effect, or of its refusal."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if answer.status_code >= 400:
        return {"problem": body if body is not None else answer.text[:2000]}
    found = {
        "location": answer.headers.get("Location"),
        "sequence": answer.headers.get("Case-Sequence"),
        "case_id": body.get("case_id") if isinstance(body, dict) else None,
        "replayed": answer.headers.get("Idempotency-Replayed"),
    }
    return {name: value for name, value in found.items() if value}
