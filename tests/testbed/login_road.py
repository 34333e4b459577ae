"""``nanokimi run`` with a real agent and the account of a subscription, as an owner has it, and all who write to it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from faults.peer import Copy, Message
from faults.rig import Rig
from nanokimi_backend_kimi_docker.container import LABEL
from nanokimi_backend_kimi_docker.engine import APIError
from nanokimi_core import private_folder, write_private
from nanokimi_core.folder import DataFolder
from testbed.cloud import Cloud
from testbed.kimi import login_name
from testbed.leaks import marked

BOSS = "boss"
CHATS = ("ann", "ben", "cid")
SECONDS = 90
_ID = re.compile(r"\b[a-z]+\.\d+\b")


class Road(Rig):
    """One installation; its chats share one container, and its owner sits in the chat ``boss``.

    Args:
        folder: For all of it.
        cloud: The far servers.
        image: Of the agent.
        agent: Its name.
        tables: Keys of ``[plugins.oauth_file]``.
    """

    def __init__(
        self, folder: Path, cloud: Cloud, image: str, *, agent: str = "kimi-code", tables: Mapping[str, Any] = {}
    ) -> None:
        super().__init__(folder)
        self.cloud = cloud
        self.agent = agent
        self.peer = self.wire()
        if "DOCKER_HOST" in os.environ:
            self.site.environment["DOCKER_HOST"] = os.environ["DOCKER_HOST"]
        servers = {"oauth_host": cloud.oauth_host, "base_url": cloud.base_url_coding}
        plugins = {
            "wire": {"socket": str(self.peer.path)},
            "kimi_docker": {"agent": agent, "image": image, "network": "host"},
            "oauth_file": {**servers, **tables},
        }
        lines = ['transports = ["wire"]', 'backend = "kimi_docker"', 'auth = "oauth_file"', f'owner = "wire:{BOSS}"']
        lines += ['[chats."wire:*"]', 'sandbox = "all"']
        for name, table in plugins.items():
            lines += [f"[plugins.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        self.site.toml("\n".join(lines) + "\n")
        self._numbers: dict[str, int] = {}

    def clean(self, engine: Any) -> None:
        """End the process, see to it that it has said no secret, and remove what a failed test has left behind."""
        said = ""
        try:
            if self.service.running:
                self.service.stop()
            said = self.service.logs + "".join(copy.text for copy in self.peer.received)
        finally:
            self.close()
            label = f"{LABEL}installation={DataFolder(self.site.data).installation}"
            for container in engine.containers(all=True, filters={"label": label}):
                with suppress(APIError):  # it may be going already
                    engine.remove_container(container["Id"], force=True)
        assert marked(said) is None

    # ------------------------------------------------------------------ the login
    @property
    def login_file(self) -> Path:
        """Where the account keeps its login, unless its ``path`` says otherwise."""
        folder = self.site.data / "plugins" / "oauth_file" / "credentials"
        return folder / f"{login_name(self.cloud, 'kimi-code')}.json"

    def put(self, login: Mapping[str, Any]) -> None:
        """Put a login in the place of the one that is there, as another program does it."""
        for folder in (self.site.data, self.login_file.parent):
            private_folder(folder)
        write_private(self.login_file, json.dumps(login).encode())

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another ``nanokimi`` beside the one that runs; it must do what it was asked."""
        done = self.site.run(*words)
        assert done.returncode == 0, done.stderr
        assert marked(done.stdout + done.stderr) is None
        return done

    def import_login(self, login: Mapping[str, Any]) -> None:
        """Bring a login as the owner does."""
        file = self.site.home / "kimi-code.json"
        file.write_text(json.dumps(login))
        self.command("auth", "import", str(file), "--plugin", "oauth_file")
        file.unlink()

    # ------------------------------------------------------------------ those who write
    def says(self, chat: str, count: int = 1) -> list[str]:
        """Let somebody write some messages; gives their ids."""
        first = self._numbers.get(chat, 0) + 1
        self._numbers[chat] = first + count - 1
        ids = [f"{chat}.{number}" for number in range(first, first + count)]
        self.peer.offer(Message(name, chat, f"please answer {name}") for name in ids)
        self.peer.until(f"{ids} are taken", lambda: not self.peer.unacknowledged)
        return ids

    def answers(self, chat: str) -> list[str]:
        """Give the messages of a chat that were answered, as often as they were, in order."""
        seen = [copy.text for copy in self.peer.seen if copy.chat == chat and copy.text.startswith("heard: ")]
        return [name for text in seen for name in _ID.findall(text)]

    def told(self, chat: str = BOSS) -> list[str]:
        """Give what the assistant itself has said to a chat."""
        return [copy.text for copy in self.peer.seen if copy.chat == chat and _of_assistant(copy)]

    def until_answered(self, seconds: float = SECONDS) -> None:
        """Wait until everything is answered that was written; each once, and in order."""

        def answered() -> bool:
            return all(len(self.answers(chat)) >= count for chat, count in self._numbers.items())

        self.peer.until("all is answered", answered, seconds)
        for chat, count in self._numbers.items():
            assert self.answers(chat) == [f"{chat}.{number}" for number in range(1, count + 1)]

    def until_told(self, words: str, chat: str = BOSS, after: int = 0) -> str:
        """Wait until the assistant has said something, not counting its first ``after`` messages; gives it."""
        said: list[str] = []

        def heard() -> bool:
            said[:] = [text for text in self.told(chat)[after:] if words in text]
            return bool(said)

        self.peer.until(f"{chat} is told {words!r}", heard)
        return said[0]


def _of_assistant(copy: Copy) -> bool:
    return not copy.text.startswith(("heard: ", "you said: "))
