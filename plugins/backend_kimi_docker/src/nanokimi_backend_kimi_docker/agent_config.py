"""The ``config.toml`` that an agent gets: generated for a grant, checked before any container starts."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import tomli_w
from pydantic import SecretStr

from nanokimi_backend_kimi_docker.agents import AcpAgent
from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from nanokimi_core import AgentConfig, AgentError, AgentModel, AgentProvider, Failure, Grant

_OWN_NAME = "nanokimi"
_MANAGED_PROVIDER = "managed:kimi-code"
_OAUTH_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_HOOK_SECONDS = 10


@dataclass(frozen=True)
class Generated:
    """A config that has been checked.

    Attributes:
        text: The file's content; holds the key.
        default_model: The model that sessions ask for.
    """

    text: SecretStr
    default_model: str


def generate(agent: AcpAgent, grant: Grant, config: KimiDockerConfig, *, hook: str) -> Generated:
    """Write an agent's config for a grant.

    Args:
        agent: That will read it.
        grant: What it may use.
        config: The toml's table.
        hook: A shell command that gets each turn's end as JSON on its standard input.

    Raises:
        AgentError: The agent could not work with it; says which part and why.
    """
    document = _document(agent, grant, config, hook)
    check(agent, document)
    _check_account(grant)
    _check_reach(grant, config)
    return Generated(SecretStr(tomli_w.dumps(document)), document["default_model"])


def check(agent: AcpAgent, document: Mapping[str, Any]) -> None:
    """Compare a config with what the agent can work with.

    Raises:
        AgentError: It can't; says which part and why.
    """
    models, providers = document.get("models", {}), document.get("providers", {})
    default = document.get("default_model", "")
    if default not in models:
        raise _wrong(f'sessions ask for the model "{default}", which is not among its models')
    for name, model in models.items():
        _check_model(agent, name, model, providers)
    for name, provider in providers.items():
        _check_provider(agent, name, provider)


def read(text: str, agent: str, path: str) -> AgentConfig:
    """Say what an agent sees in a config file; of its secrets only whether they are there.

    Raises:
        AgentError: It is not TOML.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _wrong(f"it is not TOML: {error}") from error
    models = document.get("models", {})
    providers = document.get("providers", {})
    return AgentConfig(
        agent=agent,
        path=path,
        default_model=str(document.get("default_model", "")),
        models=tuple(
            AgentModel(name, str(m.get("provider", "")), str(m.get("model", ""))) for name, m in models.items()
        ),
        providers=tuple(_provider(name, provider) for name, provider in providers.items()),
    )


def _provider(name: str, table: Mapping[str, Any]) -> AgentProvider:
    kind, url = str(table.get("type", "")), str(table.get("base_url", ""))
    return AgentProvider(name, kind, url, has_key=bool(table.get("api_key")), has_oauth="oauth" in table)


def _document(agent: AcpAgent, grant: Grant, config: KimiDockerConfig, hook: str) -> dict[str, Any]:
    managed = grant.oauth_key is not None
    model = f"{agent.managed_model}{grant.model}" if managed else _OWN_NAME
    provider = _MANAGED_PROVIDER if managed else _OWN_NAME
    hooks = [{"event": event, "command": hook, "timeout": _HOOK_SECONDS} for event in ("Stop", "StopFailure")]
    return {
        "default_model": model,
        "hooks": hooks,
        **agent.settings(config),
        "models": {
            model: {
                "provider": provider,
                "model": grant.model,
                "max_context_size": grant.context_size,
                "capabilities": agent.model_capabilities(grant),
            }
        },
        "providers": {provider: _provider_table(grant)},
    }


def _provider_table(grant: Grant) -> dict[str, Any]:
    table: dict[str, Any] = {"type": grant.provider, "base_url": grant.base_url}
    table["api_key"] = grant.api_key.get_secret_value() if grant.api_key is not None else ""
    if grant.oauth_key is not None:
        table["oauth"] = {"storage": "file", "key": grant.oauth_key}
    return table


def _check_model(agent: AcpAgent, name: str, model: Mapping[str, Any], providers: Mapping[str, Any]) -> None:
    if model.get("provider") not in providers:
        raise _wrong(f'the provider "{model.get("provider")}" of the model "{name}" is not among its providers')
    if not model.get("model"):
        raise _wrong(f'the model "{name}" has no server\'s name')
    if not isinstance(size := model.get("max_context_size"), int) or size < 1:
        raise _wrong(f'the context size of the model "{name}" is {size!r}, not a number of tokens')
    unknown = set(model.get("capabilities", ())) - agent.capabilities
    if unknown:
        raise _wrong(
            f"{agent.name} does not know the capability {', '.join(sorted(unknown))}; "
            f"it knows {', '.join(sorted(agent.capabilities))}"
        )


def _check_provider(agent: AcpAgent, name: str, provider: Mapping[str, Any]) -> None:
    if provider.get("type") not in agent.providers:
        raise _wrong(f'{agent.name} knows no provider type "{provider.get("type")}" (of "{name}")')
    _check_url(str(provider.get("base_url", "")))
    oauth = provider.get("oauth")
    if oauth is None and not provider.get("api_key"):
        raise _wrong(f'the provider "{name}" has neither a key nor a login')
    if oauth is not None and provider.get("api_key"):
        raise _wrong(f'the provider "{name}" has a key and a login, and the agent would silently leave out the key')
    if oauth is not None and not _OAUTH_KEY.fullmatch(str(oauth.get("key", ""))):
        raise _wrong(f'the OAuth key "{oauth.get("key", "")}" is not a relative name like oauth/kimi-code')


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or url != url.strip():
        raise _wrong(f'the base URL "{url}" is not an http or https address')
    if parts.query or parts.fragment or parts.username:
        raise _wrong(f"the base URL of {parts.hostname} holds more than an address and a path")
    if parts.path.rstrip("/").endswith(("/chat/completions", "/models")):
        raise _wrong(f'the base URL "{url}" is that of a single call; it ends before /chat/completions')


def _check_account(grant: Grant) -> None:
    host = urlsplit(grant.base_url).hostname or ""
    if grant.oauth_key is not None and host.startswith("api.moonshot."):
        raise _wrong(
            f"a login of a Kimi subscription is of no use at {host}; its API is https://api.kimi.com/coding/v1"
        )


def _check_reach(grant: Grant, config: KimiDockerConfig) -> None:
    host = urlsplit(grant.base_url).hostname or ""
    if config.network != "host" and (host == "localhost" or host.startswith("127.") or host == "::1"):
        raise _wrong(
            f'{host} is the container itself on the network "{config.network}"; '
            'set network = "host" in [plugins.kimi_docker], or an address of this machine that containers reach'
        )


def _wrong(what: str) -> AgentError:
    return AgentError(
        Failure.MODEL, f"the agent's config is wrong: {what}", remedy="look at: nanokimi debug config, nanokimi doctor"
    )
