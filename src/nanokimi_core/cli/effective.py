"""The settings that hold, as TOML with secrets masked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import Any

import tomlkit
from pydantic import BaseModel, SecretBytes, SecretStr
from tomlkit.items import Table

from nanokimi_core.cli.opening import Setup
from nanokimi_core.config import Location, Settings, validate_table
from nanokimi_core.errors import PluginError
from nanokimi_core.plugins import Kind

MASK = "********"
_SECRET_NAME = re.compile(r"(?:^|_)(?:key|token|secret|password|passphrase|credential)s?$", re.IGNORECASE)
_USER_IN_URL = re.compile(r"://[^/@\s]+@")


def effective(setup: Setup) -> str:
    """Write the settings down, with the defaults of everything that the toml leaves out.

    Raises:
        ConfigError: A plugin's table is wrong.
    """
    document = tomlkit.document()
    for line in _places(setup.location):
        document.add(tomlkit.comment(line))
    settings = setup.settings
    _fill(document, _top(settings), {})
    document.add("limits", _table(settings.limits, {}))
    plugins = tomlkit.table(is_super_table=True)
    for name, kind in _instances(settings).items():
        plugins.add(name, _plugin(setup, kind, name))
    for name in settings.plugins.keys() - _instances(settings).keys():
        table = _table(settings.plugins[name], settings.plugins[name])
        table.comment("nothing in the toml uses it")
        plugins.add(name, table)
    document.add("plugins", plugins)
    if settings.chats:
        chats = tomlkit.table(is_super_table=True)
        for name, chat in settings.chats.items():
            chats.add(name, _table({key: value for key, value in chat if value is not None}, {}))
        document.add("chats", chats)
    return tomlkit.dumps(document)


def _places(location: Location) -> list[str]:
    toml = location.toml or "none, so these are the defaults"
    lines = [f"toml: {toml}", f"data: {location.data}"]
    if os.environ.get("ASSISTANT_NAME"):
        lines.append("assistant: from ASSISTANT_NAME")
    return lines


def _top(settings: Settings) -> dict[str, Any]:
    values = {name: getattr(settings, name) for name in ("assistant", "transports", "backend", "auth", "owner")}
    if len(settings.auth) == 1:
        values["auth"] = settings.auth[0]
    return values


def _instances(settings: Settings) -> dict[str, Kind]:
    kinds: dict[str, Kind] = dict.fromkeys(settings.transports, "transport")
    kinds |= dict.fromkeys(settings.backends(), "backend")
    kinds |= dict.fromkeys(settings.auths(), "auth")
    return kinds


def _plugin(setup: Setup, kind: Kind, name: str) -> Table:
    given = setup.settings.plugins.get(name, {})
    use = setup.settings.use(name)
    try:
        model = setup.host.spec(kind, use).spec.config
    except PluginError as error:
        table = _table(given, given)
        table.comment(" ".join(str(error).split()))
        return table
    checked = validate_table(model, setup.settings.table(name), name, setup.location)
    table = tomlkit.table()
    if use != name:
        table.add("use", use)
    _fill(table, _items(checked), given)
    return table


def _table(value: Any, given: Any) -> Table:
    table = tomlkit.table()
    _fill(table, _items(value), given)
    return table


def _items(value: Any) -> dict[str, Any]:
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return {field.alias or name: getattr(value, name) for name, field in fields.items()}
    return dict(value)


def _fill(table: Any, values: Mapping[str, Any], given: Any) -> None:
    for key, value in sorted(values.items(), key=lambda item: isinstance(item[1], (BaseModel, Mapping))):
        raw = given.get(key) if isinstance(given, Mapping) else None
        if value is None:
            table.add(tomlkit.comment(f"{key} is not set"))
        elif isinstance(raw, str) and isinstance(value, BaseModel) and _holds_secret(value):
            table.add(key, MASK)
        elif isinstance(value, (BaseModel, Mapping)):
            table.add(key, _table(value, raw))
        else:
            table.add(key, _plain(key, value))


def _holds_secret(value: BaseModel) -> bool:
    return any(isinstance(each, (SecretStr, SecretBytes)) for each in _items(value).values())


def _plain(key: str, value: Any) -> Any:
    if isinstance(value, (SecretStr, SecretBytes)):
        return MASK
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, timedelta):
        return duration(value)
    if isinstance(value, Enum):
        return _plain(key, value.value)
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(key, each) for each in value)
    if isinstance(value, (list, tuple)):
        return [_plain(key, each) for each in value]
    if isinstance(value, (BaseModel, Mapping)):
        inline = tomlkit.inline_table()
        for name, each in _items(value).items():
            if each is not None:
                inline.add(name, _plain(name, each))
        return inline
    return MASK if _SECRET_NAME.search(key) else _USER_IN_URL.sub("://…@", str(value))


def duration(value: timedelta) -> str:
    """Write a duration as the toml does: ``90s``, ``2m``, ``1h30m``."""
    seconds = value.total_seconds()
    if seconds != int(seconds) or seconds < 60 or seconds % 60:
        return f"{seconds:g}s"
    hours, minutes = divmod(int(seconds) // 60, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if minutes or not hours else "")
