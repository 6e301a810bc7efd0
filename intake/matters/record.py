"""What the edge does with a refusal that is to be on record: a gate's, or that of a kind."""

from datetime import timedelta
from typing import Any

from intake import receipt
from intake.gates import handlers as gates
from intake.keys import keys_of
from intake.matters.errors import CODE, NotADispute
from intake.matters.handlers import NewMatter, take
from intake.matters.model import kinds
from intake.model import PartyFacts, Referral
from services.calendar import day_of
from services.errors import Refused
from services.events.intake import AnswerRefusal
from services.problem import body, response
from services.unit_of_work import UnitOfWork


async def registered(refused: Refused, uow: UnitOfWork, *, connection: str | None) -> Refused:
    """Put the refusal on record; the problem answered has its number, secret and way onward.

    Other refusals come back as they are.
    """
    if isinstance(refused, gates.Barred):
        return await gates.put_on_record(refused, uow, connection=connection)
    if isinstance(refused, NotADispute):
        return await _as_matter(refused, uow, connection)
    return refused


async def on_record(refused: Refused, uow: UnitOfWork, *, connection: str | None) -> Any:
    """The same as the HTTP answer: returned, not raised, so that what was written stays."""
    return response(await registered(refused, uow, connection=connection))


async def as_answer(refused: Refused, uow: UnitOfWork, *, connection: str | None) -> dict[str, Any]:
    """The same as a command's answer; a secret never enters a topic, so it is left out."""
    problem = await registered(refused, uow, connection=connection)
    answer = body(problem)
    told = problem.members["refusal"]
    answer["refusal"] = AnswerRefusal(
        refusal_id=told["refusal_id"],
        matter_id=told["matter_id"],
        number=told["number"],
        ground=told["ground"],
        citation=told["citation"],
        go_to=told["go_to"]["organisation"],
        until_on=told["until"]["on"],
    ).model_dump(mode="json", exclude_none=True)
    return {"problem": answer}


async def _as_matter(refused: NotADispute, uow: UnitOfWork, connection: str | None) -> Refused:
    referral = refused.referral
    row = await take(
        matter_of(referral), uow, organisation=referral.organisation, connection=connection
    )
    kind = kinds()[row["kind"]]
    keys = keys_of(uow.runtime)
    told = {
        "refusal_id": None,
        "matter_id": str(row["matter_id"]),
        "number": row["number"],
        "ground": CODE,
        "citation": kind.citation,
        "go_to": gates.named({"organisation": row["holder"]}, uow.runtime.directory),
        "until": {
            "on": due_on(row),
            "source": kind.answer_within["source"],
            "zh": None,
            "en": None,
        },
        "secret": receipt.secret(keys.receipt, row["matter_id"], 1),
    }
    return Refused(errors=refused.errors, members={"refusal": told})


def due_on(row: Any) -> str:
    """The last day (Asia/Shanghai) on which the matter is answered in time."""
    return day_of(row["due_at"] - timedelta(microseconds=1)).isoformat()


def matter_of(referral: Referral) -> NewMatter:
    """A referral of another kind as a matter: who asks, whom it is about, what is said."""
    document = referral.document
    person = next((p for p in referral.parties if p.role == "applicant"), None)
    about = next((p for p in referral.parties if p.role == "respondent"), None)
    code = referral.legal_context.get("about_organisation")
    return NewMatter(
        kind=document["kind"],
        place=referral.place,
        channel=referral.channel,
        content={
            "person": _person(person),
            "about": {"organisation": code, "words": about.name if about else None},
            "title": document["title"],
            "text": document["summary"],
        },
        request_made_at=referral.request_made_at or referral.received_at,
        received_at=referral.received_at,
        about=code,
        reference=referral.reference,
    )


def _person(facts: PartyFacts | None) -> dict[str, Any] | None:
    if facts is None:
        return None
    return {"name": facts.name, "phone": facts.phone, "address": facts.address}
