"""What doctor says about the engine: each thing that can be wrong, with its remedy."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from nanokimi_backend_kimi_docker import checks, trial
from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from nanokimi_backend_kimi_docker.image.recipe import Recipe
from nanokimi_backend_kimi_docker.mounts import User
from nanokimi_core import Check
from testbed.engine import config

pytestmark = pytest.mark.anyio
NODE = User((1000, 1000), (1000, 1000), (1000, 1000))


class PlainContext:
    name = "kimi_docker"
    assistant = "Kai"
    installation = "test-of-checks"
    log = logging.LoggerAdapter(logging.getLogger("test"))

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def tell_owner(self, key: str, text: str) -> None:
        raise AssertionError


@pytest.fixture
def context(tmp_path: Path) -> PlainContext:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return PlainContext(folder)


def by_name(found: Sequence[Check]) -> dict[str, Check]:
    return {check.name.removeprefix("kimi_docker: "): check for check in found}


async def only(config: KimiDockerConfig, context: PlainContext) -> Check:
    (found,) = await checks.check(config, context)
    assert (found.name, found.outcome) == ("kimi_docker: engine", "failed")
    return found


# --------------------------------------------------------------------- an engine that can't be used
async def test_an_engine_on_another_machine_is_refused(context: PlainContext, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("tcp://10.0.0.9:2375", "ssh://somebody@elsewhere"):
        monkeypatch.setenv("DOCKER_HOST", address)
        found = await only(KimiDockerConfig(), context)
        assert address in found.cause
        assert "DOCKER_HOST" in found.remedy


async def test_no_docker_at_all_is_said(context: PlainContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = await only(KimiDockerConfig(), context)
    assert found.cause == "Docker is not installed"
    assert "install" in found.remedy


async def test_an_engine_that_is_not_running_is_said(
    context: PlainContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    docker = tmp_path / "docker"
    docker.touch(mode=0o755)
    place = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(place))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{place}")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = await only(KimiDockerConfig(), context)
    assert found.cause == f"no engine answers at {place}: Connection refused"
    assert "systemctl start docker" in found.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which takes root")
def test_a_user_who_may_not_use_the_engine_learns_the_group() -> None:
    script = (
        "import os, sys; from nanokimi_backend_kimi_docker import checks\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "print(checks._reach('engine'))"
    )
    with socket.socket(socket.AF_UNIX) as listening, tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        place = Path(folder) / "docker.sock"
        listening.bind(str(place))
        listening.listen()
        place.chmod(0o660)
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "DOCKER_HOST": f"unix://{place}"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert "may not use the engine" in done.stdout, done.stderr
    assert "sudo usermod -aG docker nobody" in done.stdout


# --------------------------------------------------------------------- what an engine says of itself
def test_an_old_engine_is_a_warning() -> None:
    found = checks.version("engine", {"ApiVersion": "1.39", "Version": "18.09.1"}, {})
    assert (found.outcome, "18.09.1" in found.cause) == ("warning", True)
    assert checks.version("engine", {"ApiVersion": "1.41", "Version": "20.10.24"}, {}).outcome == "ok"


def test_a_rootless_engine_is_named() -> None:
    info = {"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"]}
    assert "rootless" in checks.version("engine", {"ApiVersion": "1.51", "Version": "29.0.0"}, info).cause


@pytest.mark.parametrize(
    ("info", "words", "remedy"),
    [
        ({"MemoryLimit": False, "CpuCfsQuota": True, "PidsLimit": True}, "memory:", "cgroup_enable=memory"),
        ({"MemoryLimit": True, "CpuCfsQuota": True, "PidsLimit": False}, "processes:", "kernel"),
        (
            {"MemoryLimit": True, "CgroupDriver": "none", "SecurityOptions": ["name=rootless"]},
            "memory, processors, processes:",
            "delegate",
        ),
    ],
)
def test_limits_that_the_engine_would_drop_are_a_warning(info: dict[str, Any], words: str, remedy: str) -> None:
    found = checks.limits("limits", info)
    assert (found.outcome, words in found.cause, remedy in found.remedy) == ("warning", True, True)


@pytest.mark.parametrize(
    ("info", "remedy"),
    [
        ({"SecurityOptions": ["name=userns"]}, "userns-remap"),
        ({"SecurityOptions": ["name=selinux"]}, "sudo chcon -R -t container_file_t /srv/kai"),
        ({"OperatingSystem": "Docker Desktop"}, "File sharing"),
        ({"DockerRootDir": "/var/snap/docker/common/var-lib-docker"}, "snap"),
        ({}, "sudo chown -R 1000:1000 /srv/kai"),
    ],
)
def test_a_container_that_cannot_write_has_the_remedy_of_its_cause(info: dict[str, Any], remedy: str) -> None:
    assert remedy in trial.remedy(info, Path("/srv/kai"), NODE)


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a socket of another user, which takes root")
def test_a_rootless_engine_of_another_user_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "docker.sock"
    place.touch()
    os.chown(place, 1234, 1234)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{place}")
    told = trial.remedy({"SecurityOptions": ["name=rootless"]}, tmp_path, NODE)
    assert told.startswith("run NanoKimi as uid 1234")


# --------------------------------------------------------------------- a real engine
@pytest.fixture
def no_container_stays(engine: Any) -> Iterator[None]:
    yield
    label = f"org.nanokimi.installation={PlainContext.installation}"
    assert engine.containers(all=True, filters={"label": label}) == []


@pytest.mark.engine
@pytest.mark.parametrize("agent", ["kimi-code", "kimi-cli"])
async def test_all_is_well_on_this_machine(
    agent: str, context: PlainContext, kimi_image: str, kimi_cli_image: str, no_container_stays: None
) -> None:
    found = by_name(await checks.check(config(agent, memory="64m"), context))
    assert {name: check.outcome for name, check in found.items()} == dict.fromkeys(
        ("engine", "limits", "network", "memory", "image", "container"), "ok"
    )
    assert found["container"].cause.endswith("starts, and can use the data folder")
    assert [path.name for path in context.folder.rglob("*")] == ["running"]


@pytest.mark.engine
async def test_a_missing_image_is_a_failure_with_the_command_that_builds_it(context: PlainContext) -> None:
    missing = KimiDockerConfig.model_validate({"build": {"python_image": "nanokimi-test/nowhere:1"}})
    found = by_name(await checks.check(missing, context))
    assert "container" not in found
    assert found["image"].outcome == "failed"
    assert Recipe.of(missing.agent, missing.build).name in found["image"].cause
    assert found["image"].remedy == "build it with: nanokimi image build"


@pytest.mark.engine
async def test_a_missing_image_of_the_owners_own_is_not_for_nanokimi_to_build(context: PlainContext) -> None:
    found = by_name(await checks.check(KimiDockerConfig(image="nanokimi-test/nowhere:1"), context))
    assert found["image"].outcome == "failed"
    assert "nanokimi image build" not in found["image"].remedy


@pytest.mark.engine
@pytest.mark.parametrize(
    ("network", "outcome", "remedy"),
    [
        ("host", "warning", '"bridge"'),
        ("none", "warning", '"bridge"'),
        ("nanokimi-test-nowhere", "failed", "docker network create nanokimi-test-nowhere"),
    ],
)
async def test_a_network_that_is_no_good_is_said(
    network: str, outcome: str, remedy: str, context: PlainContext, kimi_image: str
) -> None:
    found = by_name(await checks.check(config(network=network), context))
    assert (found["network"].outcome, remedy in found["network"].remedy) == (outcome, True)
    assert ("container" in found) == (outcome == "warning")


@pytest.mark.engine
async def test_a_container_larger_than_the_machine_is_a_warning(context: PlainContext, kimi_image: str) -> None:
    found = by_name(await checks.check(config(memory="64t"), context))["memory"]
    assert (found.outcome, "64t" in found.cause, "memory" in found.remedy) == ("warning", True, True)


@pytest.mark.engine
async def test_an_image_without_a_shell_is_a_failure(
    context: PlainContext, engine: Any, no_container_stays: None
) -> None:
    engine.import_image_from_data(b"\0" * 10240, repository="nanokimi-test/empty", tag="1")
    try:
        found = by_name(await checks.check(KimiDockerConfig(image="nanokimi-test/empty:1"), context))
    finally:
        engine.remove_image("nanokimi-test/empty:1", force=True)
    assert found["image"].outcome == "ok"
    assert found["container"].outcome == "failed"
    assert "can't run a shell" in found["container"].cause
    assert "leave out image" in found["container"].remedy


@pytest.mark.engine
async def test_an_image_of_another_agent_is_a_failure(context: PlainContext, kimi_cli_image: str) -> None:
    found = by_name(await checks.check(KimiDockerConfig(image=kimi_cli_image), context))["container"]
    assert found.outcome == "failed"
    assert found.cause.endswith("has no kimi-code")
