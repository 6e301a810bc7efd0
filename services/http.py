"""What endpoints depend on: the caller, a transaction, versions, read-your-writes."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Header, Request, Response, Security
from fastapi.security import OAuth2, SecurityScopes
from fastapi.security.utils import get_authorization_scheme_param
from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter
from pydantic import AwareDatetime
from starlette.types import Scope

from services.auth import Caller, PartyCaller
from services.errors import (
    Behind,
    FieldError,
    Forbidden,
    Malformed,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    VersionRequired,
)
from services.unit_of_work import Actor, UnitOfWork

if TYPE_CHECKING:
    from services.runtime import Runtime

CASE_AFTER_WAIT_SECONDS: Final = 2.0
LOOK_AGAIN_SECONDS: Final = 0.2
# The media type of a part of a file (tus 1.0), the only body that is not JSON.
PART_TYPE: Final = "application/offset+octet-stream"
# A feed and its webhooks belong to a connection, whichever of its organisations they are for.
OF_THE_CONNECTION: Final = frozenset({"feed:read", "webhook:read", "webhook:write"})
_limiter: Final = FixedWindowRateLimiter(MemoryStorage())
# Who has used up its second, and until when (monotonic): told without asking the limiter again.
_refused_until: Final[dict[tuple[str, str], float]] = {}
# When the requests that a client has sent so far are through, evenly by its share (monotonic).
_turns: Final[dict[tuple[str, str], float]] = {}
AT_ONCE_SECONDS: Final = 0.05
MANY_CLIENTS: Final = 10_000

client_scheme = OAuth2(
    flows={"clientCredentials": {"tokenUrl": "/oauth/token", "scopes": {}}},
    scheme_name="client",
    description="OAuth 2.0 client credentials; short ES256 tokens",
    auto_error=False,
)
party_scheme = OAuth2(
    flows={"clientCredentials": {"tokenUrl": "/v1/receipts/{number}/tokens", "scopes": {}}},
    scheme_name="party",
    description="A party's 15-minute token, exchanged for the receipt's secret",
    auto_error=False,
)


def runtime_of(request: Request) -> "Runtime":
    """The running process's own things."""
    runtime: Runtime = request.app.state.runtime
    return runtime


async def _claims(request: Request) -> tuple[dict[str, Any], str]:
    scheme, token = get_authorization_scheme_param(request.headers.get("Authorization"))
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated()
    return await runtime_of(request).tokens.claims(token)


async def _within_rate(runtime: "Runtime", client_id: str, share: int | None = None) -> None:
    """Count a request, and let it wait for its turn when its client sends many at once.

    Raises ``TooManyRequests`` until the client's second is over.
    """
    share = share or runtime.settings.requests_per_second
    now, who = time.monotonic(), (runtime.service.name, client_id)
    if now < _refused_until.get(who, 0.0):
        raise TooManyRequests(retry_after_seconds=1)
    item = RateLimitItemPerSecond(share)
    if not await _limiter.hit(item, *who):
        stats = await _limiter.get_window_stats(item, *who)
        if len(_refused_until) > MANY_CLIENTS:
            _refused_until.clear()
        _refused_until[who] = now + max(0.0, stats.reset_time - time.time())
        raise TooManyRequests(retry_after_seconds=1)
    if wait := wait_for_turn(who, now, share):
        await asyncio.sleep(wait)


async def within_public_rate(
    request: Request, name: str, *, of_one_address: int, in_all: int
) -> None:
    """Count a request of somebody without a token: by its address, and of everybody together.

    Of IPv6 the network of 64 bits counts, which one household has. Raises ``TooManyRequests``.
    """
    runtime = runtime_of(request)
    address = _address(request.client.host if request.client else "")
    await _within_rate(runtime, f"{name} {address}", of_one_address)
    await _within_rate(runtime, f"{name} *", in_all)


def _address(host: str) -> str:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((address, 64), strict=False))
    return str(address)


def wait_for_turn(who: tuple[str, str], now: float, share: int) -> float:
    """Seconds that a request of this client waits, whose ``share`` is so many a second.

    A twentieth of a second's share goes at once, the rest evenly: whoever sends its whole share in
    one moment waits by itself instead of letting everybody wait. ``now`` is monotonic.
    """
    if len(_turns) > MANY_CLIENTS:
        _turns.clear()
    _turns[who] = turn = max(now, _turns.get(who, 0.0)) + 1 / share
    return max(0.0, turn - now - max(1 / share, AT_ONCE_SECONDS))


async def check_rate(scope: Scope, authorization: bytes) -> None:
    """Count a request of a client that is known by its token, before anything of it is read.

    A client that does not listen takes as little as can be from the others this way. Raises
    ``TooManyRequests``.
    """
    runtime: Runtime | None = getattr(scope["app"].state, "runtime", None)
    if runtime is None or authorization[:7].lower() != b"bearer ":
        return
    claims = runtime.tokens.seen(authorization[7:].decode("latin-1"))
    if claims is not None:
        await _within_rate(runtime, str(claims["sub"]))
        scope.setdefault("state", {})["within_rate"] = True


