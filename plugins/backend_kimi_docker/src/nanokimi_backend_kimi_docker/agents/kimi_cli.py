"""kimi-cli: Python, archived; its last release with a working ``kimi`` command is 1.51.0."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from nanokimi_backend_kimi_docker.agents.base import HOME, WORKSPACE, AcpAgent
from nanokimi_backend_kimi_docker.config import KimiDockerConfig
from nanokimi_backend_kimi_docker.image.releases import RELEASES
from nanokimi_core import AgentError, Failure

# Of its commands only those refresh that also open a conversation, in the background; so its own function is called.
_REFRESH = """
import asyncio, sys
from kimi_cli import logger
from kimi_cli.auth.oauth import KIMI_CODE_OAUTH_KEY, OAuthManager, load_tokens
from kimi_cli.config import Config, LLMProvider, OAuthRef

said = []
logger.remove()
logger.enable("kimi_cli")
logger.add(said.append, level="WARNING", format="{message}", backtrace=False, diagnose=False)
login = OAuthRef(storage="file", key=KIMI_CODE_OAUTH_KEY)
provider = LLMProvider(type="kimi", base_url="https://unused.invalid", api_key="", oauth=login)

async def main():
    await OAuthManager(Config(providers={"managed:kimi-code": provider})).ensure_fresh()

if load_tokens(login) is None:
    sys.exit("Not logged in: there is no login in its place")
asyncio.run(main())
sys.exit("".join(one for one in said if one.startswith(("Failed to refresh", "OAuth credentials rejected"))) or 0)
"""


class KimiCli(AcpAgent):
    """kimi-cli 1.51.x."""

    name = "kimi-cli"
    versions = "1.51.x"
    home = HOME / ".kimi"
    command = (str(RELEASES[name].executable), "acp")
    login = (str(RELEASES[name].executable), "login", "--json")
    refresh = (str(RELEASES[name].executable.with_name("python")), "-c", _REFRESH)
    providers = frozenset({"kimi", "openai_legacy", "openai_responses", "anthropic", "gemini", "vertexai"})
    capabilities = frozenset({"image_in", "video_in", "thinking", "always_thinking"})
    # It reads no instructions from its home, but .kimi/AGENTS.md beside the workspace's own AGENTS.md. The folder is
    # what is mounted: a folder around a mounted file could be renamed by the agent, a mount point can't.
    instructions = WORKSPACE / ".kimi"
    instructions_name = "AGENTS.md"

    def environment(self) -> dict[str, str]:
        """Add where its home is."""
        return {**super().environment(), "KIMI_SHARE_DIR": str(self.home), "KIMI_CLI_NO_AUTO_UPDATE": "1"}

    def check_version(self, version: str) -> None:
        """Refuse 1.52.0 with its reason, and every other version that this backend doesn't know."""
        if version.startswith("1.52."):
            raise AgentError(
                Failure.ENGINE,
                "the image holds kimi-cli 1.52, whose kimi command downloads and runs a remote installer instead of "
                "starting the agent",
                remedy="build the image again: nanokimi image build",
            )
        super().check_version(version)

    def settings(self, config: KimiDockerConfig) -> dict[str, Any]:
        """Approve every tool by itself, and keep the limits."""
        return {
            "default_thinking": config.thinking,
            "default_yolo": True,
            "telemetry": False,
            "loop_control": {
                "max_steps_per_turn": config.max_steps,
                "max_retries_per_step": config.max_attempts,
                "max_ralph_iterations": 0,
            },
        }

    def log_files(self, session: str | None) -> tuple[PurePosixPath, ...]:
        """Give its only log."""
        return (PurePosixPath("logs/kimi.log"),)

    def record_file(self, session: str) -> PurePosixPath:
        """Give the file of its context, which it writes before it asks the model."""
        return PurePosixPath("sessions/*") / session / "context.jsonl"

    def heard(self, line: Mapping[str, Any]) -> object:
        """Take the user's lines."""
        return line.get("content") if line.get("role") == "user" else None
