"""What the contract wants of ``status`` and ``rejected``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, get_args, get_type_hints

from nanokimi_core.contracts.auth import Auth, AuthStatus, Grant, Quota
from nanokimi_core.supervision import describe
from nanokimi_core.testing.conformance.auth.asking import USABLE, granted, standing
from nanokimi_core.testing.conformance.checks import Check, DoesNotApply, check, expect
from nanokimi_core.testing.conformance.rigs import AuthRig

_STATES = get_args(get_type_hints(AuthStatus)["state"])
_WHY = "401 Unauthorized: the credentials are not valid"


@check("auth")
async def status_with_credentials(rig: AuthRig) -> None:
    """Where an agent could work now, status says ok or expiring, within five seconds."""
    await rig.give()
    async with rig.made() as auth:
        status = await standing(auth)
    expect(status.state in USABLE, f"with good credentials, the state is {status.state!r}")
    _is_whole(status)


@check("auth")
async def status_without_credentials(rig: AuthRig) -> None:
    """Without credentials, status raises nothing, and says login_needed and what to do, within five seconds."""
    async with rig.made() as auth:
        status = await standing(auth)
    expect(status.state == "login_needed", f"without credentials, the state is {status.state!r}")
    expect(status.remedy, "the state is login_needed, and remedy is empty")
    _is_whole(status)


def _is_whole(status: AuthStatus) -> None:
    wrong = list(_wrong_in(status))
    expect(not wrong, "; ".join(wrong))


def _wrong_in(status: AuthStatus) -> Iterator[str]:
    given: dict[str, Any] = vars(status)
    if given["state"] not in _STATES:
        yield f"state is {given['state']!r}, none of {', '.join(_STATES)}"
    for name in ("who", "remedy"):
        if not isinstance(given[name], str):
            yield f"{name} is {given[name]!r}, not a text"
    until = given["until"]
    if until is not None and not (isinstance(until, datetime) and until.tzinfo is not None):
        yield f"until is {until!r}, not a time with a zone"
    details = given["details"]
    if not isinstance(details, dict) or any(not isinstance(each, str) for pair in details.items() for each in pair):
        yield "details is not a dict of texts"
    quotas = given["quotas"]
    if not isinstance(quotas, tuple) or any(not isinstance(each, Quota) for each in quotas):
        yield "quotas is not a tuple of Quota"


@check("auth")
async def a_refusal_is_taken(rig: AuthRig) -> None:
    """Rejected takes a refusal of the last grant, of the same one again, and of one that it doesn't know."""
    await rig.give()
    async with rig.made() as auth:
        grant = await granted(rig, auth)
        await rig.refuse()
        unknown = replace(grant, fingerprint="unknown", api_key=None, oauth_key=None, mounts=())
        for each, what in ((grant, "the last grant"), (grant, "the same grant again"), (unknown, "an unknown grant")):
            error = await _refused(auth, each)
            expect(error is None, f"of {what}, rejected raised {describe(error) if error else ''}")


async def _refused(auth: Auth, grant: Grant) -> Exception | None:
    try:
        await auth.rejected(grant, _WHY)
    except Exception as error:  # noqa: BLE001  # a plugin boundary
        return error
    return None


async def _refuse(rig: AuthRig, auth: Auth) -> Grant:
    """Ask for a grant and have it refused, and once more where the plugin has renewed its credentials for that.

    What ``rejected`` raises is the matter of a check of its own.
    """
    grant = await granted(rig, auth)
    await rig.refuse()
    with suppress(Exception):
        await auth.rejected(grant, _WHY)
        renewed = await auth.grant(rig.need)
        if renewed.mark != grant.mark:
            await auth.rejected(renewed, _WHY)
    return grant


@check("auth")
async def status_tells_of_a_refusal(rig: AuthRig) -> None:
    """After the server has refused the account's grant, status says rejected, and what to do."""
    await rig.give()
    async with rig.made() as auth:
        await _refuse(rig, auth)
        status = await standing(auth)
    expect(status.state == "rejected", f"after a refusal, the state is {status.state!r}")
    expect(status.remedy, "the state is rejected, and remedy is empty")


@check("auth")
async def a_refusal_is_known_to_other_processes(rig: AuthRig) -> None:
    """A refusal is remembered in the instance's folder: nanokimi auth status is a process of its own."""
    await rig.give()
    async with rig.made() as auth:
        await _refuse(rig, auth)
        if (await standing(auth)).state != "rejected":
            return  # the matter of the check before
        async with rig.made() as another:
            status = await standing(another)
    expect(status.state == "rejected", f"to another object of this instance, the state is {status.state!r}")


@check("auth")
async def new_credentials_end_a_refusal(rig: AuthRig) -> None:
    """A refusal passes when the account gets other credentials."""
    await rig.give()
    async with rig.made() as auth:
        await _refuse(rig, auth)
        await standing(auth)
        await rig.give()
        await granted(rig, auth)
        status = await standing(auth)
    expect(status.state in USABLE, f"with new credentials, after a refusal of the old ones, it is {status.state!r}")


@check("auth")
async def an_old_grants_refusal_blames_no_new_one(rig: AuthRig) -> None:
    """A refusal of a grant with another mark, or fingerprint, that an agent still had, blames no newer credentials."""
    await rig.give()
    async with rig.made() as auth:
        old = await granted(rig, auth)
        await rig.give()
        new = await granted(rig, auth)
        if (old.fingerprint, old.mark) == (new.fingerprint, new.mark):
            raise DoesNotApply("its fingerprint and its mark stay the same with other credentials")
        with suppress(Exception):
            await auth.rejected(old, _WHY)
        status = await standing(auth)
    expect(status.state in USABLE, f"after a refusal of an older grant, the state is {status.state!r}")


STATE_CHECKS: tuple[Check, ...] = (
    status_with_credentials,
    status_without_credentials,
    a_refusal_is_taken,
    status_tells_of_a_refusal,
    a_refusal_is_known_to_other_processes,
    new_credentials_end_a_refusal,
    an_old_grants_refusal_blames_no_new_one,
)
