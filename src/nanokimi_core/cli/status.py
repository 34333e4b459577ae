"""``nanokimi status``."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import typer

from nanokimi_core.cli.guard import FAILED
from nanokimi_core.cli.opening import find_setup
from nanokimi_core.cli.options import Config, Json, command, new_app
from nanokimi_core.cli.output import say, say_json, say_table
from nanokimi_core.cli.reaching import with_operations
from nanokimi_core.cli.standing import quota_lines
from nanokimi_core.cli.times import counted, lasting, minute, moment
from nanokimi_core.contracts.auth import Quota
from nanokimi_core.status import AccountStatus, InstanceStatus, QuotaStatus, Status

_WORKING = ("starting", "running", "ended")
_USABLE = ("ok", "expiring")
_REFUSED = ("refused_chat", "refused_sender", "refused_cap", "refused_own")
_ACCEPTED = ("context", "answered", "command", "cancelled", "edit", "pending", "dead")
_COLOURS = {"running": "green", "connected": "green", "ok": "green", "waiting": "yellow", "failed": "bold red"}

app = new_app()


@command(app, "status", "nanokimi status", "nanokimi status --json")
def status(ctx: typer.Context, json: Json = False, config: Config = None) -> None:
    """Say how the assistant stands.

    Transports, accounts, chats, turns, what waits and what is owed, and counters that add up. Without a running
    process, what its data folder says. Exits with 1 when no process runs, or when something is broken: a plugin that
    failed, an account that can't be used, a chat that is held up, a problem.
    """
    found = with_operations(ctx, config, lambda operations: operations.status())
    broken = broken_things(found)
    if json:
        say_json({"ok": found.running and not broken, **found.as_json(), "broken": broken})
    else:
        _show(found, broken, "" if found.owner else _without_owner(ctx, config, found))
    if broken or not found.running:
        raise typer.Exit(FAILED)


def broken_things(found: Status) -> list[str]:
    """Say what is wrong, a sentence for each thing."""
    return [
        *(
            f"{each.kind} {each.name} {_state(each)}{_why(each)}"
            for each in found.instances
            if found.running and (each.state not in _WORKING or each.connected is False)
        ),
        *(
            f"account {each.name}: {each.state.replace('_', ' ')}{f'; {each.remedy}' if each.remedy else ''}"
            for each in found.accounts
            if each.state not in _USABLE
        ),
        *(
            f"account {each.name}: no new turn uses it; {each.down}"
            for each in found.accounts
            if each.state in _USABLE and each.down
        ),
        *(f"{each.chat} is held up: {each.cause}; next try in {lasting(each.seconds)}" for each in found.held),
        *found.problems,
    ]


def sums(counters: Mapping[str, int]) -> list[str]:
    """Write the counters down as the sums that they are."""
    refused = sum(counters.get(name, 0) for name in _REFUSED)
    received, duplicate, accepted = (counters.get(name, 0) for name in ("received", "duplicate", "accepted"))
    lines = [
        _sum("received", received, [("duplicate", duplicate), ("refused", refused), ("accepted", accepted)]),
        _sum("refused", refused, [(name.removeprefix("refused_"), counters.get(name, 0)) for name in _REFUSED]),
        _sum("accepted", accepted, [(name, counters.get(name, 0)) for name in _ACCEPTED]),
    ]
    outbox = ", ".join(f"{counters.get(name, 0)} {name}" for name in ("owed", "sent", "undelivered"))
    return [*lines, f"answers: {outbox}"]


def _sum(name: str, total: int, parts: Sequence[tuple[str, int]]) -> str:
    sign = "=" if total == sum(count for _, count in parts) else "≠"
    return f"{total} {name} {sign} {' + '.join(f'{count} {part}' for part, count in parts)}"


def _show(found: Status, broken: Sequence[str], nobody: str) -> None:
    if found.running:
        since = f" for {lasting(time.time() - found.since)}" if found.since else ""
        say(f"{found.assistant} runs{since} (nanokimi {found.version}, process {found.process}).")
    else:
        say(f"{found.assistant} does not run; start it with: nanokimi run")
    say(f"Owner: {found.owner or nobody}")
    if found.instances and found.running:
        rows = [
            [each.kind, each.name, _state(each), moment(each.since), str(each.restarts), each.last_error]
            for each in found.instances
        ]
        say()
        say_table(["kind", "name", "state", "since", "restarts", "last error"], rows, colours=_COLOURS)
        for each in found.instances:
            if each.said:
                say(f"{each.name}: {each.said}")
    if found.accounts:
        say()
        show_accounts(found.accounts)
    agents, turns = counted(found.warm, "agent"), counted(found.turns, "turn")
    say(f"\n{counted(found.chats, 'chat')}; {agents} up, {turns} running")
    say(f"{counted(found.waiting, 'message')} waiting, {counted(found.owed, 'answer')} owed\n")
    for line in sums(found.counters):
        say(line)
    for sentence in broken:
        say(f"\n-> {sentence}")


def _without_owner(ctx: typer.Context, config: Path | None, found: Status) -> str:
    """Say who gives orders where nobody has become the owner."""
    transports = [each.name for each in found.instances if each.kind == "transport"]
    if not found.running:
        transports = list(find_setup(ctx, config).settings.transports)
    return "the console (nanokimi chat)" if transports == ["console"] else "nobody yet"


def show_accounts(accounts: Sequence[AccountStatus]) -> None:
    """Write accounts down: a table, then what each has left, and whether a code waits."""
    rows = [
        [each.name, each.state.replace("_", " "), each.who, _until(each), str(each.chats), "yes" if each.serves else ""]
        for each in accounts
    ]
    say_table(["account", "state", "who", "until", "chats", "new turns"], rows)
    for account in accounts:
        for line in quota_lines([_quota(each) for each in account.quotas], bars=False):
            say(f"{account.name}: {line}")
        if account.login_until:
            until = datetime.fromisoformat(account.login_until).astimezone()
            say(f"{account.name}: a code waits in the owner's chat, until {until:%H:%M}")


def _until(account: AccountStatus) -> str:
    return minute(datetime.fromisoformat(account.until)) if account.until else ""


def _quota(told: QuotaStatus) -> Quota:
    return Quota(told.name, told.used, told.left, datetime.fromisoformat(told.resets_at) if told.resets_at else None)


def _why(instance: InstanceStatus) -> str:
    """Say why it isn't as it should be, to go on after its state: in its own words, then the last error."""
    causes = [cause for cause in (instance.said, instance.last_error) if cause]
    return f": {'; last error: '.join(causes)}" if causes else ""


def _state(instance: InstanceStatus) -> str:
    if instance.state == "running" and instance.connected is not None:
        return "connected" if instance.connected else "not connected"
    return "waits to be started again" if instance.state == "waiting" else instance.state
