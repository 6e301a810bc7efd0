"""The one command line: run services, look into them, mend them."""

import asyncio
import gc
import importlib
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import UUID

import typer

if TYPE_CHECKING:
    from services.runtime import Runtime

T = TypeVar("T")

app = typer.Typer(
    help="Liandiao (联调): courts, police and mediation organisations work a dispute together.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
directory_app = typer.Typer(help="The directory of organisations and places.", no_args_is_help=True)
adapter_app = typer.Typer(help="Senders' own exports, mapped by layouts.", no_args_is_help=True)
case_app = typer.Typer(help="Look at one case.", no_args_is_help=True)
parked_app = typer.Typer(help="Events that could not be handled.", no_args_is_help=True)
connection_app = typer.Typer(
    help="Technical systems that speak for organisations.", no_args_is_help=True
)
clock_app = typer.Typer(help="The clock of a test installation.", no_args_is_help=True)
migrate_app = typer.Typer(help="Database migrations.", no_args_is_help=True)
app.add_typer(directory_app, name="directory")
app.add_typer(adapter_app, name="adapter")
app.add_typer(case_app, name="case")
app.add_typer(parked_app, name="parked")
app.add_typer(connection_app, name="connection")
app.add_typer(clock_app, name="clock")
app.add_typer(migrate_app, name="migrate")

ServiceName = Annotated[str, typer.Argument(help="intake, routing, mediation or notification")]


def use_stack_environment() -> None:
    """Take the settings of the stack in this folder unless the environment already has them."""
    if "INTAKE_DATABASE_URL" in os.environ or "ROUTING_DATABASE_URL" in os.environ:
        return
    home = Path(os.environ.get("LIANDIAO_HOME", ".liandiao"))
    file = home / "environment.json"
    if file.exists():
        for name, value in json.loads(file.read_text(encoding="utf-8")).items():
            os.environ.setdefault(name, value)


async def _with_runtime(name: str, body: "Callable[[Runtime], Awaitable[T]]") -> T:
    from services.runtime import Runtime
    from services.service import load

    runtime = await Runtime.open(load(name))
    try:
        return await body(runtime)
    finally:
        await runtime.close()


def run_in(name: str, body: "Callable[[Runtime], Awaitable[T]]") -> T:
    """Run ``body`` with one service's runtime, in this process."""
    use_stack_environment()
    return asyncio.run(_with_runtime(name, body))


def show(value: Any) -> None:
    """Print JSON, readable."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


# -- running -------------------------------------------------------------------------------------


def serve(name: str, *, api: bool, work: bool) -> None:
    """Run one process of one service until it is told to stop."""
    import uvicorn

    from services import telemetry
    from services.app import create_app
    from services.service import load

    service = load(name)
    settings = service.settings()
    telemetry.configure(name, settings.log_level)
    if not api:
        from dataclasses import replace

        service = replace(service, routers=tuple)
    application = create_app(service, work=work)
    # What was loaded stays: the collector need not walk it, and young objects die by themselves.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    # Threads that compute beside the loop give way ten times as soon as they would by themselves: a
    # request that awaits ten answers of the database would wait 5 ms for each of them.
    sys.setswitchinterval(0.0005)
    uvicorn.run(
        application,
        host=settings.bind,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )


@app.command("all")
def run_all(service: ServiceName) -> None:
    """Run a service whole: its API and its work on one loop."""
    use_stack_environment()
    serve(service, api=True, work=True)


@app.command()
def api(service: ServiceName) -> None:
    """Run only a service's API."""
    use_stack_environment()
    serve(service, api=True, work=False)


@app.command()
def work(service: ServiceName) -> None:
    """Run only a service's work: relay, consumers, sequencer, clocks, senders."""
    use_stack_environment()
    serve(service, api=False, work=True)


@migrate_app.command("upgrade")
def migrate_upgrade(
    service: Annotated[
        str | None, typer.Argument(help="one service; all four when left out")
    ] = None,
) -> None:
    """Bring databases to this release."""
    use_stack_environment()
    from services.migrate import upgrade
    from services.service import NAMES

    for name in [service] if service else NAMES:
        url = os.environ.get(f"{name.upper()}_MIGRATOR_DATABASE_URL")
        if not url:
            raise SystemExit(f"{name.upper()}_MIGRATOR_DATABASE_URL is not set")
        done = asyncio.run(upgrade(name, url))
        typer.echo(f"{name}: {'upgraded' if done else 'already current'}")


@migrate_app.command("draft")
def migrate_draft(service: ServiceName) -> None:
    """Write the first migration anew from tables.py (developers, before the first release)."""
    from services.migrate import draft

    typer.echo(draft(service))


@app.command()
def seed() -> None:
    """Fill the demonstration county: organisations, places, calendars, clients, mediators."""
    use_stack_environment()

    async def one(name: str, runtime: "Runtime") -> None:
        module = importlib.import_module(f"{name}.seed")
        await module.seed(runtime, runtime.settings.samples_dir)

    for name in ("routing", "mediation"):
        run_in(name, lambda runtime, name=name: one(name, runtime))  # type: ignore[misc]
        typer.echo(f"{name}: seeded")


@app.command()
def topics() -> None:
    """Create topics, users and access lists on Kafka from deploy/topics.json and acls.json."""
    use_stack_environment()
    from services.topics import apply_from_environment

    apply_from_environment()


@directory_app.command("import")
def directory_import(
    folder: Annotated[Path, typer.Argument(help="folder with directory.json and places.csv")],
) -> None:
    """Import organisations and places; what is unchanged stays."""
    module = importlib.import_module("routing.directory_import")
    show(run_in("routing", lambda runtime: module.import_directory(runtime, folder)))


@adapter_app.command("try")
def adapter_try(
    file: Annotated[Path, typer.Argument(help="a sender's export")],
    layout: Annotated[
        str | None, typer.Option(help="name of a layout, or a mapping file; default: what fits")
    ] = None,
    directory: Annotated[
        Path,
        typer.Option(
            envvar="LIANDIAO_SAMPLES_DIR", help="folder with directory.json and places.csv"
        ),
    ] = Path("samples"),
    as_json: Annotated[
        bool, typer.Option("--json", help="one JSON object a row, with the canonical referral")
    ] = False,
) -> None:
    """Show row by row what an export becomes; sends nothing.

    The exit code is 0 however many rows are refused, 1 when the file as a whole cannot be read.
    """
    from services.clock import Clock

    module = importlib.import_module("intake.adapters.cli")
    now = Clock().now()
    raise typer.Exit(module.try_file(file, layout, directory, now=now, as_json=as_json))


@adapter_app.command("draft")
def adapter_draft(
    file: Annotated[Path, typer.Argument(help="an export that no layout fits")],
    name: Annotated[str, typer.Option(help="the layout's name")] = "own_export",
    out: Annotated[Path | None, typer.Option(help="where it goes; else printed")] = None,
    directory: Annotated[
        Path,
        typer.Option(
            envvar="LIANDIAO_SAMPLES_DIR", help="folder with directory.json and places.csv"
        ),
    ] = Path("samples"),
) -> None:
    """Propose a layout by heads and contents, and say what is left to fill."""
    from services.clock import Clock

    module = importlib.import_module("intake.adapters.cli")
    raise typer.Exit(module.draft_file(file, name, out, directory, now=Clock().now()))


@adapter_app.command("list")
def adapter_list() -> None:
    """The layouts of this release, with their versions."""
    raise typer.Exit(importlib.import_module("intake.adapters.cli").list_layouts())


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="your own export")],
    client: Annotated[
        str | None, typer.Option(help="a client of the stack that runs here, else LIANDIAO_TOKEN")
    ] = None,
    layout: Annotated[str | None, typer.Option(help="by name; default: what fits")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="register nothing")] = False,
    server: Annotated[
        str | None, typer.Option(envvar="INTAKE_URL", help="intake's address; else the stack's")
    ] = None,
    refused: Annotated[Path | None, typer.Option(help="where the refused rows go")] = None,
) -> None:
    """Upload an export, follow it, print what became of each row, keep the refused rows.

    The exit code is 0 when no row was refused, 1 when some were or the file cannot be read.
    """
    module = importlib.import_module("intake.imports.client")
    raise typer.Exit(
        module.main(file, client=client, layout=layout, dry=dry_run, server=server, refused=refused)
    )


