"""What a backend does with its chat's account, and where the account's key may be seen: nowhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anyio

from nanokimi_core.errors import LoginNeeded
from nanokimi_core.testing.conformance.auth.secrets import logged, show_none, written_out
from nanokimi_core.testing.conformance.backend.account import NO_LOGIN
from nanokimi_core.testing.conformance.backend.asking import answered, entered, new_turn, new_word, running
from nanokimi_core.testing.conformance.backend.failing import kinds_of, meet
from nanokimi_core.testing.conformance.checks import Check, CheckFailed, DoesNotApply, check, expect, in_words, saw
from nanokimi_core.testing.conformance.rigs import BackendRig

_MOST_PROCESSES = 10_000
_LOOK_EVERY = 0.02


@check("backend", "takes_grants", "key_seen")
async def a_changed_grant_is_used(rig: Any) -> None:
    """A session that is entered anew, because the grant has changed, works with the new one."""
    async with rig.made() as backend:
        for which in ("first", "second"):
            key = rig.account.change() if which == "second" else rig.account.key
            async with entered(rig, backend, rig.chat()) as session:
                await answered(rig, session, f"with the {which} key")
                seen = await rig.key_seen()
            others = dict(zip(rig.account.keys, ("first", "second"), strict=False))
            name = f"the {others[seen]} one" if seen in others else "another one, or none"
            expect(seen == key, f"the account had granted its {which} key, and the server was asked with {name}")


@check("backend", "takes_grants")
async def a_missing_login_is_said(rig: BackendRig) -> None:
    """What chat.auth.grant raises where a login is needed, LoginNeeded, passes unchanged out of entering."""
    async with rig.made() as backend:
        key, rig.account.key = rig.account.key, None
        await _login_needed(rig, backend)
        rig.account.key = key
        async with entered(rig, backend, rig.chat()) as session:
            await answered(rig, session, "after somebody had logged in")


async def _login_needed(rig: BackendRig, backend: Any) -> None:
    try:
        async with entered(rig, backend, rig.chat()):
            before = rig.account.grants
    except LoginNeeded as error:
        expect(NO_LOGIN in str(error), f'grant raised LoginNeeded("{NO_LOGIN}"), and entering LoginNeeded("{error}")')
    except CheckFailed:
        raise
    except Exception as error:  # noqa: BLE001  # a plugin boundary; what it raised is judged
        saw(f"chat.auth.grant raised LoginNeeded, and entering the session raised {in_words(error)}")
    else:
        asked = "raised LoginNeeded" if before else "was not called"
        saw(f"there was no valid login, chat.auth.grant {asked}, and the session was entered all the same")


@check("backend", "takes_grants")
async def no_secret_is_said_or_logged(rig: Any) -> None:
    """The grant's key is in no log line, no error, no repr, and nothing that the owner is told."""
    with logged() as lines:
        texts: list[tuple[str, str]] = []
        async with rig.made() as backend:
            async with entered(rig, backend, rig.chat()) as session:
                await answered(rig, session, "in a new session")
                texts += [(f"repr of {type(value).__name__}", repr(value)) for value in (backend, session)]
            if hasattr(rig, "bring_about"):
                for met in await meet(rig, backend, kinds_of(rig)):
                    what = f"what was raised where Failure.{met.wanted.name} was brought about"
                    texts += [(what, _in_full(error)) for error in (met.error, met.after) if error is not None]
    texts += lines
    texts += [("what the owner was told", text) for context in rig.contexts.values() for text in context.told.values()]
    show_none(rig.account.keys, texts)


def _in_full(error: str | BaseException) -> str:
    if isinstance(error, str):
        return error
    return f"{written_out(error)}\n{error!r}\n{getattr(error, 'remedy', '')}"


@check("backend", "takes_grants")
async def no_secret_is_in_a_process_list(rig: BackendRig) -> None:
    """The grant's key is on no command line and in no environment of a process of this machine."""
    if not _can_look():
        raise DoesNotApply("this machine has no /proc to look into")
    found: list[str] = []
    async with rig.made() as backend, entered(rig, backend, rig.chat()) as session:
        async with running(rig, session, new_turn(rig.question(new_word()))) as turn:
            while not (turn.ended or found):
                found += await anyio.to_thread.run_sync(_showing, rig.account.keys)
                await anyio.sleep(_LOOK_EVERY)
        found += await anyio.to_thread.run_sync(_showing, rig.account.keys)
        expect(not found, f"while the session was entered, the grant's key stood in {'; '.join(found[:3])}")


def _can_look() -> bool:
    return Path("/proc/self/cmdline").exists()


def _showing(keys: list[str]) -> list[str]:
    """Name where a key can be seen: in this process's environment, or in what other processes were started with."""
    found = [f"this process's variable {name}" for name, value in os.environ.items() if _has(value.encode(), keys)]
    for folder in list(Path("/proc").glob("[0-9]*"))[:_MOST_PROCESSES]:
        for file, what in (("cmdline", "the command line"), ("environ", "the environment")):
            try:
                data = (folder / file).read_bytes()
            except OSError:  # it has ended, or is somebody else's
                continue
            if _has(data, keys):
                found.append(f"{what} of process {folder.name} ({_name(folder)})")
    return found


def _has(data: bytes, keys: list[str]) -> bool:
    return any(key.encode() in data for key in keys)


def _name(folder: Path) -> str:
    try:
        return (folder / "comm").read_text().strip()
    except OSError:
        return "which has ended"


GRANTS: tuple[Check, ...] = (
    a_changed_grant_is_used,
    a_missing_login_is_said,
    no_secret_is_said_or_logged,
    no_secret_is_in_a_process_list,
)
