"""The Docker Engine of this machine and the product's image for the tests; ``python -m testbed.engine`` makes it.

Where the stand-ins for the public base images can be made, they are; elsewhere the public images are used.
"""

from __future__ import annotations

import fcntl
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import docker  # type: ignore[import-untyped]
import pytest

from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from nanokimi_backend_kimi_docker.engine import Engine, address
from nanokimi_backend_kimi_docker.image.build import build_image, image_status
from nanokimi_backend_kimi_docker.image.config import BuildConfig
from testbed import images

AGENTS = ("kimi-code", "kimi-cli")
WAIT_SECONDS = 1500


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def connected() -> Iterator[Any]:
    """A ``docker.APIClient``."""
    client = docker.APIClient(base_url=address(), version="auto", timeout=images.BUILD_SECONDS)
    try:
        yield client
    finally:
        client.close()


@cache
def build_config() -> BuildConfig:
    """What the product's image is built from on this machine; makes the stand-ins where they are missing."""
    with one_at_a_time(), connected() as client:
        if images.why_not():
            return BuildConfig()
        bases = images.make(client, say)
    return BuildConfig(python_image=bases.python, node_image=bases.node, network="host")


def config(agent: str = "kimi-code", **settings: Any) -> KimiDockerConfig:
    """The plugin's settings with which the image of an agent is found, or can be built, on this machine."""
    return KimiDockerConfig.model_validate({"agent": agent, "build": build_config(), **settings})


def image(agent: str = "kimi-code") -> str:
    """The name of an agent's image, which is built where it is missing."""
    settings = config(agent)
    with one_at_a_time():
        return anyio.run(_made, settings)


async def _made(settings: KimiDockerConfig) -> str:
    engine = Engine()
    try:
        status = await image_status(engine, settings)
        if not status.present:
            say(f"making {status.name}")
            async with aclosing(build_image(settings)) as steps:
                async for step in steps:
                    say(f"  {step.done}/{step.total} {step.text}")
    finally:
        engine.close()
    return status.name


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Keeps two test processes from building the same thing at once."""
    path = Path(tempfile.gettempdir()) / f"{images.PREFIX}-images.lock"
    with path.open("a") as file:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
        yield


@pytest.fixture(scope="session")
def engine() -> Iterator[Any]:
    """The engine as a ``docker.APIClient``; for tests marked ``engine``."""
    with connected() as client:
        yield client


@pytest.fixture(scope="session")
def kimi_image() -> str:
    """The name of the image with kimi-code."""
    return image("kimi-code")


@pytest.fixture(scope="session")
def kimi_cli_image() -> str:
    """The name of the image with kimi-cli."""
    return image("kimi-cli")


def main() -> None:
    for agent in AGENTS:
        say(f"{agent}: {image(agent)}")


if __name__ == "__main__":
    main()
