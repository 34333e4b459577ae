"""From flags, questions and an old bot to what the toml shall say."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from nanokimi_core.cli.questions import ask as ask_text
from nanokimi_core.cli.questions import ask_secret, choose
from nanokimi_core.cli.takeover import OldBot
from nanokimi_core.cli.template import ECHO, KEY, KIMI, LOGIN, Choices, Group
from nanokimi_core.logs import keep_secret
from nanokimi_core.plugins import installed

_BACKENDS = [(KIMI, "Kimi, in a Docker container of its own for each chat"), (ECHO, "the echo, to try things out")]
_ACCOUNTS = [
    ((KEY, "kimi-code"), "an API key that a Kimi Code member makes (sk-kimi-…): nothing to renew"),
    ((KEY, "platform"), "an API key of Moonshot's platform, paid from a balance"),
    ((LOGIN, ""), "a Kimi subscription (nanokimi auth login)"),
]
_REGIONS = [("cn", "kimi.com, moonshot.cn"), ("ai", "kimi.ai, moonshot.ai")]


@dataclass(frozen=True)
class Wishes:
    """What the flags say; ``None`` where they say nothing."""

    assistant: str | None
    backend: str | None
    agent: str | None
    auth: str | None
    account: str | None
    region: str | None
    groups: Sequence[Group] = ()


def decide(wishes: Wishes, bot: OldBot | None, *, ask: bool) -> tuple[Choices, SecretStr | None]:
    """Settle every choice, and give the API key where one was typed or found.

    Args:
        wishes: Go first.
        bot: Gives the defaults where there is one.
        ask: Whether the person is asked for what the flags leave open.

    Raises:
        CommandError: The input ended before every question was answered.
    """
    name = wishes.assistant or _assistant(ask=ask)
    backend = wishes.backend or _backend(ask=ask)
    auth, account = _account(wishes, bot, backend, ask=ask)
    region = wishes.region or (_region(bot, ask=ask) if auth in (KEY, LOGIN) else "cn")
    old_model = bot.model if bot and bot.auth == auth == KEY else ""
    agent = wishes.agent or "kimi-code"
    choices = Choices(name, backend, auth, agent, account or "kimi-code", region, old_model, wishes.groups)
    return choices, _key(choices, bot, ask=ask)


def _assistant(*, ask: bool) -> str:
    usual = os.environ.get("ASSISTANT_NAME") or Choices.assistant
    return ask_text("What is the assistant called?", usual) if ask else usual


def _backend(*, ask: bool) -> str:
    usual = KIMI if any(plugin.name == KIMI for plugin in installed()) else ECHO
    return choose("Who answers?", _BACKENDS, usual) if ask else usual


def _account(wishes: Wishes, bot: OldBot | None, backend: str, *, ask: bool) -> tuple[str, str]:
    if wishes.auth is not None:
        return wishes.auth, wishes.account or (bot.account if bot else "")
    if backend == ECHO:
        return "", ""
    if wishes.account is not None:
        return KEY, wishes.account
    usual = (bot.auth, bot.account if bot.auth == KEY else "") if bot and bot.auth else _ACCOUNTS[0][0]
    if not ask:
        return usual
    options = [(" ".join(value), words) for value, words in _ACCOUNTS]
    auth, _, account = choose("Which account pays?", options, " ".join(usual)).partition(" ")
    return auth, account


def _region(bot: OldBot | None, *, ask: bool) -> str:
    usual = bot.region if bot else "cn"
    return choose("Where is the account?", _REGIONS, usual) if ask else usual


def _key(choices: Choices, bot: OldBot | None, *, ask: bool) -> SecretStr | None:
    if choices.auth != KEY:
        return None
    if bot is not None and bot.key is not None and bot.account == choices.account:
        return bot.key
    if not ask:
        return None
    text = ask_secret("\nThe API key (not shown; leave it empty to store it later)")
    keep_secret(text)
    return SecretStr(text) if text else None
