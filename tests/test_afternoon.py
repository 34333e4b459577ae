"""From nothing to a plugin that works: made, installed, tested and used in a fresh virtual environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed.fresh import Fresh, build, free_name


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheels"))


@pytest.fixture
def fresh(tmp_path: Path, wheel: Path) -> Fresh:
    fresh = Fresh(tmp_path)
    fresh.install(wheel)
    return fresh


def made(fresh: Fresh, kind: str, name: str) -> Path:
    """Make a plugin, install it with its tests, and run them; gives its folder."""
    fresh.nanokimi("plugins", "new", kind, name)
    folder = fresh.home / f"nanokimi-{kind}-{name}"
    fresh.install(f"{folder}[test]")
    said = fresh.pytest(folder)
    assert " passed" in said
    assert "failed" not in said
    return folder


def conforms(fresh: Fresh, name: str) -> None:
    """Check it as installed: on both loops, and with nothing that failed."""
    report = json.loads(fresh.nanokimi("plugins", "check", name, "--json"))
    (plugin,) = report["plugins"]
    assert report["ok"]
    assert plugin["rig"]
    passed = [found for found in plugin["findings"] if found["outcome"] == "passed"]
    assert {found["loop"] for found in passed} == {"", "asyncio", "trio"}
    assert len(passed) > 20


def listed(fresh: Fresh, name: str) -> tuple[str, str]:
    plugins = {plugin["name"]: plugin for plugin in json.loads(fresh.nanokimi("plugins", "--json"))["plugins"]}
    return plugins[name]["distribution"], plugins[name]["state"]


def test_a_new_transport_answers_the_first_message_of_its_network_after_one_line_in_the_toml(fresh: Fresh) -> None:
    name = free_name()
    made(fresh, "transport", name)
    assert listed(fresh, name) == (f"nanokimi-transport-{name}", "not enabled")
    conforms(fresh, name)
    fresh.toml(f'transports = ["{name}"]\n')
    assert listed(fresh, name)[1] == "enabled"
    network = fresh.start(fresh.program("python"), "-m", f"nanokimi_transport_{name}.network")
    with network as people, fresh.start(fresh.program("nanokimi"), "run") as assistant:
        people.until("listening on ")
        people.type(assistant.until(r"/owner [\w-]+")[0])
        people.until("You are my owner now")
        people.type("good morning")
        people.until("^good morning$")
        assert assistant.end() == 0


def test_a_new_backend_answers_and_remembers_after_one_line_in_the_toml(fresh: Fresh) -> None:
    made(fresh, "backend", "parrot")
    conforms(fresh, "parrot")
    fresh.toml('backend = "parrot"\n')
    assert listed(fresh, "parrot") == ("nanokimi-backend-parrot", "enabled")
    assert "good morning" in fresh.nanokimi("chat", "--once", "good morning")
    assert "good morning" in fresh.nanokimi("chat", "--once", "what was that?")


def test_a_new_account_takes_a_key_after_one_line_in_the_toml(fresh: Fresh) -> None:
    made(fresh, "auth", "purse")
    conforms(fresh, "purse")
    fresh.toml('auth = "purse"\n')
    fresh.nanokimi("auth", "set-key", said="key-abcdefghijklmnop\n")
    (account,) = json.loads(fresh.nanokimi("auth", "status", "--json"))["accounts"]
    assert (account["name"], account["state"], account["who"]) == ("purse", "ok", "…mnop")
