"""The command ``verify``."""

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any

import typer


def verify(
    http_log: Annotated[
        list[Path] | None,
        typer.Option(help="a driver's log, JSON lines; default: logs/http*.jsonl of the stack"),
    ] = None,
    canaries: Annotated[
        Path | None,
        typer.Option(help="a file with personal values, one a line, that may stand nowhere"),
    ] = None,
    logs: Annotated[
        Path | None, typer.Option(help="folder of log files; default: logs of the stack")
    ] = None,
    metrics: Annotated[
        list[Path] | None, typer.Option(help="a saved /metrics page; default: logs/metrics*.txt")
    ] = None,
    wait: Annotated[
        bool, typer.Option(help="wait until outboxes are empty and nobody lags behind")
    ] = True,
    wait_seconds: Annotated[float, typer.Option(min=1, help="how long to wait at most")] = 120,
    allow_empty: Annotated[
        list[str] | None,
        typer.Option(help="an invariant that may find nothing to look at, by name"),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="look at this invariant alone, by name; repeatable")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the report as JSON")] = False,
) -> None:
    """Check from outside that no promise was broken: HTTP logs, databases and topics.

    Reads only; works on the stack of this folder, or on what the environment names. The exit code
    is 0 when everything holds, 1 when something is broken, 2 when it could not look.
    """
    from services.verify import TITLES, CannotLook, Run, examine

    if unknown := {*(allow_empty or ()), *(only or ())} - TITLES.keys():
        typer.echo(f"no invariant is called {', '.join(unknown)}: {', '.join(TITLES)}", err=True)
        raise typer.Exit(2)

    def say(line: str) -> None:
        typer.echo(line, err=True)

    more: dict[str, Any] = {
        "wait_seconds": wait_seconds if wait else 0.0,
        "allow_empty": frozenset(allow_empty or ()),
        "only": frozenset(only or ()),
    }
    try:
        if http_log:
            more["http_logs"] = tuple(http_log)
        if logs:
            more["logs"] = tuple(sorted(p for p in logs.iterdir() if p.suffix == ".log"))
        if metrics:
            more["metrics"] = tuple(metrics)
        if canaries:
            more["canaries"] = tuple(canaries.read_text(encoding="utf-8").splitlines())
        home = Path(os.environ.get("LIANDIAO_HOME", ".liandiao"))
        report = asyncio.run(examine(Run.of_home(home, **more), say))
    except (CannotLook, OSError) as error:
        typer.echo(f"could not look: {error}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(report.json())
    else:
        for line in report.lines():
            typer.echo(line)
    raise typer.Exit(0 if report.holds else 1)


def register(app: typer.Typer) -> None:
    """Mount the command on the one command line."""
    app.command()(verify)