@app.command("import-waiting", hidden=True)
def import_waiting() -> None:
    """Work off imports that wait; started by intake's work process."""
    from services import telemetry

    module = importlib.import_module("intake.imports.supervising")
    use_stack_environment()
    telemetry.configure("intake", os.environ.get("LIANDIAO_LOG_LEVEL", "INFO"))
    run_in("intake", module.import_waiting)


# -- looking -------------------------------------------------------------------------------------


@case_app.command("show")
def case_show(case_id: UUID) -> None:
    """One case as each service knows it: stream, inbox, parked."""
    from services.inspection import case_in

    show({name: run_in(name, lambda r: case_in(r, case_id)) for name in _names()})


@app.command()
def timeline(case_id: UUID) -> None:
    """Every event of a case from the four outboxes, in the order they were recorded."""
    from services.inspection import events_of

    rows = [row for name in _names() for row in run_in(name, lambda r: events_of(r, case_id))]
    for row in sorted(rows, key=lambda r: (r["recorded_at"], r["sequence"] or 0)):
        typer.echo(
            f"{row['recorded_at']}  {row['service']:<12} {row['sequence'] or '':>4}  {row['type']}"
        )


@app.command()
def outbox(
    service: ServiceName,
    limit: int = 20,
    release: Annotated[
        str | None, typer.Option(help="a case whose held events are to be tried again")
    ] = None,
) -> None:
    """Rows of a service's outbox that Kafka has not acknowledged."""
    from services.inspection import unpublished
    from services.messaging.relay import release_held

    async def look(runtime: "Runtime") -> list[dict[str, Any]]:
        if release is not None:
            await release_held(runtime.pool, runtime.settings.cases_topic, release)
        return await unpublished(runtime, limit)

    show(run_in(service, look))


