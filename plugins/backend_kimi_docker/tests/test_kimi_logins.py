"""Logins and keys with the real kimi-code: refreshed tokens, refused ones, one conversation for both."""

from __future__ import annotations

import json

import pytest

from nanokimi_core import AgentError, Failure
from testbed.cloud import Refuse
from testbed.kimi import Bench, ask, failure

pytestmark = [pytest.mark.anyio, pytest.mark.engine]


async def test_an_expired_access_token_is_refreshed_and_the_hosts_file_has_the_new_one(bench: Bench) -> None:
    login = bench.login(expires_in=-10)
    old = login.login
    async with bench.backend() as backend, backend.session(bench.chat(auth=login)) as session:
        assert await ask(session, "hello") == "heard: [Ana] hello"
    stored = json.loads(login.file("kimi-code").read_text())
    assert bench.cloud.refreshes == 1
    assert stored["refresh_token"] != old["refresh_token"]
    assert bench.cloud.oauth.can_refresh(stored["refresh_token"])
    assert bench.cloud.completions()[-1].token == stored["access_token"]
    assert login.rejections == []


async def test_a_token_that_ends_in_mid_session_is_refreshed_by_one_of_two_containers(bench: Bench) -> None:
    login = bench.login()
    one, two = bench.chat("console:one", auth=login), bench.chat("console:two", auth=login)
    async with bench.backend() as backend, backend.session(one) as first, backend.session(two) as second:
        await ask(first, "hello")
        await ask(second, "hello")
        bench.cloud.expire_access_tokens()
        assert await ask(first, "again") == "heard: [Ana] again"
        assert await ask(second, "again") == "heard: [Ana] again"
    assert bench.cloud.oauth.reuses == 0
    assert bench.cloud.refreshes >= 1


async def test_a_refused_refresh_is_a_failure_of_credentials_now_and_at_the_next_start(bench: Bench) -> None:
    login = bench.login(expires_in=-10)
    bench.cloud.oauth.always(Refuse())
    chat = bench.chat(auth=login)
    async with bench.backend() as backend:
        async with backend.session(chat) as session:
            error = await failure(session)
        assert error.kind is Failure.CREDENTIALS
        assert "authorization grant is invalid" in str(error)
        assert "log in again" in error.remedy
        assert len(login.rejections) == 1
        with pytest.raises(AgentError) as caught:
            async with backend.session(chat):
                pass
        assert caught.value.kind is Failure.CREDENTIALS


async def test_a_conversation_goes_on_from_a_login_to_a_key_and_back(bench: Bench) -> None:
    login = bench.login()
    async with bench.backend() as backend:
        async with backend.session(bench.chat(auth=login)) as session:
            await ask(session, "my word is zebra")
        async with backend.session(bench.chat(auth=bench.key)) as session:
            assert await ask(session, "what did I say") == "you said: [Ana] my word is zebra"
        async with backend.session(bench.chat(auth=login)) as session:
            assert "zebra" in await ask(session, "what did I say")
    tokens = [request.token for request in bench.cloud.completions()]
    assert tokens[1] == bench.key.key
    assert tokens[0] == tokens[2] == login.login["access_token"]


async def test_another_key_needs_another_container(bench: Bench) -> None:
    chat = bench.chat()
    async with bench.backend() as backend, backend.session(chat) as session:
        await ask(session, "hello")
        bench.key.key = bench.cloud.add_key("sk-kimi-another")
        bench.key.fingerprint = "2"
        async with backend.session(chat) as again:
            await ask(again, "hello")
        assert await ask(session, "what did I say") == "you said: [Ana] hello | [Ana] hello"
    assert [request.token for request in bench.cloud.completions()][-2:] == ["sk-kimi-another"] * 2


async def test_a_model_that_the_agent_can_not_use_is_refused_before_any_container(bench: Bench) -> None:
    bench.key.model = ""
    async with bench.backend() as backend:
        with pytest.raises(AgentError, match="has no server's name") as caught:
            async with backend.session(bench.chat()):
                pass
    assert caught.value.kind is Failure.MODEL
