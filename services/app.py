"""The application factory: one FastAPI application per service, the same for every one."""

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services import problem, telemetry
from services.errors import (
    NotAcceptable,
    Problem,
    TooLarge,
    TooManyRequests,
    Unavailable,
    UnsupportedMediaType,
)
from services.http import PART_TYPE, check_rate
from services.messaging.failpoints import failpoint
from services.problem import ProblemView
from services.runtime import Runtime
from services.service import Service
from services.settings import SharedSettings

MAX_BODY_BYTES = 1024 * 1024
# A part of a file is streamed, never held; of files come many parts (tus 1.0).
MAX_PART_BYTES = 16 * 1024 * 1024
VERSION = "0.1.0"


class Edge:
    """The outermost layer: ids, body limit, JSON only, metrics. Pure ASGI, since it runs always."""

    def __init__(
        self, app: ASGIApp, service: str, at_once: int, streams: re.Pattern[str] | None = None
    ) -> None:
        self.app = app
        self.service = service
        self.streams = streams
        self.at_once = at_once
        self.inside = 0
        self.figures: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Bind the ids, refuse what is too large or not JSON, count what was answered."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("ascii", "replace")
        try:
            request_id = str(uuid.UUID(given))
        except ValueError:
            request_id = str(uuid.uuid4())
        traceparent = headers.get(b"traceparent", b"").decode("ascii", "replace")
        if len(traceparent) != 55 or traceparent.count("-") != 3:
            traceparent = telemetry.new_traceparent()
        telemetry.bind(request_id, traceparent)
        started = time.perf_counter()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", []),
                    (b"x-request-id", request_id.encode()),
                    (b"traceparent", traceparent.encode()),
                    (b"cache-control", b"no-store"),
                    (b"x-content-type-options", b"nosniff"),
                ]
            else:
                failpoint("http.during_answer")
            await send(message)

        streamed = False
        refusal: Problem | None = await self._over_rate(scope, headers)
        if refusal is None:
            streamed = self.streams is not None and bool(self.streams.fullmatch(scope["path"]))
            refusal = self._refusal(scope["method"], headers, scope["path"], streamed=streamed)
        if refusal is None and self.inside >= self.at_once and _is_work(scope["path"]):
            # Told at once, before anything is read or written: nothing accepted is ever lost.
            refusal = Unavailable("too many requests at once", retry_after_seconds=1)
        if refusal is not None:
            await problem.response(refusal)(scope, receive, watched)
        else:
            self.inside += 1
            try:
                if streamed:
                    await self.app(scope, receive, watched)
                else:
                    await self._within_limit(scope, receive, watched)
            finally:
                self.inside -= 1
        route = getattr(scope.get("route"), "path", "unmatched")
        self._count(route, scope["method"], status, time.perf_counter() - started)

    def _count(self, route: str, method: str, status: int, seconds: float) -> None:
        """The two figures of a request; their children are kept, since finding them costs more."""
        known = self.figures.get((route, method, status))
        if known is None:
            known = self.figures[route, method, status] = (
                telemetry.REQUESTS.labels(self.service, route, method, status),
                telemetry.REQUEST_SECONDS.labels(self.service, route),
            )
        known[0].inc()
        known[1].observe(seconds)

    @staticmethod
    async def _over_rate(scope: Scope, headers: dict[bytes, bytes]) -> TooManyRequests | None:
        """First of all, since it is what a client that does not listen is told a thousand times."""
        if scope["path"].startswith("/v1/"):
            try:
                await check_rate(scope, headers.get(b"authorization", b""))
            except TooManyRequests as error:
                return error
        return None

    @staticmethod
    def _refusal(
        method: str, headers: dict[bytes, bytes], path: str, *, streamed: bool
    ) -> Problem | None:
        accept = headers.get(b"accept", b"*/*").decode("latin-1")
        if path.startswith("/v1/") and not any(
            part in accept for part in ("*/*", "application/json", "application/*", "problem+json")
        ):
            return NotAcceptable()
        if method in ("POST", "PUT", "PATCH") and not streamed:
            length = headers.get(b"content-length")
            most = _most_bytes(method, headers)
            if length is not None and length.isdigit() and int(length) > most:
                return TooLarge()
            kind = _kind(headers)
            has_body = (length not in (None, b"0")) or b"transfer-encoding" in headers
            part = most == MAX_PART_BYTES
            if path.startswith("/v1/") and has_body and kind != "application/json" and not part:
                return UnsupportedMediaType()
        return None

    async def _within_limit(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen = 0
        most = _most_bytes(scope["method"], dict(scope["headers"]))

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise TooLarge()
            return message

        await self.app(scope, counted, send)


def _kind(headers: dict[bytes, bytes]) -> str:
    return headers.get(b"content-type", b"").decode("latin-1").split(";")[0].strip().lower()


def _most_bytes(method: str, headers: dict[bytes, bytes]) -> int:
    return MAX_PART_BYTES if method == "PATCH" and _kind(headers) == PART_TYPE else MAX_BODY_BYTES


def _is_work(path: str) -> bool:
    """Whether a full process may refuse it; health, figures and tokens are told even then.

    A feed may wait for news for half a minute and costs nothing while it does.
    """
    return not path.startswith(("/health/", "/metrics", "/oauth/", "/v1/feeds/"))


async def _measure_loop_lag(service: str) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.5)
        telemetry.LOOP_LAG.labels(service).set(max(0.0, time.perf_counter() - before - 0.5))


