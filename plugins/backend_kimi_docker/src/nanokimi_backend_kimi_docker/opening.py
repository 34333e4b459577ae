"""Opens a chat's conversation in an agent: the one that it knows, or a new one."""

from __future__ import annotations

from collections.abc import Sequence

import acp
from acp import schema

from nanokimi_backend_kimi_docker import failures
from nanokimi_backend_kimi_docker.agents.base import WORKSPACE
from nanokimi_backend_kimi_docker.conversations import is_plain
from nanokimi_backend_kimi_docker.process import AgentProcess
from nanokimi_core import AgentError, Failure

_UNKNOWN = (-32602, -32002)
_FOLDER = str(WORKSPACE)  # the same for ever: an agent finds a session only in the folder that it began in

Options = Sequence[schema.SessionConfigOptionSelect | schema.SessionConfigOptionBoolean] | None


async def open_conversation(process: AgentProcess, known: str | None) -> tuple[str, bool]:
    """Go on with a session that the agent knows, or begin one.

    Args:
        process: The agent.
        known: ACP's name of the session.

    Returns:
        ACP's name of the session that is open now, and whether it is the one that was known.

    Raises:
        AgentError: It can't be opened.
    """
    try:
        if known is not None and await _resume(process, known):
            return known, True
        answer = await process.ask(lambda agent: agent.new_session(cwd=_FOLDER), "open a session")
        if not is_plain(answer.session_id):
            raise AgentError(Failure.CRASHED, f"the agent calls a session {answer.session_id[:80]!r}")
        await _choose_model(process, answer.session_id, answer.config_options)
    except acp.RequestError as error:
        raise failures.refused(error) from error
    return answer.session_id, False


async def _resume(process: AgentProcess, known: str) -> bool:
    """Open a session again; ``load`` says all that was said before once more, which nobody hears."""
    can = process.can.session_capabilities
    answer: schema.ResumeSessionResponse | schema.LoadSessionResponse
    try:
        if can is not None and can.resume is not None:
            answer = await process.ask(
                lambda agent: agent.resume_session(session_id=known, cwd=_FOLDER), "resume a session"
            )
        elif process.can.load_session:
            answer = await process.ask(
                lambda agent: agent.load_session(session_id=known, cwd=_FOLDER), "load a session"
            )
        else:
            return False
    except acp.RequestError as error:
        if error.code in _UNKNOWN:
            return False
        raise
    await _choose_model(process, known, answer.config_options)
    return True


async def _choose_model(process: AgentProcess, session: str, options: Options) -> None:
    """Ask for the config's model: kimi-code's sessions go on asking for the one of the account before."""
    for option in options or ():
        if option.id == "model" and option.current_value != process.model:
            await process.ask(
                lambda agent: agent.set_config_option(config_id="model", session_id=session, value=process.model),
                "change its model",
            )
            return
