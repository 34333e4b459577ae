"""Types for the tables of plugins: what a URL, a path or a model's id has to look like, said in one sentence."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, LiteralString
from urllib.parse import urlsplit

from pydantic import AfterValidator, ValidationInfo
from pydantic_core import PydanticCustomError

_LOCAL_SUFFIXES = (".local", ".internal", ".localhost", ".lan", ".home.arpa")


def refuse(text: LiteralString) -> PydanticCustomError:
    """Make the error of a validator; its text is shown as it stands, without the value that was given."""
    return PydanticCustomError("nanokimi", text)


def matching(pattern: str, expected: LiteralString) -> AfterValidator:
    """Accept only text that matches a pattern as a whole; ``expected`` says what it must be."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise refuse(expected)
        return value

    return AfterValidator(check)


def _base_url(value: str) -> str:
    text = value.strip()
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or not text.isascii() or " " in text:
        raise refuse('must be a URL such as "https://api.moonshot.cn/v1"')
    if parts.username or parts.password or parts.query or parts.fragment:
        raise refuse("must be a plain URL, without a user, a query or a fragment")
    if parts.scheme == "http" and not _in_private_network(host):
        raise refuse("must begin with https://: what opens the account would travel unencrypted")
    return text.rstrip("/")


def _in_private_network(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_LOCAL_SUFFIXES)


def _beside_the_toml(value: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    try:
        path = value.expanduser()
    except RuntimeError:
        raise refuse("begins with the home of a user that this machine doesn't know") from None
    return base / path if base is not None else path.absolute()


BaseUrl = Annotated[str, AfterValidator(_base_url)]
"""Of a server that gets secrets: https, or http within a private network; without a slash at its end."""

TomlPath = Annotated[Path, AfterValidator(_beside_the_toml)]
"""A path; a relative one starts from the folder of nanokimi.toml."""

ModelId = Annotated[str, matching("[!-~]{1,200}", "must be a model's id, without white space")]
"""A server's name for a model."""

Capability = Annotated[str, matching("[a-z][a-z0-9_]*", 'must be a word such as "thinking" or "image_in"')]
"""An agent's word for something that a model can do."""
