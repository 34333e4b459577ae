"""A login that is lost under a running assistant, with real parts: how it comes back, and what had piled up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from nanokimi_core.conversation.catalogue import phrase
from testbed.cloud import Cloud
from testbed.login_road import BOSS, CHATS, Road

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]

AWAY = str(phrase("en", "held_credentials"))


@pytest.fixture(scope="module")
def far() -> Iterator[Cloud]:
    with Cloud() as servers:
        yield servers


@pytest.fixture(scope="module")
def road(far: Cloud, kimi_image: str, engine: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Road]:
    made = Road(tmp_path_factory.mktemp("road"), far, kimi_image)
    try:
        made.put(far.new_login())
        made.service.start()
        yield made
    finally:
        made.clean(engine)


@pytest.fixture
def lost(road: Road) -> Lost:
    """The server has ended the login, one turn has failed of it, and messages pile up in every chat."""
    road.put(road.cloud.new_login())
    for chat in CHATS:
        road.says(chat)
    road.until_answered()
    return Lost(road)


class Lost:
    """A login that is lost now, and what is said from then on."""

    def __init__(self, road: Road) -> None:
        self.road = road
        self._before = {chat: len(road.told(chat)) for chat in (*CHATS, BOSS)}
        road.cloud.oauth.revoke()
        road.says(CHATS[0])
        self.code = road.until_told("enter this code", after=self._before[BOSS])
        for chat in CHATS:
            road.says(chat, 2)

    def said(self, chat: str = BOSS) -> list[str]:
        return self.road.told(chat)[self._before[chat] :]

    def until_said(self, words: str) -> str:
        return self.road.until_told(words, after=self._before[BOSS])


def test_the_owner_logs_in_from_the_chat_and_all_that_piled_up_is_answered_once_and_in_order(lost: Lost) -> None:
    road, code = lost.road, lost.road.cloud.oauth.devices.codes[-1]
    for chat in CHATS:
        road.until_told(AWAY, chat)
    assert f"\n\n{road.cloud.oauth_host}/device" in lost.code
    assert f"\n\n{code}\n\n" in lost.code
    assert lost.said() == [lost.code]
    road.cloud.oauth.approve(code)
    road.until_answered()
    done = lost.until_said("I'm logged in to oauth_file")
    assert "Its models: kimi-for-coding" in done
    assert lost.said() == [lost.code, done]
    for chat in CHATS:
        assert lost.said(chat) == [AWAY]


@pytest.mark.parametrize("how", ["copied over", "imported"])
def test_a_login_from_elsewhere_is_picked_up_with_no_restart_and_what_piled_up_is_answered_soon(
    lost: Lost, how: str
) -> None:
    road, process = lost.road, lost.road.service.process.pid
    if how == "imported":
        road.import_login(road.cloud.new_login())
    else:
        road.login_file.write_text(json.dumps(road.cloud.new_login()))  # as cp does it: into the same file
    road.until_answered()
    void = lost.until_said("a code that I have sent for it doesn't count any more")
    assert lost.said() == [lost.code, void]
    assert road.service.process.pid == process


def test_kill_9_between_refreshes_costs_nothing_and_the_next_start_goes_on_with_the_same_login(road: Road) -> None:
    road.put(road.cloud.new_login())
    family, reuses = login_of(road), road.cloud.oauth.reuses
    road.cloud.expire_access_tokens()
    road.says("ann")
    road.until_answered()
    road.service.kill()
    road.peer.quiet()
    road.service.start()
    road.cloud.expire_access_tokens()
    road.says("ann")
    road.until_answered()
    stored = json.loads(road.login_file.read_text())
    assert road.cloud.oauth.can_refresh(stored["refresh_token"])
    assert stored["refresh_token"] in road.cloud.oauth.family(family)
    assert road.cloud.oauth.reuses == reuses


def login_of(road: Road) -> str:
    return str(json.loads(road.login_file.read_text())["refresh_token"])


def test_the_status_of_the_running_assistant_shows_no_secret(road: Road) -> None:
    said = "".join(
        done.stdout + done.stderr
        for words in (["status", "--json"], ["auth", "status", "--json"])
        for done in [road.site.run(*words)]
    )
    assert "oauth_file" in said
    assert not [token for token in road.cloud.oauth.issued() if token in said]
