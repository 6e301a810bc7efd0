"""What an erasure takes beside the vault: a party's own papers, and every export of the file."""

from uuid import UUID

import asyncpg
import pytest

from intake.keys import keys_of
from intake.vault import Erased
from services.messaging.jobs import run_due_jobs
from tests.intake.attachments.handing_in import TEXT, Hand
from tests.intake.exports.test_exports import export
from tests.intake.parties.test_representations import party_head
from tests.intake.rights.test_erasing import decided, proposed, whole_case
from tests.intake.world import Intake

pytestmark = pytest.mark.postgres


async def test_a_partys_papers_and_all_exports_go_with_it_and_the_senders_papers_stay(
    intake: Intake,
) -> None:
    """checklist 1.30"""
    case = await whole_case(intake)
    mine = await Hand.of_party(intake, await party_head(intake, case)).give(TEXT, "我的.txt")
    theirs = await Hand.of(intake, case["case_id"]).give(TEXT * 2, "法院.txt")
    await export(intake, case["case_id"], "bundle")
    keys = await _keys(intake)

    erasure = await proposed(intake, case["case_id"], party_ref="p1", ground="unlawful")
    await decided(intake, erasure)
    await run_due_jobs(intake.runtime)

    left = await _keys(intake)
    assert left.keys() == {UUID(theirs["attachment_id"])}
    assert UUID(mine["attachment_id"]) in keys
    assert len(keys) == 3
    vault = keys_of(intake.runtime).vault
    kek_id, wrapped = keys[UUID(mine["attachment_id"])]
    with pytest.raises(Erased):
        vault.data_key("attachment", UUID(mine["attachment_id"]), kek_id, wrapped)


async def _keys(intake: Intake) -> dict[UUID, tuple[str, bytes]]:
    """Papers and exports whose key still stands."""
    db = await asyncpg.connect(intake.superuser_url)
    try:
        rows = await db.fetch(
            """SELECT attachment_id AS id, kek_id, wrapped_key FROM attachment
               WHERE wrapped_key IS NOT NULL
               UNION ALL
               SELECT export_id, kek_id, wrapped_key FROM case_export
               WHERE wrapped_key IS NOT NULL"""
        )
        return {row["id"]: (row["kek_id"], bytes(row["wrapped_key"])) for row in rows}
    finally:
        await db.close()
