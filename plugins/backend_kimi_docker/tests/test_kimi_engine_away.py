"""The engine stopped and started again: on a second engine, for the machine's own has other work to do."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import docker  # type: ignore[import-untyped]
import pytest

from nanokimi_core import AgentError, Failure
from testbed.cloud import Cloud, Say
from testbed.kimi import SECONDS, Bench, ask, turn

pytestmark = [pytest.mark.anyio, pytest.mark.engine]

START_SECONDS = 60


class SecondEngine:
    """A Docker Engine of this test's own, with a bridge of its own.

    Without one it would use that of the machine's engine, and with ``--bridge=none`` it would delete it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.address = f"unix://{root}/docker.sock"
        self.bridge = f"nk{os.getpid()}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> SecondEngine:
        for step in (f"link add {self.bridge} type bridge", f"addr add 198.18.77.1/24 dev {self.bridge}"):
            subprocess.run(["ip", *step.split()], check=True)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        subprocess.run(["ip", "link", "delete", self.bridge], check=True)
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in sorted((mount for mount in mounts if mount.startswith(f"{self.root}/")), reverse=True):
            subprocess.run(["umount", mount], check=True)
        shutil.rmtree(self.root)

    def start(self) -> None:
        root = self.root
        command = ["dockerd", "--host", self.address, "--data-root", f"{root}/data", "--exec-root", f"{root}/exec"]
        command += ["--pidfile", f"{root}/pid", f"--bridge={self.bridge}", "--iptables=false", "--ip-forward=false"]
        command += ["--config-file", f"{root}/none.json"]
        (root / "none.json").write_text("{}")
        with (root / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._wait()

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_SECONDS)
            self._process = None

    def take_over(self, image: str) -> None:
        """Copy an image from the machine's engine."""
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saving:
            subprocess.run(["docker", "--host", self.address, "load"], stdin=saving.stdout, check=True, timeout=200)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if subprocess.run(["docker", "--host", self.address, "version"], capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        raise TimeoutError((self.root / "log").read_text()[-2000:])


@pytest.fixture
def bridge(engine: Any) -> Iterator[str]:
    name = f"nkt{secrets.token_hex(4)}"
    network = engine.create_network(name, options={"com.docker.network.bridge.name": name})
    yield name
    engine.remove_network(network["Id"])


@pytest.fixture
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecondEngine]:
    if os.getuid() != 0:
        pytest.skip("only root can start a second Docker Engine")
    before = interfaces()
    with SecondEngine(tmp_path_factory.mktemp("e")) as engine:
        yield engine
    assert interfaces() >= before


def interfaces() -> set[str]:
    """The machine's bridges: those of its own engine must survive."""
    return {path.parent.name for path in Path("/sys/class/net").glob("*/bridge")}


async def test_a_turn_during_which_the_engine_stops_fails_with_its_name_and_all_goes_on_afterwards(
    second: SecondEngine, kimi_image: str, tmp_path: Path, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    second.take_over(kimi_image)
    monkeypatch.setenv("DOCKER_HOST", second.address)
    bench = Bench(tmp_path, cloud, kimi_image)
    chat = bench.chat()
    async with bench.backend() as backend:
        async with backend.session(chat) as session:
            await ask(session, "my word is zebra")
            cloud.script(Say("one two three four", delay_between_chunks=1.0))

            async def count() -> None:
                async with aclosing(session.prompt(turn("count"))) as stream:  # type: ignore[type-var]
                    async for _ in stream:
                        await anyio.to_thread.run_sync(second.stop)

            with pytest.raises(AgentError) as caught, anyio.fail_after(SECONDS):
                await count()
            assert caught.value.kind is Failure.ENGINE
            with pytest.raises(AgentError, match="no engine answers") as caught, anyio.fail_after(SECONDS):
                await ask(session, "hello")
            assert caught.value.kind is Failure.ENGINE
            assert "start Docker" in caught.value.remedy
            await anyio.to_thread.run_sync(second.start)
            assert "zebra" in await ask(session, "what did I say")
        client: Any = docker.APIClient(base_url=second.address)
        assert bench.containers(client) == []
        client.close()


async def test_an_engine_on_another_machine_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    async with bench.backend() as backend:
        with pytest.raises(AgentError, match=r"tcp://192\.0\.2\.1") as caught:
            async with backend.session(bench.chat()):
                pass
    assert caught.value.kind is Failure.ENGINE
    assert "DOCKER_HOST" in caught.value.remedy
