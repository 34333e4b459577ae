"""What the backend must know about an agent that speaks ACP."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from nanokimi_core import AgentError, Failure, Grant

WORKSPACE = PurePosixPath("/workspace")
HOME = PurePosixPath("/home/node")


@dataclass(frozen=True)
class Waiting:
    """An agent waits before it asks the model again, and says nothing meanwhile."""

    cause: str
    rest: timedelta


class AcpAgent(ABC):
    """One agent program.

    Attributes:
        name: As the toml says it.
        versions: The ones that this backend knows, for people.
        home: Where it keeps its sessions and its config, in the container.
        command: Starts it as an ACP server. Never a bare ``kimi``.
        login: Lets a person log in by a code, without a terminal.
        refresh: Refreshes its login if that is due, and ends; asks no model.
        providers: The types of provider that it knows.
        capabilities: The words for what a model can do that it takes; anything else may stop it.
        instructions: The folder or file, in the container, that holds what ``KIMI.md`` says.
        instructions_name: Its file in that folder; empty where ``instructions`` is the file itself.
        managed_model: Puts a name before a model of an account with OAuth, such that the agent keeps it.
    """

    name: ClassVar[str]
    versions: ClassVar[str]
    home: ClassVar[PurePosixPath]
    command: ClassVar[tuple[str, ...]]
    login: ClassVar[tuple[str, ...]] = ()
    refresh: ClassVar[tuple[str, ...]] = ()
    providers: ClassVar[frozenset[str]]
    capabilities: ClassVar[frozenset[str]]
    instructions: ClassVar[PurePosixPath]
    instructions_name: ClassVar[str] = ""
    managed_model: ClassVar[str] = "kimi-code/"

    @property
    def config_path(self) -> PurePosixPath:
        """Where it reads its config, in the container."""
        return self.home / "config.toml"

    def environment(self) -> dict[str, str]:
        """Give what it takes from its environment; never a secret."""
        return {"KIMI_DISABLE_TELEMETRY": "1", "KIMI_DISABLE_CRON": "1"}

    def check_version(self, version: str) -> None:
        """Compare what ``initialize`` answered with the versions that this backend knows.

        Raises:
            AgentError: It is another one.
        """
        if not version.startswith(self.versions.removesuffix("x")):
            raise AgentError(
                Failure.ENGINE,
                f"the image holds {self.name} {version or 'without a version'}, and this backend knows {self.versions}",
                remedy="build the image again: nanokimi image build",
            )

    @abstractmethod
    def settings(self, config: KimiDockerConfig) -> dict[str, Any]:
        """Give the part of its config file that has nothing to do with the account."""

    def options(self, model: str, config: KimiDockerConfig) -> dict[str, str]:
        """Say what its sessions must be set to where they offer it, those that began under another config included."""
        return {"model": model}

    def model_capabilities(self, grant: Grant) -> list[str]:
        """Give the words for what the account's model can do."""
        return sorted(grant.capabilities)

    def log_files(self, session: str | None) -> tuple[PurePosixPath, ...]:
        """Say where it logs, in its home; a ``*`` stands for one folder of any name."""
        return ()

    def record_file(self, session: str) -> PurePosixPath | None:
        """Say where in its home it writes a conversation down, one JSON object a line; ``None``: that can't be told.

        A ``*`` stands for one folder of any name. What isn't there the agent won't know in its next process.
        """
        return None

    def heard(self, line: Mapping[str, Any]) -> object:
        """Give the content of a message of the user, if a line of that file is one: a text, or a list of parts."""
        return None

    def has_written(self, home: Path, session: str, start: int) -> bool:
        """Whether its record holds the end of a turn that it has answered; until then a killed agent forgets it.

        Args:
            home: Its home on the host. The agent can write there: nothing in it is trusted.
            session: ACP's name of the session.
            start: How many bytes the record had before the turn.
        """
        return True

    def waiting(self, home: Path, session: str, since: float) -> Waiting | None:
        """Look whether it waits silently before it asks the model again.

        Args:
            home: Its home on the host. The agent can write there: nothing in it is trusted.
            session: ACP's name of the session.
            since: Unix seconds; what is older doesn't count.
        """
        return None
