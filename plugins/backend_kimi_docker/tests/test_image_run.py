"""What the built images can do under the hardening that every agent runs under, on a real engine."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest

from nanokimi_backend_kimi_docker.image.releases import RELEASES, Release

pytestmark = pytest.mark.engine
SECONDS = 60
USERS = ["1000:1000", "1234:1234", "0:0"]
WARM = (resources.files("nanokimi_backend_kimi_docker.image") / "context/install/warm.py").read_text()
AGENTS = {"kimi-code": "kimi_image", "kimi-cli": "kimi_cli_image"}


@pytest.fixture(params=AGENTS)
def release(request: pytest.FixtureRequest) -> Release:
    return RELEASES[request.param]


@pytest.fixture
def image(release: Release, request: pytest.FixtureRequest) -> str:
    name: str = request.getfixturevalue(AGENTS[release.agent])
    return name


def run(engine: Any, image: str, *command: str, user: str = "1000:1000", **environment: str) -> tuple[int, str, str]:
    """Run a command hardened, and give its exit code, standard output and standard error."""
    uid, gid = user.split(":")
    host_config = engine.create_host_config(
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        read_only=True,
        init=True,
        pids_limit=256,
        mem_limit=2**30,
        tmpfs={"/tmp": "mode=1777", "/home/node": f"uid={uid},gid={gid},mode=0755", "/workspace": f"uid={uid}"},
        network_mode="none",
    )
    made = engine.create_container(
        image, list(command), user=user, environment=environment, host_config=host_config, labels={"nanokimi-test": ""}
    )
    try:
        engine.start(made)
        code = int(engine.wait(made, timeout=SECONDS)["StatusCode"])
        said = (engine.logs(made, stdout=out, stderr=not out).decode() for out in (True, False))
        return (code, *said)
    finally:
        engine.remove_container(made, force=True, v=True)


@pytest.mark.parametrize("user", USERS)
def test_the_pinned_agent_answers_for_any_user(engine: Any, image: str, release: Release, user: str) -> None:
    code, _, said = run(engine, image, "python3", "-c", WARM, str(release.executable), release.version, user=user)
    assert code == 0, said


def test_the_tools_of_an_agent_are_there(engine: Any, image: str) -> None:
    script = "git --version && rg --version && node --version && npm --version && python3 --version && id -un && pwd"
    code, said, complaint = run(engine, image, "sh", "-c", script)
    assert code == 0, complaint
    assert "ripgrep" in said
    assert "v22." in said
    assert said.splitlines()[-2:] == ["node", "/workspace"]


def test_no_agent_stands_on_the_path(engine: Any, image: str) -> None:
    code, said, _ = run(engine, image, "sh", "-c", "command -v kimi kimi-cli kimi-code")
    assert (code, said) == (127, "")


@pytest.mark.parametrize("user", USERS)
def test_any_user_can_look_into_the_home_and_write_there_and_in_the_workspace(
    engine: Any, image: str, user: str
) -> None:
    script = 'touch "$HOME/a" /workspace/b /tmp/c && git init -q /workspace/r && ! touch /opt/d 2>/dev/null'
    code, _, complaint = run(engine, image, "sh", "-c", script, user=user)
    assert code == 0, complaint


def test_the_home_belongs_to_node_and_anybody_may_traverse_it(engine: Any, kimi_image: str) -> None:
    made = engine.create_container(kimi_image, ["stat", "-c", "%U %a %n", "/home/node", "/workspace"])
    try:
        engine.start(made)
        engine.wait(made, timeout=SECONDS)
        assert engine.logs(made, stderr=False).decode() == "node 755 /home/node\nnode 755 /workspace\n"
    finally:
        engine.remove_container(made, force=True)


def test_a_missing_config_is_said_in_one_sentence_and_the_command_runs_all_the_same(
    engine: Any, image: str, release: Release
) -> None:
    code, said, complaint = run(engine, image, "sh", "-c", "echo started; exit 7")
    assert (code, said) == (7, "started\n")
    assert complaint == f"nanokimi: the agent's config {release.config} is missing or unreadable for user 1000\n"


def test_a_config_that_is_there_is_not_spoken_of(engine: Any, image: str) -> None:
    said = run(engine, image, "echo", "started", NANOKIMI_AGENT_CONFIG="/etc/hostname")
    assert said == (0, "started\n", "")


@pytest.mark.parametrize("user", USERS)
def test_node_starts_the_agent_from_the_baked_compile_cache(engine: Any, kimi_image: str, user: str) -> None:
    release = RELEASES["kimi-code"]
    command = ("python3", "-c", WARM, str(release.executable), release.version)
    code, said, complaint = run(engine, kimi_image, *command, user=user, NODE_DEBUG_NATIVE="COMPILE_CACHE")
    assert code == 0, complaint
    accepted = [line for line in (said + complaint).splitlines() if "main.mjs was accepted" in line]
    assert len(accepted) == 1


def test_the_baked_compile_cache_belongs_to_root(engine: Any, kimi_image: str) -> None:
    code, said, _ = run(
        engine, kimi_image, "find", "/opt", "!", "-user", "root", "-o", "-perm", "/022", "!", "-type", "l"
    )
    assert (code, said) == (0, "")


def test_nothing_of_how_it_was_built_stays_in_the_image(engine: Any, image: str) -> None:
    about = engine.inspect_image(image)
    kept = {entry.split("=", 1)[0].lower() for entry in about["Config"]["Env"]}
    told = json.dumps([about["Config"], engine.history(image)]).lower()
    assert not kept & {"pip_cert", "node_extra_ca_certs", "ssl_cert_file", "node_compile_cache"}
    assert "proxy" not in told
    assert "token" not in told


def test_telemetry_and_updates_are_off(engine: Any, image: str) -> None:
    kept = set(engine.inspect_image(image)["Config"]["Env"])
    assert {"KIMI_DISABLE_TELEMETRY=1", "KIMI_CODE_NO_AUTO_UPDATE=1", "KIMI_CLI_NO_AUTO_UPDATE=1"} <= kept
