"""The child that sets a document: Typst, our font alone, nothing from the system or the network."""

import json
from datetime import UTC, datetime
from typing import Any

import typst

from services.confined import serve
from services.documents import FONTS
from services.documents.glyphs import everywhere


def make(request: dict[str, Any], _: bytes) -> bytes:
    """The PDF of one request."""
    return bytes(
        typst.compile(
            request["template"].encode(),
            root=FONTS,
            font_paths=[FONTS],
            ignore_system_fonts=True,
            format="pdf",
            pdf_standards=["a-2b"],
            sys_inputs={"data": json.dumps(everywhere(json.loads(request["data"])))},
            timestamp=datetime.fromtimestamp(request["made_at"], UTC),
        )
    )


if __name__ == "__main__":
    serve(make)
