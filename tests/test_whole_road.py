"""The whole road, as an owner drives it: the command, the toml, a real agent in a container, both kinds of accounts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from testbed.cloud import Cloud, Hang
from testbed.site import says_no_secret

pytestmark = pytest.mark.engine

KEY = "sk-CANARY-of-the-api-key-0123456789abcdef"
SECONDS = 120


class Owner:
    """Somebody with a folder, a toml and a terminal."""

    def __init__(self, folder: Path, cloud: Cloud, image: str) -> None:
        self.folder = folder
        self.cloud = cloud
        self.image = image
        self.agent = "kimi-code"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "MOONSHOT_API_KEY": cloud.add_key(KEY),
            **{name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ},
        }

    def write(self, auth: str, **limits: Any) -> None:
        lines = [
            'transports = ["console"]',
            'backend = "kimi_docker"',
            f'auth = "{auth}"',
            "[limits]",
            *(f"{name} = {json.dumps(value)}" for name, value in limits.items()),
            "[plugins.kimi_docker]",
            'network = "host"',
            f'agent = "{self.agent}"',
            f'image = "{self.image}"',
            "[plugins.apikey]",
            f'base_url = "{self.cloud.base_url_platform}"',
            "[plugins.oauth_file]",
            f'oauth_host = "{self.cloud.oauth_host}"',
            f'base_url = "{self.cloud.base_url_coding}"',
        ]
        (self.folder / "nanokimi.toml").write_text("\n".join(lines))

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "nanokimi_core", *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, code: int = 0) -> str:
        with self.start(*words) as process:
            out, err = process.communicate(timeout=SECONDS)
        says_no_secret(out, err)
        assert process.returncode == code, f"{words} ended with {process.returncode}: {err}"
        self.said = out + err
        return out.strip()


@pytest.fixture
def owner(tmp_path: Path, cloud: Cloud, kimi_image: str) -> Owner:
    return Owner(tmp_path, cloud, kimi_image)


def test_one_line_of_the_toml_changes_the_account_and_the_conversation_goes_on(owner: Owner) -> None:
    owner.write("apikey")
    assert "my word is zebra" in owner.run("chat", "--once", "my word is zebra")
    login = owner.folder / "kimi-code.json"
    login.write_text(json.dumps(owner.cloud.new_login()))
    owner.run("auth", "import", str(login), "--plugin", "oauth_file")

    owner.write("oauth_file")
    assert "my word is zebra" in owner.run("chat", "--once", "what did I say")
    assert owner.cloud.completions()[-1].path.startswith("/coding/")

    owner.write("apikey")
    assert "my word is zebra" in owner.run("chat", "--once", "what did I say")
    assert owner.cloud.completions()[-1].token == KEY


def test_kimi_cli_works_with_both_accounts_and_refreshes_the_login_in_its_one_file(
    owner: Owner, kimi_cli_image: str
) -> None:
    owner.agent, owner.image = "kimi-cli", kimi_cli_image
    owner.write("apikey")
    owner.run("chat", "--once", "my word is zebra")
    assert owner.cloud.completions()[-1].token == KEY
    login = owner.folder / "kimi-code.json"
    login.write_text(json.dumps(owner.cloud.new_login(expires_in=-10)))
    owner.run("auth", "import", str(login), "--plugin", "oauth_file")

    owner.write("oauth_file")
    assert "my word is zebra" in owner.run("chat", "--once", "what did I say")
    [stored] = (owner.folder / "data/plugins/oauth_file/credentials").glob("kimi-code*.json")
    kept = json.loads(stored.read_text())
    assert owner.cloud.refreshes == 1
    assert owner.cloud.completions()[-1].token == kept["access_token"]
    assert owner.cloud.oauth.can_refresh(kept["refresh_token"])


def test_the_lines_of_a_pipe_are_one_conversation_until_new(owner: Owner) -> None:
    owner.write("apikey")
    with owner.start("chat") as process:
        out, err = process.communicate("my word is zebra\nwhat did I say\n/new\nwhat did I say\n", timeout=SECONDS)
    heard, said, fresh, empty = out.splitlines()
    assert "zebra" in heard
    assert "zebra" in said
    assert "fresh conversation" in fresh
    assert empty == "you said: nothing"
    assert err == ""


def test_a_wrong_key_is_a_sentence_for_the_chat_and_the_cause_for_the_owner(owner: Owner) -> None:
    owner.write("apikey")
    owner.environment["MOONSHOT_API_KEY"] = "sk-CANARY-that-nobody-knows-0123456789"
    answer = owner.run("chat", "--once", "hello", code=1)
    assert answer.startswith("I'm away for the moment: my account doesn't let me in.")
    assert "ask it again" in owner.said
    assert "credentials: " in owner.said
    assert "401" in owner.said
    assert "CANARY" not in owner.said


def test_without_an_engine_the_chat_says_what_to_start(owner: Owner) -> None:
    owner.write("apikey")
    owner.environment["DOCKER_HOST"] = f"unix://{owner.folder}/nothing.sock"
    owner.run("chat", "--once", "hello", code=1)
    assert "no engine answers" in owner.said
    assert "Traceback" not in owner.said


def test_debug_answers_the_three_questions(owner: Owner) -> None:
    owner.write("apikey")
    seen = owner.run("debug", "config")
    assert "kimi-k2.6" in seen
    assert owner.cloud.base_url_platform in seen
    probed = owner.run("debug", "probe")
    assert "first token" in probed
    assert "heard" in probed
    owner.run("chat", "--once", "hello")
    assert "kimi-k2.6" in owner.run("debug", "logs")


@contextmanager
def in_the_middle_of_a_turn(owner: Owner) -> Iterator[subprocess.Popen[str]]:
    owner.cloud.script(Hang(60))
    with owner.start("chat", "--once", "hello") as process:
        try:
            owner.cloud.wait_for_completions(1)
            yield process
            owner.cloud.release()
            process.communicate(timeout=SECONDS)
        finally:
            process.kill()


def everything_outside_sees(engine: Any) -> dict[str, str]:
    """What the engine tells of every container, and what every process tells of itself."""
    seen = {}
    for container in engine.containers(all=True):
        seen[f"inspect {container['Id'][:12]}"] = json.dumps(engine.inspect_container(container["Id"]))
    for process in Path("/proc").glob("[0-9]*"):
        for part in ("cmdline", "environ"):
            try:
                seen[f"{process.name} {part}"] = (process / part).read_text(errors="replace")
            except OSError:
                continue
    return seen


def holding(canary: str, seen: dict[str, str]) -> set[str]:
    return {name for name, text in seen.items() if canary in text}


@pytest.mark.parametrize("auth", ["apikey", "oauth_file"])
def test_no_secret_is_in_an_environment_a_command_line_a_label_or_what_is_said(
    owner: Owner, engine: Any, auth: str
) -> None:
    login = owner.cloud.new_login()
    file = owner.folder / "kimi-code.json"
    file.write_text(json.dumps(login))
    owner.write(auth)
    stored = owner.folder / "data" / "plugins" / "apikey"
    stored.mkdir(parents=True)
    (stored / "key").write_text(KEY)
    (stored / "key").chmod(0o600)
    del owner.environment["MOONSHOT_API_KEY"]
    owner.run("auth", "import", str(file), "--plugin", "oauth_file")
    said = owner.said
    with in_the_middle_of_a_turn(owner):
        seen = everything_outside_sees(engine)
        control = subprocess.Popen(["sleep", "30"], env={"PLANTED": KEY + login["access_token"]})
        try:
            planted = everything_outside_sees(engine)
        finally:
            control.kill()
            control.wait()
    for command in (["auth", "status"], ["config", "show"], ["debug", "config"], ["debug", "logs"], ["doctor"]):
        owner.run(*command)
        said += owner.said
    for canary in (KEY, login["access_token"], login["refresh_token"]):
        assert not holding(canary, seen)
        assert canary not in said
    assert holding(KEY, planted) == holding(login["access_token"], planted) == {f"{control.pid} environ"}
    assert any(name.startswith("inspect") for name in holding(owner.image, seen))