async def _caller(
    request: Request,
    scopes: SecurityScopes,
    _: Annotated[Any, Security(client_scheme)] = None,
    acting_organisation: Annotated[
        str | None,
        Header(description="Which of the client's organisations acts; needed when it has several"),
    ] = None,
    acted_by: Annotated[
        str | None,
        Header(description="Id of the staff member who acts", pattern=r"^[A-Za-z0-9-]{1,64}$"),
    ] = None,
) -> Caller:
    claims, use = await _claims(request)
    if use != "token":
        raise Unauthenticated()
    connection = str(claims.get("connection", ""))
    known = runtime_of(request).directory.connection(connection)
    if known is not None and not known.get("active", True):
        raise Unauthenticated()
    held = frozenset(str(claims.get("scopes", "")).split())
    if not held.issuperset(scopes.scopes):
        raise Forbidden("the token lacks the scope of this operation")
    organisations = tuple(claims.get("organisations") or ())
    if acting_organisation is not None:
        if acting_organisation not in organisations:
            raise Forbidden("the client does not speak for the acting organisation")
        organisation = acting_organisation
    elif len(organisations) == 1:
        organisation = organisations[0]
    elif organisations and not (scopes.scopes and OF_THE_CONNECTION.issuperset(scopes.scopes)):
        fault = FieldError(
            "#header/Acting-Organisation",
            "required",
            "须写明以哪个机构的名义办理。/ name the organisation",
        )
        raise Malformed("the client speaks for several organisations", errors=[fault])
    else:
        organisation = ""
    runtime = runtime_of(request)
    if not getattr(request.state, "within_rate", False):
        await _within_rate(runtime, str(claims["sub"]))
        request.state.within_rate = True
    entry = runtime.directory.organisation(organisation) if organisation else None
    caller = Caller(
        client_id=str(claims["sub"]),
        connection=connection,
        organisation=organisation,
        organisations=organisations,
        scopes=held,
        organisation_kind=entry.get("kind") if entry else None,
        acted_by=acted_by,
        claims=claims,
    )
    request.state.caller = caller
    return caller


def requires(*scopes: str) -> Any:
    """``Annotated[Caller, requires("case:read")]``: a client whose token has these scopes."""
    return Security(_caller, scopes=list(scopes))


async def _party(request: Request, _: Annotated[Any, Security(party_scheme)] = None) -> PartyCaller:
    claims, use = await _claims(request)
    if use != "party-token" or claims.get("sub") != "party":
        raise Unauthenticated()
    representative = claims.get("representative")
    party = PartyCaller(
        UUID(claims["case_id"]),
        UUID(claims["party_id"]),
        f"party:{claims['party_id']}",
        UUID(representative) if representative else None,
    )
    await _within_rate(runtime_of(request), party.client_id)
    return party


Party = Annotated[PartyCaller, Depends(_party)]


async def _party_itself(party: Party) -> PartyCaller:
    """Not its representative: only intake knows at once whether that one's receipt still stands."""
    return itself(party)


def itself(party: PartyCaller) -> PartyCaller:
    """The party. Raises ``Forbidden`` for its representative."""
    if party.representative is not None:
        raise Forbidden("only the party itself may do this")
    return party


PartyItself = Annotated[PartyCaller, Depends(_party_itself)]


# -- transactions ------------------------------------------------------------------------------


async def _who(request: Request) -> tuple[Actor, Caller | None, str]:
    """Who acts, for audit and row-level security; rights are checked by ``requires``."""
    scheme, token = get_authorization_scheme_param(request.headers.get("Authorization"))
    if scheme.lower() != "bearer" or not token:
        return Actor("anonymous"), None, ""
    claims, use = await runtime_of(request).tokens.claims(token)
    if use == "party-token":
        return Actor(f"party:{claims.get('party_id')}"), None, ""
    # Most endpoints have asked already, with the scopes that they need.
    caller: Caller = getattr(request.state, "caller", None) or await _caller(
        request,
        SecurityScopes(),
        None,
        request.headers.get("Acting-Organisation"),
        request.headers.get("Acted-By"),
    )
    organisation = "*" if caller.is_service else caller.organisation
    return (
        Actor(caller.client_id, caller.organisation or None, caller.acted_by),
        caller,
        organisation,
    )


_PART: Final = re.compile(r"^\s*([a-z]+)\s*=\s*([0-9]{1,10})\s*$")


async def _knows(request: Request, caller: Caller | None, case_id: UUID) -> bool:
    """Whether the caller takes or took part in the case, as far as this service has heard."""
    if caller is None:
        claims, _ = await _claims(request)
        return claims.get("case_id") == str(case_id)
    known: bool = caller.is_service or await runtime_of(request).pool.fetchval(
        "SELECT EXISTS (SELECT 1 FROM participation WHERE case_id = $1 AND organisation = $2)",
        case_id,
        caller.organisation,
    )
    return known


