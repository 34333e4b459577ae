"""The stand-in login server keeps what the other tests take for granted."""

from __future__ import annotations

import http.client
import json
import threading
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest

from testbed.cloud import Alter, Cloud, DropAfter, DropBefore, Refuse, Slow, Strange
from testbed.cloud_client import Client
from testbed.cloud_oauth import CLIENT_ID


@pytest.fixture
def client(cloud: Cloud) -> Iterator[Client]:
    client = Client(cloud)
    yield client
    client.connection.close()


# --------------------------------------------------------------------- logins
def test_a_refresh_token_is_good_once_and_its_reuse_ends_the_whole_login(cloud: Cloud, client: Client) -> None:
    login = cloud.new_login()
    status, second = client.refresh(login["refresh_token"])
    assert (status, cloud.refreshes) == (200, 1)
    assert cloud.accepts(second["access_token"])

    status, refused = client.refresh(login["refresh_token"])
    assert (status, refused["error"]) == (400, "invalid_grant")
    assert client.refresh(second["refresh_token"])[0] == 400
    assert not cloud.accepts(second["access_token"])
    assert (cloud.refreshes, cloud.oauth.reuses) == (1, 1)


def test_the_reuse_of_any_spent_token_ends_every_token_of_its_login_and_of_no_other(
    cloud: Cloud, client: Client
) -> None:
    other, login = cloud.new_login(), cloud.new_login()
    tokens = [login["refresh_token"]]
    for _ in range(3):
        tokens.append(client.refresh(tokens[-1])[1]["refresh_token"])
    family = cloud.oauth.family(tokens[0])
    assert len(family) == 8
    assert sum(cloud.accepts(token) for token in family) == 4  # an old access token lives until its own end

    assert client.refresh(tokens[1])[0] == 400  # neither the first nor the last

    assert not any(cloud.accepts(token) or cloud.oauth.can_refresh(token) for token in family)
    assert [client.refresh(token)[0] for token in tokens] == [400] * 4
    assert cloud.accepts(other["access_token"])
    assert client.refresh(other["refresh_token"])[0] == 200
    assert set(cloud.oauth.issued()) > {*family, other["access_token"], other["refresh_token"]}


