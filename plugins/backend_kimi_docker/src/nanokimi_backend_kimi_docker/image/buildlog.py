"""Reads what the engine says during a build: steps for people, and the cause when it fails."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import Any

from nanokimi_backend_kimi_docker.image.recipe import Recipe
from nanokimi_core import AgentError, Failure, Progress

_STEP = re.compile(r"^Step (\d+)/(\d+) : (.*)", re.DOTALL)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LINES = 12
_LONGEST = 200
_MEGABYTE = 1_000_000

# The first sign that stands in the error or the last lines chooses the remedy.
_REMEDIES = (
    (
        ("no space left on device",),
        "free some disk space (docker system prune shows what the engine can let go of), then: nanokimi image build",
    ),
    (
        ("pull access denied", "manifest unknown", "invalid reference format", "repository does not exist"),
        "correct python_image and node_image in [plugins.kimi_docker.build], or log in to their registry with "
        "docker login, then: nanokimi image build",
    ),
    (
        ("certificate", "CERT_IN_CHAIN", "SSLError"),
        "a proxy here signs with its own certificate: use base images that trust it (docs/image.md)",
    ),
    (
        ("resolv", "no such host", "EAI_AGAIN", "timeout", "ETIMEDOUT", "timed out", "unreachable", "refused"),
        'see whether this machine reaches the internet; network = "host" or proxy in [plugins.kimi_docker.build] '
        "may help; then: nanokimi image build",
    ),
)
_ELSE = "read the lines above; to start over without what is cached: nanokimi image build --fresh"


class BuildLog:
    """The course of one build.

    Args:
        recipe: What is built.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._step = Progress("starting", 0)
        self._layers: dict[str, tuple[int, int]] = {}
        self._shown = ""

    def read(self, event: dict[str, Any]) -> Progress | None:
        """Take in what the engine said next; gives a step when a new one begins or moves on.

        Raises:
            AgentError: The engine says that the build failed.
        """
        if "error" in event:
            raise self._failure(str(event["error"]))
        if "stream" in event:
            return self._output(str(event["stream"]))
        return self._fetched(event) if "status" in event else None

    def _output(self, text: str) -> Progress | None:
        if match := _STEP.match(text):
            self._layers.clear()
            self._lines.clear()
            text = describe(match[3].strip(), self._recipe) or self._step.text
            self._step = Progress(text, int(match[1]) - 1, int(match[2]))
            return self._step
        self._lines.extend(line[:_LONGEST] for line in _COLOUR.sub("", text).splitlines() if line.strip())
        return None

    def _fetched(self, event: dict[str, Any]) -> Progress | None:
        detail = event.get("progressDetail") or {}
        if event["status"] != "Downloading" or "total" not in detail:
            return None
        self._layers[str(event.get("id"))] = (int(detail.get("current", 0)), int(detail["total"]))
        done, total = (sum(column) // _MEGABYTE for column in zip(*self._layers.values(), strict=True))
        text = f"{self._step.text}: {done} of {total} MB"
        if text == self._shown:
            return None
        self._shown = text
        return Progress(text, self._step.done, self._step.total)

    def _failure(self, error: str) -> AgentError:
        said = "\n".join(self._lines)
        remedy = next((text for signs, text in _REMEDIES if _any(signs, f"{error}\n{said}")), _ELSE)
        where = f" while {self._step.text}" if self._step.total else ""
        detail = f"building the image {self._recipe.name} failed{where}: {error.strip()}"
        if said and said.strip() not in error:
            detail = f"{detail}\n{said}"
        return AgentError(Failure.ENGINE, self._masked(_COLOUR.sub("", detail)), remedy=remedy)

    def _masked(self, text: str) -> str:
        for secret in self._recipe.build.proxy.values():
            text = text.replace(secret.get_secret_value() or "\0", "***")
        return text


def describe(instruction: str, recipe: Recipe) -> str:
    """Say in a few words what an instruction of the Dockerfile does; nothing where it takes no time."""
    release = f"{recipe.release.agent} {recipe.release.version}"
    packages = "git, ripgrep and Chromium" if recipe.build.chromium else "git and ripgrep"
    words = {
        "FROM ${NODE_IMAGE}": f"fetching {recipe.build.node_image}",
        "FROM ${PYTHON_IMAGE}": f"fetching {recipe.build.python_image}",
        "RUN apt-get": f"installing {packages}",
        "COPY --from=node": "copying Node",
        "RUN sh": f"installing {release} and starting it once",
    }
    return next((text for start, text in words.items() if instruction.startswith(start)), "")


def _any(signs: Iterable[str], text: str) -> bool:
    lower = text.lower()
    return any(sign.lower() in lower for sign in signs)
