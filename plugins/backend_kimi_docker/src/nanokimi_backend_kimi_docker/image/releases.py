"""The agents' releases that the image brings: the one place where their versions stand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Release:
    """A release of an agent, and where the image has it.

    Attributes:
        agent: As the toml says it; ``context/install`` has a script of that name.
        version: The exact one; the build fails when the agent answers with another.
        executable: In the image. Always with ``acp``: run bare, kimi-cli 1.52 downloads and runs an installer.
        config: What the entrypoint looks for, in the container.
        download: Of the agent's own packages, in megabytes; measured.
    """

    agent: str
    version: str
    executable: PurePosixPath
    config: PurePosixPath
    download: int


RELEASES = {
    release.agent: release
    for release in (
        Release(
            "kimi-code",
            "2.1.0",
            PurePosixPath("/opt/kimi-code/bin/kimi"),
            PurePosixPath("/home/node/.kimi-code/config.toml"),
            download=22,
        ),
        Release(
            "kimi-cli",
            "1.51.0",
            PurePosixPath("/opt/kimi-cli/bin/kimi"),
            PurePosixPath("/home/node/.kimi/config.toml"),
            download=63,
        ),
    )
}
