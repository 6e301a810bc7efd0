"""The files for a deployment: secrets made once, every setting a name the services know."""

import json
import stat
from pathlib import Path

import pytest
import yaml

from services.service import NAMES, load
from services.stack import deployment
from services.stack.home import ROOT

DEPLOY = ROOT / "deploy"


def write(folder: Path) -> dict[str, dict[str, str]]:
    files = deployment.write(
        folder, postgres="db:5432", kafka="k:9092", urls="http://{service}:{port}"
    )
    return {
        file.name: dict(line.split("=", 1) for line in file.read_text().splitlines())
        for file in files
    }


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    first, again = write(tmp_path / "state"), write(tmp_path / "state")

    assert first == again
    for name in first:
        assert stat.S_IMODE((tmp_path / "state" / name).stat().st_mode) == 0o600


@pytest.mark.parametrize("name", NAMES)
def test_a_service_reads_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    files = write(tmp_path)
    for key, value in (files["common.env"] | files[f"{name}.env"]).items():
        monkeypatch.setenv(key, value)

    settings = load(name).settings()

    assert settings.database_url.get_secret_value().endswith(f"@db:5432/liandiao_{name}")
    assert settings.kafka_client()["sasl_plain_username"] == f"svc-{name}"
    assert settings.client_id == f"svc-{name}"
    assert settings.port == 8001 + NAMES.index(name)
    assert settings.routing_url == "http://routing:8002"
    assert settings.test_installation is False


def test_a_service_gets_no_secret_of_another(tmp_path: Path) -> None:
    files = write(tmp_path)

    for name in NAMES:
        others = set().union(*(files[f"{other}.env"].values() for other in NAMES if other != name))
        assert not others & set(files[f"{name}.env"].values())
        assert "migrator" not in json.dumps(files[f"{name}.env"])


def test_compose_uses_only_files_that_are_written_or_committed(tmp_path: Path) -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    written = {f"state/{name}" for name in write(tmp_path)}

    assert set(NAMES) | {"postgres", "kafka", "prepare"} == set(compose["services"])
    for service in compose["services"].values():
        assert set(service.get("env_file", [])) <= written
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (
                not source.startswith("./")
                or source == "./state/clients"
                or (DEPLOY / source).exists()
            )


def test_the_image_holds_every_package_and_no_embedded_server() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")

    for package in ("services", *NAMES, "samples", "deploy"):
        assert f"COPY {package} {package}" in text
    assert "--require-hashes" in text
    assert "USER liandiao" in text


def test_the_units_run_commands_that_exist() -> None:
    from services.cli import app

    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    for unit in (DEPLOY / "systemd").iterdir():
        (line,) = [x for x in unit.read_text().splitlines() if x.startswith("ExecStart=")]
        assert line.split(" -m services ")[1].split()[0] in commands


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_has_a_hash_for_everything_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")

    entries = [entry for entry in text.replace("\\\n", " ").splitlines() if "==" in entry]
    assert len(entries) > 50
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text


def test_the_development_lock_agrees_with_the_run_time_lock() -> None:
    def pins(lock: str) -> set[str]:
        lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
        return {line.split(" ")[0] for line in lines if "==" in line}

    assert pins("requirements.lock") <= pins("requirements-dev.lock")
