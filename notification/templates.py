"""Templates: loaded from data, refused when anything is missing, rendered in a sandbox."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from jinja2 import StrictUndefined, TemplateSyntaxError, meta
from jinja2 import Template as JinjaTemplate
from jinja2.sandbox import ImmutableSandboxedEnvironment

from notification.letters import WORDS, Template, available
from services.clock import SHANGHAI, read
from services.events import load_catalogue
from services.events.lanes import CONFIRMATION_GROUNDS, END_CODES, LANES, REMEDIES

DATA: Final = Path(__file__).parent / "data"
LOCALES: Final = ("zh-CN", "en")
FRAME_WORDS: Final = frozenset(
    {"greeting", "body", "legal_basis", "holder", "desk_phone", "case_number"}
)
OrganisationName = Callable[[str, str], str]


class TemplateRefused(Exception):
    """A template that may not be used; the service does not start with it."""


@lru_cache(maxsize=8)
def _document(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DATA / name).read_text(encoding="utf-8"))
    return document


def _pick(locale: str, zh: str, en: str) -> str:
    return zh if locale == "zh-CN" else en


def _moment(text: str, locale: str) -> str:
    local = read(text).astimezone(SHANGHAI)
    if locale == "zh-CN":
        return f"{local.year}年{local.month}月{local.day}日 {local:%H:%M}（北京时间）"
    return f"{local:%Y-%m-%d %H:%M} (Beijing time)"


def _day(text: str, locale: str) -> str:
    day = date.fromisoformat(text)
    return f"{day.year}年{day.month}月{day.day}日" if locale == "zh-CN" else day.isoformat()


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"


def _remedies(codes: list[str], locale: str) -> str:
    lines = []
    for number, code in enumerate(codes, 1):
        known = REMEDIES.get(code)
        text = _pick(locale, known.zh, known.en) if known else code
        lines.append(f"{number}. {text}")
    return "\n".join(lines)


def _outcome(code: str, locale: str) -> str:
    known = END_CODES.get(code)
    return _pick(locale, known.zh, known.en) if known else _word("outcome")(code, locale)


def _confirmation_ground(code: str, locale: str) -> str:
    known = CONFIRMATION_GROUNDS.get(code)
    return _pick(locale, known.zh, known.en) if known else code


def _lane(code: str, locale: str) -> str:
    known = LANES.get(code)
    return _pick(locale, known.zh, known.en) if known else code


def _word(table: str) -> Callable[[str, str], str]:
    def find(code: str, locale: str) -> str:
        pair = _document("words.json")[table].get(code)
        return _pick(locale, *pair) if pair else code

    return find


_RULE_IDS: Final = re.compile(r"\s*\([A-Z]{1,3}-.*$", re.DOTALL)


def _law(citation: str, locale: str) -> str:
    """A clock's citation for people: our rule ids become the law behind them."""
    return _word("law")(_RULE_IDS.sub("", citation), locale)


_FILTERS: Final[Mapping[str, Callable[[Any, str], str]]] = {
    "moment": _moment,
    "day": _day,
    "yuan": lambda fen, _: _yuan(fen),
    "remedies": _remedies,
    "outcome": _outcome,
    "confirmation_ground": _confirmation_ground,
    "lane": _lane,
    "law": _law,
    "mode": _word("mode"),
    "clock": _word("clock"),
    "party_role": _word("party_role"),
    "undecided": _word("undecided"),
    "withdrawal_reason": _word("withdrawal_reason"),
}


@lru_cache(maxsize=16)
def _environment(locale: str, name_of: OrganisationName) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    for name, function in _FILTERS.items():
        environment.filters[name] = lambda value, f=function: f(value, locale)
    environment.filters["organisation"] = lambda code: name_of(code, locale) if code else ""
    return environment


@lru_cache(maxsize=512)
def _compiled(locale: str, name_of: OrganisationName, source: str) -> JinjaTemplate:
    """A text compiled once: compiling costs ten times as much as filling in."""
    return _environment(locale, name_of).from_string(source)


def _code_as_name(code: str, locale: str) -> str:
    return code


