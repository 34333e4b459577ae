"""The table ``[plugins.apikey]`` of nanokimi.toml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

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
from nanokimi_core import BaseUrl, Capability, ModelId, TomlPath, matching, refuse

_LOOKS_LIKE_A_KEY = re.compile(r"sk-[A-Za-z0-9_-]{8,}|eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


Order = Literal["reserve", "turns"]

_Variable = Annotated[str, matching("[A-Za-z_][A-Za-z0-9_]*", "must be the name of an environment variable")]


def _no_key(value: Path) -> Path:
    if _LOOKS_LIKE_A_KEY.fullmatch(value.name):
        raise refuse("must be the path of a file that holds the key, and this is a key itself")
    return value


def _check_toml(toml: Path | None) -> None:
    if toml is None:
        raise refuse(
            "a key itself may stand only in a nanokimi.toml of mode 0600; store it with: nanokimi auth set-key"
        )
    if toml.stat().st_mode & 0o077:
        advice = "a key itself may stand here only when nobody else can read the file; run: chmod 600 {toml}"
        raise PydanticCustomError("apikey", advice, {"toml": str(toml)})


class KeySource(BaseModel):
    """Where a key is.

    Attributes:
        env: Name of an environment variable.
        file: Path of a file of mode 0600 that holds nothing but the key.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    env: _Variable | None = None
    file: Annotated[TomlPath, AfterValidator(_no_key)] | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _one_source(cls, value: Any, handler: ModelWrapValidatorHandler[KeySource], info: ValidationInfo) -> KeySource:
        if isinstance(value, str):
            _check_toml((info.context or {}).get("config_path"))
            return LiteralKey.model_construct(text=SecretStr(value))
        one = isinstance(value, Mapping) and (len(value) == 1 or not set(value) <= {"env", "file"})
        if not one and not isinstance(value, KeySource):
            raise refuse('must be one of { env = "NAME" } and { file = "path" }')
        return handler(value)


class LiteralKey(KeySource):
    """The key itself, as a plain string in a toml that nobody else can read."""

    text: SecretStr


class Settings(BaseModel):
    """Settings of the auth plugin ``apikey``.

    Attributes:
        key: Where the key is; by default the environment's ``MOONSHOT_API_KEY``, else what ``nanokimi auth set-key``
            has stored.
        keys: In place of ``key``, where several keys are, at most 16.
        order: Which of several keys is used. ``reserve``: the first that works; the next ones stand in for it until it
            works again. ``turns``: another one each hour.
        account: ``platform`` is Moonshot's API, paid from a balance; ``kimi-code`` is a key (``sk-kimi-…``) that a
            Kimi Code member has made, paid by the membership.
        region: ``cn`` (moonshot.cn, kimi.com) or ``ai`` (moonshot.ai, kimi.ai). Each knows only its own keys. ``cn``
            is the default because the set-ups that NanoKimi takes over used it.
        base_url: Of the model API, in place of the region's.
        model: The server's model id; by default ``kimi-k2.6`` (platform) or ``kimi-for-coding`` (kimi-code).
        context_size: In tokens; by default what is known of the model.
        capabilities: Of the model, in the agent's own words; by default what is known of the model.
        usage_minutes: How often the server is asked what the account has left, where it tells; 0 is never.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    key: SerializeAsAny[KeySource] | None = None
    keys: Annotated[tuple[SerializeAsAny[KeySource], ...], Field(min_length=1, max_length=16)] | None = None
    order: Order = "reserve"
    account: Account = "platform"
    region: Region = "cn"
    base_url: BaseUrl | None = None
    model: ModelId | None = None
    context_size: Annotated[int, Field(ge=4096, le=16_777_216)] | None = None
    capabilities: frozenset[Capability] | None = None
    usage_minutes: Annotated[float, Field(ge=0, le=1440)] = 15

    @model_validator(mode="after")
    def _agrees(self) -> Settings:
        if self.key is not None and self.keys is not None:
            raise refuse("keys already says where the keys are; leave out key")
        if self.base_url is None:
            return self
        if "region" in self.model_fields_set:
            raise refuse("base_url already says where the API is; leave out region")
        there = account_at(self.base_url)
        if there is not None and there != self.account:
            raise refuse(f'base_url is that of another kind of account; set account = "{there}"')
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
