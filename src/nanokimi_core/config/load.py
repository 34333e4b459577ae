"""Reading nanokimi.toml, and saying what is wrong with it in one sentence."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from nanokimi_core.config.location import FILE_NAME, Location
from nanokimi_core.config.model import LONGEST_NAME, WRONG_USE, Settings
from nanokimi_core.errors import ConfigError
from nanokimi_core.places import called

_LARGEST = 1_000_000
_LONG_NUMBER = re.compile(r"[0-9_]{1000,}")

Model = TypeVar("Model", bound=BaseModel)


def load(location: Location, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the toml; an absent or empty one gives the defaults. ``ASSISTANT_NAME`` overrides ``assistant``.

    Raises:
        ConfigError: It can't be read, isn't TOML, or says something that isn't known.
    """
    env = os.environ if environ is None else environ
    values = _read(location.toml) if location.toml else {}
    if name := env.get("ASSISTANT_NAME"):
        if len(name) > LONGEST_NAME:
            raise ConfigError(f"ASSISTANT_NAME is longer than {LONGEST_NAME} characters", remedy="shorten it")
        values["assistant"] = name
    where = location.toml.name if location.toml else FILE_NAME
    base = location.toml.parent if location.toml else location.data
    return _validate(Settings, values, where, "", {"base": base})


def validate_table(model: type[Model], table: dict[str, Any], instance: str, location: Location) -> Model:
    """Check a plugin's table with the plugin's own model.

    The model's validators find ``config_path`` (the toml, or ``None``) and ``base`` (the folder that relative paths
    start from) in ``info.context``.

    Raises:
        ConfigError: The table has an unknown key or a wrong value.
    """
    where = location.toml.name if location.toml else FILE_NAME
    base = location.toml.parent if location.toml else location.data
    context = {"config_path": location.toml, "base": base}
    return _validate(model, table, where, f"plugins.{instance}", context)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(
            f"{path} can't be read: {error.strerror}", remedy="check the file's owner and mode"
        ) from error
    if len(data) > _LARGEST:
        raise ConfigError(f"{path} is larger than {_LARGEST} bytes", remedy="that can't be a nanokimi.toml")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text", remedy="save it as UTF-8") from error
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}", remedy="mend that line") from error
    except ValueError as error:
        raise ConfigError(f"{path} has a number of too many digits{_long_number(text)}", remedy="mend it") from error


def _long_number(text: str) -> str:
    found = _LONG_NUMBER.search(text)
    return f" in line {text.count(chr(10), 0, found.start()) + 1}" if found else ""


def _validate(model: type[Model], values: dict[str, Any], where: str, table: str, context: dict[str, Any]) -> Model:
    try:
        return model.model_validate(values, context=context)
    except ValidationError as error:
        absent = bool(table) and not values
        raise ConfigError("; ".join(_sentences(error, model, where, table, absent))) from None


def _sentences(error: ValidationError, model: type[BaseModel], where: str, table: str, absent: bool) -> list[str]:
    sentences: dict[str, None] = {}
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        path = [str(part) for part in problem["loc"]]
        sentences[_sentence(problem["type"], problem["msg"], path, model, where, table, absent)] = None
    return list(sentences)


def _sentence(
    kind: str, message: str, path: list[str], model: type[BaseModel], where: str, table: str, absent: bool
) -> str:
    if kind == "extra_forbidden":
        *parents, key = path
        known = _keys(model, parents)
        from difflib import get_close_matches

        close = get_close_matches(key, known, n=1)
        hint = f'did you mean "{close[0]}"?' if close else "known keys: " + (", ".join(sorted(known)) or "none")
        return f'{where}: {_table_name(table, parents)}unknown key "{key}"; {hint}'
    if kind in ("model_type", "dict_type"):
        return f"{where}: {_table_name(table, path)}must be a table"
    if kind == WRONG_USE:
        path = [*path, "use"]
    text = message.removeprefix("Value error, ").replace("Input should be a valid tuple", "must be a list")
    *parents, key = path or [""]
    if kind == "missing":
        said = f'{where}: {_table_name(table, parents)}"{key}" is needed'
        return said if parents or not absent else f"{said}: {_how_to_give(key, model, table)}"
    said = f'"{key}": ' if key else ""
    return f"{where}: {_table_name(table, parents)}{said}{text}"


def _how_to_give(key: str, model: type[BaseModel], table: str) -> str:
    """Say both ways to give a key that a plugin's model has no default for."""
    owner = next((each for each in model.__mro__ if key in getattr(each, "__annotations__", {})), model)
    return f"write {key} = … under [{table}], or let its author give it a default in {called(owner)}"


def _table_name(table: str, parents: list[str]) -> str:
    names = [name for name in [table, *map(_quoted, parents)] if name]
    return f"[{'.'.join(names)}] " if names else ""


def _quoted(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() else f'"{name}"'


def _keys(model: type[BaseModel], parents: list[str]) -> list[str]:
    """Name the keys of the table that ``parents`` leads to, as far as models tell."""
    current: Any = model
    for parent in parents:
        fields = getattr(current, "model_fields", {})
        current = _inner_model(fields[parent].annotation) if parent in fields else _inner_model(current)
    fields = getattr(current, "model_fields", {})
    return [field.alias or name for name, field in fields.items()]


def _inner_model(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if found := _inner_model(argument):
            return found
    return None