def test_one_of_many_refreshes_at_once_is_answered_and_the_rest_end_the_login(cloud: Cloud) -> None:
    login, answers = cloud.new_login(), []

    def refresh() -> None:
        client = Client(cloud)
        answers.append(client.refresh(login["refresh_token"])[0])
        client.connection.close()

    threads = [threading.Thread(target=refresh) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(answers) == [200, 400, 400, 400]
    assert (cloud.refreshes, cloud.oauth.reuses, cloud.oauth.refresh_requests) == (1, 3, 4)
    assert not any(cloud.oauth.can_refresh(token) for token in cloud.oauth.family(login["refresh_token"]))


def test_a_dropped_answer_has_rotated_the_token_and_an_early_drop_has_not(cloud: Cloud, client: Client) -> None:
    login = cloud.new_login()
    cloud.oauth.script(DropBefore(), DropAfter())
    for lost in (0, 1):
        with pytest.raises(http.client.RemoteDisconnected):
            client.refresh(login["refresh_token"])
        client.connection.close()
        assert (cloud.refreshes, cloud.oauth.dropped) == (lost, lost)
        assert cloud.oauth.can_refresh(login["refresh_token"]) == (not lost)
    assert client.refresh(login["refresh_token"])[1]["error"] == "invalid_grant"
    assert cloud.oauth.reuses == 1


def arrived(cloud: Cloud, count: int, rotated: bool) -> bool:
    return (cloud.refreshes if rotated else cloud.oauth.refresh_requests) == count


def test_an_answer_can_be_late_with_the_token_rotated_or_not(cloud: Cloud, client: Client) -> None:
    for after in (False, True):
        login, before = cloud.new_login(), cloud.refreshes
        cloud.oauth.script(Slow(60, after=after))
        waiting = threading.Thread(target=client.refresh, args=(login["refresh_token"],), daemon=True)
        waiting.start()
        cloud.wait_until(partial(arrived, cloud, before + 1, after), "no refresh")
        assert cloud.refreshes == before + after
        deadline = time.monotonic() + 10
        while waiting.is_alive() and time.monotonic() < deadline:
            cloud.oauth.release()
            waiting.join(0.05)
        assert not waiting.is_alive()
        assert cloud.refreshes == before + 1


def test_strange_and_altered_answers_are_given_as_scripted(cloud: Cloud, client: Client) -> None:
    token = cloud.new_login()["refresh_token"]
    cloud.oauth.script(Strange([1]), Alter({"expires_in": "soon"}, frozenset({"scope"})), Strange({}, rotates=True))
    form = {"grant_type": "refresh_token"}
    assert client.token(refresh_token=token, **form) == (200, [1])
    status, altered = client.token(refresh_token=token, **form)
    assert (status, altered["expires_in"], "scope" in altered) == (200, "soon", False)
    assert client.token(refresh_token=altered["refresh_token"], **form) == (200, {})
    assert (cloud.refreshes, cloud.oauth.can_refresh(altered["refresh_token"])) == (2, False)


def test_a_refusal_carries_its_headers(cloud: Cloud, client: Client) -> None:
    cloud.oauth.always(Refuse(429, "slow_down", headers={"retry-after": "7"}))
    url, form = f"{cloud.oauth_host}/api/oauth/token", urlencode({"client_id": CLIENT_ID})
    status, headers, _ = client.send("POST", url, form, "application/x-www-form-urlencoded", "")
    assert (status, headers["retry-after"]) == (429, "7")


def test_the_servers_clock_and_what_it_tells_of_a_lifetime_can_be_wrong(cloud: Cloud, client: Client) -> None:
    cloud.oauth.skew, cloud.oauth.told_lifetime = 7200.0, 60
    login = client.refresh(cloud.new_login()["refresh_token"])[1]
    headers = client.send("GET", cloud.base_url_coding + "/models", None, "", login["access_token"])[1]

    assert parsedate_to_datetime(headers["date"]).timestamp() == pytest.approx(time.time() + 7200, abs=60)
    claims = login["access_token"].split(".")[1]
    assert json.loads(urlsafe_b64decode(claims + "=="))["exp"] == pytest.approx(time.time() + 8100, abs=60)
    assert login["expires_in"] == 60
    assert cloud.accepts(login["access_token"])


def test_what_refreshes_give_can_live_shorter_than_the_first_token(cloud: Cloud, client: Client) -> None:
    login = cloud.new_login(-5, later=7)
    assert client.refresh(login["refresh_token"])[1]["expires_in"] == 7


def test_it_is_known_who_asked_with_which_headers_and_which_tokens_were_used(cloud: Cloud, client: Client) -> None:
    login = cloud.new_login()
    token = login["access_token"]
    client.refresh(login["refresh_token"])
    client.send("GET", cloud.base_url_coding + "/models", None, "", token)
    cloud.expire_access_tokens()
    client.send("GET", cloud.base_url_coding + "/models", None, "", token)

    assert [(use.path, use.accepted) for use in cloud.seen.used(token)] == [
        ("/coding/v1/models", True),
        ("/coding/v1/models", False),
    ]
    assert cloud.seen.headers("/oauth/token", "Content-Type") == ["application/x-www-form-urlencoded"]
    assert cloud.seen.headers("/oauth/token", "X-Msh-Platform") == [""]
    assert cloud.oauth.token_requests == 1


def test_access_tokens_end_by_themselves_and_when_told(cloud: Cloud) -> None:
    assert not cloud.accepts(cloud.new_login(expires_in=-1)["access_token"])
    login = cloud.new_login()
    assert cloud.accepts(login["access_token"])
    cloud.expire_access_tokens()
    assert not cloud.accepts(login["access_token"])
    assert cloud.oauth.can_refresh(login["refresh_token"])


def test_a_revoked_login_can_not_be_refreshed(cloud: Cloud, client: Client) -> None:
    login = cloud.new_login()
    cloud.oauth.revoke()
    assert client.refresh(login["refresh_token"])[0] == 400
    assert not cloud.accepts(login["access_token"])


def test_token_requests_fail_as_scripted(cloud: Cloud, client: Client) -> None:
    login = cloud.new_login()
    cloud.oauth.script(Refuse(), Refuse(401, "invalid_client"), Refuse(503, "server_error"), Slow(0.01))
    assert [client.refresh(login["refresh_token"])[0] for _ in range(4)] == [400, 401, 503, 200]


def begin(client: Client) -> dict[str, Any]:
    url, form = f"{client.cloud.oauth_host}/api/oauth/device_authorization", urlencode({"client_id": CLIENT_ID})
    answer: dict[str, Any] = json.loads(client.send("POST", url, form, "application/x-www-form-urlencoded", "")[2])
    return answer


def poll(client: Client, device: Mapping[str, Any]) -> dict[str, Any]:
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    answer: dict[str, Any] = client.token(grant_type=grant, device_code=device["device_code"])[1]
    return answer


def test_a_device_login_waits_for_the_person(cloud: Cloud, client: Client) -> None:
    device = begin(client)
    assert poll(client, device)["error"] == "authorization_pending"
    cloud.oauth.approve(cloud.wait_for_code())
    login = poll(client, device)
    assert cloud.accepts(login["access_token"])
    assert poll(client, device)["error"] == "invalid_grant"


@pytest.mark.parametrize("ending", ["access_denied", "expired_token"])
def test_a_device_login_can_end_without_one(cloud: Cloud, client: Client, ending: str) -> None:
    device = begin(client)
    if ending == "access_denied":
        cloud.oauth.deny(device["user_code"])
    else:
        cloud.oauth.expire_device_codes()
    assert poll(client, device)["error"] == ending


def test_a_device_logins_times_fields_and_refusals_can_be_set(cloud: Cloud, client: Client) -> None:
    devices = cloud.oauth.devices
    devices.expires_in, devices.interval, devices.without = -1, 3, frozenset({"verification_uri_complete"})
    device = begin(client)
    assert (device["expires_in"], device["interval"], "verification_uri_complete" in device) == (-1, 3, False)
    assert poll(client, device)["error"] == "expired_token"
    devices.refuse = Refuse(503, "server_error")
    assert begin(client)["error"] == "server_error"


def test_polls_hear_what_is_scripted_are_slowed_down_and_agreed_to(cloud: Cloud, client: Client) -> None:
    devices = cloud.oauth.devices
    devices.interval, devices.approve_after = 60, 4
    devices.script("slow_down")
    device = begin(client)
    heard = [poll(client, device)["error"]]
    devices.strict = True
    heard.append(poll(client, device)["error"])
    devices.strict = False
    heard.append(poll(client, device)["error"])
    assert heard == ["slow_down", "slow_down", "authorization_pending"]
    assert cloud.oauth.accepts(poll(client, device)["access_token"])
    assert devices.early == 3


def test_waiting_for_a_login_that_is_not_begun_ends(cloud: Cloud) -> None:
    with pytest.raises(TimeoutError, match="0 logins by a code, not 1, within"):
        cloud.wait_for_code(within=0.01)
