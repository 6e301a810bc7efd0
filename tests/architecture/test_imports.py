"""Who may import whom (design section 2); `make check` runs import-linter beside these."""

from pathlib import Path

import pytest

from tests.architecture.source import ROOT, SERVICES, files, imports

PURE = ("model.py", "rules.py", "rule.py")
HEAVY = ("sqlalchemy", "fastapi", "starlette", "aiokafka", "asyncpg", "confluent_kafka", "httpx")
# The outer layers, which rules, models and tables never reach up to.
OUTER = ("endpoints", "consumers", "handlers", "wiring")


def _top(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("service", SERVICES)
def test_the_four_services_never_import_each_other(service: str) -> None:
    others = set(SERVICES) - {service}

    found = [
        f"{p.relative_to(ROOT)}: {m}"
        for p in files(service)
        for m in imports(p)
        if _top(m) in others
    ]

    assert found == []


def test_the_chassis_imports_no_service() -> None:
    found = [
        f"{p.relative_to(ROOT)}: {m}"
        for p in files("services")
        for m in imports(p)
        if _top(m) in SERVICES
    ]

    assert found == []


@pytest.mark.parametrize(
    "path",
    [p for p in files(*SERVICES) if p.name in PURE],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_models_and_rules_know_no_database_web_or_broker(path: Path) -> None:
    found = [m for m in imports(path) if _top(m) in HEAVY]

    assert found == []


@pytest.mark.parametrize("service", SERVICES)
def test_the_inner_layers_do_not_reach_outwards(service: str) -> None:
    inner = [p for p in files(service) if p.name in (*PURE, "tables.py", "repository.py")]

    found = [
        f"{p.relative_to(ROOT)}: {m}"
        for p in inner
        for m in imports(p)
        if _top(m) == service and m.split(".")[-1] in OUTER
    ]

    assert found == []


def test_only_repositories_and_the_chassis_hold_sql() -> None:
    """Endpoints translate; a statement in one would pass by the scope of its repository."""
    found = [
        str(p.relative_to(ROOT))
        for p in files(*SERVICES)
        if p.name == "endpoints.py"
        and any(
            f"{verb} " in p.read_text(encoding="utf-8") for verb in ("SELECT", "INSERT", "UPDATE")
        )
    ]

    assert found == []


def test_nobody_commits_but_the_unit_of_work() -> None:
    found = [
        str(p.relative_to(ROOT)) for p in files(*SERVICES) if ".commit()" in p.read_text("utf-8")
    ]

    assert found == []


def test_business_code_asks_no_wall_clock() -> None:
    """Time is the unit of work's, so that a test installation can move it.

    A channel's receipt is the one exception: when a mail server answered is a fact of the world.
    """
    found = [
        f"{p.relative_to(ROOT)}: {word}"
        for p in files(*SERVICES)
        for word in ("datetime.now(", "datetime.utcnow(", "date.today(", "datetime.today(")
        if word in p.read_text("utf-8") and p.name != "channels.py"
    ]

    assert found == []
