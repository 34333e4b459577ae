"""Lines for ``nanokimi doctor``."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import anyio
from anyio import to_thread

from nanokimi_core import Check, Context
from nanokimi_transport_whatsapp.neonize_engine.missing import why_not_usable
from nanokimi_transport_whatsapp.places import Places
from nanokimi_transport_whatsapp.settings import Settings
from nanokimi_transport_whatsapp.supervision import environment
from nanokimi_transport_whatsapp.terminal.overview import Overview
from nanokimi_transport_whatsapp.words import account_words, plain

LOAD_SECONDS = 20.0
"""How long the library may take to load."""

_LOAD = """
import json, os, sys
from nanokimi_transport_whatsapp.neonize_engine.missing import after_failed_import
found = None
try:
    import nanokimi_transport_whatsapp.neonize_engine.engine
except (ImportError, OSError, RuntimeError) as error:
    found = after_failed_import(error)
os.write(1, json.dumps(found).encode())
os._exit(0)
"""


async def check(settings: Settings, context: Context) -> Sequence[Check]:
    """Look whether the library works here, and how the account stands; nothing is connected."""
    return [await _library(settings, context.name), *await to_thread.run_sync(account_checks, settings, context)]


def account_checks(settings: Settings, context: Context) -> list[Check]:
    """Look at the account's files, and at the table."""
    return [*_on_disk(settings, context), *_table(settings, context)]


# ------------------------------------------------------------------ the library
async def _library(settings: Settings, instance: str) -> Check:
    name = f"{instance}: library"
    trouble = await to_thread.run_sync(why_not_usable) or await _try_loading(settings)
    if trouble is None:
        return Check(name, "ok", "neonize can be loaded")
    return Check(name, "failed", trouble[0], trouble[1])


async def _try_loading(settings: Settings) -> tuple[str, str] | None:
    """Load it in a process of its own, for it may end the one that it is loaded in."""
    again = "try it again; if it stays so, install it anew: pip install -U --force-reinstall neonize"
    try:
        with anyio.fail_after(LOAD_SECONDS):
            done = await anyio.run_process(
                [sys.executable, "-W", "ignore", "-c", _LOAD], env=environment(settings), check=False
            )
    except TimeoutError:
        return f"loading the WhatsApp library neonize takes longer than {LOAD_SECONDS:g} s", again
    try:
        found = json.loads(done.stdout)
    except ValueError:
        last = plain((done.stderr.decode(errors="replace").strip().splitlines() or [""])[-1])
        return f"loading the WhatsApp library neonize ends its process (exit code {done.returncode}): {last}", again
    return (str(found[0]), str(found[1])) if found else None


# ------------------------------------------------------------------ what lies on disk
def _on_disk(settings: Settings, context: Context) -> Iterator[Check]:
    places = Places(context.folder)
    yield _folder(places, context.name)
    yield _account(Overview.of(places, settings, context.name))
    if places.session.parent.exists():
        yield _session(places, context.name)


def _folder(places: Places, instance: str) -> Check:
    name, folder = f"{instance}: folder", places.folder
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor."):
            pass
    except OSError as error:
        remedy = f"mend its owner and mode: sudo chown -R {os.getuid()}:{os.getgid()} {folder} && chmod 700 {folder}"
        return Check(name, "failed", f"{folder} can't be written to: {error.strerror}", remedy)
    return Check(name, "ok", str(folder))


def _account(overview: Overview) -> Check:
    name = f"{overview.name}: account"
    if overview.final:
        what, _, remedy = overview.words.rpartition("; ")
        return Check(name, "failed", what or overview.words, remedy)
    if overview.note is None:
        cause = "a phone has accepted it, but that was not finished" if overview.unfinished else "not linked"
        return Check(name, "failed", cause, f"nanokimi {overview.name} link")
    whose = {"own": "the owner's own number", "bot": "the assistant's number"}[overview.number]
    using = f", {overview.state}" if overview.running else ""
    cause = f"{account_words(overview.note.me)}, {whose}{using}"
    if overview.running and overview.words:
        return Check(name, "warning", f"{cause}: {overview.words}", f"nanokimi {overview.name} status")
    return Check(name, "ok", cause)


def _session(places: Places, instance: str) -> Check:
    """See to it that nobody else can read the login: whoever can is the account."""
    name, folder = f"{instance}: login", places.session.parent
    wrong = [f"chmod {mode:o} {path}" for path, mode in _modes(folder) if _open_to_others(path)]
    if wrong:
        return Check(name, "failed", f"others can read the login in {folder}", " && ".join(wrong))
    return Check(name, "ok", f"only you can read {folder}")


def _modes(folder: Path) -> Iterator[tuple[Path, int]]:
    yield folder, 0o700
    yield from ((file, 0o600) for file in sorted(folder.iterdir()) if file.is_file())


def _open_to_others(path: Path) -> bool:
    try:
        return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)
    except FileNotFoundError:  # the library's database makes and removes files beside it
        return False


# ------------------------------------------------------------------ the table
def _table(settings: Settings, context: Context) -> Iterator[Check]:
    table, places = f"[plugins.{context.name}]", Places(context.folder)
    own = Overview.of(places, settings, context.name).number == "own"
    if settings.transcribe is not None and shutil.which(settings.transcribe[0]) is None:
        cause = f"the command {settings.transcribe[0]} isn't found, so voice notes aren't written down"
        yield Check(f"{context.name}: transcribe", "warning", cause, f"install it, or mend transcribe in {table}")
    if own and settings.presence == "available":
        cause = 'with presence = "available" the account is always online, and your phone stays silent'
        yield Check(f"{context.name}: presence", "warning", cause, f"take presence out of {table}")
    if own and settings.read_receipts:
        cause = "with read_receipts = true people see as read what you haven't read"
        yield Check(f"{context.name}: read receipts", "warning", cause, f"take read_receipts out of {table}")
