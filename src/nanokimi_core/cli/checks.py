"""The lines of ``nanokimi doctor``."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nanokimi_core.cli.children import Answer, ask_all
from nanokimi_core.cli.opening import Setup
from nanokimi_core.cli.plugins import look_at_all
from nanokimi_core.config import Settings
from nanokimi_core.contracts.plugin import Check
from nanokimi_core.errors import ConfigError
from nanokimi_core.folder import DataFolder
from nanokimi_core.plugins import Kind, installed

_LITTLE = 1_000_000_000
_TOO_LITTLE = 100_000_000


def core_checks(setup: Setup) -> list[Check]:
    """Check what the core itself needs."""
    return [_toml(setup), *_folder(setup.location.data), _holder(setup.location.data)]


async def instance_checks(setup: Setup, seconds: float) -> list[Check]:
    """Ask each instance that the toml uses, in a child process, for its own lines and for its room."""
    instances = list(_instances(setup.settings))
    toml = str(setup.location.toml or "")
    answers = await ask_all([("instance", kind, name, toml) for kind, name in instances], seconds=seconds)
    checks: list[Check] = []
    for (kind, name), answer in zip(instances, answers, strict=True):
        checks += _said(f"{kind} {name}", answer)
        checks += _room(setup.settings, name, answer)
    return checks


def other_plugins(settings: Settings, timeout: float) -> list[Check]:
    """Check that the plugins which the toml doesn't use could be loaded."""
    checks = []
    for plugin in look_at_all(settings, timeout):
        if plugin.instances:
            continue
        name = f"plugin {plugin.name}"
        if plugin.cause:
            checks.append(Check(name, "warning", f"{plugin.cause} (nothing in the toml uses it)", plugin.remedy))
        else:
            checks.append(Check(name, "ok", "can be loaded; nothing in the toml uses it"))
    return checks


async def unused_tables(setup: Setup, seconds: float) -> list[Check]:
    """Check, in a child process each, the tables of installed plugins' instances that the toml doesn't use."""
    settings, known = setup.settings, {plugin.name for plugin in installed()}
    used = {name for _, name in _instances(settings)}
    names = [name for name in settings.plugins if name not in used and settings.use(name) in known]
    answers = await ask_all([("table", name, str(setup.location.toml)) for name in names], seconds=seconds)
    errors = [(name, answer["error"]) for name, answer in zip(names, answers, strict=True) if "error" in answer]
    return [
        Check(f"table {name}", "warning", f"{error['cause']} (nothing in the toml uses it)", error["remedy"])
        for name, error in errors
    ]


def _instances(settings: Settings) -> Iterator[tuple[Kind, str]]:
    yield from (("transport", name) for name in settings.transports)
    yield from (("backend", name) for name in settings.backends())
    yield from (("auth", name) for name in settings.auths())


def _toml(setup: Setup) -> Check:
    if setup.location.toml is None:
        return Check("toml", "ok", "none, so console and echo; to get Kimi: nanokimi init")
    return Check("toml", "ok", str(setup.location.toml))


def _folder(path: Path) -> list[Check]:
    try:
        DataFolder(path).make()
        with tempfile.NamedTemporaryFile(dir=path, prefix=".doctor."):
            pass
    except ConfigError as error:
        return [Check("data folder", "failed", error.message, error.remedy)]
    except OSError as error:
        mend = f"mend its owner and mode: sudo chown -R {os.getuid()}:{os.getgid()} {path} && chmod 700 {path}"
        return [Check("data folder", "failed", f"{path} can't be written to: {error.strerror}", mend)]
    return [_mode(path), _space(path)]


def _mode(path: Path) -> Check:
    status = path.stat()
    if status.st_uid != os.getuid():
        cause = f"{path} belongs to user {status.st_uid}, and this is user {os.getuid()}"
        return Check("data folder", "failed", cause, f"sudo chown -R {os.getuid()}:{os.getgid()} {path}")
    return Check("data folder", "ok", f"{path}, mode {stat.S_IMODE(status.st_mode):04o}")


def _space(path: Path) -> Check:
    free = shutil.disk_usage(path).free
    outcome: Any = "failed" if free < _TOO_LITTLE else "warning" if free < _LITTLE else "ok"
    remedy = "" if outcome == "ok" else f"free some space on the disk of {path}"
    return Check("disk", outcome, f"{free / 1e9:.1f} GB free", remedy)


def _holder(path: Path) -> Check:
    holder = DataFolder(path).holder()
    return Check("process", "ok", f"process {holder} runs this set-up" if holder else "none runs this set-up now")


def _said(what: str, answer: Answer) -> list[Check]:
    if error := answer.get("error"):
        return [Check(what, "failed", error["cause"], error["remedy"])]
    lines = [Check(**line) for line in answer["checks"]]
    return lines or [Check(what, "ok", "can be loaded, and its table is right")]


def _room(settings: Settings, backend: str, answer: Answer) -> list[Check]:
    room, wanted = answer.get("room"), settings.limits.max_warm
    if room is None:
        return []
    fits = f"{room} agent{'' if room == 1 else 's'} fit into this machine's memory at once"
    if wanted != "auto" and wanted > room:
        remedy = f'set max_warm = {room} or "auto" in [limits]'
        return [Check(f"{backend}: room", "warning", f"{fits}, and max_warm is {wanted}", remedy)]
    return [Check(f"{backend}: room", "ok", f"{fits} (max_warm = {wanted})")]
