"""A labelled set: referrals of the samples' own generator, some of them told again at another door.

Thirty-five stories, over every type of dispute that the tree names: those of the samples and those
of ``data/stories.csv``; each is told again in other words (``data/retold.csv``). All are made up.

What changes is what changes between doors: the words, the type, a letter of a name or half of it,
documents and phones that nobody wrote down, a rounder sum, a day that is only nearly right, a place
known to the town alone. Beside them stand what looks alike and is not: the same people with another
dispute, other people with the same company, and everybody who has the same sort of trouble.
"""

import copy
import csv
import importlib.util
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
STORIES: Final = Path(__file__).parent / "data" / "stories.csv"
TOLD_AGAIN: Final = 0.4
# A caller who says little: no documents, no phones, half names, the town at best, other words.
POOR: Final = 0.15
OTHER_MATTER: Final = 0.12
SAME_COMPANY: Final = 0.12
# A door: organisation, lane, channel; what it writes down of people is poorer than a court's file.
DOORS: Final = (
    ("330681-HL-0001", "admin", "hotline"),
    ("330681-PS-0001", "police_civil", "stream"),
    ("330681-CE-0002", "pm", "grid"),
    ("330681-CE-0002", "pm", "counter"),
    ("330681-PO-0001", "petition", "visit"),
)
OTHER_TYPE: Final = {
    "contract": "business", "business": "contract", "neighbor": "housing", "tort": "neighbor",
    "family": "other", "wage": "labor", "traffic": "tort", "medical": "consumer",
    "ecommerce": "consumer", "property": "housing", "pollution": "neighbor", "land": "contract",
    "demolition": "housing", "other": "land", "housing": "property", "labor": "wage",
    "tourism": "consumer", "consumer": "ecommerce",
}  # fmt: skip
# Stories beside those of the samples (data/stories.csv), by the lane in which they come first.
ALSO_AT: Final = {
    "court_pre": ("bride", "child", "lease", "works", "partners", "school"),
    "court_post": ("bride", "works"),
    "police_civil": ("way", "dog", "helper", "child"),
    "petition": ("standard", "share", "homestead", "forest"),
    "admin": ("fumes", "leak"),
    "traffic": ("scrape",),
    "labor": ("dismissed", "workplace", "helper"),
    "consumer": ("card", "tour"),
    "property": ("parking", "leak"),
    "pm": ("bride", "leak", "way", "homestead", "dog", "school", "forest"),
    "commercial": ("works", "partners"),
}
CALLED: Final = ("某", "某某", "先生", "女士", "师傅")


@dataclass(frozen=True)
class Labelled:
    """A referral and the number of the dispute it is about; equal numbers are one dispute."""

    dispute: int
    document: dict[str, Any]


def labelled(count: int, seed: int, today: date) -> list[Labelled]:
    """``count`` disputes with all that was told again and all that looks alike, mixed."""
    generate = _generator()
    rng = random.Random(seed)
    teller = _Teller(rng, generate, today)
    samples = ROOT / "samples"
    world = generate.World(
        generate.load_towns(samples / "places.csv"),
        generate.load_stories(samples / "stories.csv") | generate.load_stories(STORIES),
    )
    found: list[Labelled] = []
    dispute = 0
    for index in range(1, count + 1):
        first = generate.referral(rng, index, world, today - timedelta(days=90))
        first["source"]["reference"] = teller.reference()
        dispute += 1
        found.append(Labelled(dispute, first))
        if rng.random() < TOLD_AGAIN:
            found.append(Labelled(dispute, teller.again(first)))
        if rng.random() < OTHER_MATTER:
            dispute += 1
            found.append(Labelled(dispute, teller.other_matter(first, index, world)))
        if first["parties"][1]["kind"] == "organisation" and rng.random() < SAME_COMPANY:
            dispute += 1
            found.append(Labelled(dispute, teller.same_company(first, index, world)))
    rng.shuffle(found)
    return found


def true_pairs(everything: list[Labelled]) -> Iterator[tuple[int, int]]:
    """Places of two referrals about one dispute."""
    places: dict[int, int] = {}
    for place, each in enumerate(everything):
        if each.dispute in places:
            yield places[each.dispute], place
        places[each.dispute] = place


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "samples" / "generate.py")
    if spec is None or spec.loader is None:
        raise LookupError("samples/generate.py is not there")
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate"] = module
    spec.loader.exec_module(module)
    module.SENDERS = tuple(  # type: ignore[attr-defined]  # its own, with more to tell
        replace(sender, stories=(*sender.stories, *ALSO_AT.get(sender.lane, ())))
        for sender in module.SENDERS
    )
    return module


