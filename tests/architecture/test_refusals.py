"""Every refusal names the rule in Chinese and English, in every service.

Found in the source: whoever writes a fault writes both, or takes it from a table that is read here.
"""

import ast
from collections.abc import Iterator

import pytest

from intake import strict_json
from intake.messages import MESSAGES, message
from notification.webhooks.rules import REFUSALS
from routing.rules import BY_CODE
from services import problem
from tests.architecture.source import SERVICES, files, tree
from tests.fixtures.languages import in_both

# Which argument of a call is what people read.
SAID = {"Refusal": 1, "fail": 1, "FieldError": 2}
# What is said comes from elsewhere, and is looked at below or where it is made.
FROM_ELSEWHERE = {
    "refusal.message": "a Refusal, found itself",
    "message": "the argument of fail, found at each call",
    "error.message": "strict_json's table",
    "REFUSALS[target]": "notification's table",
}
JOINED = {
    "BY_CODE[code].refusal_zh": "routing's rules",
    "_CHINESE.get(e['type'], _CHINESE_OTHERWISE)": "the chassis' table, pydantic's words behind it",
    "message('mandate_not_enough')": "intake's table",
    "said": "what is wrong with a layout, in English behind the Chinese",
    "self.zh": "the gates, which tests/intake/gates read in both",
}


def literal(node: ast.expr) -> str | None:
    """The text as far as it stands in the source."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        inner = [v.value for v in node.values if isinstance(v, ast.FormattedValue)]
        if any(ast.unparse(value) in JOINED for value in inner):
            return "表 table"
        return "".join(str(v.value) for v in node.values if isinstance(v, ast.Constant))
    return None


def named(module: ast.Module, name: str) -> list[str]:
    """Every text that a variable of this name is given in a module."""
    return [
        text
        for node in ast.walk(module)
        if isinstance(node, ast.Assign) and any(ast.unparse(t) == name for t in node.targets)
        if (text := literal(node.value)) is not None
    ]


def faults() -> Iterator[tuple[str, str | None]]:
    """Where something is refused, and in which words; None where nobody can tell."""
    for path in files(*SERVICES, "services"):
        module = tree(path)
        for node in ast.walk(module):
            name = getattr(getattr(node, "func", None), "id", "")
            place = SAID.get(name)
            if place is None or not isinstance(node, ast.Call) or len(node.args) <= place:
                continue
            said, where = node.args[place], f"{path.name}:{node.lineno}"
            text = literal(said)
            if text is not None:
                yield where, text
            elif found := named(module, ast.unparse(said)):
                yield from ((where, text) for text in found)
            elif ast.unparse(said) not in FROM_ELSEWHERE and not of_intakes_table(said):
                yield where, None


def of_intakes_table(said: ast.expr) -> bool:
    return isinstance(said, ast.Call) and ast.unparse(said.func) == "message"


def test_every_refusal_in_the_source_is_told_in_both_languages() -> None:
    found = list(faults())

    assert len(found) > 100
    assert [where for where, said in found if said is None or not in_both(said)] == []


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_an_address_that_is_not_pushed_to_is_refused_in_both(code: str) -> None:
    assert in_both(REFUSALS[code])


def test_a_rule_of_routing_is_told_in_both() -> None:
    one_language = [
        code
        for code, rule in BY_CODE.items()
        if not in_both(f"{rule.refusal_zh} {rule.refusal_en}")
    ]

    assert one_language == []


def test_the_tables_of_chassis_and_intake_have_both() -> None:
    assert [kind for kind, zh in problem._CHINESE.items() if not in_both(f"{zh} and")] == []
    assert [code for code in MESSAGES if not in_both(message(code))] == []
    assert [rule for rule, said in strict_json.MESSAGES.items() if not in_both(said)] == []