async def _wait_for(
    request: Request, caller: Caller | None, case_after: str | None, case_id_header: str | None
) -> None:
    """Wait up to 2 s until what ``Case-After`` names was consumed. Raises ``Behind``.

    A case the caller has no part in answers as one that nobody has heard of.
    """
    if not case_after:
        return
    wanted: list[tuple[str, int]] = []
    for part in case_after.split(","):
        match = _PART.match(part)
        if match is None:
            fault = FieldError(
                "#header/Case-After", "pattern", "格式为：服务=序号。/ written service=sequence"
            )
            raise Malformed("Case-After is not well formed", errors=[fault])
        wanted.append((match[1], int(match[2])))
    named = (
        case_id_header or request.path_params.get("case_id") or request.query_params.get("case_id")
    )
    try:
        case_id = UUID(str(named))
    except ValueError:
        fault = FieldError(
            "#header/Case-Id",
            "required",
            "使用 Case-After 须写明案件。/ Case-After needs the case it is about",
        )
        raise Malformed("Case-After needs a Case-Id header here", errors=[fault]) from None
    runtime = runtime_of(request)
    loop = asyncio.get_running_loop()
    end = loop.time() + CASE_AFTER_WAIT_SECONDS
    while True:
        news = runtime.consumed.event(case_id)
        rows = await runtime.pool.fetch(
            """SELECT source, sequence FROM inbox WHERE consumer = $1 AND case_id = $2
               UNION ALL SELECT $3, last_sequence FROM case_stream WHERE case_id = $2""",
            f"{runtime.service.name}.cases",
            case_id,
            runtime.service.source,
        )
        reached = {r["source"].lstrip("/"): r["sequence"] for r in rows}
        if all(reached.get(name, 0) >= sequence for name, sequence in wanted) and await _knows(
            request, caller, case_id
        ):
            return
        left = end - loop.time()
        if left <= 0:
            raise Behind(retry_after_seconds=1)
        # Looks again by itself too: another process may be the one that consumes.
        await runtime.consumed.wait(case_id, news, min(left, LOOK_AGAIN_SECONDS))


CaseAfter = Annotated[
    str | None,
    Header(
        alias="Case-After", description="`service=sequence`: answer only after hearing that far"
    ),
]
CaseIdHeader = Annotated[
    str | None,
    Header(alias="Case-Id", description="The case `Case-After` is about, where the path has none"),
]


async def unit_of_work(
    request: Request,
    response: Response,
    case_after: CaseAfter = None,
    case_id_header: CaseIdHeader = None,
) -> AsyncIterator[UnitOfWork]:
    """A transaction that commits before the answer leaves; sets ``Case-Sequence``."""
    runtime = runtime_of(request)
    if not runtime.writes_allowed:
        raise Unavailable("writes wait for recovery", retry_after_seconds=5)
    actor, caller, organisation = await _who(request)
    await _wait_for(request, caller, case_after, case_id_header)
    async with runtime.unit_of_work(
        actor=actor, organisation=organisation, caller=caller, live=True
    ) as uow:
        # Told at each emit: headers set after the endpoint has returned no longer reach the answer.
        uow.on_emit = lambda: _tell_sequence(uow, response)
        yield uow


def _tell_sequence(uow: UnitOfWork, response: Response) -> None:
    for name, sequence in uow.sequences.items():
        response.headers["Case-Sequence"] = f"{name}={sequence:010d}"


async def reader(
    request: Request,
    case_after: CaseAfter = None,
    case_id_header: CaseIdHeader = None,
) -> AsyncIterator[UnitOfWork]:
    """A read-only transaction."""
    actor, caller, organisation = await _who(request)
    await _wait_for(request, caller, case_after, case_id_header)
    async with runtime_of(request).unit_of_work(
        actor=actor, organisation=organisation, readonly=True, caller=caller, live=True
    ) as uow:
        yield uow


Unit = Annotated[UnitOfWork, Depends(unit_of_work, scope="function")]
Reader = Annotated[UnitOfWork, Depends(reader, scope="function")]


@dataclass(frozen=True)
class Period:
    """From when until when something is counted."""

    since: datetime
    until: datetime


def _period(
    uow: Reader, since: AwareDatetime | None = None, until: AwareDatetime | None = None
) -> Period:
    """The 24 hours before ``until``, or before now, when ``since`` is left out."""
    end = until or uow.now
    begin = since or end - timedelta(days=1)
    if begin > end:
        raise Malformed("the end of the time is before its beginning")
    return Period(begin, end)


Counted = Annotated[Period, Depends(_period, scope="function")]


# -- versions ----------------------------------------------------------------------------------


def etag(response: Response, version: int) -> None:
    """The row's version as a strong ETag."""
    response.headers["ETag"] = f'"{version}"'


async def _if_match(
    if_match: Annotated[
        str | None, Header(alias="If-Match", description="The ETag the caller last read")
    ] = None,
) -> int:
    if if_match is None:
        raise VersionRequired()
    text = if_match.strip().strip('"')
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        fault = FieldError(
            "#header/If-Match", "pattern", "须为所给的 ETag。/ the ETag as it was given"
        )
        raise Malformed("If-Match is not well formed", errors=[fault])
    return int(text)


IfMatch = Annotated[int, Depends(_if_match)]
