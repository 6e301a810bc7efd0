"""Logs as JSON lines, metrics for Prometheus, and the ids that tie a request together."""

import logging
import secrets
import sys
import uuid
from contextvars import ContextVar
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)

# The whole list of metrics, with help texts: documented in docs/metrics.md from here.
REGISTRY = CollectorRegistry()
REQUESTS = Counter(
    "liandiao_requests_total",
    "HTTP requests by service, route template, method and status",
    ["service", "route", "method", "status"],
    registry=REGISTRY,
)
REQUEST_SECONDS = Histogram(
    "liandiao_request_seconds",
    "Seconds from request to answer by service and route template",
    ["service", "route"],
    registry=REGISTRY,
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
EVENTS_PUBLISHED = Counter(
    "liandiao_events_published_total", "Outbox rows acknowledged", ["service"], registry=REGISTRY
)
EVENTS_HANDLED = Counter(
    "liandiao_events_handled_total",
    "Records consumed by consumer and result (done, duplicate, unknown, stale, parked, dropped)",
    ["service", "consumer", "result"],
    registry=REGISTRY,
)
COMMANDS_ANSWERED = Counter(
    "liandiao_commands_answered_total",
    "Commands answered by service and outcome",
    ["service", "outcome"],
    registry=REGISTRY,
)
CONSUMER_LAG = Gauge(
    "liandiao_consumer_lag_records",
    "Records between position and end offset by consumer and partition",
    ["service", "consumer", "partition"],
    registry=REGISTRY,
)
PARKED_CASES = Gauge(
    "liandiao_parked_cases", "Cases parked by consumer", ["service", "consumer"], registry=REGISTRY
)
OLDEST_UNPUBLISHED = Gauge(
    "liandiao_outbox_oldest_unpublished_seconds",
    "Age of the oldest outbox row without acknowledgement",
    ["service"],
    registry=REGISTRY,
)
MESSAGES = Counter(
    "liandiao_messages_total",
    "Tries to send a message by channel and what became of it",
    ["channel", "state"],
    registry=REGISTRY,
)
WEBHOOK_ATTEMPTS = Counter(
    "liandiao_webhook_attempts_total",
    "Tries to bring an entry to a webhook by outcome (delivered, failed, gone) and reason",
    ["outcome", "reason"],
    registry=REGISTRY,
)
FIGURE = Gauge(
    "liandiao_figure",
    "A service's own figure, e.g. oldest_unfired_clock_seconds, messages_waiting",
    ["service", "figure"],
    registry=REGISTRY,
)
LOOP_LAG = Gauge(
    "liandiao_event_loop_lag_seconds", "Delay of the event loop", ["service"], registry=REGISTRY
)


def request_id() -> str:
    """The id of the request or command at hand; a new one outside of any."""
    return _request_id.get() or str(uuid.uuid4())


def current_traceparent() -> str:
    """W3C trace context at hand; a new root outside of any."""
    return _traceparent.get() or new_traceparent()


def new_traceparent() -> str:
    """A fresh W3C ``traceparent``."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def trace_id() -> str:
    """The trace id of the context at hand."""
    return current_traceparent().split("-")[1]


def bind(request: str, traceparent: str) -> None:
    """Set request id and trace of the current context (a request, an event or a job)."""
    _request_id.set(request)
    _traceparent.set(traceparent)


def _add_context(_: Any, __: str, fields: structlog.types.EventDict) -> structlog.types.EventDict:
    if _request_id.get():
        fields.setdefault("correlation_id", _request_id.get())
    if _traceparent.get():
        fields.setdefault("trace_id", trace_id())
    return fields


class _ThirdParty(logging.Handler):
    """Other libraries' warnings as JSON lines: the logger's name and level, never their texts,

    since a driver's message may quote a value."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        fields: dict[str, Any] = {"logger": record.name}
        if error:
            fields["error"] = error
        if record.name.startswith("aiokafka") or record.name.startswith("uvicorn"):
            fields["text"] = str(record.msg)[:200]
        structlog.get_logger().log(record.levelno, "library", **fields)


def configure(service: str, level: str) -> None:
    """Send JSON lines to standard output, each with the service's name."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_context,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    root = logging.getLogger()
    root.handlers[:] = [_ThirdParty(level=logging.WARNING)]
    root.setLevel(logging.WARNING)


def log() -> Any:
    """The logger; fields are codes and ids, never names, numbers or addresses."""
    return structlog.get_logger()
