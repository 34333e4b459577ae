"""The other agent, kimi-cli: one road for each kind of account."""

from __future__ import annotations

import json

import pytest

from nanokimi_core import AgentError, Auth, Failure
from testbed.cloud import CallTool, Fail, Refuse
from testbed.kimi import Bench, ask, failure

pytestmark = [pytest.mark.anyio, pytest.mark.engine]

USAGE_LIMIT = "You've reached your usage limit for this billing cycle."
NAMED = [
    (Fail(401, "invalid_authentication_error", "Invalid Authentication"), Failure.CREDENTIALS, "401"),
    (Fail(402, "payment_required", "We're unable to verify your membership."), Failure.QUOTA, "balance is used up"),
    (Fail(403, "access_terminated_error", USAGE_LIMIT), Failure.QUOTA, "plan's quota is used up"),
    (Fail(403, "permission_denied_error", "not open"), Failure.CREDENTIALS, "may not do this"),
    (Fail(404, "resource_not_found_error", "gone"), Failure.MODEL, "404"),
    (Fail(429, "exceeded_current_quota_error", "please check your plan"), Failure.QUOTA, "account's quota is used up"),
    (Fail(500, "server_error", "it broke"), Failure.NO_ANSWER, "500"),
]


async def road(bench: Bench, auth: Auth) -> None:
    """Two turns, then the container goes, then a third."""
    chat = bench.chat(auth=auth)
    async with bench.backend() as backend:
        async with backend.session(chat) as session:
            await ask(session, "my word is zebra")
            assert await ask(session, "what did I say") == "you said: [Ana] my word is zebra"
        async with backend.session(chat) as session:
            assert "[Ana] my word is zebra" in await ask(session, "what did I say")
    assert "GLOBAL-KIMI-MD" in bench.cloud.completions()[0].prompt
    assert "CHAT-KIMI-MD" in bench.cloud.completions()[0].prompt


async def test_a_key_serves_two_turns_and_the_one_after_the_container_is_gone(cli_bench: Bench) -> None:
    await road(cli_bench, cli_bench.key)
    assert {request.token for request in cli_bench.cloud.completions()} == {cli_bench.key.key}


async def test_a_login_serves_two_turns_and_the_one_after_and_its_file_has_the_new_token(cli_bench: Bench) -> None:
    login = cli_bench.login(expires_in=-10)
    await road(cli_bench, login)
    stored = json.loads(login.file("kimi-cli").read_text())
    assert cli_bench.cloud.refreshes == 1
    assert cli_bench.cloud.completions()[-1].token == stored["access_token"]
    assert cli_bench.cloud.oauth.can_refresh(stored["refresh_token"])


async def test_a_conversation_goes_on_from_a_login_to_a_key_and_failures_have_names(cli_bench: Bench) -> None:
    login = cli_bench.login()
    async with cli_bench.backend(max_steps=3, max_attempts=1) as backend:
        async with backend.session(cli_bench.chat(auth=login)) as session:
            await ask(session, "my word is zebra")
            cli_bench.cloud.oauth.always(Refuse())
            cli_bench.cloud.expire_access_tokens()
            assert (await failure(session)).kind is Failure.CREDENTIALS
            assert len(login.rejections) == 1
        async with backend.session(cli_bench.chat(auth=cli_bench.key)) as session:
            assert "zebra" in await ask(session, "what did I say")
            for fail, kind, cause in NAMED:
                cli_bench.cloud.always(fail)
                error = await failure(session)
                assert (error.kind, cause in str(error)) == (kind, True)
            cli_bench.cloud.always(None)
            cli_bench.cloud.script(*(CallTool("Shell", {"command": f"echo {n}"}) for n in range(9)))
            steps = await failure(session)
    assert steps.kind is Failure.TOO_LONG


async def test_the_instructions_can_not_be_changed_and_the_workspace_keeps_its_own(cli_bench: Bench) -> None:
    chat = cli_bench.chat()
    async with cli_bench.backend() as backend:
        async with backend.session(chat) as session:
            tries = "cd /workspace; echo evil > .kimi/AGENTS.md; mv .kimi old; rm -rf .kimi; echo OWN-FILE > AGENTS.md"
            cli_bench.cloud.script(CallTool("Shell", {"command": tries}))
            await ask(session, "overwrite them")
        await backend.forget(chat)
        async with backend.session(chat) as session:
            await ask(session, "hello")
    prompt = cli_bench.cloud.completions()[-1].prompt
    assert "GLOBAL-KIMI-MD" in prompt
    assert "OWN-FILE" in prompt
    assert "evil" not in prompt


async def test_an_image_with_the_other_agent_is_refused_by_name(bench: Bench) -> None:
    async with bench.backend(agent="kimi-cli") as backend:
        with pytest.raises(AgentError) as caught:
            async with backend.session(bench.chat()):
                pass
    assert caught.value.kind is Failure.ENGINE
    assert "/opt/kimi-cli/bin/kimi" in str(caught.value)
    assert "nanokimi image build" in caught.value.remedy
