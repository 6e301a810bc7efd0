"""What a paper is: site limits, who may see it, when it goes. Pure."""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).parent / "site.json"
# A paper is uploaded, then waits for its check in quarantine; only the two states after it open.
OPEN_STATES: Final = ("clean", "unscanned")
STATES: Final = ("uploading", "received", *OPEN_STATES, "infected", "refused", "expired", "deleted")


@lru_cache(1)
def site() -> dict[str, Any]:
    """The site's values."""
    found: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return found


@dataclass(frozen=True)
class Described:
    """What whoever hands a paper in says about it."""

    name: str
    sha256: str | None
    sensitive: str | None
    retention: str


def read_metadata(header: str) -> dict[str, str]:
    """``Upload-Metadata`` of tus 1.0: keys with base64 values. Raises ``ValueError``."""
    found: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in header.split(","))):
        key, _, value = item.partition(" ")
        if not key or key in found:
            raise ValueError("a key twice, or none")
        try:
            found[key] = base64.b64decode(value.strip(), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            raise ValueError("not base64 of UTF-8") from None
    return found


def described(metadata: dict[str, str]) -> tuple[Described | None, list[tuple[str, str]]]:
    """The metadata as we use it, or (member, rule) of everything that is wrong with it."""
    faults = [(name, "unknown_field") for name in metadata if name not in _KNOWN]
    name = metadata.get("filename", "")
    if not 0 < len(name) <= 200 or any(ord(c) < 32 or c in "/\\\x7f" for c in name):
        faults.append(("filename", "format" if name else "required"))
    sha256 = metadata.get("sha256")
    if sha256 is not None and not (len(sha256) == 64 and set(sha256) <= set("0123456789abcdef")):
        faults.append(("sha256", "format"))
    sensitive = metadata.get("sensitive") or None
    if sensitive is not None and sensitive not in site()["sensitive"]:
        faults.append(("sensitive", "not_in_list"))
    retention = metadata.get("retention", "long")
    if retention not in site()["retention"]:
        faults.append(("retention", "not_in_list"))
    if faults:
        return None, faults
    return Described(name, sha256, sensitive, retention), []


_KNOWN: Final = ("filename", "sha256", "sensitive", "retention", "filetype")


@dataclass(frozen=True)
class Viewer:
    """An organisation before a case's papers: its roles now, and whether it holds the case."""

    organisation: str
    roles: frozenset[str]
    holds: bool


def may_see(
    viewer: Viewer, *, given_by: str, given_as: str, sensitive: bool, shared_with: frozenset[str]
) -> bool:
    """Who sees a paper: who gave it; whom it was shared with; and by role, unless it is sensitive.

    Ordinary papers: the body that handles or holds the case sees all; a source what sources gave
    (holding is not reading: what parties hand to a mediator is not the court's). Sensitive ones
    need a separate consent or a legal basis for each receiver (个人信息保护法 23, 28-30).
    """
    if viewer.organisation == given_by:
        return True
    if not viewer.roles:
        return False
    if viewer.organisation in shared_with:
        return True
    if sensitive:
        return False
    if "handler" in viewer.roles or viewer.holds:
        return True
    return "source" in viewer.roles and given_as == "source"


def goes_on(retention: str, closed_at: datetime | None) -> datetime | None:
    """When a paper of that class goes: years after its case was closed (UTC); None: not yet known.

    A case that is open, or reopened, keeps its papers.
    """
    years = site()["retention"][retention]["years"]
    if years is None or closed_at is None:
        return None
    try:
        return closed_at.replace(year=closed_at.year + years)
    except ValueError:  # 29 February
        return closed_at.replace(year=closed_at.year + years, day=28)
