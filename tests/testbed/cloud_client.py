"""A client of the stand-in servers, for the tests of the servers themselves."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from testbed.cloud import Cloud
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

    def token(self, **form: str) -> tuple[int, Any]:
        url = f"{self.cloud.oauth_host}/api/oauth/token"
        data = urlencode({"client_id": CLIENT_ID, **form})
        status, _, text = self.send("POST", url, data, "application/x-www-form-urlencoded", "")
        return status, json.loads(text)

    def refresh(self, refresh_token: str) -> tuple[int, Any]:
        return self.token(grant_type="refresh_token", refresh_token=refresh_token)


def events(stream: str) -> list[str]:
    return [line.removeprefix("data: ") for line in stream.split("\n\n") if line]


def choices(stream: str) -> list[dict[str, Any]]:
    return [choice for event in events(stream)[:-1] for choice in json.loads(event)["choices"]]
