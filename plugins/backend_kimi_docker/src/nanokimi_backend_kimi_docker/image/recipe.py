"""What one image is made of: its files, its build arguments, and the name that follows from both."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from importlib.resources.abc import Traversable

from nanokimi_backend_kimi_docker.image.config import NODE_IMAGE, PYTHON_IMAGE, BuildConfig
from nanokimi_backend_kimi_docker.image.releases import RELEASES, Release

REPOSITORY = "nanokimi"
LABEL = "org.nanokimi.image"

# Megabytes of compressed layers and packages on amd64; docs/image.md says how they were measured.
_BASES = 122
_PACKAGES = 25
_CHROMIUM = 213


@dataclass(frozen=True)
class Recipe:
    """How to make the image of one agent.

    Attributes:
        release: The agent.
        build: The toml's table.
    """

    release: Release
    build: BuildConfig

    @classmethod
    def of(cls, agent: str, build: BuildConfig) -> Recipe:
        """Choose the agent by the name that the toml uses."""
        return cls(RELEASES[agent], build)

    @cached_property
    def name(self) -> str:
        """The image's name; its tag changes with everything that goes in, so an older image counts as missing."""
        described = json.dumps(self._arguments(), sort_keys=True).encode()
        digest = hashlib.sha256(described + self.context()).hexdigest()[:10]
        return f"{REPOSITORY}/{self.release.agent}:{self.release.version}-{digest}"

    @property
    def public_bases(self) -> bool:
        """Whether it starts from the public base images."""
        return (self.build.python_image, self.build.node_image) == (PYTHON_IMAGE, NODE_IMAGE)

    @property
    def download(self) -> str:
        """What a first build fetches, for people."""
        size = _PACKAGES + self.release.download + (_CHROMIUM if self.build.chromium else 0)
        if self.public_bases:
            return f"about {round(size + _BASES, -1)} MB"
        return (
            f"about {round(size, -1)} MB, and {self.build.python_image} and {self.build.node_image} if they are missing"
        )

    def arguments(self) -> dict[str, str]:
        """Give the build arguments. The engine keeps the proxies' out of the image and its history."""
        proxies: dict[str, str] = {name: secret.get_secret_value() for name, secret in self.build.proxy.items()}
        return {**self._arguments(), **proxies, **{name.upper(): value for name, value in proxies.items()}}

    def context(self) -> bytes:
        """Give the build context as a tar archive, the same bytes for the same files."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, data in sorted(_files(resources.files(__package__) / "context")):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                entry.mode = 0o755 if name.endswith(".sh") else 0o644
                tar.addfile(entry, io.BytesIO(data))
        return archive.getvalue()

    def _arguments(self) -> dict[str, str]:
        return {
            "PYTHON_IMAGE": self.build.python_image,
            "NODE_IMAGE": self.build.node_image,
            "CHROMIUM": "yes" if self.build.chromium else "",
            "AGENT": self.release.agent,
            "AGENT_VERSION": self.release.version,
            "AGENT_CONFIG": str(self.release.config),
        }


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _files(entry, f"{prefix}{entry.name}/")
        elif entry.is_file():
            yield prefix + entry.name, entry.read_bytes()
