"""The table ``[plugins.kimi_docker]``."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nanokimi_backend_kimi_docker.image.config import BuildConfig

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt])(?:i?b)?\s*", re.IGNORECASE)
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_NAME = r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*"
_IMAGE = (
    rf"^(?:(?:localhost|{_HOST}(?:\.{_HOST})+)(?::[0-9]+)?/|{_HOST}:[0-9]+/)?"
    rf"{_NAME}(?:/{_NAME})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$"
)
_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_TOO_LARGE = 2.0**63


def parse_size(value: object) -> int:
    """Read a size like ``"512m"`` or ``"1.5g"`` as bytes.

    Raises:
        ValueError: It is not written like that.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value > 2**20:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('write a size like "512m" or "1g"')
    size = float(match[1]) * _UNITS[match[2].lower()]
    return int(min(size, _TOO_LARGE))


def format_size(size: int) -> str:
    """Write a number of bytes like the toml does."""
    for unit in "tgm":
        if size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return f"{size / _UNITS['m']:.0f}m"


Size = Annotated[int, BeforeValidator(parse_size)]


class KimiDockerConfig(BaseModel):
    """What the toml may say about the agents' containers.

    Attributes:
        agent: The program that runs in the container.
        image: Where it runs from; ``None`` is the image that ``nanokimi image build`` makes.
        network: ``bridge``, ``host``, ``none``, or the name of one of Docker's networks.
        memory: Of one container. An idle agent takes 315 MB with one session and 392 MB with twenty; the rest is for
            what the agent runs. No swap beside it.
        cpus: Of one container; never more than the machine has.
        pids: Processes and threads in one container. An idle agent has about a dozen.
        max_steps: Requests to the model in one turn; kimi-code alone has no limit.
        max_attempts: How often a failing request to the model is tried before the turn fails.
        thinking: Whether models that can think before they answer do.
        build: How ``nanokimi image build`` makes the image.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    agent: Literal["kimi-code", "kimi-cli"] = "kimi-code"
    image: str | None = Field(default=None, pattern=_IMAGE)
    network: str = Field(default="bridge", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    memory: Size = Field(default=2**30, ge=64 * 2**20, le=2**62)
    cpus: float = Field(default=2.0, ge=0.1, le=1024, allow_inf_nan=False)
    pids: int = Field(default=512, ge=64)
    max_steps: int = Field(default=100, ge=1)
    max_attempts: int = Field(default=3, ge=1, le=10)
    thinking: bool = False
    build: BuildConfig = Field(default_factory=BuildConfig)
