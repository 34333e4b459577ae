"""The child process that tries one plugin: ``python -m nanokimi_core.cli.plugins_trial``, for ``plugins check``.

It prints a line of JSON for each thing that it is about to try, another for what it has found, and one at the end.

    NAME FOLDER SKIP      try the plugin NAME, with an empty folder to work in, but leave out the first SKIP things
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import anyio

from nanokimi_core.cli.mount import import_commands
from nanokimi_core.cli.opening import started
from nanokimi_core.config import Location, Settings
from nanokimi_core.errors import AgentError, ConfigError, LoginNeeded, NanoKimiError, PluginError
from nanokimi_core.hookspecs import Spec
from nanokimi_core.instances import make
from nanokimi_core.plugins import Kind, PluginHost, Provided, blame
from nanokimi_core.testing.conformance.checks import Check, run_check

RIGS = "nanokimi.rigs"
_LONGEST = 4000

Outcome = Literal["passed", "failed", "not applicable"]


@dataclass(frozen=True)
class Trial:
    """One thing to try.

    Attributes:
        check: Its name.
        wants: What the contract wants, in a sentence.
        run: Tries it; gives the outcome and what was seen.
        loop: What it runs on, where that matters.
        patience: Seconds that it is given.
    """

    check: str
    wants: str
    run: Callable[[], tuple[Outcome, str]]
    loop: str = ""
    patience: float = 0.0


def main() -> None:
    """Try, and end without waiting for threads that a plugin has started."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(**answer: Any) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    name, folder, skip = sys.argv[1:]
    for at, trial in enumerate(_trials(name, Path(folder), say)):
        if at < int(skip):
            continue
        told = {"check": trial.check, "wants": trial.wants, "loop": trial.loop}
        say(begun=told, patience=trial.patience)
        outcome, saw = trial.run()
        say(found={**told, "outcome": outcome, "saw": saw[:_LONGEST]})
    say(done=True)
    sys.stderr.flush()
    os._exit(0)


def _trials(name: str, folder: Path, say: Callable[..., None]) -> Iterator[Trial]:
    """Give what there is to try. A trial may need what the ones before it have found."""
    host = PluginHost()
    yield Trial("loads", "Its module can be imported, and its hooks return Specs.", partial(_loads, host, name))
    provided = _provided(host, name)
    if not provided:
        return
    for each in provided:
        yield from _looks(each)
    point = _rig_point(provided[0])
    say(kinds=[each.kind for each in provided], rig=bool(point))
    if point is None:
        for each in provided:
            yield Trial(
                f'{each.kind} "{each.spec.name}" can be made',
                "Its object can be made as the core makes it, and has the methods of its kind.",
                partial(_can_be_made, each, host, folder),
            )
        return
    yield Trial("rig loads", "The entry point of its rig gives a rig for it.", partial(_rig_loads, point, provided))
    rig = _rig(point)
    if rig is not None:
        yield from _conformance(rig, folder)


def _loads(host: PluginHost, name: str) -> tuple[Outcome, str]:
    try:
        provided = host.provided(name)
    except PluginError as error:
        return "failed", str(error)
    if not any(each.spec.name == name for each in provided):
        names = ", ".join(f'{each.kind} "{each.spec.name}"' for each in provided) or "nothing"
        return "failed", f'it provides {names}, and no Spec is named as its entry point, "{name}"'
    return "passed", ""


def _provided(host: PluginHost, name: str) -> list[Provided]:
    try:
        return host.provided(name)
    except PluginError:
        return []


def _looks(provided: Provided) -> Iterator[Trial]:
    spec, called = provided.spec, f'of the {provided.kind} "{provided.spec.name}"'
    wants = "Each key of its table has a default where there can be one, and a misspelt key is refused."
    yield Trial(f"table {called}", wants, partial(_table, spec))
    if spec.commands:
        yield Trial(f"commands {called}", "They name a typer app.", partial(_commands, provided))


