"""``nanokimi plugins``: the list, ``new`` and ``check``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
import typer

from nanokimi_core.cli.children import TIMEOUT, Answer, ask_all
from nanokimi_core.cli.guard import FAILED
from nanokimi_core.cli.opening import find_setup
from nanokimi_core.cli.options import Config, Json, command, example, new_app, unwrapped
from nanokimi_core.cli.output import say, say_json, say_table
from nanokimi_core.config import Settings
from nanokimi_core.distributions import without_entry_point
from nanokimi_core.plugins import Plugin, installed

Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="How long to wait for each plugin.")
]

app = new_app()


@dataclass
class Seen:
    """A plugin, as ``nanokimi plugins`` shows it.

    Attributes:
        name: In the toml.
        kinds: What it provides: ``transport``, ``backend``, ``auth``.
        distribution: What pip calls it.
        version: Of the distribution.
        state: ``enabled``: the toml uses it. ``missing``: the toml uses it, and it isn't installed.
        instances: Their names in the toml.
        commands: Whether it brings ``nanokimi NAME …``.
        cause: Why it is broken.
        remedy: What to do about it.
    """

    name: str
    kinds: list[str] = field(default_factory=list)
    distribution: str = ""
    version: str = ""
    state: Literal["enabled", "not enabled", "broken", "missing"] = "not enabled"
    instances: list[str] = field(default_factory=list)
    commands: bool = False
    cause: str = ""
    remedy: str = ""


def plugins(ctx: typer.Context, json: Json = False, timeout: Timeout = TIMEOUT, config: Config = None) -> None:
    """List the installed plugins, and what is wrong with them; or make a new one, or check one.

    Each is looked at in a process of its own, so that a broken one is listed with the cause. "enabled" means that the
    toml uses it.
    """
    if ctx.invoked_subcommand is not None:
        return
    settings = find_setup(ctx, config).settings
    seen = look_at_all(settings, timeout)
    if json:
        say_json({"plugins": [asdict(plugin) for plugin in seen]})
        return
    say_table(["name", "kind", "distribution", "version", "state"], [_row(plugin) for plugin in seen])
    for plugin in seen:
        if plugin.cause:
            say(f"\n{plugin.name}: {plugin.cause}" + (f"; {plugin.remedy}" if plugin.remedy else ""))


app.callback(
    invoke_without_command=True,
    help=unwrapped(plugins.__doc__),
    epilog=example("nanokimi plugins", "nanokimi plugins --json", "nanokimi plugins new transport post"),
)(plugins)


@command(app, "new", "nanokimi plugins new transport post", "nanokimi plugins new auth vault --dir ../vault")
def new(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="transport, backend or auth.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the toml shall call it.")],
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="Its folder, new or empty; ./nanokimi-KIND-NAME."),
    ] = None,
) -> None:
    """Write a new plugin that works: a distribution with its tests, to be changed into what it shall be.

    It can be installed and used as it is: a small chat network, agent or account on this machine.
    """
    from nanokimi_core.cli.plugins_new import make

    make(kind, name, folder)


@command(app, "check", "nanokimi plugins check post", "nanokimi plugins check nanokimi-transport-post --json")
def check(
    plugin: Annotated[str, typer.Argument(metavar="DIST", help="An installed distribution, or a plugin's name.")],
    json: Json = False,
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.1, help="How long to wait for it to load, and for a check that hangs."),
    ] = TIMEOUT,
) -> None:
    """Check whether an installed plugin does what the contract wants of it.

    It is loaded and looked at, and tried with the rig that its distribution brings (entry point group nanokimi.rigs).
    All of it happens in processes of their own. Exits with 1 when something fails.
    """
    from nanokimi_core.cli.plugins_check import check_all

    if not check_all(plugin, timeout, json=json):
        raise typer.Exit(FAILED)


def look_at_all(settings: Settings, timeout: float) -> list[Seen]:
    """Look at each installed plugin, and name those that the toml wants and nobody has installed."""
    used = users(settings)
    known = installed()
    twice = {name for name, count in Counter(plugin.name for plugin in known).items() if count > 1}
    single = [plugin for plugin in known if plugin.name not in twice]
    answers = anyio.run(_ask, [plugin.name for plugin in single], timeout)
    seen = [_seen(plugin, used, answer) for plugin, answer in zip(single, answers, strict=True)]
    seen += [_doubled(plugin, known) for plugin in known if plugin.name in twice]
    _blame_conflicts(seen, dict(zip([plugin.name for plugin in single], answers, strict=True)))
    seen += [
        Seen(name, state="missing", instances=used[name], cause="the toml uses it, and it is not installed")
        for name in sorted(used.keys() - {plugin.name for plugin in known})
    ]
    seen += [
        Seen(each.name, [], each.distribution, each.version, "broken", cause=each.cause, remedy=each.remedy)
        for each in without_entry_point()
    ]
    return sorted(seen, key=lambda plugin: (plugin.name, plugin.distribution))


def users(settings: Settings) -> dict[str, list[str]]:
    """Give the instances that the toml uses, by plugin."""
    used: dict[str, list[str]] = {}
    for instance in dict.fromkeys([*settings.transports, *settings.backends(), *settings.auths()]):
        used.setdefault(settings.use(instance), []).append(instance)
    return used


async def _ask(names: Sequence[str], seconds: float) -> list[Answer]:
    return await ask_all([["plugin", name] for name in names], seconds=seconds)


def _seen(plugin: Plugin, used: dict[str, list[str]], answer: Answer) -> Seen:
    seen = Seen(plugin.name, distribution=plugin.distribution, version=plugin.version)
    seen.instances = used.get(plugin.name, [])
    seen.state = "enabled" if seen.instances else "not enabled"
    if error := answer.get("error"):
        seen.state, seen.cause, seen.remedy = "broken", error["cause"], error["remedy"]
    provides = answer.get("provides", [])
    seen.kinds = list(dict.fromkeys(each["kind"] for each in provides))
    seen.commands = any(each["commands"] for each in provides)
    return seen


def _doubled(plugin: Plugin, known: Sequence[Plugin]) -> Seen:
    both = [other.origin for other in known if other.name == plugin.name]
    return Seen(
        plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        state="broken",
        cause=f"it is provided by {' and '.join(both)}",
        remedy=f"uninstall one of them, for example: pip uninstall {plugin.distribution}",
    )


def _blame_conflicts(seen: Sequence[Seen], answers: dict[str, Answer]) -> None:
    """Two plugins that provide the same thing can't be enabled together."""
    providers: dict[tuple[str, str], list[str]] = {}
    for name, answer in answers.items():
        for each in answer.get("provides", []):
            providers.setdefault((each["kind"], each["name"]), []).append(name)
    for (kind, thing), names in providers.items():
        for plugin in seen:
            if len(names) > 1 and plugin.name in names:
                plugin.cause = f'{kind} "{thing}" is provided by the plugins {" and ".join(names)}'
                plugin.remedy = "enable one of them only"


def _row(plugin: Seen) -> list[Any]:
    renamed = plugin.instances not in ([], [plugin.name])
    state = (
        f"{plugin.state} as {', '.join(plugin.instances)}" if plugin.state == "enabled" and renamed else plugin.state
    )
    return [plugin.name, ", ".join(plugin.kinds) or "?", plugin.distribution, plugin.version, state]
