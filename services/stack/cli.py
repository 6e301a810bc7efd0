"""The commands ``stack`` and ``token``."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from services.stack.console import StackError


def stack(
    play: Annotated[bool, typer.Option(help="play one case to its end when all is ready")] = True,
) -> None:
    """Start PostgreSQL, Kafka and the four services here, and keep them running (make run)."""
    from services.stack.supervisor import Supervisor

    raise typer.Exit(Supervisor(os.environ, play=play).run())


def token(
    client: Annotated[str, typer.Argument(help="a client of stack.json, as o-330681-ct-0001")],
) -> None:
    """Print an access token for a client of the stack that runs here."""
    import httpx

    from services.stack.home import Home

    try:
        found = Home.of().read("stack.json")
    except StackError as error:
        raise SystemExit(str(error)) from None
    if found is None:
        raise SystemExit("Nothing runs here yet: start it with make run.")
    secrets = {each["id"]: each["secret"] for each in found["clients"]}
    if client not in secrets:
        raise SystemExit("There is no client of that name in stack.json.")
    answer = httpx.post(
        found["token_url"],
        data={"grant_type": "client_credentials"},
        auth=(client, secrets[client]),
        timeout=10,
    )
    if answer.status_code != 200:
        raise SystemExit(f"The token was refused: {json.dumps(answer.json())}")
    typer.echo(answer.json()["access_token"])


def deployment(
    folder: Annotated[Path, typer.Argument(help="where the files go, for example deploy/state")],
    postgres: Annotated[str, typer.Option(help="host:port of your PostgreSQL")] = "postgres:5432",
    kafka: Annotated[str, typer.Option(help="bootstrap servers of your Kafka")] = "kafka:9092",
    urls: Annotated[
        str, typer.Option(help="where services find each other; {service} and {port} are filled in")
    ] = "http://{service}:{port}",
) -> None:
    """Make secrets and settings files for compose or systemd; what is there stays."""
    from services.stack.deployment import write

    for path in write(folder, postgres=postgres, kafka=kafka, urls=urls):
        typer.echo(path)


def register(app: typer.Typer) -> None:
    """Mount the commands on the one command line."""
    app.command()(stack)
    app.command()(token)
    app.command()(deployment)