def _table(spec: Spec[Any]) -> tuple[Outcome, str]:
    remarks = []
    if needed := [name for name, field in spec.config.model_fields.items() if field.is_required()]:
        remarks.append(f"it needs {', '.join(needed)}")
    if spec.config.model_config.get("extra") != "forbid":
        remarks.append('it lets unknown keys pass; extra="forbid" in its model_config refuses them')
    return "passed", "; ".join(remarks)


def _commands(provided: Provided) -> tuple[Outcome, str]:
    try:
        import_commands(provided)
    except PluginError as error:
        return "failed", str(error)
    return "passed", ""


def _can_be_made(provided: Provided, host: PluginHost, folder: Path) -> tuple[Outcome, str]:
    name, location = provided.spec.name, Location(None, folder)

    async def tell(key: str, text: str) -> None:
        """There is no owner here."""

    async def start() -> None:
        async with started(instance):
            pass

    try:
        instance = make(provided.kind, name, settings=Settings(), location=location, host=host, tell=tell)
        anyio.run(start)
    except ConfigError as error:
        return "not applicable", f"it takes a table: {error.message}"
    except (NanoKimiError, AgentError, LoginNeeded) as error:
        return "failed", str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin boundary
        return "failed", str(blame(provided.plugin, "to be made", error))
    return "passed", ""


def _rig_point(provided: Provided) -> EntryPoint | None:
    """Find the rig that the plugin's own distribution brings."""
    for point in entry_points(group=RIGS, name=provided.plugin.name):
        if point.dist is not None and point.dist.name == provided.plugin.distribution:
            return point
    return None


def _rig_loads(point: EntryPoint, provided: list[Provided]) -> tuple[Outcome, str]:
    try:
        rig: Any = point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin boundary
        return "failed", f"{point.value}: {type(error).__name__}: {error}"
    kind = _kind_of(rig)
    if kind is None:
        return "failed", f"{point.value} is no class derived from TransportRig, BackendRig or AuthRig"
    spec = getattr(rig, "spec", None)
    if not isinstance(spec, Spec):
        return "failed", f"{point.value} has no spec; give it the Spec that the plugin's hook returns"
    if not any((each.kind, each.spec.name) == (kind, spec.name) for each in provided):
        return "failed", f'{point.value} tries the {kind} "{spec.name}", which this plugin doesn\'t provide'
    return "passed", ""


def _rig(point: EntryPoint) -> type[Any] | None:
    try:
        rig: Any = point.load()
    except (Exception, SystemExit):  # noqa: BLE001  # a plugin boundary, and it has been said what is wrong
        return None
    return rig if _kind_of(rig) is not None and isinstance(getattr(rig, "spec", None), Spec) else None


def _kind_of(rig: Any) -> Kind | None:
    from nanokimi_core.testing.conformance.rigs import AuthRig, BackendRig, TransportRig

    kinds: list[tuple[type, Kind]] = [(TransportRig, "transport"), (BackendRig, "backend"), (AuthRig, "auth")]
    return next((kind for base, kind in kinds if isinstance(rig, type) and issubclass(rig, base)), None)


def _conformance(rig: type[Any], folder: Path) -> Iterator[Trial]:
    kind = _kind_of(rig)
    checks = getattr(
        importlib.import_module(f"nanokimi_core.testing.conformance.{kind}.suite"), f"{str(kind).upper()}_CHECKS"
    )
    for loop in rig.loops:
        for at, check in enumerate(checks):
            place = folder / f"{loop}-{at}"
            yield Trial(
                check.name,
                check.wants,
                partial(_try, check, rig, place, loop),
                loop,
                rig.patience,
            )


def _try(check: Check, rig: type[Any], folder: Path, loop: Any) -> tuple[Outcome, str]:
    if find_spec(loop) is None:
        return "not applicable", f"{loop} is not installed"
    folder.mkdir()
    finding = run_check(check, rig, folder, loop)
    return finding.outcome, finding.saw


if __name__ == "__main__":
    main()
