"""The nanokimi.toml that ``nanokimi init`` writes."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tomlkit

from nanokimi_core.config import Settings

KIMI = "kimi_docker"
ECHO = "echo"
KEY = "apikey"
LOGIN = "oauth_file"

_COLUMN = 28


@dataclass(frozen=True)
class Group:
    """A group of an old bot, as a table of the toml.

    Attributes:
        name: The old bot's; the name of the sandbox, and so of the folder.
        chat: Its id here, ``transport:chat``, where that is known.
    """

    name: str
    chat: str | None = None


@dataclass(frozen=True)
class Choices:
    """What the person wants.

    Attributes:
        assistant: Its name.
        backend: Where it thinks.
        auth: The account that pays; empty for none.
        agent: The program in the container.
        account: Whose API key.
        region: Where the account is.
        model: The model that an old bot asked for; only a comment.
        groups: An old bot's.
    """

    assistant: str = "Kai"
    backend: str = KIMI
    auth: str = KEY
    agent: str = "kimi-code"
    account: str = "kimi-code"
    region: str = "cn"
    model: str = ""
    groups: Sequence[Group] = ()


def render(choices: Choices) -> str:
    """Write the toml, with comments.

    Raises:
        ValidationError: A choice makes no valid toml.
    """
    text = _top(choices) + "".join(_tables(choices)) + _chats(choices)
    Settings.model_validate(tomllib.loads(text))
    return text


def _top(choices: Choices) -> str:
    pays = 'the account that pays: an API key, or "oauth_file", a subscription'
    account = _line("auth", choices.auth, pays) if choices.auth else _off("auth", KEY, pays)
    lines = [
        "# NanoKimi's settings. Every key has a default; to see them all: nanokimi config show",
        "",
        _line("assistant", choices.assistant, "what it is called; ASSISTANT_NAME overrides it"),
        _line("transports", ["console"], "the chat networks"),
        _line("backend", choices.backend, 'where it thinks; "echo" only repeats what it hears'),
        account,
        " " * _COLUMN + '# a list is a fall-back chain: ["oauth_file", "apikey"]',
        _off("owner", "transport:chat", "the chat in which you are told what needs you"),
    ]
    return _text(lines)


def _tables(choices: Choices) -> list[str]:
    tables = []
    if choices.backend == KIMI:
        tables.append(_kimi(choices))
    if choices.auth == KEY:
        tables.append(_key(choices))
    if choices.auth == LOGIN:
        tables.append(_login(choices))
    return tables


def _kimi(choices: Choices) -> str:
    lines = [
        "",
        f"[plugins.{KIMI}]",
        _line("agent", choices.agent, 'the program in the container: "kimi-code" or "kimi-cli"'),
        _off("network", "bridge", 'or "host", "none", the name of one of Docker\'s networks'),
        _off("memory", "1g", "of one agent's container"),
    ]
    return _text(lines)


def _key(choices: Choices) -> str:
    usual = "in place of the account's usual one"
    model = _off("model", choices.model or "…", f"the old bot's, {usual}" if choices.model else usual)
    lines = [
        "",
        "# The key itself is stored by: nanokimi auth set-key (or comes from MOONSHOT_API_KEY)",
        f"[plugins.{KEY}]",
        _line("account", choices.account, '"kimi-code": a member\'s key (sk-kimi-…); "platform": Moonshot\'s API'),
        _line("region", choices.region, '"cn": kimi.com and moonshot.cn; "ai": kimi.ai and moonshot.ai'),
        model,
    ]
    return _text(lines)


def _login(choices: Choices) -> str:
    lines = [
        "",
        "# The login itself is made by: nanokimi auth login (or brought by: nanokimi auth import kimi-code.json)",
        f"[plugins.{LOGIN}]",
        _line("region", choices.region, '"cn": kimi.com; "ai": kimi.ai'),
        _off("path", "…/credentials", "a folder of your own, in place of the one in the data folder"),
    ]
    return _text(lines)


def _chats(choices: Choices) -> str:
    lines = [
        "",
        "# A chat that no table names is refused; the console is always let in.",
        '# [chats."line:*"]',
        _off("trigger", "mention", 'or "always", "never"'),
    ]
    return _text(lines) + "".join(map(_group, choices.groups))


def _group(group: Group) -> str:
    sandbox = ("sandbox", group.name, "its folder has the KIMI.md of the old bot's group")
    if group.chat is not None:
        return _text(["", f"[chats.{_quoted(group.chat)}]", _line(*sandbox)])
    why = f"# The old bot's group {_quoted(group.name)}: put its chat's id here, and its KIMI.md is found."
    return _text(["", why, '# [chats."transport:chat"]', _off(*sandbox)])


def _line(key: str, value: Any, comment: str) -> str:
    return f"{f'{key} = {_quoted(value)}'.ljust(_COLUMN)}# {comment}"


def _off(key: str, value: Any, comment: str) -> str:
    """Give a line that is switched off."""
    return f"{f'# {key} = {_quoted(value)}'.ljust(_COLUMN)}# {comment}"


def _quoted(value: Any) -> str:
    text: str = tomlkit.item(value).as_string()
    return text


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