async def _refresh_directory(runtime: Runtime) -> None:
    while True:
        await asyncio.sleep(2)
        with suppress(Exception):
            await runtime.refresh_directory()


async def ready(runtime: Runtime) -> tuple[bool, dict[str, Any]]:
    """Whether this process can do its work, and the figures behind the answer."""
    answer: dict[str, Any] = {"service": runtime.service.name, "version": VERSION}
    try:
        async with asyncio.timeout(2):
            row = await runtime.pool.fetchrow(
                """SELECT (SELECT count(*) FROM parked_case) AS parked,
                     (SELECT extract(epoch FROM clock_timestamp() - recorded_at) FROM outbox
                      WHERE published_at IS NULL ORDER BY id LIMIT 1) AS oldest"""
            )
    except Exception as error:  # any failure of the database means: not ready
        answer["database"] = type(error).__name__
        return False, answer
    if row is None:
        return False, answer
    answer["database"] = "ok"
    answer["parked_cases"] = row["parked"]
    offset = runtime.clock.offset.total_seconds()
    oldest = 0.0 if row["oldest"] is None else max(0.0, float(row["oldest"]) + offset)
    answer["oldest_unpublished_seconds"] = round(oldest, 3)
    answer["writes_allowed"] = runtime.writes_allowed
    telemetry.OLDEST_UNPUBLISHED.labels(runtime.service.name).set(oldest)
    for name, figure in runtime.service.figures.items():
        try:
            value = round(await figure(runtime), 3)
        except Exception as error:  # a figure must not hide the others
            telemetry.log().warning("figure_failed", figure=name, error=type(error).__name__)
            continue
        answer[name] = value
        telemetry.FIGURE.labels(runtime.service.name, name).set(value)
    answer |= {k: v for k, v in runtime.progress.items() if isinstance(v, int | float | str | bool)}
    # Without a key of the directory no token can be verified: every request would get a 401.
    answer["token_keys"] = sum(
        k.get("use") == "token" for k in runtime.directory.all("key").values()
    )
    fine = runtime.writes_allowed and not runtime.progress.get("stalled", False)
    return fine and answer["token_keys"] > 0, answer


def create_app(service: Service, *, work: bool = False, runtime: Runtime | None = None) -> FastAPI:
    """The service's application; with ``work`` it also relays, consumes, sweeps and sends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        running = runtime or await Runtime.open(service)
        app.state.runtime = running
        tasks = [asyncio.create_task(_measure_loop_lag(service.name))]
        stop = asyncio.Event()
        if service.on_start is not None:
            await service.on_start(running)
        if work:
            from services.messaging.worker import run_work

            tasks.append(asyncio.create_task(run_work(running, stop)))
        else:
            from services.messaging.worker import run_watch

            tasks.append(asyncio.create_task(_refresh_directory(running)))
            tasks.append(asyncio.create_task(run_watch(running, stop)))
        telemetry.log().info("started", work=work)
        yield
        stop.set()
        if work:
            with suppress(Exception):
                await asyncio.wait_for(asyncio.shield(tasks[1]), 5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if runtime is None:
            with suppress(Exception):
                await running.close()

    app = FastAPI(
        # Traces and figures are our own (telemetry.py); the framework's would quote failures.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        title=f"Liandiao {service.title}",
        version=VERSION,
        description=service.description,
        lifespan=lifespan,
        openapi_tags=[{"name": service.name, "description": service.description}],
        contact={"name": "Liandiao"},
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        redoc_url=None,
        separate_input_output_schemas=False,
        responses={},
    )
    problem.install(app)
    for router in service.routers():
        for route in router.routes:
            if isinstance(route, APIRoute):
                route.tags = [service.name]
            # The route itself: including its router would work out every parameter once more.
            app.router.routes.append(route)

    @app.get("/health/live", tags=["health"], summary="The process answers")
    async def live() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/health/ready", tags=["health"], summary="The process can do its work")
    async def readiness(request: Request) -> JSONResponse:
        fine, answer = await ready(request.app.state.runtime)
        return JSONResponse(answer, 200 if fine else 503)

    @app.get("/metrics", tags=["health"], summary="Figures for Prometheus", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        await ready(request.app.state.runtime)
        return Response(generate_latest(telemetry.REGISTRY), media_type=CONTENT_TYPE_LATEST)

    default_openapi = app.openapi

    def openapi() -> dict[str, Any]:
        document = default_openapi()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if "ProblemView" not in schemas:
            view = ProblemView.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= view.pop("$defs", {})
            schemas["ProblemView"] = view
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    at_once = (
        SharedSettings().requests_at_once
        if runtime is None
        else (runtime.settings.requests_at_once)
    )
    app.add_middleware(Edge, service=service.name, at_once=at_once, streams=service.streams)
    return app
