"""kimi-code: Node, the maintained one."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from nanokimi_backend_kimi_docker import beneath
from nanokimi_backend_kimi_docker.agents.base import HOME, AcpAgent, Waiting
from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from nanokimi_backend_kimi_docker.image.releases import RELEASES
from nanokimi_core import Grant

_TAIL = 64 * 1024
_LONGEST_REST = 24 * 60 * 60.0


class KimiCode(AcpAgent):
    """kimi-code 2.1.x."""

    name = "kimi-code"
    versions = "2.1.x"
    home = HOME / ".kimi-code"
    command = (str(RELEASES[name].executable), "acp")
    login: ClassVar[tuple[str, ...]] = (str(RELEASES[name].executable), "login")
    # With a login it refreshes that when it is due, lists the models and ends; only without a good one it shows a code.
    refresh = login
    providers = frozenset({"kimi", "openai", "openai_responses", "anthropic", "google-genai", "vertexai"})
    capabilities = frozenset(
        {"image_in", "video_in", "audio_in", "thinking", "always_thinking", "tool_use", "dynamically_loaded_tools"}
    )
    instructions = home / "AGENTS.md"

    def environment(self) -> dict[str, str]:
        """Add where its home is."""
        return {**super().environment(), "KIMI_CODE_HOME": str(self.home), "KIMI_CODE_NO_AUTO_UPDATE": "1"}

    def settings(self, config: KimiDockerConfig) -> dict[str, Any]:
        """Approve every tool by itself, and keep the limits, which this agent alone has none of."""
        return {
            "default_permission_mode": "yolo",
            "auto_session_title": False,
            "telemetry": False,
            "thinking": {"enabled": config.thinking},
            "loop_control": {
                "max_steps_per_turn": config.max_steps,
                "max_attempts_per_step": config.max_attempts,
            },
        }

    def options(self, model: str, config: KimiDockerConfig) -> dict[str, str]:
        """Add thinking, which a session keeps from its beginning, too."""
        return {**super().options(model, config), "thinking": "on" if config.thinking else "off"}

    def model_capabilities(self, grant: Grant) -> list[str]:
        """Add the word for tools, as its own login does."""
        return sorted(grant.capabilities | {"tool_use"})

    def log_files(self, session: str | None) -> tuple[PurePosixPath, ...]:
        """Give the log of the process and that of the session."""
        files = (PurePosixPath("logs/kimi-code.log"),)
        return files if session is None else (*files, _session(session) / "logs/kimi-code.log")

    def record_file(self, session: str) -> PurePosixPath:
        """Give its journal. It flushes each line, in the background: a message stands there some moments late."""
        return _session(session) / "agents/main/wire.jsonl"

    def has_written(self, home: Path, session: str, start: int) -> bool:
        """Look for the turn's end, which follows the answer by the time that a flush takes."""
        try:
            path = beneath.find(home, self.record_file(session))
            tail = beneath.read(home, path, most=_TAIL, start=max(start, beneath.size(home, path) - _TAIL))
        except OSError:
            return False
        return b'{"type":"turn.ended"' in tail

    def heard(self, line: Mapping[str, Any]) -> object:
        """Take the lines that it restores a conversation from; ``turn.prompt``, which comes first, is none of them."""
        message = line.get("message")
        if line.get("type") != "context.append_message" or not isinstance(message, Mapping):
            return None
        return message.get("content") if message.get("role") == "user" else None

    def waiting(self, home: Path, session: str, since: float) -> Waiting | None:
        """Find the last retry in the session's record.

        After a 429 this agent waits as long as the server says, an hour if it must, and tells nobody over ACP.
        """
        try:
            tail = beneath.read_one(home, self.record_file(session), most=_TAIL, from_end=True)
        except OSError:
            return None
        for line in reversed(tail.splitlines()):
            if b'"turn.step.retrying"' in line:
                return _retry(line, since)
        return None


def _session(session: str) -> PurePosixPath:
    return PurePosixPath("sessions/*") / session


def _retry(line: bytes, since: float) -> Waiting | None:
    try:
        record = json.loads(line)
        at, delay = float(record["time"]) / 1000, float(record["delayMs"]) / 1000
        rest = timedelta(seconds=min(max(0.0, at + delay - time.time()), _LONGEST_REST))
        cause = f"{record['errorName']}: {record['errorMessage']}"
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    if record.get("type") != "turn.step.retrying" or at < since:
        return None
    return Waiting(cause[:500], rest)
