"""The stand-in servers keep what the other tests take for granted."""

from __future__ import annotations

import gc
import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from testbed.cloud import CallTool, Cloud, Drop, Fail, Hang, Model, Refuse, Say, Slow
from testbed.cloud_oauth import CLIENT_ID

TOOLS = [{"type": "function", "function": {"name": "Bash"}}]
KEY = "sk-test"


class Client:
    """One kept-alive connection."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        place = urlsplit(cloud.oauth_host)
        self.connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=10)

    def send(
        self, method: str, url: str, body: str | None, kind: str, token: str
    ) -> tuple[int, http.client.HTTPMessage, str]:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        self.connection.request(method, urlsplit(url).path, body, headers)
        response = self.connection.getresponse()
        return response.status, response.headers, response.read().decode()

    def complete(
        self,
        *said: str,
        base: str = "",
        token: str = KEY,
        model: str = "kimi-k2.5",
        stream: bool = True,
        tools: bool = True,
        history: tuple[Mapping[str, Any], ...] = (),
    ) -> tuple[int, http.client.HTTPMessage, str]:
        messages = [
            {"role": "system", "content": "be brief"},
            *history,
            *({"role": "user", "content": t} for t in said),
        ]
        body: dict[str, Any] = {"model": model, "messages": messages, "stream": stream}
        body |= {"stream_options": {"include_usage": True}} if stream else {}
        body |= {"tools": TOOLS} if tools else {}
        url = (base or self.cloud.base_url_platform) + "/chat/completions"
        return self.send("POST", url, json.dumps(body), "application/json", token)

    def answer(self, *said: str, **options: Any) -> str:
        status, _, text = self.complete(*said, **options)
        assert status == 200
        return "".join(piece["delta"].get("content", "") for piece in choices(text))

    def token(self, **form: str) -> tuple[int, dict[str, Any]]:
        url = f"{self.cloud.oauth_host}/api/oauth/token"
        data = urlencode({"client_id": CLIENT_ID, **form})
        status, _, text = self.send("POST", url, data, "application/x-www-form-urlencoded", "")
        return status, json.loads(text)

    def refresh(self, refresh_token: str) -> tuple[int, dict[str, Any]]:
        return self.token(grant_type="refresh_token", refresh_token=refresh_token)


def events(stream: str) -> list[str]:
    return [line.removeprefix("data: ") for line in stream.split("\n\n") if line]


def choices(stream: str) -> list[dict[str, Any]]:
    return [choice for event in events(stream)[:-1] for choice in json.loads(event)["choices"]]


@pytest.fixture
def client(cloud: Cloud) -> Iterator[Client]:
    cloud.add_key(KEY)
    client = Client(cloud)
    yield client
    client.connection.close()


# --------------------------------------------------------------------- the model
def test_a_streamed_answer_has_role_pieces_reason_usage_and_end(client: Client) -> None:
    status, headers, text = client.complete("hello there")

    assert (status, headers.get_content_type()) == (200, "text/event-stream")
    pieces = choices(text)
    assert pieces[0]["delta"]["role"] == "assistant"
    assert [piece["delta"]["content"] for piece in pieces[1:-1]] == ["heard: ", "hello ", "there"]
    assert pieces[-1]["finish_reason"] == "stop"
    assert events(text)[-1] == "[DONE]"
    assert json.loads(events(text)[-2])["usage"]["total_tokens"] > 0


def test_an_answer_can_come_whole(client: Client) -> None:
    _, _, text = client.complete("hello", stream=False)
    assert json.loads(text)["choices"][0]["message"]["content"] == "heard: hello"


def test_the_default_answer_shows_what_was_said_before_but_not_what_the_agent_added(client: Client) -> None:
    reminder = {"role": "user", "content": "<system-reminder>\ntoday is today\n</system-reminder>"}
    before = {"role": "user", "content": [{"type": "text", "text": "remember plum"}]}
    assert client.answer("what did I say?", history=(before, reminder)) == "you said: remember plum"
    assert client.answer("what did I say?") == "you said: nothing"


def test_a_tools_result_is_shown(client: Client) -> None:
    history = ({"role": "user", "content": "look"}, {"role": "tool", "content": "42 files"})
    assert client.answer(history=history) == "tool answered: 42 files"


def test_a_script_is_followed_once_and_then_the_lasting_behaviour(cloud: Cloud, client: Client) -> None:
    cloud.script(Say("one"), Say("two", chunks=("t", "wo")))
    cloud.always(Say("ever"))
    assert [client.answer("x") for _ in range(4)] == ["one", "two", "ever", "ever"]
    cloud.always(None)
    assert client.answer("x") == "heard: x"


def test_a_side_request_takes_nothing_from_the_script(cloud: Cloud, client: Client) -> None:
    cloud.script(Say("scripted"))
    assert client.answer("a title, please", tools=False) == "heard: a title, please"
    assert client.answer("x") == "scripted"
    assert len(cloud.completions()) == 1


def test_a_failure_has_status_headers_and_the_apis_error(cloud: Cloud, client: Client) -> None:
    cloud.script(Fail(429, "rate_limit_reached_error", "slow down", {"retry-after": "7"}))
    status, headers, text = client.complete("x")
    assert (status, headers["retry-after"]) == (429, "7")
    assert json.loads(text) == {"error": {"message": "slow down", "type": "rate_limit_reached_error"}}


def test_a_tool_call_names_the_tool_and_its_arguments(cloud: Cloud, client: Client) -> None:
    cloud.script(CallTool("Bash", {"command": "ls"}))
    pieces = choices(client.complete("x")[2])
    call = pieces[1]["delta"]["tool_calls"][0]["function"]
    assert (call["name"], json.loads(call["arguments"])) == ("Bash", {"command": "ls"})
    assert pieces[-1]["finish_reason"] == "tool_calls"


def test_a_dropped_answer_ends_in_the_middle(cloud: Cloud, client: Client) -> None:
    cloud.script(Drop("half"))
    with pytest.raises(http.client.IncompleteRead):
        client.complete("x")


def test_a_hanging_answer_goes_on_when_released(cloud: Cloud, client: Client) -> None:
    cloud.script(Hang(60, "begin ", "end"))
    answers: list[str] = []
    waiting = threading.Thread(target=lambda: answers.append(client.answer("x")), daemon=True)
    waiting.start()
    cloud.wait_for_completions(1)
    deadline = time.monotonic() + 10
    while waiting.is_alive() and time.monotonic() < deadline:
        cloud.release()
        waiting.join(0.05)
    assert answers == ["begin end"]


def test_closing_lets_go_of_hanging_answers_and_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    with Cloud() as cloud:
        cloud.add_key(KEY)
        cloud.always(Hang(600))
        client = Client(cloud)
        waiting = threading.Thread(target=lambda: _ignore_cut(client), daemon=True)
        waiting.start()
        cloud.wait_for_completions(1)
    waiting.join(10)
    client.connection.close()
    gc.collect()
    assert set(threading.enumerate()) == before


def _ignore_cut(client: Client) -> None:
    try:
        client.complete("x")
    except (OSError, http.client.HTTPException):
        return


def test_waiting_for_requests_that_do_not_come_ends(cloud: Cloud) -> None:
    with pytest.raises(TimeoutError, match="0 completions, not 1"):
        cloud.wait_for_completions(1, within=0.01)


# --------------------------------------------------------------------- accounts
def test_models_are_listed_with_their_context(cloud: Cloud, client: Client) -> None:
    cloud.models["platform"] = [Model("kimi-next", 1000)]
    status, _, text = client.send("GET", cloud.base_url_platform + "/models", None, "", KEY)
    assert status == 200
    assert [(model["id"], model["context_length"]) for model in json.loads(text)["data"]] == [("kimi-next", 1000)]


def test_an_unknown_model_is_refused(client: Client) -> None:
    status, _, text = client.complete("x", model="gpt")
    assert (status, json.loads(text)["error"]["type"]) == (404, "resource_not_found_error")


@pytest.mark.parametrize("token", ["", "sk-other", "sk-kimi-member"])
def test_what_is_not_an_accepted_key_of_the_account_gets_401(cloud: Cloud, client: Client, token: str) -> None:
    cloud.add_key("sk-kimi-member")
    status, _, text = client.complete("x", token=token)
    assert (status, json.loads(text)["error"]["type"]) == (401, "invalid_authentication_error")


def test_kimi_codes_api_takes_its_own_keys_and_access_tokens_only(cloud: Cloud, client: Client) -> None:
    cloud.add_key("sk-kimi-member")
    tokens = ["sk-kimi-member", cloud.new_login()["access_token"], KEY]
    base, model = cloud.base_url_coding, "kimi-for-coding"
    assert [client.complete("x", base=base, model=model, token=token)[0] for token in tokens] == [200, 200, 401]


def test_requests_are_recorded_with_prompt_token_and_body(cloud: Cloud, client: Client) -> None:
    client.complete("hello")
    (request,) = cloud.completions()
    assert (request.method, request.token, request.said) == ("POST", KEY, ["hello"])
    assert cloud.prompts() == ["be brief\nhello"]
    assert request.body["model"] == "kimi-k2.5"


def test_what_is_too_large_or_no_json_is_refused(cloud: Cloud, client: Client) -> None:
    url = cloud.base_url_platform + "/chat/completions"
    assert client.send("POST", url, "no json", "application/json", KEY)[0] == 400
    client.connection.putrequest("POST", urlsplit(url).path)
    client.connection.putheader("Content-Length", str(10**12))
    client.connection.endheaders()
    assert client.connection.getresponse().status == 413


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


def test_a_device_login_waits_for_the_person(cloud: Cloud, client: Client) -> None:
    form = urlencode({"client_id": CLIENT_ID})
    url = f"{cloud.oauth_host}/api/oauth/device_authorization"
    device = json.loads(client.send("POST", url, form, "application/x-www-form-urlencoded", "")[2])
    poll = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": device["device_code"]}

    assert client.token(**poll)[1]["error"] == "authorization_pending"
    cloud.oauth.approve(device["user_code"])
    status, login = client.token(**poll)
    assert status == 200
    assert cloud.accepts(login["access_token"])
    assert client.token(**poll)[1]["error"] == "invalid_grant"


@pytest.mark.parametrize("ending", ["access_denied", "expired_token"])
def test_a_device_login_can_end_without_one(cloud: Cloud, client: Client, ending: str) -> None:
    device = cloud.oauth.device_authorization({"client_id": CLIENT_ID}, cloud.oauth_host)[1]
    if ending == "access_denied":
        cloud.oauth.deny(device["user_code"])
    else:
        cloud.oauth.expire_device_codes()
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": device["device_code"]}
    assert client.token(**form)[1]["error"] == ending