@app.command()
def lag() -> None:
    """Positions of every consumer against the ends of their partitions."""
    from services.inspection import consumer_lag

    show({name: run_in(name, consumer_lag) for name in _names()})


@parked_app.command("list")
def parked_list() -> None:
    """Parked cases of all services."""
    from services.messaging import parking

    show({name: run_in(name, parking.list_parked) for name in _names()})


@parked_app.command("show")
def parked_show(service: ServiceName, key: str) -> None:
    """The events that wait behind a parked case."""
    from services.messaging import parking

    show(run_in(service, lambda r: parking.show_parked(r, key)))


@parked_app.command("replay")
def parked_replay(service: ServiceName, key: str) -> None:
    """Handle a parked case's events again, in order."""
    from services.messaging import parking

    show(run_in(service, lambda r: parking.replay_parked(r, key)))


@parked_app.command("drop")
def parked_drop(service: ServiceName, key: str, reason: str) -> None:
    """Give up for ever what a case's replay stops at or waits for; the reason is audited."""
    from services.messaging import parking

    show(run_in(service, lambda r: parking.drop_parked(r, key, reason)))


@app.command()
def recover(service: ServiceName) -> None:
    """After a restore: adopt what only the topic still has, then allow writes."""
    from services.messaging import recovery

    show(run_in(service, recovery.recover))


@app.command("rebuild-topic")
def rebuild_topic() -> None:
    """Fill an empty `cases` topic again from the four outboxes, in its original order."""
    use_stack_environment()
    from services.messaging import recovery

    show(asyncio.run(recovery.rebuild_topic()))


@connection_app.command("add")
def connection_add(
    name: str,
    organisations: Annotated[list[str], typer.Argument(help="codes it speaks for")],
    kafka: Annotated[bool, typer.Option(help="give it a pair of topics")] = False,
) -> None:
    """Register a connection with its client; prints the secret once."""
    module = importlib.import_module("routing.directory_import")
    answer: dict[str, Any] = run_in(
        "routing", lambda r: module.add_connection(r, name, organisations, kafka)
    )
    if kafka:
        from services.topics import ensure_connection

        answer["kafka_password"] = ensure_connection(name)
    show(answer)


@clock_app.command("advance")
def clock_advance(
    days: Annotated[int, typer.Option(help="days to move forward")] = 0,
    hours: Annotated[int, typer.Option(help="hours to move forward")] = 0,
    minutes: Annotated[int, typer.Option(help="minutes to move forward")] = 0,
    seconds: Annotated[int, typer.Option(help="seconds to move forward")] = 0,
) -> None:
    """Move the clock of a test installation forward, for all services; never back."""
    module = importlib.import_module("routing.test_clock")
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    show(run_in("routing", lambda r: module.advance(r, total)))


@app.command()
def schemas(
    check: Annotated[bool, typer.Option(help="only say whether docs/contracts is current")] = False,
) -> None:
    """Write docs/contracts from the code."""
    from services.contracts import main

    sys.exit(main(check=check))


@app.command()
def doctor() -> None:
    """Every case whose wait has no holder or no clock, every invariant that does not hold."""
    from services.inspection import chassis_doctor

    found = 0
    for name in _names():

        async def examine(runtime: "Runtime") -> list[str]:
            lines = await chassis_doctor(runtime)
            if runtime.service.doctor is not None:
                lines += await runtime.service.doctor(runtime)
            return lines

        for line in run_in(name, examine):
            found += 1
            typer.echo(f"{name}: {line}")
    typer.echo("nothing found" if not found else f"{found} found")
    raise typer.Exit(1 if found else 0)


@app.command()
def play() -> None:
    """Play one referral by a court and one by the police to their end, against a running stack."""
    from services.play import main

    sys.exit(main())


def _names() -> tuple[str, ...]:
    from services.service import NAMES

    return NAMES


def _mount_stack() -> None:
    from services.stack.cli import register
    from services.verify.cli import register as register_verify

    register(app)
    register_verify(app)


_mount_stack()
