"""The config that an agent gets: right for its account, refused before any container starts where it can't be."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from nanokimi_backend_kimi_docker import agent_config
from nanokimi_backend_kimi_docker.agents import AGENTS, KimiCli, KimiCode
from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from nanokimi_core import AgentError, Failure, Grant

KEY = Grant(
    provider="kimi",
    base_url="https://api.moonshot.ai/v1",
    model="kimi-k2.5",
    context_size=262_144,
    fingerprint="f",
    api_key=SecretStr("sk-secret"),
    capabilities=frozenset({"thinking"}),
)
LOGIN = replace(
    KEY,
    base_url="https://api.kimi.com/coding/v1",
    model="kimi-for-coding",
    api_key=None,
    oauth_key="oauth/kimi-code",
)


def document(agent: str, grant: Grant, **settings: Any) -> dict[str, Any]:
    config = KimiDockerConfig.model_validate({"agent": agent, **settings})
    return tomllib.loads(agent_config.generate(AGENTS[agent], grant, config, hook="true").text.get_secret_value())


@pytest.mark.parametrize("agent", AGENTS)
def test_a_key_stands_in_a_provider_of_our_own(agent: str) -> None:
    made = document(agent, KEY)
    assert made["default_model"] == "nanokimi"
    assert made["models"]["nanokimi"]["provider"] == "nanokimi"
    assert made["models"]["nanokimi"]["model"] == "kimi-k2.5"
    provider = made["providers"]["nanokimi"]
    assert provider == {"type": "kimi", "base_url": "https://api.moonshot.ai/v1", "api_key": "sk-secret"}


@pytest.mark.parametrize("agent", AGENTS)
def test_a_login_is_the_managed_provider_whose_models_the_agent_keeps(agent: str) -> None:
    made = document(agent, LOGIN)
    assert made["default_model"] == "kimi-code/kimi-for-coding"
    assert made["models"][made["default_model"]]["provider"] == "managed:kimi-code"
    provider = made["providers"]["managed:kimi-code"]
    assert provider["oauth"] == {"storage": "file", "key": "oauth/kimi-code"}
    assert provider["api_key"] == ""


def test_the_limits_are_written_in_each_agents_own_words() -> None:
    settings = {"max_steps": 7, "max_attempts": 2, "thinking": True}
    code, cli = document("kimi-code", KEY, **settings), document("kimi-cli", KEY, **settings)
    assert code["loop_control"] == {"max_steps_per_turn": 7, "max_attempts_per_step": 2}
    assert (code["thinking"], code["default_permission_mode"]) == ({"enabled": True}, "yolo")
    assert cli["loop_control"] == {"max_steps_per_turn": 7, "max_retries_per_step": 2, "max_ralph_iterations": 0}
    assert (cli["default_thinking"], cli["default_yolo"]) == (True, True)


def test_the_defaults_are_no_thinking_a_hundred_steps_and_few_attempts() -> None:
    made = document("kimi-code", KEY)
    assert made["thinking"] == {"enabled": False}
    assert made["loop_control"] == {"max_steps_per_turn": 100, "max_attempts_per_step": 3}


def test_capabilities_are_the_agents_own_words() -> None:
    assert document("kimi-code", KEY)["models"]["nanokimi"]["capabilities"] == ["thinking", "tool_use"]
    assert document("kimi-cli", KEY)["models"]["nanokimi"]["capabilities"] == ["thinking"]


def test_each_turns_end_is_hooked() -> None:
    assert [hook["event"] for hook in document("kimi-cli", KEY)["hooks"]] == ["Stop", "StopFailure"]


WRONG = {
    "no provider type openai here": (KimiCli(), replace(KEY, provider="openai"), "provider type"),
    "a capability of the other agent": (
        KimiCli(),
        replace(KEY, capabilities=frozenset({"tool_use"})),
        "does not know the capability tool_use",
    ),
    "no model": (KimiCode(), replace(KEY, model=""), "no server's name"),
    "no context": (KimiCode(), replace(KEY, context_size=0), "context size"),
    "neither key nor login": (KimiCode(), replace(KEY, api_key=None), "neither a key nor a login"),
    "key and login": (KimiCode(), replace(LOGIN, api_key=SecretStr("sk")), "a key and a login"),
    "a path as OAuth key": (KimiCode(), replace(LOGIN, oauth_key="/kimi-code.json"), "not a relative name"),
    "an OAuth key that climbs": (KimiCode(), replace(LOGIN, oauth_key="oauth/../x"), "not a relative name"),
    "no address": (KimiCode(), replace(KEY, base_url="api.moonshot.ai/v1"), "not an http or https address"),
    "an address of another kind": (KimiCode(), replace(KEY, base_url="ftp://host/v1"), "not an http or https address"),
    "a secret in the address": (KimiCode(), replace(KEY, base_url="https://me:sk-1@host/v1"), "more than an address"),
    "an endpoint as address": (
        KimiCode(),
        replace(KEY, base_url="https://api.moonshot.ai/v1/chat/completions"),
        "that of a single call",
    ),
    "the container's own loopback": (KimiCode(), replace(KEY, base_url="http://127.0.0.1:8080/v1"), "network"),
    "a login at the platform": (
        KimiCode(),
        replace(LOGIN, base_url="https://api.moonshot.cn/v1"),
        "https://api.kimi.com/coding/v1",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_config_that_the_agent_can_not_use_is_refused_with_the_part_that_is_wrong(name: str) -> None:
    agent, grant, cause = WRONG[name]
    with pytest.raises(AgentError, match=cause) as caught:
        agent_config.generate(agent, grant, KimiDockerConfig(), hook="true")
    assert caught.value.kind is Failure.MODEL
    assert "sk-" not in str(caught.value)


def test_the_machines_loopback_is_reached_on_its_own_network() -> None:
    local = replace(KEY, base_url="http://localhost:8080/v1")
    assert document("kimi-code", local, network="host")["providers"]["nanokimi"]["base_url"] == local.base_url


def test_a_model_that_nobody_defines_and_a_provider_that_nobody_defines_are_named() -> None:
    with pytest.raises(AgentError, match='ask for the model "kimi-latest"'):
        agent_config.check(KimiCode(), {"default_model": "kimi-latest", "models": {}})
    models = {"a": {"provider": "b", "model": "c", "max_context_size": 1}}
    with pytest.raises(AgentError, match='provider "b" of the model "a" is not among'):
        agent_config.check(KimiCode(), {"default_model": "a", "models": models, "providers": {}})


def test_a_config_is_shown_without_its_secrets() -> None:
    text = agent_config.generate(KimiCode(), KEY, KimiDockerConfig(), hook="true")
    assert "sk-secret" not in repr(text)
    seen = agent_config.read(text.text.get_secret_value(), "kimi-code 2.1.0", "/x/config.toml")
    assert "sk-secret" not in repr(seen)
    assert (seen.providers[0].has_key, seen.providers[0].has_oauth) == (True, False)
    with pytest.raises(AgentError, match="not TOML"):
        agent_config.read("= no", "kimi-code", "/x")


@pytest.mark.parametrize(
    ("agent", "version", "cause"),
    [
        ("kimi-cli", "1.52.0", "downloads and runs a remote installer"),
        ("kimi-cli", "1.9.0", "knows 1.51.x"),
        ("kimi-code", "3.0.0", "knows 2.1.x"),
        ("kimi-code", "", "without a version"),
    ],
)
def test_other_versions_of_an_agent_are_refused_with_the_reason(agent: str, version: str, cause: str) -> None:
    with pytest.raises(AgentError, match=cause) as caught:
        AGENTS[agent].check_version(version)
    assert caught.value.remedy == "build the image again: nanokimi image build"


def test_the_pinned_versions_are_known() -> None:
    KimiCode().check_version("2.1.0")
    KimiCli().check_version("1.51.0")


def test_no_agent_is_started_bare() -> None:
    for agent in AGENTS.values():
        assert agent.command[1:] == ("acp",)
