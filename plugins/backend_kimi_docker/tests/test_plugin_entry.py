"""The plugin's way in: one hook, and nothing heavy before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import nanokimi_backend_kimi_docker as package
from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from testbed.cloud import Cloud
from testbed.kimi import Bench


def test_the_hook_names_the_backend_with_its_settings_and_checks() -> None:
    [spec] = package.nanokimi_backends()
    assert (spec.name, spec.config) == ("kimi_docker", KimiDockerConfig)
    assert spec.check is not None


def test_importing_it_brings_neither_docker_nor_acp() -> None:
    code = "import sys, nanokimi_backend_kimi_docker; print(sorted({'docker', 'acp', 'requests'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.anyio
async def test_a_backend_is_made_without_an_engine_and_says_when_it_was_not_entered(
    tmp_path_factory: pytest.TempPathFactory, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("n")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/nobody.sock")
    bench = Bench(folder, cloud, "no/image:1")
    backend = package.create(bench.config(), bench.context)
    assert await backend.room() == 1
    assert await backend.logs(bench.chat(), lines=5) == ""
    with pytest.raises(RuntimeError, match="not been entered"):
        backend.probe(bench.chat(), "hello")
    with pytest.raises(RuntimeError, match="not been entered"):
        async with backend.session(bench.chat()):
            pass
