import json
from typing import Any

import pytest

from notification import templates
from notification.templates import DATA, TemplateRefused, render, template_from

CODES = sorted(path.stem for path in (DATA / "templates").glob("*.json"))
VALUES: dict[str, Any] = {
    "case_number": "LD2026-310105-0000123-G",
    "remedies": ["sue", "arbitrate"],
    "outcome": "no_agreement",
    "ground": "unclear",
    "role": "applicant",
    "mode": "online",
    "kind": "term",
    "reason": "second_return",
    "lane": "court_pre",
    "ordinal": 1,
    "obligation_ordinal": 2,
    "due_on": "2026-12-24",
    "citation": "法释〔2021〕23号 24",
    "legal_basis_of_request": "民事诉讼法 67",
}


def _data(code: str = "mediation-ended") -> dict[str, Any]:
    data: dict[str, Any] = json.loads(
        (DATA / "templates" / f"{code}.json").read_text(encoding="utf-8")
    )
    return data


def _rendered(code: str, locale: str, **options: Any) -> tuple[str, str]:
    template = templates.load()[code]
    facts = {"holder": "310105-CE-0001"}
    for name in template.placeholders:
        known = "2026-11-24T02:00:00.000Z" if name.endswith(("_at", "_by")) else "310105-CE-0001"
        facts[name] = VALUES.get(name, known)
    return render(
        template,
        facts,
        locale=locale,
        name_of=lambda code_, locale_: "示范调解中心" if locale_ == "zh-CN" else "Model Centre",
        greeting="您好：",
        desk_phone="0571-00000000",
        **options,
    )


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("locale", ["zh-CN", "en"])
def test_every_template_renders_with_number_law_and_desk(code: str, locale: str) -> None:
    subject, body = _rendered(code, locale)

    basis = templates.load()[code].legal_basis[0]["zh" if locale == "zh-CN" else "en"]
    assert "LD2026-310105-0000123-G" in subject
    assert basis in body
    assert "0571-00000000" in body
    assert "{{" not in body


def test_an_ending_names_the_ways_that_stay_open() -> None:
    _, body = _rendered("mediation-ended", "zh-CN")

    assert "向人民法院起诉" in body
    assert "仲裁" in body


def test_a_refused_confirmation_names_its_ground() -> None:
    _, body = _rendered("confirmation-refused", "zh-CN")

    assert "内容不明确" in body


def test_an_instant_is_written_in_beijing_time() -> None:
    _, body = _rendered("session-scheduled", "zh-CN")

    assert "2026年11月24日 10:00" in body


def test_a_neutral_text_holds_the_number_and_the_desk_and_nothing_of_the_matter() -> None:
    subject, body = _rendered("session-scheduled", "zh-CN", neutral=True)

    assert subject == "通知"
    assert "调解" not in body
    assert "示范" not in body
    assert "LD2026-310105-0000123-G" in body


@pytest.mark.parametrize("locale", ["zh-CN", "en"])
def test_a_text_without_a_declared_placeholder_is_refused(locale: str) -> None:
    data = _data()
    data["texts"][locale]["body"] = data["texts"][locale]["body"].replace(
        "{{ remedies | remedies }}", ""
    )

    with pytest.raises(TemplateRefused, match="placeholder"):
        template_from(data)


def test_a_text_with_a_placeholder_nobody_declared_is_refused() -> None:
    data = _data()
    data["texts"]["en"]["body"] += "{{ name }}"

    with pytest.raises(TemplateRefused, match="placeholder"):
        template_from(data)


def test_a_placeholder_the_event_does_not_carry_is_refused() -> None:
    data = _data()
    data["placeholders"] = [*data["placeholders"], "weather"]

    with pytest.raises(TemplateRefused, match="does not say"):
        template_from(data)


def test_a_template_without_law_is_refused() -> None:
    with pytest.raises(TemplateRefused, match="legal basis"):
        template_from({**_data(), "legal_basis": []})


def test_a_template_without_one_of_the_languages_is_refused() -> None:
    data = _data()
    del data["texts"]["en"]

    with pytest.raises(TemplateRefused, match="no text in en"):
        template_from(data)


def test_a_template_cannot_reach_outside_the_sandbox() -> None:
    data = _data()
    escape = "{{ remedies.__class__.__mro__ }}"
    for locale in ("zh-CN", "en"):
        data["texts"][locale]["body"] = data["texts"][locale]["body"].replace(
            "{{ remedies | remedies }}", escape
        )
    template = template_from(data)

    with pytest.raises(Exception, match="unsafe"):
        render(
            template,
            {**VALUES, "ended_at": "2026-11-24T02:00:00.000Z"},
            locale="en",
            name_of=lambda code, locale: code,
            greeting="",
            desk_phone="",
        )


@pytest.mark.parametrize(
    ("citation", "shown"),
    [
        ("L-08", "法释〔2016〕14号 27；法释〔2021〕23号 24"),
        ("site value: law gives none", "本地规定"),
        (
            "民诉法 205; 人民调解法 33(1) (JC-1, R-26): 30 days from effect",
            "民诉法 205; 人民调解法 33(1)",
        ),
    ],
)
def test_a_citation_is_shown_as_law_not_as_our_rule_id(
    citation: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VALUES, "citation", citation)

    _, body = _rendered("case-accepted", "zh-CN")

    assert f"依据：{shown}）" in body
