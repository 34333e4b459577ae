"""Lines for ``nanokimi doctor``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

from anyio import to_thread

from nanokimi_auth_oauth_file.disk import access
from nanokimi_auth_oauth_file.disk.login import LoginProblem, for_instance
from nanokimi_auth_oauth_file.disk.store import Store, Stored
from nanokimi_auth_oauth_file.settings import Settings
from nanokimi_auth_oauth_file.standing import describe
from nanokimi_core import Check, Context


async def check(settings: Settings, context: Context) -> Sequence[Check]:
    """Look at the login and at who may read it, without asking the server."""
    return await to_thread.run_sync(_checks, settings, context)


def _checks(settings: Settings, context: Context) -> list[Check]:
    name = f"{context.name}: login"
    try:
        store = Store(settings, context.folder)
        stored = store.find() if settings.credentials == "access-only" else store.look()
    except LoginProblem as problem:
        return [Check(name, "failed", problem.cause, for_instance(problem.remedy, context.name))]
    status = describe(stored, settings)
    said = ", ".join(filter(None, [status.who, str(stored.file), f"access token {status.details['access_token']}"]))
    first = Check(name, "ok" if status.state == "ok" else "warning", said, for_instance(status.remedy, context.name))
    return [first, _privacy(stored, context), *_refreshing(stored, context)]


def _refreshing(stored: Stored, context: Context) -> list[Check]:
    """Say what keeps a refreshed login from being saved."""
    try:
        access.check(stored.place, stored.name, (os.geteuid(), os.getegid()), locks=True)
    except LoginProblem as problem:
        return [Check(f"{context.name}: refresh", "failed", problem.cause, problem.remedy)]
    return []


def _privacy(stored: Stored, context: Context) -> Check:
    name = f"{context.name}: privacy"
    rights = access.rights(stored.file)
    if rights.mode & 0o077 and not rights.acl:
        cause = f"{stored.file} can be read by others (mode {rights.mode:04o})"
        return Check(name, "warning", cause, f"run: chmod 600 {shlex.quote(str(stored.file))}")
    if os.geteuid() != 0 and rights.owner != os.geteuid():
        return Check(name, "warning", f"{stored.file} belongs to uid {rights.owner}", "import the login again")
    return Check(name, "ok", f"only its owner may read {stored.file}")
