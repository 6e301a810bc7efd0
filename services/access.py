"""The one gate in front of case data: who takes part in which case."""

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from services.auth import Caller
from services.errors import NotFound, Unavailable
from services.events.routing import ParticipantJoined, ParticipantLeft
from services.service import Received, Subscription, on

if TYPE_CHECKING:
    from services.unit_of_work import UnitOfWork

COPY_MAY_BE_BEHIND_SECONDS = 60
EVERY_ROLE: Final = ("source", "handler", "linked", "supervisor")


class AgencyScope:
    """What one organisation may see; not-yours and not-there answer alike."""

    def __init__(self, caller: Caller) -> None:
        self.organisation = caller.organisation

    async def roles(self, uow: "UnitOfWork", case_id: UUID) -> set[str]:
        """The roles in which the organisation takes part in the case now."""
        rows = await uow.db.fetch(
            """SELECT DISTINCT role FROM participation
               WHERE case_id = $1 AND organisation = $2 AND left_at IS NULL""",
            case_id,
            self.organisation,
        )
        return {row["role"] for row in rows}

    async def require(
        self,
        uow: "UnitOfWork",
        case_id: UUID,
        roles: tuple[str, ...] = EVERY_ROLE,
    ) -> set[str]:
        """The roles held, at least one of ``roles``. Raises ``NotFound``."""
        held = await self.roles(uow, case_id)
        if not held & set(roles):
            raise NotFound()
        return held

    def sql(self, column: str, parameter: int, roles: tuple[str, ...] = EVERY_ROLE) -> str:
        """SQL predicate: in the case ``column`` the organisation (parameter ``$n``) takes part."""
        named = ", ".join(f"'{role}'" for role in roles)
        return (
            f"EXISTS (SELECT 1 FROM participation p WHERE p.case_id = {column} "
            f"AND p.organisation = ${parameter} AND p.role IN ({named}) AND p.left_at IS NULL)"
        )

    async def require_fresh(self, uow: "UnitOfWork", held: set[str]) -> None:
        """Refuse party data when the copy of participations is more than 60 s behind.

        Source and handler are exempt. Raises ``Unavailable``.
        """
        if held & {"source", "handler"}:
            return
        if uow.runtime.progress_age_seconds() > COPY_MAY_BE_BEHIND_SECONDS:
            raise Unavailable("the copy of participations is behind", retry_after_seconds=5)


_JOIN = """
INSERT INTO participation
  (participation_id, case_id, episode, organisation, role, reference, joined_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], $5::text[], $6::text[],
  $7::timestamptz[])
ON CONFLICT (participation_id) DO NOTHING
"""


class _Joinings:
    """Participations that one batch heard of, written together: at its end, or when one ends."""

    def __init__(self, uow: "UnitOfWork") -> None:
        self._db = uow.db
        self.rows: list[tuple[Any, ...]] = []

    async def write(self) -> None:
        rows, self.rows = self.rows, []
        if rows:
            await self._db.execute(_JOIN, *(list(column) for column in zip(*rows, strict=True)))


def _joinings(uow: "UnitOfWork") -> _Joinings:
    batch = uow.batch
    if batch is None:
        return _Joinings(uow)
    joinings: _Joinings | None = batch.notes.get("joinings")
    if joinings is None:
        joinings = batch.notes["joinings"] = _Joinings(uow)
        batch.endings.append(joinings.write)
    return joinings


async def _on_joined(received: Received[ParticipantJoined], uow: "UnitOfWork") -> None:
    """Write a participation; a repeat changes nothing."""
    data, joinings = received.data, _joinings(uow)
    joinings.rows.append(
        (
            data.participation_id,
            data.case_id,
            received.episode,
            data.organisation,
            data.role,
            data.reference,
            data.joined_at,
        )
    )
    if uow.batch is None:
        await joinings.write()


async def _on_left(received: Received[ParticipantLeft], uow: "UnitOfWork") -> None:
    """End a participation."""
    await _joinings(uow).write()
    await uow.db.execute(
        "UPDATE participation SET left_at = $2 WHERE participation_id = $1 AND left_at IS NULL",
        received.data.participation_id,
        received.data.left_at,
    )


# For the CONSUMES of every service but routing, which owns participation.
PARTICIPATION_HANDLERS: tuple[Subscription, ...] = (
    on(ParticipantJoined, _on_joined, even_when_closed=True),
    on(ParticipantLeft, _on_left, even_when_closed=True),
)
