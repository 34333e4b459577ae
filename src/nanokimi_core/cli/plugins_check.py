"""``nanokimi plugins check``: what a child process finds out about a plugin, line by line."""

from __future__ import annotations

import re
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path

import anyio

from nanokimi_core.cli.children import Answer, follow
from nanokimi_core.cli.output import say, say_json
from nanokimi_core.errors import CommandError
from nanokimi_core.plugins import Plugin, installed

_MOST_LOST = 3  # checks that may hang, or end their process, before the rest of them isn't tried any more
_LONGEST_PATIENCE = 300.0
_MARKS = {"passed": "passed", "failed": "FAILED", "not applicable": "n/a"}


@dataclass(frozen=True)
class Found:
    """What came of one check.

    Attributes:
        check: Its name.
        loop: What it ran on; empty where that doesn't matter.
        outcome: ``passed``, ``failed`` or ``not applicable``.
        wants: What the contract wants.
        saw: What was seen instead; of one that passed, what is worth knowing.
    """

    check: str
    loop: str
    outcome: str
    wants: str
    saw: str


@dataclass
class Report:
    """How a plugin does.

    Attributes:
        name: In the toml.
        distribution: What pip calls it.
        version: Of the distribution.
        kinds: What it provides.
        rig: Whether its distribution brings a rig, so that the conformance checks could run.
        findings: In the order of the checks.
        unfinished: Why not all checks ran; empty where they did.
    """

    name: str
    distribution: str
    version: str
    kinds: list[str] = field(default_factory=list)
    rig: bool = False
    findings: list[Found] = field(default_factory=list)
    unfinished: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing failed, and everything ran."""
        return not self.unfinished and all(found.outcome != "failed" for found in self.findings)


def check_all(named: str, seconds: float, *, json: bool) -> bool:
    """Check each plugin that is meant, print what was found, and say whether all is well.

    Args:
        named: A distribution or a plugin.
        seconds: How long a plugin may take to load.
        json: Print JSON.

    Raises:
        CommandError: There is no such plugin.
    """
    reports = [_check(plugin, seconds, silent=json) for plugin in _meant(named)]
    if json:
        plugins = [{"ok": report.ok, **asdict(report)} for report in reports]
        say_json({"ok": all(report.ok for report in reports), "plugins": plugins})
    return all(report.ok for report in reports)


def _meant(named: str) -> list[Plugin]:
    known = installed()
    found = [plugin for plugin in known if named == plugin.name]
    found = found or [plugin for plugin in known if _same(named, plugin.distribution)]
    if found:
        return found
    close = get_close_matches(named, [name for plugin in known for name in (plugin.name, plugin.distribution)], n=1)
    raise CommandError(
        f'there is no plugin and no distribution with plugins "{named}" here',
        remedy=f'did you mean "{close[0]}"?' if close else "install it first; nanokimi plugins lists what is there",
    )


def _same(one: str, other: str) -> bool:
    return re.sub(r"[-_.]+", "-", one).lower() == re.sub(r"[-_.]+", "-", other).lower()


def _check(plugin: Plugin, seconds: float, *, silent: bool) -> Report:
    report = Report(plugin.name, plugin.distribution, plugin.version)
    watch = _Watch(report, seconds, silent=silent)
    if not silent:
        say(f"{plugin.name} ({plugin.origin})")
    with tempfile.TemporaryDirectory(prefix="nanokimi-check-", ignore_cleanup_errors=True) as folder:
        anyio.run(_try_all, plugin.name, Path(folder), watch)
    if not silent:
        _sum_up(plugin, report)
    return report


async def _try_all(name: str, folder: Path, watch: _Watch) -> None:
    """Try on in another child where one has been lost: at the check after the one that did it."""
    for attempt in range(_MOST_LOST):
        place = folder / str(attempt)
        place.mkdir()
        before = len(watch.report.findings)
        cause = await follow("plugins_trial", [name, str(place), str(before)], watch.hear, seconds=watch.seconds)
        if watch.lost >= _MOST_LOST:
            break
        if not cause:
            return
        if not watch.lose(cause):
            watch.report.unfinished = cause if not before else "the checks after that could not be run"
            return
    watch.report.unfinished = f"{_MOST_LOST} checks had no end or ended their process; those after them were not run"


class _Watch:
    """Takes down what a child says.

    Args:
        report: What it becomes.
        seconds: How long anything may take beyond what it says.
        silent: Whether nothing is printed.

    Attributes:
        lost: How many checks had no end of their own.
    """

    def __init__(self, report: Report, seconds: float, *, silent: bool) -> None:
        self.report = report
        self.seconds = seconds
        self._silent = silent
        self.lost = 0
        self._begun: dict[str, str] | None = None
        self._since, self._patience = 0.0, 0.0

    def hear(self, answer: Answer) -> float | None:
        """Note an answer, and say in how many seconds the next one must come; ``None`` where none shall."""
        if "kinds" in answer:
            self.report.kinds, self.report.rig = answer["kinds"], answer["rig"]
        elif "begun" in answer:
            self._begun = answer["begun"]
            self._since, self._patience = time.monotonic(), min(float(answer["patience"]), _LONGEST_PATIENCE)
            return self.seconds + 2 * self._patience
        elif "found" in answer:
            self._begun = None
            self._add(Found(**answer["found"]))
            self.lost += 0 < self._patience <= time.monotonic() - self._since
        return self.seconds if self.lost < _MOST_LOST else None

    def lose(self, cause: str) -> bool:
        """Blame what was being tried when the child was lost; gives whether it was anything but the first."""
        begun, self._begun = self._begun, None
        if begun is None:
            return False
        self.lost += 1
        self._add(Found(**begun, outcome="failed", saw=cause))
        return len(self.report.findings) > 1

    def _add(self, found: Found) -> None:
        self.report.findings.append(found)
        if self._silent:
            return
        mark, loop = _MARKS[found.outcome].ljust(6), f" ({found.loop})" if found.loop else ""
        if found.outcome == "failed":
            say(f"  {mark}  {found.check}{loop}\n          wanted: {found.wants}\n          saw: {_deeper(found.saw)}")
        else:
            say(f"  {mark}  {found.check}{loop}" + (f": {found.saw}" if found.saw else ""))


def _deeper(text: str) -> str:
    return "\n            ".join(text.splitlines())


def _sum_up(plugin: Plugin, report: Report) -> None:
    counts = Counter(found.outcome for found in report.findings)
    say(", ".join(f"{counts[outcome]} {outcome}" for outcome in _MARKS if counts[outcome] or outcome == "passed"))
    if report.unfinished:
        say(f"unfinished: {report.unfinished}")
    elif report.kinds and not report.rig:
        for line in _how_to_add_a_rig(plugin, report.kinds):
            say(line)


def _how_to_add_a_rig(plugin: Plugin, kinds: Sequence[str]) -> list[str]:
    base = f"{kinds[0].capitalize()}Rig"
    return [
        f"{plugin.distribution} brings no rig, so the conformance checks did not run. To add one, derive a class from",
        f"nanokimi_core.testing.{base} in a module of its own, and name it in pyproject.toml:",
        "",
        '    [project.entry-points."nanokimi.rigs"]',
        f'    {plugin.name} = "your_package.rig:Rig"',
    ]
