"""JSON as intake takes it: UTF-8, nothing doubtful, bounded in size and depth, refused with place.

The quick road is the standard library's parser. Whatever it stumbles over, or accepts although two
parsers could read it differently, is read a second time by a scanner without recursion, whose only
purpose is to find the JSON pointer of the fault.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32

_SAFE_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")
_BLANK: Final = re.compile(r"[ \t\n\r]*")
_STRING: Final = re.compile(r'"((?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*)"')
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_LITERAL: Final = re.compile(r"true|false|null")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")

MESSAGES: Final = {
    "empty_body": "请求没有内容。 The body is empty.",
    "body_too_large": "请求超过 1 MiB。 The body is larger than 1 MiB.",
    "not_utf8": "请求不是 UTF-8 编码。 The body is not UTF-8.",
    "not_json": "此处不是 JSON（RFC 8259）。 The body is not JSON (RFC 8259) here.",
    "duplicate_key": "同一对象中该项出现两次。 The member stands twice in its object.",
    "nesting_too_deep": "嵌套超过 32 层。 Objects and arrays are nested deeper than 32 levels.",
    "control_character": "文本含有控制字符。 The text contains a control character.",
    "lone_surrogate": "文本含有半个代理对。 The text contains half of a surrogate pair.",
    "number_out_of_range": "数值过大，无法精确读取。 The number is too large to be read exactly.",
}


class StrictJsonError(ValueError):
    """The body cannot be taken as JSON: ``rule`` says why, ``pointer`` where; 400 or 413."""

    def __init__(self, rule: str, pointer: str = "") -> None:
        super().__init__(rule)
        self.rule = rule
        self.pointer = pointer
        self.status = 413 if rule == "body_too_large" else 400
        self.message = MESSAGES[rule]


def parse(body: bytes, *, max_bytes: int = MAX_BYTES) -> Any:
    """The value of ``body``. Raises :class:`StrictJsonError`; its text never holds a value."""
    if not body:
        raise StrictJsonError("empty_body")
    if len(body) > max_bytes:
        raise StrictJsonError("body_too_large")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise StrictJsonError("not_utf8") from None
    if not text.strip(" \t\r\n"):
        raise StrictJsonError("empty_body")
    try:
        value = _DECODER.decode(text)
        if not _suspicious(value, text):
            return value
    except (ValueError, RecursionError):
        pass
    _Scanner(text).run()
    raise StrictJsonError("not_json")


def member(key: str) -> str:
    """A key as one step of a pointer, or nothing when the key could itself be somebody's data."""
    return f"/{key}" if _SAFE_KEY.match(key) else ""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError("not a number")


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("out of range")
    return value


def _int(text: str) -> int:
    if len(text) > 300 and float(text) in (float("inf"), float("-inf")):
        raise ValueError("out of range")
    return int(text)


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int
)


def _suspicious(value: Any, text: str) -> bool:
    """Whether the value is too deep, or holds a NUL or half a surrogate pair."""
    escapes = "\\u" in text
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
                if escapes and any(_broken_text(key) for key in item):
                    return True
            elif isinstance(item, list):
                below.extend(item)
            elif escapes and isinstance(item, str) and _broken_text(item):
                return True
        if not below:
            return False
        level = below
    return any(
        isinstance(item, dict | list) or (isinstance(item, str) and _broken_text(item))
        for item in level
    )


def _broken_text(text: str) -> bool:
    return "\0" in text or _SURROGATE.search(text) is not None


@dataclass
class _Frame:
    """One open object or array: its keys so far, or the index of its next element."""

    is_object: bool
    step: str = ""
    index: int = 0
    keys: set[str] = field(default_factory=set)


class _Scanner:
    """Reads the text once, without recursion, and raises at the first fault."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.frames: list[_Frame] = []

    def run(self) -> None:
        """Scan one value and the end of the text."""
        while True:
            if self._value():
                continue
            if self._close():
                break
        self._blank()
        if self.at != len(self.text):
            self._fail("not_json")

    def _value(self) -> bool:
        """Read one value; whether a container was opened that still has members to read."""
        self._blank()
        char = self.text[self.at : self.at + 1]
        if char in ("{", "["):
            if len(self.frames) >= MAX_DEPTH:
                raise StrictJsonError("nesting_too_deep", self._named_place())
            self.at += 1
            self.frames.append(_Frame(is_object=char == "{"))
            self._blank()
            if self.text[self.at : self.at + 1] == ("}" if char == "{" else "]"):
                self.at += 1
                self.frames.pop()
                return False
            self._open_member()
            return True
        if char == '"':
            self._string()
        elif match := _NUMBER.match(self.text, self.at):
            self._number(match)
        elif match := _LITERAL.match(self.text, self.at):
            self.at = match.end()
        else:
            self._fail("not_json")
        return False

    def _number(self, match: re.Match[str]) -> None:
        text = match.group()
        self.at = match.end()
        if float(text) in (float("inf"), float("-inf")):
            self._fail("number_out_of_range")

    def _close(self) -> bool:
        """Go past ``,`` ``}`` ``]`` after a value; whether the outermost value has ended."""
        while self.frames:
            frame = self.frames[-1]
            self._blank()
            char = self.text[self.at : self.at + 1]
            self.at += 1
            if char == ",":
                frame.index += 1
                self._open_member()
                return False
            if char != ("}" if frame.is_object else "]"):
                self._fail("not_json")
            self.frames.pop()
        return True

    def _open_member(self) -> None:
        frame = self.frames[-1]
        if not frame.is_object:
            frame.step = f"/{frame.index}"
            return
        frame.step = ""
        self._blank()
        key = self._string()
        frame.step = member(key)
        if key in frame.keys:
            self._fail("duplicate_key")
        frame.keys.add(key)
        self._blank()
        if self.text[self.at : self.at + 1] != ":":
            self._fail("not_json")
        self.at += 1

    def _string(self) -> str:
        match = _STRING.match(self.text, self.at)
        if match is None:
            self._fail("control_character" if self._raw_control() else "not_json")
        self.at = match.end()
        content: str = json.loads(match.group())
        if "\0" in content:
            self._fail("control_character")
        if _SURROGATE.search(content):
            self._fail("lone_surrogate")
        return content

    def _raw_control(self) -> bool:
        """Whether a text starts here that is broken by an unescaped control character."""
        if self.text[self.at : self.at + 1] != '"':
            return False
        end = re.compile(r'(?:[^"\\\x00-\x1f]|\\.)*').match(self.text, self.at + 1)
        return end is not None and "\0" <= self.text[end.end() : end.end() + 1] < " "

    def _blank(self) -> None:
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def _place(self) -> str:
        return "".join(frame.step for frame in self.frames)

    def _named_place(self) -> str:
        """The pointer up to the last member of an object: indices of endless arrays say nothing."""
        return re.sub(r"(?:/[0-9]+)+\Z", "", self._place())

    def _fail(self, rule: str) -> NoReturn:
        raise StrictJsonError(rule, self._place())
