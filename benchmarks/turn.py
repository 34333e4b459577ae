"""What NanoKimi adds to a turn: against the same prompt sent straight over ACP to the same kind of container.

    PYTHONPATH=tests uv run --all-packages python benchmarks/turn.py [runs]

The baseline is a clone of NanoKimi's own container (made from what the engine tells of it, with empty folders of its
own), driven by a few lines over a blocking socket. Both sides take turns, with the same local model server, which runs
in a process of its own. Medians; all times in milliseconds.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import docker  # type: ignore[import-untyped]

from nanokimi_backend_kimi_docker.container import LABEL
from nanokimi_core import Inbound, Inbox, Outbound, Receipt, Spec, Traits
from nanokimi_core.config import Location, Settings
from nanokimi_core.plugins import PluginHost, installed
from nanokimi_core.runtime import Assistant
from testbed import engine as test_engine
from testbed.cloud import Cloud
from testbed.fakes import plugin, providing

KEY = "sk-benchmark-0123456789abcdef"
PROMPT = "Say hello."
WARM_UP = 3


def main(runs: int) -> None:
    """Measure, and print one JSON line for each kind of turn."""
    image = test_engine.image()
    with tempfile.TemporaryDirectory() as folder, model_server() as base_url:
        os.environ["MOONSHOT_API_KEY"] = KEY
        anyio.run(measure, Path(folder), image, base_url, runs)


@contextmanager
def model_server() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().decode().strip()
        finally:
            server.terminate()


def serve() -> None:
    with Cloud() as cloud:
        cloud.add_key(KEY)
        print(cloud.base_url_platform, flush=True)
        sys.stdin.read()


class Net:
    """A transport that notes when an answer begins and when it is there."""

    traits = Traits(draft_interval=0)

    def __init__(self) -> None:
        self.connected = anyio.Event()
        self.began: dict[str, float] = {}
        self.over = anyio.Event()
        self.inbox: Inbox | None = None

    async def run(self, inbox: Inbox) -> None:
        self.inbox = inbox
        self.connected.set()
        await anyio.sleep_forever()

    async def draft(self, message: Outbound) -> None:
        self.began.setdefault(message.chat, time.perf_counter())

    async def send(self, message: Outbound) -> Receipt | None:
        self.began.setdefault(message.chat, time.perf_counter())
        self.over.set()
        return None

    async def ask(self, chat: str) -> float:
        """Give the time from ``deliver`` to the first words of the answer."""
        assert self.inbox is not None
        self.began.pop(chat, None)
        self.over = anyio.Event()
        start = time.perf_counter()
        await self.inbox.deliver(Inbound("1", chat, "ana", PROMPT))
        with anyio.fail_after(60):
            await self.over.wait()
        return self.began[chat] - start


@asynccontextmanager
async def assistant(folder: Path, image: str, base_url: str) -> AsyncIterator[tuple[Assistant, Net]]:
    net = Net()
    host = PluginHost([*installed(), plugin("net", providing(transports=[Spec("net", lambda config, context: net)]))])
    toml = {
        "transports": ["net"],
        "backend": "kimi_docker",
        "auth": "apikey",
        "chats": {"net:*": {}},
        "limits": {"max_warm": 1},
        "plugins": {"kimi_docker": {"network": "host", "image": image}, "apikey": {"base_url": base_url}},
    }
    made = Assistant(Settings.model_validate(toml), Location(None, folder / "data"), host)
    made.prepare()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(made.run)
        await net.connected.wait()
        yield made, net
        made.stop()


async def measure(folder: Path, image: str, base_url: str, runs: int) -> None:
    async with assistant(folder, image, base_url) as (made, net):
        await net.ask("warm")
        pattern = await anyio.to_thread.run_sync(see, made.folder.installation)
        bare = await anyio.to_thread.run_sync(Bare, pattern, folder / "bare")
        await anyio.to_thread.run_sync(bare.start)
        warm: list[tuple[float, float]] = []
        for number in range(runs * 4 + WARM_UP):
            times = (await anyio.to_thread.run_sync(bare.prompt), await net.ask("warm"))
            if number >= WARM_UP:
                warm.append(times)
        await anyio.to_thread.run_sync(bare.close)
        report("warm turn, first token", warm)
        backend = made.instances["backend kimi_docker"].value
        cold = []
        for number in range(runs + 1):
            pair = (await anyio.to_thread.run_sync(bare_start, pattern, folder / f"bare{number}"), 0.0)
            seat = made.conversation.seats.seat(f"net:cold{number}", made.settings.rules(["net:cold"]))
            start = time.perf_counter()
            async with backend.session(seat.chat):
                pair = (pair[0], time.perf_counter() - start)
            if number:
                cold.append(pair)
        report("cold start, session open", cold)


def report(what: str, pairs: list[tuple[float, float]]) -> None:
    bare, ours = (statistics.median(side) * 1000 for side in zip(*pairs, strict=True))
    line = {"what": what, "runs": len(pairs), "bare_ms": round(bare, 2), "nanokimi_ms": round(ours, 2)}
    print(json.dumps(line | {"added_ms": round(ours - bare, 2), "ratio": round(ours / bare, 3)}), flush=True)


# ----------------------------------------------------------------- the baseline
def see(installation: str) -> dict[str, Any]:
    """What the engine tells of NanoKimi's container."""
    client = docker.APIClient(version="auto")
    try:
        (found,) = client.containers(filters={"label": f"{LABEL}installation={installation}"})
        return dict(client.inspect_container(found["Id"]))
    finally:
        client.close()


