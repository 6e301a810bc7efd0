"""The party's view of its case in words: the same for the API, the page and the export."""

from itertools import pairwise
from typing import Any
from uuid import UUID

from intake import views
from intake.tracking import words
from services.unit_of_work import UnitOfWork


async def tracked(uow: UnitOfWork, case_id: UUID, party_id: UUID) -> dict[str, Any]:
    """What a party sees of its case, every code with its words. Raises ``NotFound``."""
    found: dict[str, Any] = await views.party_case(uow, case_id, party_id)
    all_holders = [*found["earlier_holders"], found["holder"]]
    act = (found["next_act"] or {}).get("act")
    due = found["due"]
    return {
        **found,
        "words": {
            "your_role": words.word("role", found["your_role"]),
            "stage": words.word("stage", found["stage"]),
            "outcome": words.outcome(found["outcome"]),
            "lane": words.lane(found["lane"]),
            "dispute_type": words.dispute_type(found["dispute_type"]),
        },
        "next_step": words.next_step(
            act, left=found["you_left_at"] is not None, closed=found["state"] == "closed"
        ),
        "remedies": words.remedies(found["lane"], found["outcome"]),
        "holders": [
            {
                **holder,
                "until": following and following["since"],
                "words": words.word("holding", holder["ground"]),
            }
            for holder, following in pairwise([*all_holders, None])
        ],
        "due": due and {**due, "words": words.word("clock", due["kind"])},
        "steps": [
            {
                **step,
                "words": words.what(step["what"]),
                "ground": words.word("ground", step["ground"])
                if step["what"] == "assignment.returned"
                else None,
            }
            for step in found["steps"]
        ],
    }
