"""What the contract wants of grants: when they come, what they go with, and what they change with."""

from __future__ import annotations

from typing import Any

import anyio

from nanokimi_core.contracts.auth import Auth, Grant
from nanokimi_core.conversation.accounts.asking import AccountFault
from nanokimi_core.conversation.accounts.chain import Account
from nanokimi_core.conversation.accounts.standings import Standings
from nanokimi_core.errors import Failure, LoginNeeded
from nanokimi_core.testing.conformance.auth.abilities import Expires
from nanokimi_core.testing.conformance.auth.asking import (
    ANSWER,
    MOMENTS,
    cancelled_after,
    denied,
    granted,
    key_of,
    started_with,
)
from nanokimi_core.testing.conformance.checks import Check, check, expect, saw, within
from nanokimi_core.testing.conformance.rigs import AuthRig

_AT_ONCE = 20
_FEWEST_WORDS = 3


@check("auth")
async def the_fingerprint_stays(rig: AuthRig) -> None:
    """Two grants of the same account have the same fingerprint: each change of it starts the agents again."""
    await rig.give()
    async with rig.made() as auth:
        first, second = await granted(rig, auth), await granted(rig, auth)
    expect(
        first.fingerprint == second.fingerprint,
        f"the fingerprints of two grants, one after the other, are {first.fingerprint!r} and {second.fingerprint!r}",
    )


@check("auth")
async def the_fingerprint_follows_what_an_agent_is_started_with(rig: AuthRig) -> None:
    """The fingerprint changes with a grant's key, server, model, mounts and environment, which need a new start."""
    await rig.give()
    async with rig.made() as auth:
        before = await granted(rig, auth)
        await rig.give()
        after = await granted(rig, auth)
    old, new = started_with(before), started_with(after)
    changed = [name for name in old if old[name] != new[name]]
    expect(
        not changed or before.fingerprint != after.fingerprint,
        f"with other credentials, {', '.join(changed)} of the grant changed, and the fingerprint did not",
    )


@check("auth")
async def without_credentials_the_next_account_serves(rig: AuthRig) -> None:
    """Where grant has no credentials it raises LoginNeeded, and nothing else: the chain goes on to the next account."""
    await rig.give("second")
    async with rig.made("first") as first, rig.made("second") as second:
        expected = await granted(rig, second)
        standings = Standings()
        account = _chain(standings, first=first, second=second)
        try:
            grant = await account.grant(rig.need)
        except (AccountFault, LoginNeeded) as error:
            _see_no_fault(standings)
            saw(f"of a chain of two, none gave a grant, although the second has credentials: {error}")
        _see_no_fault(standings)
        served = str(account.fingerprint).split(":")[0]
        expect(served == "second", f"the {served} account of the chain served, which has no credentials")
        expect(key_of(grant) == key_of(expected), "the chain's grant has another key than the second account's own")


def _chain(standings: Standings, **auths: Auth) -> Account:
    return Account(lambda: list(auths.items()), lambda secret: None, standings)


def _see_no_fault(standings: Standings) -> None:
    """The chain goes on past a fault as well, which it remembers as one."""
    down = standings.down("first")
    if down is not None and down.kind is Failure.MODEL:
        saw(f"of a chain of two, the first without credentials: {down.why}")


@check("auth")
async def a_needed_login_says_what_to_do(rig: AuthRig) -> None:
    """LoginNeeded carries one sentence that tells the owner what to do."""
    async with rig.made() as auth:
        try:
            await _chain(Standings(), tried=auth).grant(rig.need)
        except LoginNeeded as error:
            said = str(error).removeprefix("tried: ").strip()
        except AccountFault:
            return  # what comes in place of LoginNeeded is the matter of the check before
        else:
            return
    expect(len(said.split()) >= _FEWEST_WORDS, f"LoginNeeded says no more than {said!r}")
    expect("\n" not in said, f"LoginNeeded says it in several lines: {said!r}")


@check("auth")
async def changed_credentials_are_noticed(rig: AuthRig) -> None:
    """What was taken away or brought by another process counts from the next grant on, without a restart."""
    await rig.give()
    async with rig.made() as auth:
        await granted(rig, auth)
        await rig.lose()
        expect(await denied(rig, auth), "there was still a grant after the credentials had been taken away")
        await rig.give()
        await granted(rig, auth)


@check("auth")
async def many_grants_at_once(rig: AuthRig) -> None:
    """Grants can be asked for at the same time, one for each chat, also while credentials have to be renewed."""
    await rig.give()
    grants: list[Grant] = []
    async with rig.made() as auth:
        if isinstance(rig, Expires):
            await granted(rig, auth)
            await rig.expire()

        async def ask() -> None:
            grants.append(await granted(rig, auth))

        with within(ANSWER, lambda: f"of {_AT_ONCE} grants that were asked for at once, {len(grants)} came"):
            async with anyio.create_task_group() as tasks:
                for _ in range(_AT_ONCE):
                    tasks.start_soon(ask)
    keys = {key_of(grant) for grant in grants}
    expect(len(keys) == 1, f"{_AT_ONCE} grants of one account, asked for at once, have {len(keys)} different keys")


@check("auth", "expire")
async def ended_credentials_are_renewed(rig: AuthRig) -> None:
    """Credentials that have ended and can be renewed are renewed by grant, and what came of it is kept."""
    await rig.give()
    async with rig.made() as auth:
        await granted(rig, auth)
        assert isinstance(rig, Expires)  # noqa: S101  # for the type checker
        await rig.expire()
        await granted(rig, auth)
        async with rig.made() as another:
            await granted(rig, another)


@check("auth")
async def a_cancelled_grant_leaves_the_credentials(rig: AuthRig) -> None:
    """A grant that is cancelled, at whatever point, leaves the credentials as good as they were."""
    await rig.give()
    async with rig.made() as auth:
        for moment in MOMENTS:
            if isinstance(rig, Expires):
                await rig.expire()
            await cancelled_after(moment, lambda: auth.grant(rig.need))
            expect(not await denied(rig, auth), f"after a grant that was cancelled {_when(moment)}, none came any more")


def _when(moment: tuple[int, float]) -> str:
    points, seconds = moment
    return f"after {seconds * 1000:g} ms" if seconds else f"at scheduling point {points + 1}"


@check("auth")
async def two_instances_share_nothing(rig: AuthRig) -> None:
    """Each instance has credentials of its own; none are kept where another instance finds them."""
    await rig.give("tried")
    async with rig.made("tried") as tried, rig.made("other") as other:
        first = await granted(rig, tried)
        expect(await denied(rig, other), "an instance without credentials gave a grant, once another one had some")
        await rig.give("other")
        second = await granted(rig, other)
        again = await granted(rig, tried)
    expect(_own(first) != _own(second), "two instances with credentials of their own gave the same key or mounts")
    expect(_own(first) == _own(again), "an instance's grant changed when another one got credentials")


def _own(grant: Grant) -> Any:
    """Give what holds a grant's secret: its key, else its mounts."""
    return key_of(grant) or [mount.source for mount in grant.mounts]


GRANT_CHECKS: tuple[Check, ...] = (
    the_fingerprint_stays,
    the_fingerprint_follows_what_an_agent_is_started_with,
    without_credentials_the_next_account_serves,
    a_needed_login_says_what_to_do,
    changed_credentials_are_noticed,
    many_grants_at_once,
    ended_credentials_are_renewed,
    a_cancelled_grant_leaves_the_credentials,
    two_instances_share_nothing,
)