def _words_used(source: str) -> set[str]:
    environment = _environment("en", _code_as_name)
    try:
        tree = environment.parse(source)
        environment.from_string(source)  # an unknown filter shows only here
    except TemplateSyntaxError as error:
        raise TemplateRefused("the text is no template") from error
    return meta.find_undeclared_variables(tree)


def check(template: Template) -> None:
    """Refuse a template without law, with an unknown event or word, or with a placeholder amiss."""
    code = template.code
    by_name = {spec.name: spec.model for spec in load_catalogue().values()}
    if not template.legal_basis or any(
        not basis.get("zh") or not basis.get("en") for basis in template.legal_basis
    ):
        raise TemplateRefused(f"{code}: no legal basis")
    if not template.events or not set(template.events) <= set(by_name):
        raise TemplateRefused(f"{code}: about an event that does not exist")
    if not template.to or not set(template.to) <= WORDS:
        raise TemplateRefused(f"{code}: to nobody known")
    declared = set(template.placeholders)
    asked = declared | set(template.when)
    asked |= {name for name in (template.once, template.valid_until) if name}
    for name in template.events:
        if not asked <= available(by_name[name]):
            raise TemplateRefused(f"{code}: {name} does not say what the text needs")
    for locale in LOCALES:
        text = template.texts.get(locale, {})
        if not text.get("subject") or not text.get("body"):
            raise TemplateRefused(f"{code}: no text in {locale}")
        if _words_used(text["subject"] + text["body"]) != declared:
            raise TemplateRefused(f"{code}: placeholder missing or not declared in {locale}")


def template_from(value: Mapping[str, Any]) -> Template:
    """A template from its data, checked. Raises ``TemplateRefused``."""
    try:
        template = Template(
            code=value["code"],
            version=value["version"],
            events=tuple(value["events"]),
            when={k: tuple(v) for k, v in value.get("when", {}).items()},
            to=tuple(value["to"]),
            stands=tuple(value.get("stands", ())),
            once=value.get("once"),
            valid_until=value.get("valid_until"),
            statutory=value["statutory"],
            legal_basis=tuple(value["legal_basis"]),
            placeholders=tuple(value["placeholders"]),
            texts=value["texts"],
        )
    except KeyError as error:
        raise TemplateRefused("a member is missing") from error
    check(template)
    return template


@lru_cache(maxsize=4)
def load(folder: Path = DATA / "templates") -> Mapping[str, Template]:
    """All templates by code; one bad template refuses the whole set."""
    found: dict[str, Template] = {}
    for path in sorted(folder.glob("*.json")):
        template = template_from(json.loads(path.read_text(encoding="utf-8")))
        if template.code != path.stem or template.code in found:
            raise TemplateRefused(f"{path.stem}: the file is not named as the template")
        found[template.code] = template
    frame = _document("frame.json")
    for locale in LOCALES:
        used = _words_used(frame["frame"][locale])
        used |= _words_used("".join(frame["neutral"][locale].values()))
        if not used <= FRAME_WORDS or "legal_basis" not in used:
            raise TemplateRefused("the frame uses an unknown word or names no law")
    return found


def render(
    template: Template,
    facts: Mapping[str, Any],
    *,
    locale: str,
    name_of: OrganisationName,
    greeting: str,
    desk_phone: str,
    neutral: bool = False,
) -> tuple[str, str]:
    """Subject and body of a message; a ``neutral`` one holds no place, matter or name."""
    locale = locale if locale in LOCALES else "zh-CN"

    def fill(source: str, values: Mapping[str, Any]) -> str:
        return _compiled(locale, name_of, source).render(values)

    frame = _document("frame.json")
    if neutral:
        values = {"case_number": facts["case_number"], "desk_phone": desk_phone}
        text = frame["neutral"][locale]
        return fill(text["subject"], values), fill(text["body"], values)
    text = template.texts[locale]
    basis = "；".join(b["zh"] for b in template.legal_basis)
    if locale == "en":
        basis = "; ".join(b["en"] for b in template.legal_basis)
    body = fill(
        frame["frame"][locale],
        {
            "greeting": greeting,
            "body": fill(text["body"], facts),
            "legal_basis": basis,
            "holder": facts.get("holder"),
            "desk_phone": desk_phone,
            "case_number": facts["case_number"],
        },
    )
    return fill(text["subject"], facts), body