def bare_start(pattern: dict[str, Any], folder: Path) -> float:
    """Give the time of create, attach, start, ``initialize`` and ``session/new``."""
    bare = Bare(pattern, folder)
    start = time.perf_counter()
    bare.start()
    took = time.perf_counter() - start
    bare.close()
    return took


class Bare:
    """A clone of a container, and ACP over a blocking socket."""

    def __init__(self, pattern: dict[str, Any], folder: Path) -> None:
        self._client = docker.APIClient(version="auto", timeout=60)
        uid, _, gid = pattern["Config"]["User"].partition(":")
        self._settings = {
            name: pattern["Config"][name] for name in ("Image", "Cmd", "Env", "User", "WorkingDir", "Entrypoint")
        }
        self._settings |= {"OpenStdin": True, "AttachStdin": True, "AttachStdout": True, "AttachStderr": True}
        self._settings["HostConfig"] = dict(pattern["HostConfig"])
        self._settings["HostConfig"]["Mounts"] = [
            mount if mount.get("ReadOnly") else mount | {"Source": str(self._own(folder, mount, int(uid), int(gid)))}
            for mount in pattern["HostConfig"]["Mounts"]
        ]
        self._number = 0
        self._pending = b""

    def _own(self, folder: Path, mount: dict[str, Any], uid: int, gid: int) -> Path:
        """An empty folder in the place of one that NanoKimi's agent writes to."""
        own = folder / Path(mount["Target"]).name.lstrip(".")
        own.mkdir(parents=True)
        os.chown(own, uid, gid)
        return own

    def start(self) -> None:
        self._container = self._client.create_container_from_config(self._settings)["Id"]
        how = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        raw: Any = self._client.attach_socket(self._container, how)
        self._raw = raw
        self._socket: socket.socket = raw._sock
        self._socket.settimeout(60)
        self._client.start(self._container)
        self._ask("initialize", {"protocolVersion": 1, "clientCapabilities": {}})
        self._session = self._ask("session/new", {"cwd": "/workspace", "mcpServers": []})["sessionId"]

    def prompt(self) -> float:
        """Give the time to the first words of the answer."""
        start = time.perf_counter()
        began = 0.0
        text = [{"type": "text", "text": f"[ana] {PROMPT}"}]
        number = self._send("session/prompt", {"sessionId": self._session, "prompt": text})
        for message in self._messages():
            update = message.get("params", {}).get("update", {}).get("sessionUpdate")
            if update == "agent_message_chunk" and not began:
                began = time.perf_counter()
            if message.get("id") == number:
                if not began:
                    raise ConnectionError(f"the agent said nothing: {message}")
                return began - start
        raise ConnectionError("the agent ended")

    def close(self) -> None:
        self._raw.close()
        self._client.remove_container(self._container, force=True, v=True)
        self._client.close()

    def _ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        number = self._send(method, params)
        return next(dict(message["result"]) for message in self._messages() if message.get("id") == number)

    def _send(self, method: str, params: dict[str, Any]) -> int:
        self._number += 1
        message = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        self._socket.sendall(json.dumps(message).encode() + b"\n")
        return self._number

    def _messages(self) -> Iterator[dict[str, Any]]:
        while True:
            while b"\n" in self._pending:
                line, _, self._pending = self._pending.partition(b"\n")
                yield json.loads(line)
            stream, size = struct.unpack(">B3xI", self._exactly(8))
            data = self._exactly(size)
            if stream == 1:
                self._pending += data

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._socket.recv(size - len(data))
            if not piece:
                raise ConnectionError("the agent ended")
            data += piece
        return data


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 7)
