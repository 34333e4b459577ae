"""What the contract wants of accounts that take a key (``TakesKey``) or a login's file (``ImportsLogin``)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import SecretStr

from nanokimi_core.contracts.auth import AuthStatus
from nanokimi_core.errors import ConfigError
from nanokimi_core.supervision import describe
from nanokimi_core.testing.conformance.auth.abilities import Confirms, HasKeys, HasLoginFiles
from nanokimi_core.testing.conformance.auth.asking import USABLE, denied, granted, key_of, log_in
from nanokimi_core.testing.conformance.auth.secrets import mode_of, secret_files
from nanokimi_core.testing.conformance.checks import Check, CheckFailed, DoesNotApply, check, expect, saw
from nanokimi_core.testing.conformance.rigs import AuthRig


class _KeyRig(AuthRig, HasKeys):
    """A rig with keys."""


class _FileRig(AuthRig, HasLoginFiles):
    """A rig with logins from elsewhere."""


@check("auth", "new_key", "wrong_key")
async def a_key_that_is_set_serves_at_once(rig: _KeyRig) -> None:
    """What set_key has stored serves at the next grant, also that of the running process."""
    await _serves_at_once(rig, "set_key", lambda auth: auth.set_key(SecretStr(rig.new_key())))


@check("auth", "new_key", "wrong_key")
async def a_wrong_key_changes_nothing(rig: _KeyRig) -> None:
    """What can't be a key of this account is a ConfigError, and the key that was there stays."""
    await _changes_nothing(rig, "set_key", lambda auth: auth.set_key(SecretStr(rig.wrong_key())))


@check("auth", "login_file", "wrong_login_file")
async def an_imported_login_serves_at_once(rig: _FileRig) -> None:
    """What import_login has stored serves at the next grant, also that of the running process."""
    await _serves_at_once(rig, "import_login", lambda auth: auth.import_login(rig.login_file()))


@check("auth", "login_file", "wrong_login_file")
async def a_wrong_login_file_changes_nothing(rig: _FileRig) -> None:
    """A file that holds no login of this account is a ConfigError, and the login that was there stays."""
    await _changes_nothing(rig, "import_login", lambda auth: auth.import_login(rig.wrong_login_file()))


async def _serves_at_once(rig: AuthRig, ability: str, store: Callable[[Any], Awaitable[Any]]) -> None:
    async with rig.made() as running:
        expect(await denied(rig, running), "without credentials, there was a grant")
        async with rig.made() as terminal:
            _has(terminal, ability)
            status = await store(terminal)
        expect(isinstance(status, AuthStatus), f"{ability} returned {status!r:.80}, no AuthStatus")
        expect(status.state in USABLE, f"{ability} returned the state {status.state!r}: {status.remedy}")
        expect(not await denied(rig, running), f"after {ability} in another process there was no grant")


async def _changes_nothing(rig: AuthRig, ability: str, store: Callable[[Any], Awaitable[Any]]) -> None:
    await rig.give()
    async with rig.made() as auth:
        _has(auth, ability)
        key, files = key_of(await granted(rig, auth)), secret_files(rig)
        try:
            await store(auth)
        except ConfigError as error:
            expect(error.message.strip(), "the ConfigError says nothing")
        except Exception as error:  # noqa: BLE001  # a plugin boundary
            saw(f"{ability} raised {describe(error)}, not a ConfigError")
        else:
            saw(f"{ability} took it")
        expect(not await denied(rig, auth), "after it was refused, what was there before serves no more")
        expect(key_of(await granted(rig, auth)) == key, "after it was refused, the grant has another key")
        changed = [path.name for path, data in files.items() if secret_files(rig).get(path) != data]
        expect(not changed, f"{', '.join(changed)} was changed, although it was refused")


def _has(auth: Any, ability: str) -> None:
    expect(
        callable(getattr(auth, ability, None)),
        f"the rig says that it can, and {type(auth).__name__} has no {ability}()",
    )


@check("auth")
async def what_is_stored_is_private(rig: AuthRig) -> None:
    """The files that set_key, import_login and login write can be read by their owner only (mode 0600)."""
    ways = list(_ways_to_store(rig))
    if not ways:
        raise DoesNotApply("the rig has no new_key, login_file or confirm")
    async with rig.made() as auth:
        for ability, store in ways:
            await _stored(auth, store)
            exposed = [path for path in secret_files(rig) if mode_of(path) & 0o077]
            expect(not exposed, f"{ability} wrote {_named(exposed)}")


def _ways_to_store(rig: AuthRig) -> list[tuple[str, Callable[[Any], Awaitable[Any]]]]:
    ways: list[tuple[str, Callable[[Any], Awaitable[Any]]]] = []
    if isinstance(rig, HasKeys):
        keys: HasKeys = rig
        ways.append(("set_key", lambda auth: auth.set_key(SecretStr(keys.new_key()))))
    if isinstance(rig, HasLoginFiles):
        files: HasLoginFiles = rig
        ways.append(("import_login", lambda auth: auth.import_login(files.login_file())))
    if isinstance(rig, Confirms):
        person: Confirms = rig
        ways.append(("login", lambda auth: log_in(auth, person.confirm)))
    return ways


async def _stored(auth: Any, store: Callable[[Any], Awaitable[Any]]) -> None:
    """Store credentials; whether that works is the matter of other checks."""
    try:
        await store(auth)
    except CheckFailed:
        raise
    except Exception:  # noqa: BLE001  # a plugin boundary
        return


def _named(exposed: list[Any]) -> str:
    return ", ".join(f"{path.name} with mode {mode_of(path):04o}" for path in exposed)


KEY_CHECKS: tuple[Check, ...] = (
    a_key_that_is_set_serves_at_once,
    a_wrong_key_changes_nothing,
    an_imported_login_serves_at_once,
    a_wrong_login_file_changes_nothing,
    what_is_stored_is_private,
)
