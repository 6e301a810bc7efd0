"""XML as a stream of elements, without document types, entities or endless depth."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from xml.parsers import expat

from intake.adapters.rows import FileError

MAX_DEPTH: Final = 32
CHUNK_BYTES: Final = 65536
MAX_QUIET_BYTES: Final = 1024 * 1024  # between two pieces: one endless tag or comment

Start = Callable[[str, dict[str, str], int], None]
End = Callable[[str], None]


def feed(
    chunks: Iterable[bytes], start: Start, end: End, text: Callable[[str], None]
) -> Iterator[None]:
    """Parse chunk by chunk: ``start(name, attributes, line)``, ``end(name)``, ``text(part)``.

    Names are without their namespace. Yields after each chunk, so that what was built can be taken
    meanwhile. Raises ``FileError``, also at any document type: entities are never expanded.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    depth = quiet = 0

    def local(name: str) -> str:
        return name.rpartition(" ")[2]

    def on_start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, quiet
        depth, quiet = depth + 1, 0
        if depth > MAX_DEPTH:
            raise FileError("nesting_too_deep")
        named = {local(key): value for key, value in attributes.items()}
        start(local(name), named, parser.CurrentLineNumber)

    def on_end(name: str) -> None:
        nonlocal depth, quiet
        depth, quiet = depth - 1, 0
        end(local(name))

    def on_text(part: str) -> None:
        nonlocal quiet
        quiet = 0
        text(part)

    def refuse(*_: Any) -> None:
        raise FileError("doctype_refused")

    parser.StartElementHandler = on_start
    parser.EndElementHandler = on_end
    parser.CharacterDataHandler = on_text
    parser.StartDoctypeDeclHandler = refuse
    try:
        for chunk in chunks:
            quiet += len(chunk)
            if quiet > MAX_QUIET_BYTES:
                raise FileError("line_too_long", line=parser.CurrentLineNumber)
            parser.Parse(chunk, False)
            yield
        parser.Parse(b"", True)
        yield
    except (expat.ExpatError, LookupError, ValueError) as error:
        yield  # what was whole before the break
        if isinstance(error, FileError):
            raise
        raise FileError("file_not_xml", line=parser.CurrentLineNumber) from None
