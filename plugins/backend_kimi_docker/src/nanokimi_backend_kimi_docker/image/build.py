"""Looks for the image, and builds it."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from typing import Any

import anyio
import requests
import urllib3
from docker.errors import DockerException  # type: ignore[import-untyped]

from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from nanokimi_backend_kimi_docker.engine import Engine, ImageNotFound
from nanokimi_backend_kimi_docker.image.buildlog import BuildLog
from nanokimi_backend_kimi_docker.image.recipe import LABEL, Recipe
from nanokimi_core import AgentError, Failure, ImageStatus, Progress

SILENCE = 600.0  # a step may download for that long without a word
LIMIT = 3600.0
_CLOSING_SECONDS = 10.0
_MEGABYTE = 1_000_000
_RUNNING = re.compile(r" ---> Running in ([0-9a-f]+)")
# Only what no build of the last minutes can still need: another installation may be building at this moment.
_OLD_IMAGES = {"dangling": ["true"], "label": [LABEL], "until": ["10m"]}
_OLD_CONTAINERS = {"label": [f"{LABEL}=part"], "until": ["10m"]}


def image_name(config: KimiDockerConfig) -> str:
    """Say which image the containers run from: the toml's, or the one that ``build_image`` makes."""
    return config.image or Recipe.of(config.agent, config.build).name


async def image_status(engine: Engine, config: KimiDockerConfig) -> ImageStatus:
    """Look for the image.

    Raises:
        AgentError: The engine can't be asked.
    """
    name = image_name(config)
    own = config.image is not None
    download = "" if own else Recipe.of(config.agent, config.build).download
    try:
        found = await engine.call(lambda client: client.inspect_image(name), "look for the image")
    except ImageNotFound:
        return ImageStatus(name, present=False, download=download, buildable=not own)
    made = str(found["Created"])[:16].replace("T", " ")
    detail = f"made {made} UTC, {found['Size'] // _MEGABYTE} MB"
    if labels := (found["Config"].get("Labels") or {}).get(LABEL):
        detail = f"{detail}, {labels}"
    return ImageStatus(name, present=True, detail=detail, download=download, buildable=not own)


def build_image(config: KimiDockerConfig, *, fresh: bool = False) -> AsyncGenerator[Progress, None]:
    """Build the image that the settings call for; leaving the iteration stops the build.

    Args:
        config: The plugin's settings.
        fresh: Without the engine's cache, and with the newest of the public base images.

    Raises:
        AgentError: The build failed, or the image is the owner's own; the detail has the build's last lines.
    """
    if config.image is not None:
        raise AgentError(
            Failure.ENGINE,
            f'"{config.image}" is an image of your own, which NanoKimi does not build',
            remedy="leave out image in [plugins.kimi_docker] to use the one that NanoKimi builds",
        )
    return build(Recipe.of(config.agent, config.build), fresh=fresh)


async def build(recipe: Recipe, *, fresh: bool = False) -> AsyncGenerator[Progress, None]:
    """Build an image.

    Raises:
        AgentError: The build failed.
    """
    log = BuildLog(recipe)
    engine = Engine(timeout=SILENCE)
    stream = _Stream(recipe, fresh=fresh)
    deadline = anyio.current_time() + LIMIT
    try:
        await engine.call(stream.open, "start building the image")
        while (event := await engine.call(stream.next, "build the image")) is not None:
            if (step := log.read(event)) is not None:
                yield step
            if anyio.current_time() > deadline:
                raise AgentError(Failure.ENGINE, f"building the image took longer than {LIMIT / 60:.0f} minutes")
        with suppress(AgentError):  # another one is cleaning up: the image is there all the same
            await engine.call(_tidy, "remove older parts of the image")
        yield Progress("done", 1, 1)
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(stream.close)
        engine.close()


def _tidy(client: Any) -> None:
    client.prune_containers(_OLD_CONTAINERS)
    client.prune_images(_OLD_IMAGES)


class _Stream:
    """What the engine says during one build; its methods block and run in worker threads.

    docker-py hands out a generator that can't be stopped while it waits. The connection below it can: that ends the
    wait, and the engine gives up a build that nobody listens to.
    """

    def __init__(self, recipe: Recipe, *, fresh: bool) -> None:
        self._recipe = recipe
        self._fresh = fresh
        self._events: Iterator[dict[str, Any]] = iter(())
        self._client: Any = None
        self._response: Any = None
        self._container = ""
        self._closed = False
        self._using = threading.Lock()

    def open(self, client: Any) -> None:
        self._client = client
        client.hooks["response"].append(self._keep)
        recipe = self._recipe
        with self._using:
            self._events = client.build(
                fileobj=io.BytesIO(recipe.context()),
                custom_context=True,
                tag=recipe.name,
                buildargs=recipe.arguments(),
                network_mode=recipe.build.network,
                nocache=self._fresh,
                pull=self._fresh and recipe.public_bases,
                rm=True,
                forcerm=True,
                decode=True,
            )
        client.hooks["response"].remove(self._keep)

    def next(self, client: Any) -> dict[str, Any] | None:
        with self._using:
            try:
                event = next(self._events, None)
            except (urllib3.exceptions.HTTPError, ValueError, AttributeError) as error:
                raise ConnectionError(f"the engine stopped in the middle of it: {error}") from error
        if event is not None and (match := _RUNNING.match(str(event.get("stream", "")))):
            self._container = match[1]
        return event

    def close(self) -> None:
        self._closed = True
        if self._response is None:
            return
        with suppress(ValueError, RuntimeError, OSError):
            self._response.raw.shutdown()
        if self._using.acquire(timeout=_CLOSING_SECONDS):
            self._response.close()
            self._using.release()
        if self._container:  # the engine forgets one that was just starting when the build ended
            with suppress(DockerException, requests.RequestException, OSError):
                self._client.remove_container(self._container, force=True, v=True)

    def _keep(self, response: Any, **options: Any) -> None:
        self._response = response
        if self._closed:
            response.close()
