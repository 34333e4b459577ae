"""What the keeper sends, word for word, and how little of an answer it takes for good."""

from __future__ import annotations

import platform
import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from nanokimi_auth_oauth_file.keeping import server
from nanokimi_auth_oauth_file.keeping.server import LoginServer, NoAnswer, Refused, Tokens
from nanokimi_core import __version__
from testbed.cloud_faults import Refuse, Slow, Strange
from testbed.kept import Kept

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


def asked(kept: Kept, **options: Any) -> LoginServer:
    return LoginServer(kept.cloud.oauth_host, kept.folder, **options)


async def test_a_request_says_who_asks_and_nothing_more(kept: Kept) -> None:
    token = kept.cloud.new_login()["refresh_token"]
    await asked(kept).refresh(SecretStr(token))
    (request,) = kept.cloud.requests
    assert (request.method, request.path) == ("POST", "/api/oauth/token")
    assert request.body == {
        "client_id": "17e5f671-d194-4dfb-9706-5516cb48c098",
        "grant_type": "refresh_token",
        "refresh_token": token,
    }
    sent = dict(request.headers)
    number = sent.pop("x-msh-device-id")
    for name in ("host", "connection", "content-length", "content-type", "accept-encoding"):
        del sent[name]
    assert sent == {
        "user-agent": f"NanoKimi/{__version__} (+keeper)",
        "accept": "application/json",
        "x-msh-platform": "nanokimi",
        "x-msh-version": __version__,
        "x-msh-device-name": "NanoKimi",
        "x-msh-device-model": f"{platform.system()} {platform.machine()}",
        "x-msh-os-version": platform.release(),
    }
    assert str(uuid.UUID(number)) == number


def test_every_field_and_header_that_is_sent_is_listed(tmp_path: Path) -> None:
    listed = set(re.findall(r"^- ``([\w-]+)``", server.__doc__ or "", re.MULTILINE))
    assert listed == {"client_id", "grant_type", "refresh_token"} | set(server.identity(tmp_path))


async def test_the_devices_number_stays_the_same_for_an_instance(kept: Kept) -> None:
    for _ in range(2):
        await asked(kept).refresh(SecretStr(kept.cloud.new_login()["refresh_token"]))
    numbers = {request.headers["x-msh-device-id"] for request in kept.cloud.requests}
    assert len(numbers) == 1


async def test_a_redirect_is_not_followed(kept: Kept) -> None:
    login = kept.cloud.new_login()
    kept.cloud.oauth.script(Refuse(307, "", "", headers={"location": f"{kept.cloud.oauth_host}/elsewhere"}))
    with pytest.raises(NoAnswer, match="HTTP 307"):
        await asked(kept).refresh(SecretStr(login["refresh_token"]))
    assert [request.path for request in kept.cloud.requests] == ["/api/oauth/token"]


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        (Refuse(400, "invalid_grant"), True),
        (Refuse(401, "invalid_grant"), True),
        (Refuse(403, "invalid_grant"), True),
        (Refuse(401, ""), True),
        (Strange("gone", 401), True),
        (Refuse(401, "invalid_client"), False),
        (Refuse(400, "invalid_request"), False),
        (Refuse(403, "access_denied"), False),
        (Refuse(404, ""), False),
        (Refuse(500, "server_error"), False),
    ],
    ids=lambda value: f"{value.status}-{getattr(value, 'error', '')}" if not isinstance(value, bool) else None,
)
async def test_only_a_refused_login_is_a_lost_one(kept: Kept, answer: Refuse | Strange, refused: bool) -> None:
    kept.cloud.oauth.script(answer)
    with pytest.raises(Refused if refused else NoAnswer):
        await asked(kept).refresh(SecretStr(kept.cloud.new_login()["refresh_token"]))


@pytest.mark.parametrize(
    ("status", "doubt", "denied"),
    [(429, False, False), (408, False, False), (403, False, True), (404, False, True), (500, True, False)],
)
async def test_who_may_have_spent_the_token_and_who_refuses_the_request_are_told_apart(
    kept: Kept, status: int, doubt: bool, denied: bool
) -> None:
    kept.cloud.oauth.script(Refuse(status, "some_error"))
    with pytest.raises(NoAnswer) as caught:
        await asked(kept).refresh(SecretStr(kept.cloud.new_login()["refresh_token"]))
    assert (caught.value.doubt, caught.value.denied) == (doubt, denied)


@pytest.mark.parametrize(("said", "seconds"), [("7", 7.0), ("soon", None), ("-1", None), ("", None), ("9" * 30, None)])
async def test_retry_after_is_taken_in_seconds_only(kept: Kept, said: str, seconds: float | None) -> None:
    kept.cloud.oauth.script(Refuse(429, "slow_down", headers={"retry-after": said}))
    with pytest.raises(NoAnswer) as caught:
        await asked(kept).refresh(SecretStr(kept.cloud.new_login()["refresh_token"]))
    assert caught.value.retry_after == seconds


async def test_what_a_server_says_is_shown_short_and_without_the_token(kept: Kept) -> None:
    token = kept.cloud.new_login()["refresh_token"]
    kept.cloud.oauth.script(Refuse(400, "invalid_grant", f"no {token}\n\x1b[31m" + "long " * 500))
    with pytest.raises(Refused) as caught:
        await asked(kept).refresh(SecretStr(token))
    said = str(caught.value)
    assert said.startswith("no … [31mlong long")
    assert len(said) <= 200


async def test_a_server_that_never_answers_is_given_up(kept: Kept) -> None:
    kept.cloud.oauth.script(Slow(20, after=True))
    with pytest.raises(NoAnswer, match="timed out") as caught:
        await asked(kept, longest=0.1).refresh(SecretStr(kept.cloud.new_login()["refresh_token"]))
    assert caught.value.doubt
    kept.cloud.oauth.release()


async def test_what_came_is_handed_over_before_the_connection_is_left(kept: Kept) -> None:
    handed: list[tuple[Tokens, bool]] = []
    found = await asked(kept).refresh(
        SecretStr(kept.cloud.new_login()["refresh_token"]), lambda tokens: handed.append((tokens, kept.cloud.quiet))
    )
    assert handed == [(found, False)]
