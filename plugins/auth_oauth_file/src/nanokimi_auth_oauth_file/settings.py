"""The table ``[plugins.oauth_file]`` of nanokimi.toml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nanokimi_core import BaseUrl, Capability, ModelId, TomlPath, refuse

Region = Literal["cn", "ai"]
Credentials = Literal["access-only", "shared"]
Refresher = Literal["keeper", "agent"]

OAUTH_HOSTS: dict[Region, str] = {"cn": "https://auth.kimi.com", "ai": "https://auth.kimi.ai"}
BASE_URLS: dict[Region, str] = {"cn": "https://api.kimi.com/coding/v1", "ai": "https://api.kimi.ai/coding/v1"}
DEFAULT_MODEL = "kimi-for-coding"
DEFAULT_CONTEXT_SIZE = 262_144
"""kimi-code's catalogue says 1,048,576; how much of it an account has depends on its plan, and this much all have."""
DEFAULT_CAPABILITIES = frozenset({"thinking", "image_in", "video_in"})
"""In words that both agents know: kimi-code's own ``tool_use`` is a start error in kimi-cli."""


class Settings(BaseModel):
    """Settings of the auth plugin ``oauth_file``.

    Attributes:
        path: The directory of the login: a ``credentials`` directory, or an agent's home that has one; by default a
            directory of this instance's own, which ``nanokimi auth import`` fills.
        credentials: What containers see of the login. ``access-only``: a directory, read-only, with the access token
            and no refresh token; NanoKimi refreshes. ``shared``: the login's own directories, read-write; the agents
            refresh, and NanoKimi only watches.
        refresher: Who refreshes with ``access-only``. ``keeper``: NanoKimi itself. ``agent``: the agent's own program,
            in one container that has the login's directories.
        warn_after: The owner is told when refreshing has failed for so many minutes, though the token still lives.
        usage_minutes: How often the server is asked what the account has left, where it tells; 0 is never.
        region: ``cn`` (kimi.com) or ``ai`` (kimi.ai, which kimi-code calls *global*).
        oauth_host: The login server, in place of the region's.
        base_url: Of the model API, in place of the region's.
        model: The server's model id.
        context_size: In tokens.
        capabilities: Of the model, in the agent's own words.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    path: TomlPath | None = None
    credentials: Credentials = "access-only"
    refresher: Refresher = "keeper"
    warn_after: Annotated[float, Field(gt=0, le=1440)] = 5
    usage_minutes: Annotated[float, Field(ge=0, le=1440)] = 15
    region: Region = "cn"
    oauth_host: BaseUrl | None = None
    base_url: BaseUrl | None = None
    model: ModelId = DEFAULT_MODEL
    context_size: Annotated[int, Field(ge=4096, le=16_777_216)] = DEFAULT_CONTEXT_SIZE
    capabilities: frozenset[Capability] = DEFAULT_CAPABILITIES

    @model_validator(mode="after")
    def _agrees(self) -> Settings:
        if "region" in self.model_fields_set and (self.oauth_host or self.base_url):
            raise refuse("oauth_host and base_url already say where the account is; leave out region")
        if self.credentials == "shared" and "refresher" in self.model_fields_set:
            raise refuse('with credentials = "shared" the agents refresh; leave out refresher')
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
