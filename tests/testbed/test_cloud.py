"""The stand-in model API keeps what the other tests take for granted."""

from __future__ import annotations

import gc
import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from testbed.cloud import CallTool, Cloud, Drop, Fail, Hang, Model, Say
from testbed.cloud_client import KEY, Client, choices, events
from testbed.cloud_quota import NO_BALANCE, WEEK_USED, balance, usages


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


# --------------------------------------------------------------------- what is left
def test_each_account_tells_its_own_quota_to_those_whom_it_lets_in(cloud: Cloud, client: Client) -> None:
    token, member = cloud.new_login()["access_token"], cloud.add_key("sk-kimi-member")
    cloud.set_quota("coding", usages(80))
    cloud.set_quota("coding", usages(5), token=member)
    cloud.set_quota("platform", balance(1.5, 0.5))

    def ask(url: str, credential: str) -> tuple[int, Any]:
        status, _, text = client.send("GET", url, None, "", credential)
        return status, json.loads(text)

    coding, platform = cloud.base_url_coding + "/usages", cloud.base_url_platform + "/users/me/balance"
    assert [ask(coding, credential)[1]["usage"]["used"] for credential in (token, member)] == ["80", "5"]
    assert ask(platform, KEY)[1]["data"] == {"available_balance": 1.5, "voucher_balance": 0.5, "cash_balance": 1.0}
    assert [ask(coding, KEY)[0], ask(platform, token)[0]] == [401, 401]
    assert [ask(cloud.base_url_platform + "/usages", KEY)[0]] == [404]


def test_a_spent_account_still_shows_models_and_quota_until_it_is_filled_again(cloud: Cloud, client: Client) -> None:
    cloud.refuse(KEY, NO_BALANCE)
    cloud.refuse("coding", WEEK_USED)
    status, _, text = client.complete("x")
    assert (status, json.loads(text)["error"]["type"]) == (429, "exceeded_current_quota_error")
    token = cloud.new_login()["access_token"]
    assert client.complete("x", base=cloud.base_url_coding, model="kimi-for-coding", token=token)[0] == 403
    for path in ("/models", "/users/me/balance"):
        assert client.send("GET", cloud.base_url_platform + path, None, "", KEY)[0] == 200
    cloud.refuse(KEY, None)
    assert client.answer("x") == "heard: x"


def test_a_part_of_the_api_can_be_broken_by_itself(cloud: Cloud, client: Client) -> None:
    cloud.break_path("/models", Fail(503))
    assert client.send("GET", cloud.base_url_platform + "/models", None, "", KEY)[0] == 503
    assert client.answer("x") == "heard: x"
    cloud.break_path("/models", Drop())
    with pytest.raises(http.client.RemoteDisconnected):
        client.send("GET", cloud.base_url_platform + "/models", None, "", KEY)
    client.connection.close()
    cloud.break_path("/models", None)
    assert client.send("GET", cloud.base_url_platform + "/models", None, "", KEY)[0] == 200
