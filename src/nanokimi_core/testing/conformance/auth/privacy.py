"""What the contract wants of an auth plugin: that no secret is seen where people, logs and other programs look."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

import anyio
from pydantic import SecretStr

from nanokimi_core.config import Location, validate_table
from nanokimi_core.contracts.auth import Auth, AuthStatus
from nanokimi_core.testing.conformance.auth.abilities import Confirms, Declines, HasKeys, HasLoginFiles, Spoils
from nanokimi_core.testing.conformance.auth.asking import granted, log_in
from nanokimi_core.testing.conformance.auth.secrets import hold_no_secret, logged, written_out
from nanokimi_core.testing.conformance.checks import Check, check
from nanokimi_core.testing.conformance.rigs import AuthRig

_TELLING_IN_A_FINGERPRINT = 8
_LONG_ENOUGH = 2.0  # seconds; that a status takes longer is the matter of another check


@check("auth")
async def the_fingerprint_holds_no_secret(rig: AuthRig) -> None:
    """A fingerprint tells two accounts apart without any part of their secrets: it is kept and logged."""
    await rig.give()
    async with rig.made() as auth:
        grant = await granted(rig, auth)
    hold_no_secret(rig, [("the fingerprint", grant.fingerprint)], telling=_TELLING_IN_A_FINGERPRINT)


@check("auth")
async def the_environment_holds_no_secret(rig: AuthRig) -> None:
    """A grant's environment has settings only: docker inspect, and each program that the agent starts, would see it."""
    await rig.give()
    async with rig.made() as auth:
        grant = await granted(rig, auth)
    hold_no_secret(rig, [(f"the environment's {name}", value) for name, value in grant.environment])


@check("auth")
async def a_repr_holds_no_secret(rig: AuthRig) -> None:
    """The repr of a grant, of the plugin's object and of its checked table shows no secret."""
    await rig.give()
    async with rig.made() as auth:
        # of the fingerprint and the environment, which a repr shows as they are, there are checks of their own
        grant = replace(await granted(rig, auth), fingerprint="", environment=())
        rig.making = "tried"
        config = validate_table(rig.spec.config, dict(rig.table()), "tried", Location(None, rig.folder))
        looked_at: dict[str, Any] = {"the object's": auth, "the grant's": grant, "the table's": config}
        hold_no_secret(rig, [(f"{whose} repr", f"{value!r} {value}") for whose, value in looked_at.items()])


@check("auth")
async def a_status_holds_no_secret(rig: AuthRig) -> None:
    """A status shows no secret, also where the server's refusal quotes it; the last four characters may be shown."""
    await rig.give()
    async with rig.made() as auth:
        await granted(rig, auth)
        seen = [("the status", await _written(auth))]
        await _ignoring(_refuse_quoting, rig, auth)
        seen.append(("the status after a refusal that quotes the secret", await _written(auth)))
        await rig.lose()
        seen.append(("the status without credentials", await _written(auth)))
    hold_no_secret(rig, seen)


async def _written(auth: Auth) -> str:
    return "".join(f"{asdict(status)} {status!r}" for status in [await _status(auth)] if status is not None)


async def _status(auth: Auth) -> AuthStatus | None:
    """Ask for the status; where there is none, that is the matter of other checks."""
    with anyio.move_on_after(_LONG_ENOUGH), suppress(Exception):
        status = await auth.status()
        return status if isinstance(status, AuthStatus) else None
    return None


async def _refuse_quoting(rig: AuthRig, auth: Auth) -> None:
    grant = await granted(rig, auth)
    for secret in list(rig.canaries):
        await auth.rejected(grant, f"401 Unauthorized: {secret} is not valid")


@check("auth")
async def errors_hold_no_secret(rig: AuthRig) -> None:
    """No error of the plugin's shows a secret, nor does what it was caused by."""
    await rig.give()
    async with rig.made() as auth:
        seen = [(f"the error of {doing}", written_out(error)) async for doing, error in _troubles(rig, auth)]
    hold_no_secret(rig, seen)


@check("auth")
async def logs_hold_no_secret(rig: AuthRig) -> None:
    """Neither a log line, from DEBUG on, nor what the owner is told shows a secret, however the account is used."""
    await rig.give()
    with logged() as lines:
        async with rig.made() as auth:
            async for _ in _troubles(rig, auth):
                pass
    told = [(f"what the owner was told ({key})", text) for key, text in rig.contexts["tried"].told.items()]
    hold_no_secret(rig, [*lines, *told])


async def _troubles(rig: AuthRig, auth: Any) -> AsyncIterator[tuple[str, Exception]]:
    """Use an account in every way that the rig knows, and give each error with what was being done."""
    for doing, use in _uses(rig, auth):
        if (error := await _ignoring(use)) is not None:
            yield doing, error


def _uses(rig: AuthRig, auth: Any) -> list[tuple[str, Callable[[], Awaitable[Any]]]]:
    async def after(change: Callable[[], Awaitable[None]], use: Callable[[], Awaitable[Any]]) -> None:
        await change()
        await use()

    def grant() -> Awaitable[Any]:
        taken: Awaitable[Any] = auth.grant(rig.need)
        return taken

    def status() -> Awaitable[Any]:
        return _status(auth)

    uses: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
        ("grant", grant),
        ("status", status),
        ("rejected", lambda: _refuse_quoting(rig, auth)),
        ("status", status),
    ]
    if isinstance(rig, HasKeys):
        keys: HasKeys = rig
        uses.append(("set_key", lambda: auth.set_key(SecretStr(keys.new_key()))))
        uses.append(("set_key", lambda: auth.set_key(SecretStr(keys.wrong_key()))))
    if isinstance(rig, HasLoginFiles):
        files: HasLoginFiles = rig
        uses.append(("import_login", lambda: auth.import_login(files.login_file())))
        uses.append(("import_login", lambda: auth.import_login(files.wrong_login_file())))
    if isinstance(rig, Confirms):
        uses.append(("login", lambda: log_in(auth, rig.confirm)))
    if isinstance(rig, Declines):
        uses.append(("login", lambda: log_in(auth, rig.decline)))
    uses.append(("grant", grant))
    if isinstance(rig, Spoils):
        spoils: Spoils = rig
        uses += [("grant with damaged credentials", lambda: after(spoils.spoil, grant)), ("status", status)]
    return [*uses, ("grant without credentials", lambda: after(rig.lose, grant)), ("status", status)]


async def _ignoring(use: Callable[..., Awaitable[Any]], *arguments: Any) -> Exception | None:
    try:
        await use(*arguments)
    except Exception as error:  # noqa: BLE001  # a plugin boundary
        return error
    return None


PRIVACY_CHECKS: tuple[Check, ...] = (
    the_fingerprint_holds_no_secret,
    the_environment_holds_no_secret,
    a_repr_holds_no_secret,
    a_status_holds_no_secret,
    errors_hold_no_secret,
    logs_hold_no_secret,
)
