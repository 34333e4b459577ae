"""The agents that this backend can run: each one small class. A further ACP agent is a further class here."""

from __future__ import annotations

from nanokimi_backend_kimi_docker.agents.base import AcpAgent, Waiting
from nanokimi_backend_kimi_docker.agents.kimi_cli import KimiCli
from nanokimi_backend_kimi_docker.agents.kimi_code import KimiCode

__all__ = ["AGENTS", "AcpAgent", "KimiCli", "KimiCode", "Waiting"]

AGENTS: dict[str, AcpAgent] = {agent.name: agent for agent in (KimiCode(), KimiCli())}
