"""The table ``[plugins.kimi_docker.build]``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

PYTHON_IMAGE = "python:3.12-slim-bookworm"
NODE_IMAGE = "node:22-bookworm-slim"

ImageName = Annotated[str, Field(pattern=r"^[a-z0-9][A-Za-z0-9._/:@-]*$", max_length=255)]
ProxyName = Literal["http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"]


class BuildConfig(BaseModel):
    """How ``nanokimi image build`` makes the image.

    Attributes:
        python_image: What the image is made from: Debian or a relative of it, with Python 3.12 or later.
        node_image: Where Node 22 and npm are copied from.
        chromium: Whether a browser for the agent goes in.
        network: The engine's network for the build's own downloads; ``None`` is the engine's default.
        proxy: For the build's downloads, by the usual names. Nothing of it stays in the image.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    python_image: ImageName = PYTHON_IMAGE
    node_image: ImageName = NODE_IMAGE
    chromium: bool = False
    network: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    proxy: dict[ProxyName, SecretStr] = Field(default_factory=dict)
