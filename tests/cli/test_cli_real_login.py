"""``nanokimi auth`` with the real ``oauth_file``, a real agent in a real container, and the stand-in login server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nanokimi_core.folder import DataFolder
from testbed.cloud import Cloud, Refuse
from testbed.site import Call, Site

TOML = """backend = "kimi_docker"
auth = "oauth_file"
[plugins.kimi_docker]
network = "host"
image = "{image}"
[plugins.oauth_file]
oauth_host = "{cloud.oauth_host}"
base_url = "{cloud.base_url_coding}"
"""


@pytest.fixture
def subscriber(site: Site, cloud: Cloud, kimi_image: str) -> Site:
    site.toml(TOML.format(image=kimi_image, cloud=cloud))
    return site


@pytest.fixture
def nothing_left(site: Site, engine: Any) -> Iterator[None]:
    yield
    label = f"org.nanokimi.installation={DataFolder(site.data).installation}"
    assert engine.containers(all=True, filters={"label": [label]}) == []


@pytest.mark.engine
@pytest.mark.usefixtures("nothing_left")
def test_an_owner_logs_in_looks_refreshes_and_logs_out(subscriber: Site, cloud: Cloud, call: Call) -> None:
    with subscriber.terminal("auth", "login") as terminal:
        code = cloud.wait_for_code(within=90)
        shown = terminal.until("gives it up.")
        assert f"    {cloud.oauth_host}/device\n    {code}" in shown.replace("\r", "")
        cloud.oauth.approve(code)
        assert terminal.ended() == 0, terminal.seen
    assert "is stored for oauth_file." in terminal.seen
    assert "Its models: kimi-for-coding" in terminal.seen
    [account] = json.loads(call("auth", "status", "--json").out)["accounts"]
    assert account["state"] == "ok"
    assert call("auth", "refresh").code == 0
    assert (cloud.refreshes, cloud.oauth.reuses) == (1, 0)
    cloud.oauth.script(Refuse(503, "server_error"))
    away = call("auth", "refresh")
    assert (away.code, away.err.count("\n")) == (75, 1)
    assert call("auth", "refresh").code == 0
    out = call("auth", "logout", "--yes")
    assert (out.code, out.err) == (0, "")
    assert "are removed from oauth_file." in out.out
    assert call("auth", "status").code == 1
    said = terminal.seen + away.err + out.out + everything(subscriber.data)
    assert not [token for token in cloud.oauth.issued() if token in said]


@pytest.mark.parametrize(("credentials", "refreshed"), [("access-only", 0), ("shared", 2)])
def test_a_login_of_another_machine_is_imported_and_removed_whatever_containers_see_of_it(
    site: Site, cloud: Cloud, call: Call, credentials: str, refreshed: int
) -> None:
    site.toml(TOML.format(image="none", cloud=cloud) + f'credentials = "{credentials}"\n')
    (site.home / "kimi-code.json").write_text(json.dumps(cloud.new_login()))
    assert call("auth", "import", "kimi-code.json").code == 0
    assert json.loads(call("auth", "status", "--json").out)["accounts"][0]["state"] == "ok"
    renewed = call("auth", "refresh")
    assert (renewed.code, renewed.err.count("\n")) == (refreshed, refreshed and 1)
    assert cloud.refreshes == (not refreshed)
    assert call("auth", "logout", "--yes").code == 0
    assert call("auth", "status").code == 1
    said = everything(site.data)
    assert not [token for token in cloud.oauth.issued() if token in said]


def everything(folder: Path) -> str:
    return "".join(file.read_text(errors="replace") for file in folder.rglob("*") if file.is_file())
