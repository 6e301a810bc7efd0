"""Problems on the wire (RFC 9457): never a value of the caller, never a trace of ours."""

from typing import Any

import asyncpg
import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from services import errors
from services.errors import FieldError, Problem
from services.telemetry import log, request_id, trace_id

MEDIA_TYPE = "application/problem+json"


class FieldErrorView(BaseModel):
    """One fault: where, which rule, in words."""

    pointer: str
    code: str
    message: str


class ProblemView(BaseModel):
    """A problem (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str | None = None
    instance: str
    code: str
    trace_id: str
    errors: list[FieldErrorView] = []
    retryable: bool = False


def all_problems() -> list[type[Problem]]:
    """Every problem class, by slug."""
    found: dict[str, type[Problem]] = {}
    stack = list(Problem.__subclasses__())
    while stack:
        cls = stack.pop()
        found[cls.slug] = cls
        stack.extend(cls.__subclasses__())
    return [found[slug] for slug in sorted(found)]


def body(problem: Problem) -> dict[str, Any]:
    """The problem as a JSON object; also stands inside ``command.answered``."""
    answer: dict[str, Any] = {
        "type": f"urn:liandiao:problem:{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "instance": f"urn:uuid:{request_id()}",
        "code": problem.slug,
        "trace_id": trace_id(),
        "errors": [e.wire() for e in problem.errors],
        "retryable": problem.retryable,
    }
    if problem.detail:
        answer["detail"] = problem.detail
    return {**problem.members, **answer}


class ProblemResponse(JSONResponse):
    """JSON of plain values, written by the quicker writer: refusals come by the thousand."""

    def render(self, content: Any) -> bytes:
        """The body's bytes."""
        return orjson.dumps(content)


def response(problem: Problem) -> JSONResponse:
    """The HTTP answer."""
    headers = dict(problem.headers)
    if problem.status == 401:
        headers.setdefault("WWW-Authenticate", "Bearer")
    if problem.status == 503:
        headers.setdefault("Retry-After", "1")
    return ProblemResponse(body(problem), problem.status, headers, media_type=MEDIA_TYPE)


def problems(*classes: type[Problem]) -> dict[int | str, dict[str, Any]]:
    """``responses=`` of an endpoint: what it may refuse, merged by status.

    Every endpoint may also answer 400, 401, 403, 404, 429, 500 and 503; they are added here.
    """
    merged: dict[int, list[str]] = {}
    common = (
        errors.Malformed,
        errors.Unauthenticated,
        errors.Forbidden,
        errors.NotFound,
        errors.NotAcceptable,
        errors.TooManyRequests,
        errors.Invalid,
        errors.Unavailable,
        errors.Internal,
    )
    every: tuple[type[Problem], ...] = (*common, *classes)
    for cls in every:
        if cls.slug not in merged.setdefault(cls.status, []):
            merged[cls.status].append(cls.slug)
    return {
        status: {
            "description": ", ".join(slugs),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemView"}}},
        }
        for status, slugs in sorted(merged.items())
    }


# pydantic's error types -> the rule names the sample expectations use
_RULES = {
    "missing": "required",
    "extra_forbidden": "unknown_field",
    "json_invalid": "not_json",
    "timezone_aware": "timestamp_without_zone",
    "string_too_long": "text_too_long",
}