class _Teller:
    """Tells a referral again."""

    def __init__(self, rng: random.Random, generate: ModuleType, today: date) -> None:
        self.rng = rng
        self.generate = generate
        self.today = today
        self.numbers = 0
        self.retold: dict[str, list[dict[str, str]]] = {}
        with (Path(__file__).parent / "data" / "retold.csv").open(encoding="utf-8") as file:
            for row in csv.DictReader(file):
                self.retold.setdefault(row["story"], []).append(row)
        self.stories: dict[str, dict[str, str]] = {}
        for path in (ROOT / "samples" / "stories.csv", STORIES):
            with path.open(encoding="utf-8") as file:
                self.stories |= {row["dispute_subtype"]: row for row in csv.DictReader(file)}

    def reference(self) -> str:
        self.numbers += 1
        return f"试〔2026〕{self.numbers}号"

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def again(self, first: dict[str, Any]) -> dict[str, Any]:
        """The same dispute at another door, or at the same one a second time."""
        told = copy.deepcopy(first)
        if self.chance(0.85):
            organisation, lane, channel = self.rng.choice(DOORS)
            told["source"]["organisation"], told["lane"] = organisation, lane
            told["channel"] = channel
            told["legal_context"] = {}
            if self.chance(0.35):
                told["dispute_type"] = OTHER_TYPE[first["dispute_type"]]
                told["dispute_subtype"] = None
        told["source"]["reference"] = self.reference()
        self._later(told)
        poor = self.chance(POOR)
        for party in told["parties"]:
            self._known_otherwise(party, poor)
        self._elsewhere(told, poor)
        happened = self._when(told)
        amount = self._amount(told)
        if poor or self.chance(0.7):
            self._in_other_words(told, first, happened, amount)
        else:
            for member in ("title", "summary"):
                for before, after in zip(first["parties"], told["parties"], strict=True):
                    told[member] = told[member].replace(before["name"], after["name"])
        if self.chance(0.08):
            told["summary"] += f"此前已向有关单位反映，编号{first['source']['reference']}。"
        if self.chance(0.05):
            told["parties"][0]["role"], told["parties"][1]["role"] = "respondent", "applicant"
        if told["lane"] == "court_pre":  # delegated with the applicant's consent alone
            for party in told["parties"]:
                if party["role"] == "applicant":
                    day = told["source"]["received_at"][:10]
                    party["consent"] = {"state": "given", "on": day}
        return told

    def other_matter(self, first: dict[str, Any], index: int, world: Any) -> dict[str, Any]:
        """The same applicant, and at times the same respondent, with another dispute."""
        other = self.generate.referral(self.rng, index, world, self.today - timedelta(days=90))
        kept = copy.deepcopy(first["parties"])
        if first["parties"][0]["kind"] != other["parties"][0]["kind"]:
            kept[0] = other["parties"][0]
        both = self.chance(0.3) and kept[1]["kind"] == other["parties"][1]["kind"]
        names = [(other["parties"][0]["name"], kept[0]["name"])]
        other["parties"][0] = kept[0]
        if both and other["dispute_subtype"] != first["dispute_subtype"]:
            names.append((other["parties"][1]["name"], kept[1]["name"]))
            other["parties"][1] = kept[1]
        self._renamed(other, names)
        other["source"]["reference"] = self.reference()
        return other

    def same_company(self, first: dict[str, Any], index: int, world: Any) -> dict[str, Any]:
        """Somebody else with the same trouble at the same company."""
        other = copy.deepcopy(first)
        stranger = self.generate.person(self.rng, "p1", "applicant", "枫桥镇")
        stranger["consent"] = first["parties"][0]["consent"]
        if first["parties"][0]["kind"] != "person":
            stranger = self.generate.company(self.rng, "p1", "applicant", "枫桥镇")
        names = [(other["parties"][0]["name"], stranger["name"])]
        other["parties"][0] = stranger
        self._renamed(other, names)
        story = self.stories[first["dispute_subtype"]]
        before, after = (
            first["claim_fen"] // 100,
            self.rng.randint(int(story["least"]), int(story["most"])),
        )
        for member in ("title", "summary"):
            other[member] = other[member].replace(f"{before}元", f"{after}元")
        other["claims"] = [claim.replace(f"{before}元", f"{after}元") for claim in other["claims"]]
        other["claim_fen"] = after * 100
        other["source"]["reference"] = self.reference()
        self._later(other)
        return other

    # -- what changes ------------------------------------------------------------------------

    def _renamed(self, document: dict[str, Any], names: list[tuple[str, str]]) -> None:
        for before, after in names:
            for member in ("title", "summary"):
                document[member] = document[member].replace(before, after)

    def _later(self, told: dict[str, Any]) -> None:
        received = datetime.fromisoformat(told["source"]["received_at"])
        asked = told["request_made_at"]
        latest = datetime(self.today.year, self.today.month, self.today.day, tzinfo=received.tzinfo)
        moved = min(received + timedelta(hours=self.rng.randint(2, 40 * 24)), latest)
        told["source"]["received_at"] = moved.isoformat()
        told["request_made_at"] = moved.isoformat() if asked else None
        told["legal_context"] = dict(told["legal_context"])
        if asked:
            told["legal_context"].pop("proactive", None)
        elif not told["legal_context"].get("proactive"):
            told["legal_context"]["proactive"] = True

    def _known_otherwise(self, party: dict[str, Any], poor: bool) -> None:
        if poor or self.chance(0.5 if party["role"] == "applicant" else 0.7):
            party["id"] = None
            party["birth_date"] = None
            party["gender"] = None
        if not poor and self.chance(0.35):
            party["phone"] = f"19900{self.rng.randrange(10**6):06d}"
        elif poor or self.chance(0.4):
            party["phone"] = None
        if party["kind"] == "organisation":
            party["representative"] = None
            if self.chance(0.4):
                party["name"] = party["name"].replace(
                    "有限公司", self.rng.choice(("公司", "有限责任公司", ""))
                )
            return
        party["consent"] = {"state": "unknown", "on": None}
        if party["id"] is None and self.chance(0.8 if poor else 0.3):
            party["name"] = party["name"][0] + self.rng.choice(CALLED)
        elif self.chance(0.13):
            place = self.rng.randrange(1, len(party["name"]))
            letters = list(party["name"])
            letters[place] = self.rng.choice(self.generate.GIVEN)
            party["name"] = "".join(letters)

    def _elsewhere(self, told: dict[str, Any], poor: bool) -> None:
        place = told["place"]
        if poor or self.chance(0.25):
            told["place"] = place[:9] + "000"
        elif self.chance(0.12):
            told["place"] = place[:6] + "000000"

    def _when(self, told: dict[str, Any]) -> str:
        happened = datetime.fromisoformat(told["occurred_at"])
        if self.chance(0.25):
            told["occurred_at"] = None
            return self.rng.choice(("前段时间", "上个月", "之前", "今年"))
        if self.chance(0.3):
            happened -= timedelta(days=self.rng.randint(-4, 4))
            received = datetime.fromisoformat(
                told["request_made_at"] or told["source"]["received_at"]
            )
            happened = min(happened, received - timedelta(hours=1))
            told["occurred_at"] = happened.isoformat()
        return f"{happened.month}月{happened.day}日"

    def _amount(self, told: dict[str, Any]) -> str:
        yuan = told["claim_fen"] // 100
        if self.chance(0.2):
            told["claim_fen"] = None
            return "一些"
        if self.chance(0.3):
            size = 10 ** max(len(str(yuan)) - 2, 0)
            yuan = max(round(yuan / size) * size, 1)
            told["claim_fen"] = yuan * 100
            return f"{yuan / 10000:g}万" if yuan >= 10000 else str(yuan)
        return str(yuan)

    def _in_other_words(
        self, told: dict[str, Any], first: dict[str, Any], happened: str, amount: str
    ) -> None:
        story = self.stories[first["dispute_subtype"]]["story"]
        words = self.rng.choice(self.retold[story])
        said = {
            "a": told["parties"][0]["name"],
            "b": told["parties"][1]["name"],
            "x": amount,
            "d": happened,
        }
        told["title"] = words["title"].format(**said)
        told["summary"] = words["summary"].format(**said)
        told["claims"] = [words["claim"].format(**said)]
