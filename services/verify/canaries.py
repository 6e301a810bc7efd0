"""No personal data outside its places: topics, tables, logs, metrics and answers are searched."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiokafka.structs import ConsumerRecord

from services.verify.databases import Databases
from services.verify.patterns import MOBILE, RESIDENT, Canaries, is_resident_number
from services.verify.report import Checked
from services.verify.run import NAMES

if TYPE_CHECKING:
    from services.verify.look import Look

CHUNK_BYTES: Final = 1024 * 1024
REMEDY: Final = "erase it there, find the line of code that let it out, tell the data officer"
# Tables whose telephone numbers are those of organisations and of their staff, not of parties.
DIRECTORY: Final = frozenset(
    {"organisation", "connection", "place", "calendar", "directory_entry", "staff"}
)
_ID: Final = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9]{1,12}")


class Scanner:
    """Searches bytes; remembers what was found, never the value itself."""

    def __init__(self, canaries: Canaries, done: Checked) -> None:
        self.canaries = canaries
        self.done = done

    def hits(self, data: bytes, *, patterns: bool = True) -> Iterator[tuple[str, int]]:
        """What kind of personal data stands in these bytes, and where."""
        for number, place in self.canaries.found(data):
            yield f"canary {number}", place
        if patterns:
            for match in RESIDENT.finditer(data):
                if is_resident_number(match.group().decode()):
                    yield "a resident's number", match.start()
            for match in MOBILE.finditer(data):
                yield "a mobile number", match.start()

    def record(self, record: ConsumerRecord) -> None:
        """Key, value and headers of a record."""
        self.done.items += 1
        parts = [("key", record.key), ("value", record.value)]
        parts += [(f"header {name}", value) for name, value in record.headers]
        directory = record.topic == "directory"
        whole = b"\n".join(data or b"" for _, data in parts)
        if next(self.hits(whole, patterns=not directory), None) is None:
            return
        for name, data in parts:
            for what, _ in self.hits(data or b"", patterns=not directory):
                self.done.found(
                    f"{what} in the {name} of a record",
                    REMEDY,
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    event_id=_header(record, "ce_id"),
                    case_id=_header(record, "ce_subject"),
                )

    def file(self, path: Path, kind: str) -> None:
        """A text file, line by line in bounded chunks."""
        self.done.items += 1
        number, rest = 1, b""
        try:
            with path.open("rb") as lines:
                while chunk := lines.read(CHUNK_BYTES):
                    data = rest + chunk
                    whole, newline, rest = data.rpartition(b"\n")
                    if not newline and len(rest) < 8 * CHUNK_BYTES:
                        continue
                    self._lines(path, kind, whole or rest, number)
                    number += whole.count(b"\n") + 1
                self._lines(path, kind, rest, number)
        except OSError as error:
            self.done.found(
                f"the {kind} {path.name} cannot be read ({error.strerror})", "look whose it is"
            )

    def _lines(self, path: Path, kind: str, data: bytes, first: int) -> None:
        for what, place in self.hits(data):
            line = first + data.count(b"\n", 0, place)
            self.done.found(f"{what} in the {kind} {path.name}, line {line}", REMEDY)


def _header(record: ConsumerRecord, name: str) -> str | None:
    value = next((value for key, value in record.headers if key == name), None)
    return value.decode("utf-8", "backslashreplace") if value else None


class _Rows:
    """Takes a table's dump as it comes and searches its rows."""

    def __init__(self, scanner: Scanner, service: str, table: str) -> None:
        self._scanner = scanner
        self._service = service
        self._table = table
        self._patterns = table not in DIRECTORY
        self._waiting: list[bytes] = []
        self._bytes = 0

    async def take(self, data: bytes) -> None:
        """The next bytes of the dump; searched when there are enough of them."""
        self._waiting.append(data)
        self._bytes += len(data)
        if self._bytes >= CHUNK_BYTES:
            self.search(last=False)

    def search(self, *, last: bool) -> None:
        """Search the whole rows that have come; at the end, all that is left."""
        data = b"".join(self._waiting)
        end = len(data) if last else data.rfind(b"\n") + 1
        self._waiting, self._bytes = [data[end:]], len(data) - end
        rows = data[:end]
        self._scanner.done.items += rows.count(b"\n")
        for what, place in self._scanner.hits(rows, patterns=self._patterns):
            id_ = _ID.match(rows, rows.rfind(b"\n", 0, place) + 1)
            self._scanner.done.found(
                f"{what} in table {self._table}" + (f", row {id_.group().decode()}" if id_ else ""),
                REMEDY,
                service=self._service,
            )


async def check(look: "Look", done: Checked) -> None:
    """Everything but ``cases``, which is searched while it is compared."""
    run, scanner = look.run, look.scanner
    for place, (begin, end) in look.places.items():
        if place.topic != run.cases_topic:
            async for record in look.topics.records(place, begin, end):
                scanner.record(record)
    for name in NAMES:
        await _tables(look.databases, name, scanner)
    for kind, files in (
        ("log", run.logs),
        ("metrics", run.metrics),
        ("HTTP log", run.http_logs),
    ):
        for path in files:
            scanner.file(path, kind)
        if not files:
            done.note(f"no {kind} was given: not searched")
    if len(scanner.canaries) == 0:
        done.note("no canaries were given: only residents' and mobile numbers were looked for")


async def _tables(found: Databases, name: str, look: Scanner) -> None:
    tables: list[Any] = await found.all(
        name, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
    )
    for row in tables:
        rows = _Rows(look, name, row["tablename"])
        await found.dump(name, row["tablename"], rows.take)
        rows.search(last=True)
    if not await found.sees_everything(name):
        look.done.note(f"{name}: row-level security hides rows from this role; not searched")
