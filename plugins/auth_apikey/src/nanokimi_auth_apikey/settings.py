"""The table ``[plugins.apikey]`` of nanokimi.toml."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, LiteralString
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    SerializeAsAny,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from nanokimi_auth_apikey.endpoints import (
    BASE_URLS,
    DEFAULT_MODELS,
    MODELS,
    UNKNOWN_MODEL,
    Account,
    Model,
    Region,
    account_at,
)

_LOCAL_SUFFIXES = (".local", ".internal", ".localhost", ".lan", ".home.arpa")
_LOOKS_LIKE_A_KEY = re.compile(r"sk-[A-Za-z0-9_-]{8,}|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


def _refuse(text: LiteralString) -> PydanticCustomError:
    return PydanticCustomError("apikey", text)


def _matching(pattern: str, expected: LiteralString) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise _refuse(expected)
        return value

    return AfterValidator(check)


_Variable = Annotated[str, _matching("[A-Za-z_][A-Za-z0-9_]*", "must be the name of an environment variable")]
_ModelId = Annotated[str, _matching("[!-~]{1,200}", "must be a model's id, without white space")]
_Capability = Annotated[str, _matching("[a-z][a-z0-9_]*", 'must be a word such as "thinking" or "image_in"')]


def _in_private_network(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_LOCAL_SUFFIXES)


def _endpoint(value: str) -> str:
    try:
        parts = urlsplit(value.strip())
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or not value.strip().isascii() or " " in value.strip():
        raise _refuse('must be a URL such as "https://api.moonshot.cn/v1"')
    if parts.username or parts.password or parts.query or parts.fragment:
        raise _refuse("must be a plain URL, without a user, a query or a fragment")
    if parts.scheme == "http" and not _in_private_network(host):
        raise _refuse("must begin with https://: the key would travel unencrypted")
    return value.strip().rstrip("/")


def _path_of(value: Path, info: ValidationInfo) -> Path:
    if _LOOKS_LIKE_A_KEY.fullmatch(str(value)):
        raise _refuse("must be the path of a file that holds the key, and this is a key itself")
    base = (info.context or {}).get("base")
    path = value.expanduser()
    return base / path if base is not None else path.absolute()


def _check_toml(toml: Path | None) -> None:
    if toml is None:
        raise _refuse(
            "a key itself may stand only in a nanokimi.toml of mode 0600; store it with: nanokimi auth set-key"
        )
    if toml.stat().st_mode & 0o077:
        advice = "a key itself may stand here only when nobody else can read the file; run: chmod 600 {toml}"
        raise PydanticCustomError("apikey", advice, {"toml": str(toml)})


class KeySource(BaseModel):
    """Where the key is.

    Attributes:
        env: Name of an environment variable.
        file: Path of a file of mode 0600 that holds nothing but the key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    env: _Variable | None = None
    file: Annotated[Path, AfterValidator(_path_of)] | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _one_source(cls, value: Any, handler: ModelWrapValidatorHandler[KeySource], info: ValidationInfo) -> KeySource:
        if isinstance(value, str):
            _check_toml((info.context or {}).get("config_path"))
            return LiteralKey.model_construct(text=SecretStr(value))
        one = isinstance(value, Mapping) and (len(value) == 1 or not set(value) <= {"env", "file"})
        if not one and not isinstance(value, KeySource):
            raise _refuse('must be one of { env = "NAME" } and { file = "path" }')
        return handler(value)


class LiteralKey(KeySource):
    """The key itself, as a plain string in a toml that nobody else can read."""

    text: SecretStr


class Settings(BaseModel):
    """Settings of the auth plugin ``apikey``.

    Attributes:
        key: Where the key is; by default the environment's ``MOONSHOT_API_KEY``, else what ``nanokimi auth set-key``
            has stored.
        account: ``platform`` is Moonshot's API, paid from a balance; ``kimi-code`` is a key (``sk-kimi-…``) that a
            Kimi Code member has made, paid by the membership.
        region: ``cn`` (moonshot.cn, kimi.com) or ``ai`` (moonshot.ai, kimi.ai). Each knows only its own keys. ``cn``
            is the default because the set-ups that NanoKimi takes over used it.
        base_url: Of the model API, in place of the region's.
        model: The server's model id; by default ``kimi-k2.6`` (platform) or ``kimi-for-coding`` (kimi-code).
        context_size: In tokens; by default what is known of the model.
        capabilities: Of the model, in the agent's own words; by default what is known of the model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    key: SerializeAsAny[KeySource] | None = None
    account: Account = "platform"
    region: Region = "cn"
    base_url: Annotated[str, AfterValidator(_endpoint)] | None = None
    model: _ModelId | None = None
    context_size: Annotated[int, Field(ge=4096, le=16_777_216)] | None = None
    capabilities: frozenset[_Capability] | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Settings:
        if self.base_url is None:
            return self
        if "region" in self.model_fields_set:
            raise _refuse("base_url already says where the API is; leave out region")
        there = account_at(self.base_url)
        if there is not None and there != self.account:
            raise _refuse(f'base_url is that of another kind of account; set account = "{there}"')
        return self

    @property
    def endpoint(self) -> str:
        """The base URL that is used."""
        return self.base_url or BASE_URLS[self.account, self.region]

    @property
    def model_id(self) -> str:
        """The model that is used."""
        return self.model or DEFAULT_MODELS[self.account]

    @property
    def known(self) -> Model:
        """Context size and capabilities that are used."""
        listed = MODELS.get(self.model_id, UNKNOWN_MODEL)
        capabilities = listed.capabilities if self.capabilities is None else self.capabilities
        return Model(self.context_size or listed.context_size, capabilities)
