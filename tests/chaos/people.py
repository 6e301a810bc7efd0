"""People who exist nowhere else: what they are called may be found in no topic, table or log."""

import itertools
import random
import threading
from pathlib import Path
from typing import Any

from bench.referrals import identity

# Rare characters, so that a name stands for itself wherever it is found.
_RARE = "魑魅魍魉饕餮貔貅犇猋骉麤鱻羴焱垚淼晶磊鑫"


class Person:
    """One invented person; every value a canary."""

    def __init__(self, number: int) -> None:
        first, second = divmod(number, len(_RARE))
        self.name = f"龘{_RARE[first % len(_RARE)]}{_RARE[second]}"
        self.number, self.birth_date, self.gender = identity(77_000_000 + number)
        self.phone = f"1998{7_000_000 + number:07d}"
        self.address = f"诸暨市魍魉路{9000 + number}号"

    @property
    def canaries(self) -> tuple[str, ...]:
        """What may be found nowhere."""
        return (self.name, self.number, self.phone, self.address)


class People:
    """A small town of invented people."""

    def __init__(self, count: int = 120) -> None:
        self.everybody = [Person(number) for number in range(count)]
        self._turn = itertools.cycle(self.everybody)
        self._lock = threading.Lock()

    def write_canaries(self, file: Path) -> None:
        """One value a line, for ``liandiao verify --canaries``."""
        values = [value for person in self.everybody for value in person.canaries]
        file.write_text("\n".join(values) + "\n", encoding="utf-8")

    def into(self, referral: dict[str, Any]) -> None:
        """Put invented people into a referral, and their names into its free text."""
        names = []
        for party in referral["parties"]:
            if party["kind"] != "person":
                continue
            with self._lock:
                person = next(self._turn)
            names.append(person.name)
            party |= {"name": person.name, "phone": person.phone, "address": person.address}
            if party.get("id") and party["id"]["type"] == "resident_id":
                party["id"]["number"] = person.number
                party |= {"birth_date": person.birth_date, "gender": person.gender}
        referral["title"] = f"{'与'.join(names[:2])}纠纷"
        referral["summary"] = f"{'、'.join(names)}因{random.choice(_RARE)}事发生争执。"
