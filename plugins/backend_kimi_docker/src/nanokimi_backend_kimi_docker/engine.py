"""The Docker Engine of this machine: every call in a worker thread, with a time-out, its errors named."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import anyio
import docker  # type: ignore[import-untyped]
import requests
from docker import errors

from nanokimi_core import AgentError, Failure

T = TypeVar("T")

NotFound: type[Exception] = errors.NotFound
ImageNotFound: type[Exception] = errors.ImageNotFound
APIError: type[Exception] = errors.APIError

_THREADS = 8  # fewer than the library keeps connections
_GRACE = 5.0
_CONNECT_SECONDS = 10.0
_REMEDY = "start Docker (for example: sudo systemctl start docker), or set DOCKER_HOST; then: nanokimi doctor"
_RESTART = "restart Docker (for example: sudo systemctl restart docker)"


@dataclass(frozen=True)
class Machine:
    """What an engine says about the machine that it runs on.

    Attributes:
        cpus: How many it has.
        rootless: Whether the engine itself runs as an ordinary user.
    """

    cpus: int
    rootless: bool


class Engine:
    """The engine, connected at the first call and again after it was away.

    Args:
        timeout: Seconds that the engine may be silent during a call.
    """

    def __init__(self, *, timeout: float = 60.0) -> None:
        self._timeout = timeout
        self._limiter = anyio.CapacityLimiter(_THREADS)
        self._client: Any = None
        self._machine: Machine | None = None
        self._connecting = threading.Lock()

    async def call(self, work: Callable[[Any], T], doing: str) -> T:
        """Run ``work`` with a ``docker.APIClient`` in a worker thread.

        Args:
            work: Blocking calls.
            doing: What they do, for errors: "start the container".

        Raises:
            AgentError: The engine can't be reached, refuses, or doesn't answer in time.
            NotFound: It doesn't know the container or image in question.
        """
        limit = self._timeout + _GRACE
        try:
            with anyio.fail_after(limit):
                return await anyio.to_thread.run_sync(
                    lambda: work(self._connected()), abandon_on_cancel=True, limiter=self._limiter
                )
        except TimeoutError as error:
            raise _failure(doing, f"no answer within {limit:g} s", remedy=_RESTART) from error
        except errors.NotFound:
            raise
        except errors.APIError as error:
            raise _failure(doing, str(error.explanation or error), remedy="look at: nanokimi doctor") from error
        except (errors.DockerException, requests.RequestException, OSError) as error:
            raise _failure(doing, *_cause(error)) from error

    async def machine(self) -> Machine:
        """Look at the machine; asked once.

        Raises:
            AgentError: The engine can't be asked.
        """
        if self._machine is None:
            told = await self.call(lambda client: client.info(), "say what machine it is on")
            rootless = any("name=rootless" in option for option in told.get("SecurityOptions") or ())
            self._machine = Machine(int(told["NCPU"]), rootless)
        return self._machine

    def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            self._client.close()

    def _connected(self) -> Any:
        """Give the client, after knocking: this library leaves a socket open for each time that nobody answers."""
        limit = min(self._timeout, _CONNECT_SECONDS)
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(limit)
            knocking.connect(address().removeprefix("unix://"))
        with self._connecting:
            if self._client is None:
                client = docker.APIClient(base_url=address(), version="auto", timeout=limit)
                client.timeout = self._timeout
                self._client = client
            return self._client


def address() -> str:
    """Say where the engine listens: ``DOCKER_HOST``, the usual socket, or that of a rootless engine.

    Raises:
        AgentError: ``DOCKER_HOST`` names an engine on another machine.
    """
    if given := os.environ.get("DOCKER_HOST"):
        if not given.startswith("unix://"):
            raise AgentError(
                Failure.ENGINE,
                f"DOCKER_HOST is {given}, and folders of this machine can't be mounted on another one",
                remedy="set DOCKER_HOST to a unix:// address on this machine, or unset it",
            )
        return given
    usual = Path("/var/run/docker.sock")
    rootless = Path(os.environ.get("XDG_RUNTIME_DIR", "/nowhere")) / "docker.sock"
    return f"unix://{rootless if rootless.exists() and not usual.exists() else usual}"


def _failure(doing: str, cause: str, remedy: str = _REMEDY) -> AgentError:
    return AgentError(Failure.ENGINE, f"Docker could not {doing}: {cause}", remedy=remedy)


def _cause(error: Exception) -> tuple[str, str]:
    text = str(error)
    if isinstance(error, TimeoutError) or "Read timed out" in text:
        return f"the engine at {address()} does not answer", _RESTART
    if "Permission denied" in text:
        return f"this user may not use {address()}", _REMEDY
    if any(sign in text for sign in ("Connection refused", "No such file", "FileNotFoundError", "Connection aborted")):
        return f"no engine answers at {address()}", _REMEDY
    return text or type(error).__name__, _REMEDY
