"""What a container sees of the host, and the places for it, made without trusting the agent's own folders."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nanokimi_backend_kimi_docker import beneath
from nanokimi_backend_kimi_docker.agents import AcpAgent
from nanokimi_backend_kimi_docker.agents.base import WORKSPACE
from nanokimi_backend_kimi_docker.beneath import Owner
from nanokimi_backend_kimi_docker.container import Bind
from nanokimi_core import Chat, Grant, private_folder, safe_name, write_private

_UNPRIVILEGED = (1000, 1000)
_CONFIG = "config.toml"
_SANDBOXES = "sandboxes"


@dataclass(frozen=True)
class User:
    """Who the agent runs as.

    Attributes:
        inside: uid and gid in the container.
        outside: The same user, seen from the host.
        owner: To give folders to; ``None`` where everything that NanoKimi makes is theirs already.
    """

    inside: Owner
    outside: Owner
    owner: Owner | None


def agent_user(*, rootless: bool) -> User:
    """Choose the container's user: NanoKimi's own, so that its private files stay private and readable.

    root is no user for an agent: then it is 1000:1000, and folders are given to it. In a rootless engine root of the
    container is the user outside, without any right beyond that.
    """
    mine = (os.getuid(), os.getgid())
    if rootless:
        return User((0, 0), mine, None)
    if mine[0] == 0:
        return User(_UNPRIVILEGED, _UNPRIVILEGED, _UNPRIVILEGED)
    return User(mine, mine, None)


@dataclass(frozen=True)
class Folders:
    """The host's folders of one sandbox.

    Attributes:
        workspace: The agent's.
        home: The agent's own, with its sessions.
        private: What is generated for the agent; it reads but can't write it.
    """

    workspace: Path
    home: Path
    private: Path

    @classmethod
    def of(cls, chat: Chat, agent: AcpAgent, *, instance: str, generated: Path) -> Folders:
        """Say where a chat's sandbox has its folders; ``generated`` is for what this process generates."""
        return cls(
            workspace=chat.folder / "workspace",
            home=chat.folder / "agent" / safe_name(instance) / agent.name,
            private=generated / _SANDBOXES / safe_name(chat.sandbox),
        )

    def prepare(
        self, agent: AcpAgent, grant: Grant, config: str, instructions: str, *, user: User, device: str
    ) -> tuple[Bind, ...]:
        """Make the folders, write what the agent reads, and give all that its container sees.

        Raises:
            OSError: The data folder can't be written.
        """
        for own in (self.workspace, self.home):
            own.mkdir(parents=True, exist_ok=True, mode=0o700)
            if user.owner is not None:
                beneath.give(own, user.owner)
        binds = [
            Bind(self.workspace, WORKSPACE, read_only=False),
            Bind(self.home, agent.home, read_only=False),
            *self._generated(agent, config, instructions, user),
            *(Bind(mount.source, mount.target, mount.read_only) for mount in grant.mounts),
        ]
        self._make_places(agent, binds, user)
        beneath.ensure_file(self.home, PurePosixPath("device_id"), device.encode(), owner=user.owner)
        return tuple(binds)

    def discard(self) -> None:
        """Remove the generated config, which may hold a key, once no container sees it any more."""
        (self.private / _CONFIG).unlink(missing_ok=True)

    def _generated(self, agent: AcpAgent, config: str, instructions: str, user: User) -> Iterable[Bind]:
        private_folder(self.private)
        file = self.private / _CONFIG
        write_private(file, config.encode(), owner=user.owner)
        yield Bind(file, agent.config_path, read_only=True)
        folder = self.private / "instructions"
        folder.mkdir(mode=0o755, exist_ok=True)
        file = folder / (agent.instructions_name or agent.instructions.name)
        write_private(file, instructions.encode(), owner=user.owner, mode=0o644)
        yield Bind(folder if agent.instructions_name else file, agent.instructions, read_only=True)

    def _make_places(self, agent: AcpAgent, binds: Iterable[Bind], user: User) -> None:
        """Make the mount points in the agent's own folders, which the engine would make as root, following links."""
        for bind in binds:
            for root, seen_at in ((self.workspace, WORKSPACE), (self.home, agent.home)):
                if seen_at in bind.target.parents:
                    place = bind.target.relative_to(seen_at)
                    make = beneath.ensure_folder if bind.source.is_dir() else beneath.ensure_file
                    make(root, place, owner=user.owner)


def device_id(plugin_folder: Path) -> str:
    """Give the name of this installation's device: a new one at each start would look like a new machine each time."""
    file = plugin_folder / "device_id"
    if not file.exists():
        write_private(file, str(uuid.uuid4()).encode())
    return file.read_text()
