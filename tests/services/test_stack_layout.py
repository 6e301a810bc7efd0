"""Folders, ports, secrets and clients of one installation."""

import json
import socket
import stat
from pathlib import Path

import pytest

from services.stack import identity, layout
from services.stack.console import StackError
from services.stack.home import ROOT, Home, Person, check_disk, passable

SAMPLES = ROOT / "samples"


def a_home(folder: Path) -> Home:
    return Home.of({"LIANDIAO_HOME": str(folder / "a home")})


def settings(home: Home, **environ: str) -> layout.Settings:
    everyone = identity.clients(home, SAMPLES)
    return layout.Settings(
        environ=environ,
        home=home,
        ports=layout.ports(environ),
        secrets=identity.stack_secrets(home),
        client_secrets={client["id"]: client["secret"] for client in everyone},
        test_installation=True,
    )


def test_a_base_moves_all_seven_ports() -> None:
    moved = layout.ports({"LIANDIAO_PORT_BASE": "9000"})

    assert list(moved.values()) == [9001, 9002, 9003, 9004, 9005, 9006, 9007]
    assert layout.ports({})["intake"] == 8001


@pytest.mark.parametrize("base", ["x", "80", "65530", "-1"])
def test_a_senseless_base_is_one_sentence(base: str) -> None:
    with pytest.raises(StackError, match="must be a number from 1023 to 65528"):
        layout.ports({"LIANDIAO_PORT_BASE": base})


def test_a_taken_port_is_named_with_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        with pytest.raises(StackError, match=f"Port {port} .for intake. is taken .*PORT_BASE="):
            layout.check_ports({"intake": port})


def test_too_little_disk_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="make room"):
        check_disk(tmp_path, 10**9)


def test_secrets_are_made_once_and_only_we_may_read_them(tmp_path: Path) -> None:
    home = a_home(tmp_path)

    first, again = identity.stack_secrets(home), identity.stack_secrets(home)

    assert first == again
    assert len(set(first.values())) == len(first)
    mode = stat.S_IMODE((home.path / "secrets.json").stat().st_mode)
    assert mode == 0o600


def test_a_damaged_secrets_file_is_one_sentence_and_is_not_overwritten(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    (home.path / "secrets.json").write_text("{")

    with pytest.raises(StackError, match="is damaged"):
        identity.stack_secrets(home)

    assert (home.path / "secrets.json").read_text() == "{"


def test_every_seeded_organisation_has_a_client_with_scopes_by_kind(tmp_path: Path) -> None:
    everyone = {client["id"]: client for client in identity.clients(a_home(tmp_path), SAMPLES)}
    organisations = json.loads((SAMPLES / "directory.json").read_text())["organisations"]

    for organisation in organisations:
        client = everyone[f"o-{organisation['code'].lower()}"]
        assert client["organisations"] == [organisation["code"]]
        assert client["connection"] == client["id"]
        assert len(client["secret"]) >= 43
        assert client["scopes"]
        uses_kafka = organisation["kind"] in ("court", "police", "petition_office")
        assert client["kafka"] is uses_kafka
    assert "queue:write" not in everyone["o-330681-ct-0001"]["scopes"]
    assert "referral:write" in everyone["o-330681-ct-0001"]["scopes"]
    assert "note:read" in everyone["o-330681-ce-0001"]["scopes"]
    assert everyone["svc-mediation"]["scopes"] == ["directory:read", "party-sheet:read"]


def test_client_secrets_stay_and_what_was_added_stays_too(tmp_path: Path) -> None:
    home = a_home(tmp_path)
    first = identity.clients(home, SAMPLES)
    added = {**first[0], "id": "o-added", "connection": "o-added"}
    home.write("clients.json", {"clients": [*first, added]})

    assert identity.clients(home, SAMPLES) == [*first, added]


def test_the_services_own_clients_are_not_shown() -> None:
    shown = identity.shown_clients(
        [
            {"id": name, "secret": "s", "connection": name, "organisations": [], "scopes": []}
            for name in ("svc-intake", "operator")
        ]
    )

    assert [client["id"] for client in shown] == ["operator"]


def test_a_service_is_told_no_secret_but_its_own(tmp_path: Path) -> None:
    given = settings(a_home(tmp_path))

    told = given.child("intake", None)

    assert told["INTAKE_KAFKA_USER"] == "svc-intake"
    assert told["SVC_CLIENT_ID"] == "svc-intake"
    others = [
        secret for name, secret in given.secrets.items() if not name.startswith("intake_")
    ] + [secret for name, secret in given.client_secrets.items() if name != "svc-intake"]
    assert not set(others) & set(told.values())


def test_addresses_from_outside_replace_the_embedded_servers(tmp_path: Path) -> None:
    urls = {f"{s.upper()}_DATABASE_URL": f"postgresql://db/{s}" for s in layout.SERVICES}
    given = settings(
        a_home(tmp_path), **urls, KAFKA_BOOTSTRAP_SERVERS="k:1", KAFKA_SECURITY_PROTOCOL="SASL_SSL"
    )

    assert not given.own_kafka
    assert not given.own_postgres
    steps = given.of_steps(None)
    assert steps["KAFKA_BOOTSTRAP_SERVERS"] == "k:1"
    assert steps["KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
    assert steps["INTAKE_MIGRATOR_DATABASE_URL"] == "postgresql://db/intake"
    assert given.child("intake", None)["INTAKE_DATABASE_URL"] == "postgresql://db/intake"


def test_some_databases_given_and_others_not_is_one_sentence(tmp_path: Path) -> None:
    given = settings(a_home(tmp_path), INTAKE_DATABASE_URL="postgresql://db/intake")

    with pytest.raises(StackError, match="set ROUTING_DATABASE_URL, MEDIATION_DATABASE_URL"):
        _ = given.own_postgres


def test_a_private_folder_on_the_way_is_not_passable(tmp_path: Path) -> None:
    stranger = Person("stranger", 64321, 64321)
    (tmp_path / "private").mkdir(mode=0o700)
    inner = tmp_path / "private" / "inner"
    inner.mkdir(mode=0o755)

    assert not passable(inner, stranger)


def test_a_data_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StackError, match="choose one with LIANDIAO_HOME"):
        Home.of({"LIANDIAO_HOME": str(tmp_path / "file" / "below")})
