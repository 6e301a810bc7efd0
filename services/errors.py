"""What can go wrong, each with its slug and status (contracts section 6)."""

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class FieldError:
    """One fault of the input: where (RFC 6901), which rule, in words without the caller's value."""

    pointer: str
    code: str
    message: str

    def wire(self) -> dict[str, str]:
        """The member of ``errors[]``."""
        return {"pointer": self.pointer, "code": self.code, "message": self.message}


class Problem(Exception):
    """A refusal with a slug that never changes its meaning. ``detail`` holds no caller's value."""

    slug: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong on our side"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: list[FieldError] | None = None,
        retry_after_seconds: int | None = None,
        headers: dict[str, str] | None = None,
        members: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(self.slug)
        self.detail = detail
        self.errors = errors or []
        # Extension members (RFC 9457 section 3.2), as JSON values.
        self.members = dict(members or {})
        self.headers = dict(headers or {})
        if retry_after_seconds is not None:
            self.headers["Retry-After"] = str(retry_after_seconds)


class Malformed(Problem):
    """400: the request cannot be read."""

    slug, status, title = "malformed", 400, "The request cannot be read"


class IdempotencyKeyMissing(Problem):
    """400: an Idempotency-Key header is required."""

    slug, status, title = "idempotency-key-missing", 400, "An Idempotency-Key header is required"


class CursorInvalid(Problem):
    """400: the cursor is not valid for this list."""

    slug, status, title = "cursor-invalid", 400, "The cursor is not valid for this list"


class Unauthenticated(Problem):
    """401: a valid access token is required."""

    slug, status, title = "unauthenticated", 401, "A valid access token is required"


class Forbidden(Problem):
    """403: the token does not allow this."""

    slug, status, title = "forbidden", 403, "The token does not allow this"


class NotFound(Problem):
    """404: there is nothing here for this caller."""

    slug, status, title = "not-found", 404, "There is nothing here for this caller"


class MethodNotAllowed(Problem):
    """405: the method is not allowed here."""

    slug, status, title = "method-not-allowed", 405, "The method is not allowed here"


class NotAcceptable(Problem):
    """406: the answer exists only as JSON."""

    slug, status, title = "not-acceptable", 406, "The answer exists only as JSON"


class Conflict(Problem):
    """409: the state of the resource does not allow this."""

    slug, status, title = "conflict", 409, "The state of the resource does not allow this"


class IdempotencyInProgress(Problem):
    """409: the same request is still being handled."""

    slug, status = "idempotency-in-progress", 409
    title = "The same request is still being handled"
    retryable = True


class ReferenceInUse(Problem):
    """409: the reference is used by another referral of this organisation."""

    slug, status = "reference-in-use", 409
    title = "The reference is used by another referral of this organisation"


class AcceptanceWindowElapsed(Problem):
    """409: the time for refusing this offer is over."""

    slug, status = "acceptance-window-elapsed", 409
    title = "The time for refusing this offer is over"


class CaseClosedProblem(Problem):
    """409: the case is closed."""

    slug, status, title = "case-closed", 409, "The case is closed"


class Gone(Problem):
    """410: this is no longer kept."""

    slug, status, title = "gone", 410, "This is no longer kept"


class VersionMismatch(Problem):
    """412: the resource has changed since it was read."""

    slug, status, title = "version-mismatch", 412, "The resource has changed since it was read"


class TooLarge(Problem):
    """413: the body is larger than allowed."""

    slug, status, title = "too-large", 413, "The body is larger than allowed"


class UnsupportedMediaType(Problem):
    """415: the body must be application/json."""

    slug, status, title = "unsupported-media-type", 415, "The body must be application/json"


class Invalid(Problem):
    """422: the request breaks a rule."""

    slug, status, title = "invalid", 422, "The request breaks a rule"


class Refused(Problem):
    """422: it is registered as refused; ground, where to go and until when are told."""

    slug, status = "refused", 422
    title = "This is not taken here; the answer says why, where it goes and until when"


class IdempotencyKeyReused(Problem):
    """422: the Idempotency-Key was used with another body."""

    slug, status = "idempotency-key-reused", 422
    title = "The Idempotency-Key was used with another body"


class VersionRequired(Problem):
    """428: an If-Match header is required."""

    slug, status, title = "version-required", 428, "An If-Match header is required"


class TooManyRequests(Problem):
    """429: too many requests."""

    slug, status, title = "too-many-requests", 429, "Too many requests"
    retryable = True


class Behind(Problem):
    """503: this service has not yet heard what the request refers to."""

    slug, status = "behind", 503
    title = "This service has not yet heard what the request refers to"
    retryable = True


class ChecksumMismatch(Problem):
    """460: the part is not what its checksum says (tus 1.0, checksum)."""

    slug, status, title = "checksum-mismatch", 460, "The part is not what its checksum says"
    retryable = True


class Unavailable(Problem):
    """503: the service cannot do this now."""

    slug, status, title = "unavailable", 503, "The service cannot do this now"
    retryable = True


class Internal(Problem):
    """500: something went wrong on our side."""

    slug, status, title = "internal", 500, "Something went wrong on our side"
    retryable = True


class Poison(Exception):
    """An event that can never be handled as it is: its case is parked."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Transient(Exception):
    """A failure that time will mend: retried in place, never parked."""
