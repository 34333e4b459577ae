"""The table ``[plugins.oauth_file]`` of nanokimi.toml."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, LiteralString
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

Region = Literal["cn", "ai"]

OAUTH_HOSTS: dict[Region, str] = {"cn": "https://auth.kimi.com", "ai": "https://auth.kimi.ai"}
BASE_URLS: dict[Region, str] = {"cn": "https://api.kimi.com/coding/v1", "ai": "https://api.kimi.ai/coding/v1"}
DEFAULT_MODEL = "kimi-for-coding"
DEFAULT_CONTEXT_SIZE = 262_144
"""kimi-code's catalogue says 1,048,576; how much of it an account has depends on its plan, and this much all have."""
DEFAULT_CAPABILITIES = frozenset({"thinking", "image_in", "video_in"})
"""In words that both agents know: kimi-code's own ``tool_use`` is a start error in kimi-cli."""

_LOCAL_SUFFIXES = (".local", ".internal", ".localhost", ".lan", ".home.arpa")


def _refuse(text: LiteralString) -> PydanticCustomError:
    return PydanticCustomError("oauth_file", text)


def _matching(pattern: str, expected: LiteralString) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise _refuse(expected)
        return value

    return AfterValidator(check)


_ModelId = Annotated[str, _matching("[!-~]{1,200}", "must be a model's id, without white space")]
_Capability = Annotated[str, _matching("[a-z][a-z0-9_]*", 'must be a word such as "thinking" or "image_in"')]


def _in_private_network(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_LOCAL_SUFFIXES)


def _endpoint(value: str) -> str:
    text = value.strip()
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or not text.isascii() or " " in text:
        raise _refuse('must be a URL such as "https://auth.kimi.com"')
    if parts.username or parts.password or parts.query or parts.fragment:
        raise _refuse("must be a plain URL, without a user, a query or a fragment")
    if parts.scheme == "http" and not _in_private_network(host):
        raise _refuse("must begin with https://: the login would travel unencrypted")
    return text.rstrip("/")


def _path_of(value: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    path = value.expanduser()
    return base / path if base is not None else path.absolute()


class Settings(BaseModel):
    """Settings of the auth plugin ``oauth_file``.

    Attributes:
        path: The directory of the login: a ``credentials`` directory, or an agent's home that has one; by default a
            directory of this instance's own, which ``nanokimi auth import`` fills.
        region: ``cn`` (kimi.com) or ``ai`` (kimi.ai, which kimi-code calls *global*).
        oauth_host: The login server, in place of the region's.
        base_url: Of the model API, in place of the region's.
        model: The server's model id.
        context_size: In tokens.
        capabilities: Of the model, in the agent's own words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    path: Annotated[Path, AfterValidator(_path_of)] | None = None
    region: Region = "cn"
    oauth_host: Annotated[str, AfterValidator(_endpoint)] | None = None
    base_url: Annotated[str, AfterValidator(_endpoint)] | None = None
    model: _ModelId = DEFAULT_MODEL
    context_size: Annotated[int, Field(ge=4096, le=16_777_216)] = DEFAULT_CONTEXT_SIZE
    capabilities: frozenset[_Capability] = DEFAULT_CAPABILITIES

    @model_validator(mode="after")
    def _agrees(self) -> Settings:
        if "region" in self.model_fields_set and (self.oauth_host or self.base_url):
            raise _refuse("oauth_host and base_url already say where the account is; leave out region")
        return self

    @property
    def host(self) -> str:
        """The login server that is used."""
        return self.oauth_host or OAUTH_HOSTS[self.region]

    @property
    def endpoint(self) -> str:
        """The model API that is used."""
        return self.base_url or BASE_URLS[self.region]

    @property
    def is_default(self) -> bool:
        """Whether both servers are those that the agents use without being told."""
        return (self.host, self.endpoint) == (OAUTH_HOSTS["cn"], BASE_URLS["cn"])