# What pydantic finds, in Chinese; its own words follow in English.
_CHINESE = {
    "missing": "缺少必填项。",
    "extra_forbidden": "没有这一项。",
    "string_type": "须为文本。",
    "string_too_short": "内容过短。",
    "string_too_long": "内容过长。",
    "string_pattern_mismatch": "格式不对。",
    "int_type": "须为整数。",
    "int_parsing": "须为整数。",
    "int_from_float": "须为整数。",
    "bool_type": "须为是或者否。",
    "bool_parsing": "须为是或者否。",
    "greater_than": "数值小于允许的范围。",
    "greater_than_equal": "数值小于允许的范围。",
    "less_than": "数值大于允许的范围。",
    "less_than_equal": "数值大于允许的范围。",
    "enum": "不在规定的取值范围内。",
    "literal_error": "不在规定的取值范围内。",
    "list_type": "须为列表。",
    "dict_type": "须为对象。",
    "model_type": "须为对象。",
    "model_attributes_type": "须为对象。",
    "too_short": "项数过少。",
    "too_long": "项数过多。",
    "uuid_type": "须为编号（UUID）。",
    "uuid_parsing": "须为编号（UUID）。",
    "datetime_type": "须为时刻，例如 2026-11-16T10:00:00+08:00。",
    "datetime_parsing": "须为时刻，例如 2026-11-16T10:00:00+08:00。",
    "datetime_from_date_parsing": "须为时刻，例如 2026-11-16T10:00:00+08:00。",
    "timezone_aware": "时刻须写明时区。",
    "date_type": "须为日期，例如 2026-11-16。",
    "date_parsing": "须为日期，例如 2026-11-16。",
    "date_from_datetime_parsing": "须为日期，例如 2026-11-16。",
}
_CHINESE_OTHERWISE = "该项不符合规定。"


def _pointer(location: tuple[Any, ...]) -> str:
    parts = [str(p).replace("~", "~0").replace("/", "~1") for p in location]
    if parts and parts[0] == "body":
        return "".join(f"/{p}" for p in parts[1:])
    return "#" + "/".join(parts)


def from_validation(error: RequestValidationError) -> Problem:
    """FastAPI's validation error without the values it carries."""
    faults = [
        FieldError(
            _pointer(tuple(e["loc"])),
            _RULES.get(e["type"], e["type"]),
            f"{_CHINESE.get(e['type'], _CHINESE_OTHERWISE)} {_message(e)}",
        )
        for e in error.errors()
    ]
    if any(e["type"] == "json_invalid" for e in error.errors()):
        return errors.Malformed(
            "the body is not JSON",
            errors=[FieldError("", "not_json", "请求不是 JSON。 the body is not JSON")],
        )
    return errors.Invalid(errors=faults)


def _message(error: Any) -> str:
    """pydantic's words only where they cannot hold the input."""
    kind = str(error["type"])
    if kind == "missing":
        return "this member is required"
    if kind in ("value_error", "assertion_error", "enum", "literal_error"):
        expected = (error.get("ctx") or {}).get("expected")
        return f"expected {expected}" if expected else "the value breaks a rule"
    return str(error["msg"])


_BY_STATUS: dict[int, type[Problem]] = {
    400: errors.Malformed,
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    406: errors.NotAcceptable,
    413: errors.TooLarge,
    415: errors.UnsupportedMediaType,
}


def install(app: FastAPI) -> None:
    """Turn every failure into a problem."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> JSONResponse:
        return response(error)

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> JSONResponse:
        return response(from_validation(error))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        cls = _BY_STATUS.get(error.status_code, errors.Internal)
        return response(cls(headers=dict(error.headers or {})))

    @app.exception_handler(asyncpg.DataError)
    async def _data(request: Request, error: asyncpg.DataError) -> JSONResponse:
        log().warning("data_refused", sqlstate=error.sqlstate)
        return response(errors.Invalid("a value cannot be stored"))

    async def _unavailable(request: Request, error: Exception) -> JSONResponse:
        log().warning("dependency_unavailable", error=type(error).__name__)
        return response(errors.Unavailable())

    for cls in (
        asyncpg.PostgresConnectionError,
        asyncpg.CannotConnectNowError,
        asyncpg.AdminShutdownError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        asyncpg.exceptions.OperatorInterventionError,
        OSError,
        asyncpg.TooManyConnectionsError,
        asyncpg.SerializationError,
        asyncpg.DeadlockDetectedError,
        ConnectionError,
        TimeoutError,
    ):
        app.add_exception_handler(cls, _unavailable)

    @app.exception_handler(Exception)
    async def _internal(request: Request, error: Exception) -> JSONResponse:
        frame = error.__traceback__
        while frame and frame.tb_next:
            frame = frame.tb_next
        where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else None
        log().error("bug", error=type(error).__name__, where=where)
        return response(errors.Internal())
