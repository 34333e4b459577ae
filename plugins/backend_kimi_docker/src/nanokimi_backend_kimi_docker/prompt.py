"""A turn as ACP's content blocks: one text, and the images that the model can see."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

import anyio
from acp import schema

from nanokimi_backend_kimi_docker import beneath
from nanokimi_backend_kimi_docker.agents.base import WORKSPACE
from nanokimi_core import Attachment, Turn, prompt_text

Block = (  # all of ACP's, since its lists are invariant; ours are the first two
    schema.TextContentBlock
    | schema.ImageContentBlock
    | schema.AudioContentBlock
    | schema.ResourceContentBlock
    | schema.EmbeddedResourceContentBlock
)

_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_LARGEST_IMAGE = 5 * 2**20
_MOST_IMAGES = 8


async def prompt_blocks(turn: Turn, workspace: Path, *, images: bool, opening: Sequence[str] = ()) -> list[Block]:
    """Write a turn down for an agent.

    Args:
        turn: What is asked.
        workspace: The host's folder that the agent sees as its working directory.
        images: Whether images that came with the messages are shown to the model; the agent finds every file anyway.
        opening: Said before, where not empty; ours, so that nothing that a person types begins a prompt.
    """

    def show(path: Path) -> str:
        inside = path.relative_to(workspace) if path.is_relative_to(workspace) else Path(path.name)
        return str(WORKSPACE / inside)

    text = "\n\n".join(part for part in (*opening, prompt_text(turn, show_path=show)) if part)
    blocks: list[Block] = [schema.TextContentBlock(type="text", text=text)]
    if images:
        files = [file for message in turn.messages for file in message.attachments if file.media_type in _IMAGES]
        blocks += await anyio.to_thread.run_sync(_images, files[:_MOST_IMAGES], workspace)
    return blocks


def text_of(blocks: Sequence[Block]) -> str:
    """Give a prompt's text, without its images."""
    return "\n".join(block.text for block in blocks if isinstance(block, schema.TextContentBlock))


def _images(files: Sequence[Attachment], workspace: Path) -> list[Block]:
    return [block for file in files if (block := _image(file, workspace)) is not None]


def _image(file: Attachment, workspace: Path) -> schema.ImageContentBlock | None:
    if file.size > _LARGEST_IMAGE or not file.path.is_relative_to(workspace):
        return None
    with suppress(OSError):
        data = beneath.read(workspace, PurePosixPath(file.path.relative_to(workspace)), most=_LARGEST_IMAGE)
        return schema.ImageContentBlock(type="image", data=base64.b64encode(data).decode(), mime_type=file.media_type)
    return None
