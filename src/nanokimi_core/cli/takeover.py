"""What ``nanokimi init --from DIR`` finds in an old bot's folder, and where each thing goes. DIR is only read."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from nanokimi_core.cli.plain_file import read_plain
from nanokimi_core.cli.template import KEY, LOGIN
from nanokimi_core.errors import CommandError
from nanokimi_core.files import write_private
from nanokimi_core.folder import DataFolder
from nanokimi_core.logs import keep_secret

_LONGEST = 100_000
_GLOBAL = "global"
_INSTRUCTIONS = "KIMI.md"


@dataclass
class OldBot:
    """What there is to take over.

    Attributes:
        folder: Where it lies.
        login: Its credentials file.
        key: Its API key.
        auth: The plugin that its default model's account comes to; empty where there is none.
        account: Whose key it is.
        region: Where the account is.
        model: What its default model asks the server for.
        instructions: The text of each group's ``KIMI.md``, the global one under ``global``.
        notes: What was found and can't be used, for the person.
    """

    folder: Path
    login: Path | None = None
    key: SecretStr | None = None
    auth: str = ""
    account: str = "kimi-code"
    region: str = "cn"
    model: str = ""
    instructions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def groups(self) -> list[str]:
        """Name the groups that have instructions of their own."""
        return [name for name in self.instructions if name != _GLOBAL]


def look_at_old_bot(folder: Path) -> OldBot:
    """Read what an old bot has: ``data/credentials/`` and ``groups/*/KIMI.md``.

    Raises:
        CommandError: The folder has neither.
    """
    credentials, groups = folder / "data" / "credentials", folder / "groups"
    if not credentials.is_dir() and not groups.is_dir():
        raise CommandError(f"{folder} has neither data/credentials nor groups", remedy="name the old bot's own folder")
    bot = OldBot(folder)
    login = credentials / "kimi-code.json"
    if login.is_file():
        bot.login, bot.auth = login, LOGIN
    _read_config(bot, credentials / "config.toml")
    for group in sorted(groups.iterdir()) if groups.is_dir() else []:
        _read_instructions(bot, group)
    return bot


def place_instructions(bot: OldBot, data: DataFolder) -> Iterator[str]:
    """Put each ``KIMI.md`` where a chat finds it, never over one that is there; gives what was done."""
    data.make()
    for name, text in bot.instructions.items():
        folder = data.path if name == _GLOBAL else data.chat(name)
        yield f"groups/{name}/{_INSTRUCTIONS} -> {_place(folder, text)}"


def _place(folder: Path, text: str) -> str:
    file = folder / _INSTRUCTIONS
    if file.exists() and file.read_text(encoding="utf-8", errors="replace") != text:
        file = folder / f"{_INSTRUCTIONS}.imported"
        write_private(file, text.encode())
        return f"{file} (there is another {_INSTRUCTIONS} already; put them together yourself)"
    write_private(file, text.encode())
    return str(file)


def _read_instructions(bot: OldBot, group: Path) -> None:
    """Read a group's text; the old agent could write in that folder, so links in it are not followed."""
    file = group / _INSTRUCTIONS
    if group.is_symlink() or not group.is_dir() or not os.path.lexists(file):
        return
    if not _is_text(group.name):
        shown = os.fsencode(file).decode("utf-8", "replace")
        bot.notes.append(f"{shown} can't be taken over: the name of its folder is no UTF-8 text")
        return
    try:
        text = read_plain(file, longest=_LONGEST, follow=False)
    except (OSError, ValueError) as error:
        bot.notes.append(f"{file} can't be taken over: {error}")
        return
    if text.strip():
        bot.instructions[group.name] = text


def _is_text(name: str) -> bool:
    return os.fsencode(name).decode("utf-8", "replace") == name


def _read_config(bot: OldBot, file: Path) -> None:
    if not os.path.lexists(file):
        return
    try:
        values = tomllib.loads(read_plain(file, longest=_LONGEST, follow=False))
    except (OSError, ValueError) as error:
        bot.notes.append(f"{file} can't be read, so its model and key are not taken over: {error}")
        return
    model = _table(_table(values, "models"), values.get("default_model"))
    provider = _table(_table(values, "providers"), model.get("provider"))
    bot.model = str(model.get("model") or "")
    bot.region = "ai" if _host(provider).endswith(".ai") else "cn"
    if not provider.get("oauth"):
        _read_key(bot, provider, file)


def _read_key(bot: OldBot, provider: Mapping[str, Any], file: Path) -> None:
    key = str(provider.get("api_key") or "").strip()
    if not key:
        return
    keep_secret(key)
    if key.startswith("eyJ"):
        bot.notes.append(f"{file}: its API key is an access token, which lives for minutes; it is not taken over")
        return
    bot.key, bot.auth = SecretStr(key), KEY
    bot.account = "platform" if "moonshot" in _host(provider) else "kimi-code"


def _host(provider: Mapping[str, Any]) -> str:
    try:
        return urlsplit(str(provider.get("base_url") or "")).hostname or ""
    except ValueError:
        return ""


def _table(values: Mapping[str, Any], name: Any) -> Mapping[str, Any]:
    found = values.get(name) if isinstance(name, str) else None
    return found if isinstance(found, dict) else {}
