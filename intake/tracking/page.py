"""The tracking page: number and secret in, where the case is out. No script, nothing from outside.

Server-rendered, so that it works on any telephone; a policy that lets nothing load or run, and no
cookie. The secret travels in the body of the request and stands in no address and no log.
"""

import base64
import hashlib
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from intake import case_number
from intake.receipts import exchange
from intake.tracking import handlers, views
from intake.tracking.papers import shown
from services.errors import TooManyRequests, Unauthenticated
from services.http import runtime_of
from services.unit_of_work import Actor

FOLDER: Final = Path(__file__).parent / "templates"
router = APIRouter(include_in_schema=False)


@lru_cache(1)
def _environment() -> Environment:
    found = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined)
    found.filters["minute"] = _minute
    return found


def _minute(instant: datetime | None) -> str:
    return shown(instant) or "—"


@lru_cache(1)
def _style() -> str:
    return (FOLDER / "track.css").read_text("utf-8")


@lru_cache(1)
def _headers() -> dict[str, str]:
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
        "Content-Language": "zh-CN, en",
    }


def _page(
    status: int, *, number: str = "", case: Any = None, fault: str | None = None, **more: Any
) -> HTMLResponse:
    text = (
        _environment()
        .get_template("track.html")
        .render(style=_style(), number=number, case=case, fault=fault, **more)
    )
    return HTMLResponse(text, status, headers={**_headers(), **more.get("headers", {})})


@router.get("/track")
async def ask() -> HTMLResponse:
    """The form."""
    return _page(200)


@router.get("/track/{number}")
async def ask_about(number: str) -> HTMLResponse:
    """The form with the number of the QR code filled in, when it is one."""
    return _page(200, number=case_number.fold(number) or "")


@router.post("/track")
async def answer(
    request: Request,
    number: Annotated[str, Form()] = "",
    secret: Annotated[str, Form()] = "",
) -> HTMLResponse:
    """Where the case is; a wrong secret and an unknown number are told alike."""
    runtime = runtime_of(request)
    address = request.client.host if request.client else "unknown"
    known = case_number.fold(number) or ""
    try:
        opened = await exchange(runtime, number, secret, address)
    except Unauthenticated:
        return _page(401, number=known, fault="wrong")
    except TooManyRequests as error:
        return _page(429, number=known, fault="locked", headers=error.headers)
    actor = Actor(f"party:{opened.party_id}")
    async with runtime.unit_of_work(actor=actor, organisation="", readonly=True) as uow:
        case = await views.tracked(uow, opened.case_id, opened.party_id)
    if opened.representative is None:
        await handlers.prove_reading(runtime, opened.case_id, opened.party_id)
    return _page(200, number=known, case=case)
