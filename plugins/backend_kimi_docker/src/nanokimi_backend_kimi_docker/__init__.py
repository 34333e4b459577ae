"""NanoKimi's agent backend: a Kimi agent in a Docker container for each chat.

Importing this costs little; Docker and ACP are imported when a backend is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from nanokimi_core import Backend, Check, Context, Spec, hookimpl

if TYPE_CHECKING:
    from nanokimi_backend_kimi_docker.backend import KimiDocker


def create(config: KimiDockerConfig, context: Context) -> KimiDocker:
    """Make the backend."""
    from nanokimi_backend_kimi_docker.backend import KimiDocker

    return KimiDocker(config, context)


async def check(config: KimiDockerConfig, context: Context) -> Sequence[Check]:
    """Look at Docker, the image and the machine, for ``nanokimi doctor``."""
    from nanokimi_backend_kimi_docker.checks import check

    return await check(config, context)


@hookimpl
def nanokimi_backends() -> list[Spec[Backend]]:
    """Name this backend."""
    return [Spec("kimi_docker", create, config=KimiDockerConfig, check=check)]
