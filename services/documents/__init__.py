"""Documents: a template and data become a PDF, the same bytes for the same input.

The template is Typst source of ours; everything that comes from people is data and is set as text,
never read as markup. PDF/A-2b, one vendored font, no network, no packages.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from services.confined import confined

FONTS: Final = Path(__file__).parent / "fonts"
MOST_DATA_BYTES: Final = 4 * 1024 * 1024


class TooLong(Exception):
    """The data is more than one document should hold."""


async def pdf(template: str, data: dict[str, Any], *, made_at: datetime) -> bytes:
    """The document as PDF/A-2b from Typst source; ``made_at`` (UTC) is the date it states inside.

    Raises ``TooLong``, and ``ConfinedOverrun`` when it takes more than its limits.
    """
    text = orjson.dumps(data)
    if len(text) > MOST_DATA_BYTES:
        raise TooLong
    request = {
        "template": template,
        "data": text.decode(),
        "made_at": int(made_at.timestamp()),
    }
    return await confined("services.documents.making", request, seconds=60)


def qr_svg(text: str) -> str:
    """A QR code (error correction M) as SVG, for ``image(bytes(…))`` in a template."""
    import segno

    drawn: str = segno.make(text, error="m", micro=False).svg_inline(scale=4, border=2)
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
