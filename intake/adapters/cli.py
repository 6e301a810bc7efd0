"""``liandiao adapter``: what a sender's export becomes, row by row, and which layouts there are.

Writes nothing anywhere and calls nobody. Only ``--json`` shows what a row holds, to the one who
gave the file; reasons name column and rule, never a value.
"""

import json
from collections import Counter
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import typer

from intake.adapters.draft import draft
from intake.adapters.layout import Layout, LayoutError, checked, read_layout, shipped
from intake.adapters.places import DirectoryFolder
from intake.adapters.rows import FileError
from intake.adapters.sampling import sample
from intake.adapters.trial import Outcome, Trial, layouts_for

READ, UNREADABLE, MISUSED = 0, 1, 2
_OUTCOMES: Final = ("accepted", "warning", "refused")


def list_layouts() -> int:
    """Print name, version, format and description of each layout of this release."""
    for layout in shipped().values():
        typer.echo(f"{layout.layout} {layout.version}  {layout.format.kind}  {layout.about}")
    return READ


def try_file(
    path: Path, layout_name: str | None, directory: Path, *, now: datetime, as_json: bool
) -> int:
    """Print what each row becomes, and a summary; answers the exit code.

    0 however many rows are refused, 1 when the file as a whole cannot be read, 2 when the layout
    or the directory cannot be used.
    """
    try:
        places = DirectoryFolder.read(directory)
    except (OSError, ValueError, KeyError, TypeError):
        return _complain(f"{directory} is no folder with directory.json and places.csv", MISUSED)
    try:
        layout = _chosen(path, layout_name)
    except LayoutError as error:
        return _complain(str(error), MISUSED)
    except (FileError, OSError) as error:
        return _complain(_unreadable(path, error), UNREADABLE)
    counted = Counter(dict.fromkeys(_OUTCOMES, 0))
    try:
        with path.open("rb") as file:
            for outcome in Trial(layout, places, now).run(file):
                counted[outcome.outcome] += 1
                typer.echo(_as_json(outcome) if as_json else _as_text(outcome))
    except (FileError, OSError) as error:
        return _complain(_unreadable(path, error), UNREADABLE)
    _summary(layout, counted, as_json=as_json)
    return READ


def draft_file(path: Path, name: str, out: Path | None, directory: Path, *, now: datetime) -> int:
    """Propose a layout for an export that nobody has described; 0 when it passes the check.

    The layout goes to ``out`` or standard output, what is to be said about it to standard error.
    """
    try:
        places = DirectoryFolder.read(directory)
    except (OSError, ValueError, KeyError, TypeError):
        return _complain(f"{directory} is no folder with directory.json and places.csv", MISUSED)
    try:
        made = draft(sample(path), name, places)
    except (FileError, OSError) as error:
        return _complain(_unreadable(path, error), UNREADABLE)
    text = json.dumps(made.layout, ensure_ascii=False, indent=2) + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
    for column, use in made.uses.items():
        typer.echo(f"  {column}: {use or 'not understood; left out'}", err=True)
    for what in made.left:
        typer.echo(f"to fill: {what}", err=True)
    try:
        layout = checked(made.layout)
    except LayoutError as error:
        for _, said in error.faults:
            typer.echo(f"to mend: {said}", err=True)
        return MISUSED
    counted = Counter(dict.fromkeys(_OUTCOMES, 0))
    with path.open("rb") as file:
        for outcome in Trial(layout, places, now).run(file):
            counted[outcome.outcome] += 1
    told = ", ".join(f"{counted[each]} {each}" for each in _OUTCOMES)
    typer.echo(
        f"the draft passes the check; as it stands: {counted.total()} rows: {told}", err=True
    )
    return READ


def _chosen(path: Path, name: str | None) -> Layout:
    """The layout asked for, by name or as a file; else the only one that fits."""
    layouts = shipped()
    if name is not None:
        if name in layouts:
            return layouts[name]
        if name.endswith(".json"):
            return read_layout(Path(name))
        raise LayoutError(f"no layout has this name; there are: {', '.join(layouts)}")
    fitting = layouts_for(path, layouts)
    if len(fitting) > 1:
        raise LayoutError(f"several layouts fit; choose with --layout: {', '.join(fitting)}")
    return layouts[fitting[0]]


def _as_text(outcome: Outcome) -> str:
    lines = [
        f"row {outcome.row} (line {outcome.line})  {outcome.outcome}  {outcome.reference or '-'}"
    ]
    for reason in outcome.reasons:
        where = reason.column or "the row"
        lines.append(f"    {reason.level}: {where}: {reason.rule}: {reason.message}")
    return "\n".join(lines)


def _as_json(outcome: Outcome) -> str:
    return json.dumps(asdict(outcome), ensure_ascii=False)


def _summary(layout: Layout, counted: Counter[str], *, as_json: bool) -> None:
    if as_json:
        said: dict[str, Any] = {
            "layout": layout.layout,
            "version": layout.version,
            "rows": counted.total(),
            **counted,
        }
        typer.echo(json.dumps({"summary": said}, ensure_ascii=False))
        return
    told = ", ".join(f"{counted[name]} {name}" for name in _OUTCOMES)
    typer.echo(f"{layout.layout} version {layout.version}: {counted.total()} rows: {told}")


def _unreadable(path: Path, error: FileError | OSError) -> str:
    why = str(error) if isinstance(error, FileError) else "the file cannot be opened"
    return f"{path.name} cannot be read: {why}"


def _complain(text: str, code: int) -> int:
    typer.echo(text, err=True)
    return code
