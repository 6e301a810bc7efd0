"""All SQL of notices."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from services.ids import new_id
from services.unit_of_work import UnitOfWork

Row = Any
# What a party is told by seeing where its case is.
TOLD_BY_READING: Final = ("turn", "withdrawal")


@dataclass(frozen=True)
class Owed:
    """One notice: to whom, about what, whose task, on which law, by when."""

    recipient: str
    about: str
    organisation: str
    citation: str
    state: str = "task"
    due_at: datetime | None = None
    to: str | None = None
    party_id: UUID | None = None


async def add(
    uow: UnitOfWork,
    subject_kind: str,
    subject_id: UUID,
    owed: list[Owed],
    *,
    case_id: UUID | None = None,
) -> None:
    """Write the notices of one act together: both or none."""
    await uow.db.execute(
        """INSERT INTO notice (notice_id, subject_kind, subject_id, about, recipient, organisation,
             party_id, state, citation, due_at, recorded_at, to_organisation, case_id)
           SELECT n.id, $2, $3, n.about, n.recipient, n.organisation, n.party_id, n.state,
             n.citation, n.due_at, $10, n.to_organisation, $13
           FROM unnest($1::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
             $9::timestamptz[], $11::text[], $12::uuid[])
             AS n(id, about, recipient, organisation, state, citation, due_at, to_organisation,
               party_id)""",
        [new_id() for _ in owed],
        subject_kind,
        subject_id,
        [each.about for each in owed],
        [each.recipient for each in owed],
        [each.organisation for each in owed],
        [each.state for each in owed],
        [each.citation for each in owed],
        [each.due_at for each in owed],
        uow.now,
        [each.to for each in owed],
        [each.party_id for each in owed],
        case_id,
    )


async def owe_newcomer(
    uow: UnitOfWork, case_id: UUID, episode: int, party_id: UUID, *, reachable: bool
) -> None:
    """A party that is named while a turn runs is told of it as the others were (双告知).

    By the same desk, on the same rule; until the turn's ``accept_by``, and without a day once that
    is over. Nothing where no turn runs: the next offer tells everybody.
    """
    await uow.db.execute(
        """INSERT INTO notice (notice_id, subject_kind, subject_id, case_id, party_id,
             to_organisation, about, recipient, organisation, state, citation, due_at, recorded_at)
           SELECT $4, n.subject_kind, n.subject_id, n.case_id, $3, n.to_organisation, n.about,
             n.recipient, n.organisation, $5, n.citation,
             CASE WHEN a.accept_by > $6 THEN a.accept_by END, $6
           FROM assignment a
           JOIN notice n ON n.subject_id = a.assignment_id AND n.recipient = 'party'
           WHERE a.case_id = $1 AND a.episode = $2 AND a.state NOT IN ('returned', 'ended')
           ORDER BY a.ordinal DESC, n.notice_id LIMIT 1""",
        case_id,
        episode,
        party_id,
        new_id(),
        "task" if reachable else "not_owed",
        uow.now,
    )


async def of_subject(uow: UnitOfWork, subject_id: UUID) -> list[Row]:
    """The notices about one matter, refusal or withdrawal, oldest first."""
    rows: list[Row] = await uow.db.fetch(
        "SELECT * FROM notice WHERE subject_id = $1 ORDER BY notice_id", subject_id
    )
    return rows


async def tasks(uow: UnitOfWork, organisation: str, *, after: UUID | None, limit: int) -> list[Row]:
    """What the organisation still has to tell somebody, oldest first."""
    rows: list[Row] = await uow.db.fetch(
        f"""SELECT * FROM notice WHERE organisation = $1 AND state = 'task'
             AND notice_id > coalesce($2::uuid, '00000000-0000-0000-0000-000000000000')
           ORDER BY notice_id LIMIT {int(limit)}""",
        organisation,
        after,
    )
    return rows


async def turns(uow: UnitOfWork, case_id: UUID) -> list[Row]:
    """The turns of a case, first to last; the caller has passed the gate."""
    rows: list[Row] = await uow.db.fetch(
        """SELECT assignment_id, organisation, ordinal, state, accept_by FROM assignment
           WHERE case_id = $1 ORDER BY episode, ordinal, assignment_id""",
        case_id,
    )
    return rows


async def of_case(uow: UnitOfWork, case_id: UUID) -> list[Row]:
    """The notices about the turns of a case, oldest first."""
    rows: list[Row] = await uow.db.fetch(
        "SELECT * FROM notice WHERE case_id = $1 ORDER BY notice_id", case_id
    )
    return rows


async def prove(
    uow: UnitOfWork, notice_id: UUID, organisation: str, *, means: str, at: datetime
) -> Row | None:
    """Note how and when it was told; what is proved stays so. None: not this organisation's."""
    return await uow.db.fetchrow(
        """UPDATE notice SET state = 'proved',
             means = CASE WHEN state = 'task' THEN $3 ELSE means END,
             proved_at = CASE WHEN state = 'task' THEN $4 ELSE proved_at END
           WHERE notice_id = $1 AND organisation = $2 AND state <> 'not_owed' RETURNING *""",
        notice_id,
        organisation,
        means,
        at,
    )


