"""Opens a chat's conversation in an agent: the one that it knows, or a new one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import acp
from acp import schema
from acp.core import ClientSideConnection

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
        await _settle(process, answer.session_id, answer.config_options)
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
    await _settle(process, known, answer.config_options)
    return True


async def _settle(process: AgentProcess, session: str, options: Options) -> None:
    """Let the session follow the config: kimi-code's go on with the model and the thinking that they began with."""
    for name, value in process.options.items():
        option = next((one for one in options or () if one.id == name), None)
        if option is None or option.current_value == value or not _offers(option, value):
            continue
        answer = await process.ask(
            partial(_set_option, session=session, name=name, value=value), f"set the session's {name}"
        )
        options = answer.config_options


def _offers(option: schema.SessionConfigOptionSelect | schema.SessionConfigOptionBoolean, value: str) -> bool:
    if isinstance(option, schema.SessionConfigOptionBoolean):
        return False
    values = [one.value for one in option.options if isinstance(one, schema.SessionConfigSelectOption)]
    return value in values


async def _set_option(
    agent: ClientSideConnection, *, session: str, name: str, value: str
) -> schema.SetSessionConfigOptionResponse:
    return await agent.set_config_option(config_id=name, session_id=session, value=value)
