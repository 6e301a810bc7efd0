"""Papers for tests, and short ways to hand them in as a tus client does."""

import base64
import hashlib
import io
import zipfile
from dataclasses import dataclass
from typing import Any

import httpx
from PIL import Image

from services.messaging.jobs import run_due_jobs
from tests.intake.world import COURT, Intake, bearer, token

PAPERS = ("attachment:read", "attachment:write", "case:read", "case:export")
PART = "application/offset+octet-stream"
TEXT = "借条\n今借到人民币五万元。\n".encode()


def as_(organisation: str = COURT) -> dict[str, str]:
    """An organisation's client that may hand papers in."""
    return bearer(token(organisation, *PAPERS))


def metadata(**members: str) -> str:
    """``Upload-Metadata``."""
    return ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in members.items())


def a_photo(side: int = 32) -> bytes:
    """A JPEG with a place and a camera in its metadata."""
    image = Image.new("RGB", (side, side), (120, 10, 10))
    exif = Image.Exif()
    exif[271] = "CAMERA-CANARY"
    exif.get_ifd(34853)[2] = (29.0, 42.0, 7.0)
    out = io.BytesIO()
    image.save(out, "JPEG", exif=exif)
    return out.getvalue()


def a_zip(**members: bytes) -> bytes:
    """An archive of these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return out.getvalue()


@dataclass
class Hand:
    """Somebody who hands papers in: an organisation's client or a party."""

    intake: Intake
    head: dict[str, str]
    where: str

    @classmethod
    def of(cls, intake: Intake, case_id: str, organisation: str = COURT) -> "Hand":
        return cls(intake, as_(organisation), f"/v1/cases/{case_id}/attachments")

    @classmethod
    def of_party(cls, intake: Intake, head: dict[str, str]) -> "Hand":
        return cls(intake, head, "/v1/party/attachments")

    async def announce(self, data: bytes, name: str, **more: str) -> httpx.Response:
        """tus creation."""
        return await self.intake.http.post(
            self.where,
            headers={
                **self.head,
                "Tus-Resumable": "1.0.0",
                "Upload-Length": str(len(data)),
                "Upload-Metadata": metadata(filename=name, **more),
            },
        )

    async def part(self, path: str, data: Any, offset: int, **headers: str) -> httpx.Response:
        """tus PATCH."""
        head = {
            **self.head,
            "Tus-Resumable": "1.0.0",
            "Content-Type": PART,
            "Upload-Offset": str(offset),
            **headers,
        }
        return await self.intake.http.patch(path, content=data, headers=head)

    async def give(self, data: bytes, name: str, **more: str) -> dict[str, Any]:
        """A paper, in one part, checked: as it is seen afterwards."""
        announced = await self.announce(data, name, **more)
        assert announced.status_code == 201, announced.text
        path = announced.headers["location"]
        taken = await self.part(path, data, 0)
        assert taken.status_code == 204, taken.text
        await run_due_jobs(self.intake.runtime)
        return await self.read(path)

    async def read(self, path: str) -> dict[str, Any]:
        """The paper as its giver sees it."""
        answer = await self.intake.http.get(path, headers=self.head)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def fetch(self, attachment_id: str, **body: str) -> httpx.Response:
        """Open and download, or the refusal to open."""
        base = "/v1/party/attachments" if "party" in self.where else "/v1/attachments"
        path = f"{base}/{attachment_id}/downloads"
        opened = await self.intake.http.post(path, json=body, headers=self.head)
        if opened.status_code != 201:
            return opened
        return await self.intake.http.get(opened.json()["url"], headers=self.head)


def sha256(data: bytes) -> str:
    """Hex."""
    return hashlib.sha256(data).hexdigest()