async def prove_party(uow: UnitOfWork, subject_id: UUID, party_id: UUID, means: str) -> None:
    """The party has answered what it was to be told: its open notices about it are proved."""
    await uow.db.execute(
        """UPDATE notice SET state = 'proved', means = $3, proved_at = $4
           WHERE subject_id = $1 AND party_id = $2 AND state = 'task'""",
        subject_id,
        party_id,
        means,
        uow.now,
    )


async def prove_all(
    uow: UnitOfWork, subject_id: UUID, recipient: str, organisation: str | None, means: str
) -> None:
    """The recipient has seen it by itself: every open notice to it about the subject is proved."""
    await uow.db.execute(
        """UPDATE notice SET state = 'proved', means = $4, proved_at = $5
           WHERE subject_id = $1 AND recipient = $2 AND state = 'task'
             AND organisation = coalesce($3, organisation)""",
        subject_id,
        recipient,
        organisation,
        means,
        uow.now,
    )


async def not_owed(uow: UnitOfWork, subject_id: UUID) -> None:
    """What it was about is erased: nobody can be told any more, and nobody waits for a proof. A
    notice that is late already stays what it is: an erasure mends no figure."""
    await uow.db.execute(
        """UPDATE notice SET state = 'not_owed'
           WHERE subject_id = $1 AND state = 'task' AND (due_at IS NULL OR due_at > $2)""",
        subject_id,
        uow.now,
    )


async def prove_parties(
    uow: UnitOfWork,
    case_id: UUID,
    party_ids: list[UUID],
    at: datetime,
    kinds: tuple[str, ...] = TOLD_BY_READING,
) -> None:
    """These parties have seen where their case is: their open notices about it are proved."""
    await uow.db.execute(
        """UPDATE notice SET state = 'proved', means = 'electronic', proved_at = $3
           WHERE case_id = $1 AND party_id = ANY($2) AND state = 'task'
             AND subject_kind = ANY($4)""",
        case_id,
        party_ids,
        at,
        list(kinds),
    )


async def are_open(uow: UnitOfWork, case_id: UUID, party_id: UUID) -> bool:
    """Whether the party has yet to be told something of the case that reading its case tells."""
    found: bool = await uow.db.fetchval(
        """SELECT EXISTS (SELECT 1 FROM notice WHERE case_id = $1 AND party_id = $2
             AND state = 'task' AND subject_kind = ANY($3))""",
        case_id,
        party_id,
        list(TOLD_BY_READING),
    )
    return found


async def prove_receivers(
    uow: UnitOfWork, case_id: UUID, organisations: list[str], at: datetime, kind: str
) -> None:
    """These organisations were told by message: of an offer, or that a case was taken back."""
    await uow.db.execute(
        """UPDATE notice SET state = 'proved', means = 'electronic', proved_at = $3
           WHERE case_id = $1 AND recipient = 'receiver' AND organisation = ANY($2)
             AND state = 'task' AND subject_kind = $4""",
        case_id,
        organisations,
        at,
        kind,
    )


async def release(uow: UnitOfWork, subject_id: UUID) -> None:
    """There is nothing to tell any more: open notices about the subject are owed no longer."""
    await uow.db.execute(
        "UPDATE notice SET state = 'not_owed' WHERE subject_id = $1 AND state = 'task'", subject_id
    )
