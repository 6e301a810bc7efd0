"""The receipt as a paper: data for the template, and the PDF it becomes."""

from datetime import datetime
from pathlib import Path
from typing import Any, Final

from services.clock import SHANGHAI
from services.documents import pdf, qr_svg

TEMPLATE: Final = (Path(__file__).parent / "receipt.typ").read_text("utf-8")


def shown(instant: datetime | None) -> str | None:
    """An instant as people in China read it: minutes, Asia/Shanghai."""
    return None if instant is None else instant.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M")


async def receipt_pdf(paper: dict[str, Any]) -> bytes:
    """The same bytes for the same receipt (PDF/A-2b, one page)."""
    data = {
        **{name: paper[name] for name in ("number", "secret", "role", "lane", "follow_url")},
        "received_by": paper["received_by"],
        "request_made_at": shown(paper["request_made_at"]),
        "received_at": shown(paper["received_at"]),
        "registered_at": shown(paper["registered_at"]),
        "rights": paper["rights"],
        "qr": qr_svg(paper["follow_url"]),
    }
    return await pdf(TEMPLATE, data, made_at=paper["registered_at"])
