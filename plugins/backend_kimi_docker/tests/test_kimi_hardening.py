"""What the container may do, what it sees, and where secrets are: nowhere but in the agent's config and login."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from nanokimi_backend_kimi_docker.engine import address
from nanokimi_core import Attachment, Grant, Need
from testbed.cloud import CallTool, Fail
from testbed.kimi import KEY, AccessAccount, Bench, KeyAccount, ask, events, failure, turn
from testbed.onlooker import everything_visible, run_in

pytestmark = [pytest.mark.anyio, pytest.mark.engine]

PLANTED = "CANARY-that-a-test-planted"


async def test_the_container_is_hardened_and_sees_nothing_else(bench: Bench, engine: Any) -> None:
    chat = bench.chat()
    async with bench.backend(memory="700m", pids=300, cpus=0.5) as backend, backend.session(chat):
        [container] = bench.containers(engine)
        about = engine.inspect_container(container)
        status = run_in(
            engine, container, "cat /proc/self/status; touch /x; touch /usr/x; touch /tmp/ok && echo tmp-ok"
        )
        seen = run_in(engine, container, "id -u; echo $HOME; ls -A /home/node")
    host = about["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert (host["ReadonlyRootfs"], host["Init"], host["Privileged"]) == (True, True, False)
    assert (host["Memory"], host["MemorySwap"]) == (700 * 2**20, 700 * 2**20)
    assert (host["PidsLimit"], host["NanoCpus"]) == (300, 500_000_000)
    assert set(host["Tmpfs"]) == {"/tmp", "/home/node"}
    assert host["LogConfig"]["Type"] == "none"
    assert about["Config"]["User"].split(":")[0] != "0"
    assert {(mount["Destination"], mount["RW"]) for mount in about["Mounts"]} == {
        ("/workspace", True),
        ("/home/node/.kimi-code", True),
        ("/home/node/.kimi-code/config.toml", False),
        ("/home/node/.kimi-code/AGENTS.md", False),
    }
    assert all(Path(mount["Source"]).is_relative_to(bench.root) for mount in about["Mounts"])
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert status.count("Read-only file system") == 2
    assert "tmp-ok" in status
    assert seen.split() == [about["Config"]["User"].split(":")[0], "/home/node", ".kimi-code"]


ORDINARY = """
    import os, sys, anyio, shutil, tempfile
    from pathlib import Path
    from testbed.cloud import CallTool, Cloud
    from testbed.kimi import KEY, AccessAccount, Bench, ask

    async def main(image, group):
        root = Path(tempfile.mkdtemp())
        if os.getuid() == 0:
            os.chown(root, 12345, 12345)
            os.setgroups([int(group)])
            os.setgid(12345)
            os.setuid(12345)
        with Cloud() as cloud:
            bench = Bench(root, cloud, image)
            chat = bench.chat(auth=bench.login(expires_in=-10))
            async with bench.backend() as backend, backend.session(chat) as session:
                cloud.script(CallTool("Bash", {"command": "id -u; touch /workspace/made"}))
                print(await ask(session, "who are you"))
        print("refreshes", cloud.refreshes)
        owners = {path.lstat().st_uid for path in root.rglob("*")}
        print("owners", owners == {os.getuid()}, os.getuid())
        shutil.rmtree(root)

    anyio.run(main, *sys.argv[1:])
"""


def docker_group() -> str:
    return str(Path(address().removeprefix("unix://")).stat().st_gid)


async def test_the_container_runs_as_the_ordinary_user_that_nanokimi_runs_as(bench: Bench) -> None:
    tests = Path(__file__).parents[3] / "tests"
    command = [sys.executable, "-c", textwrap.dedent(ORDINARY), bench.image, docker_group()]
    done = await anyio.run_process(command, stderr=None, env={"PYTHONPATH": str(tests), "PATH": os.environ["PATH"]})
    told = done.stdout.decode()
    user = str(os.getuid() or 12345)
    assert f"\n{user}\n" in told
    assert "refreshes 1\n" in told
    assert f"owners True {user}\n" in told


async def test_labels_say_whose_the_container_is(bench: Bench, engine: Any) -> None:
    async with bench.backend() as backend, backend.session(bench.chat("console:Ana & Ben")):
        labels = engine.inspect_container(bench.containers(engine)[0])["Config"]["Labels"]
    own = {name: value for name, value in labels.items() if name.startswith("org.nanokimi.")}
    assert own["org.nanokimi.installation"] == bench.context.installation
    assert own["org.nanokimi.instance"] == "kimi_docker"
    assert own["org.nanokimi.sandbox"].startswith("console_Ana_Ben~")
    assert len(own["org.nanokimi.process"]) == 16


class Careless(KeyAccount):
    """An account that plants something in the environment, so that a test sees that its search finds it."""

    async def grant(self, need: Need) -> Grant:
        return replace(await super().grant(need), environment=(("PLANTED", PLANTED),))


async def test_no_secret_is_in_environment_command_line_labels_or_logs(
    bench: Bench, engine: Any, caplog: pytest.LogCaptureFixture
) -> None:
    chat = bench.chat(auth=Careless(bench.cloud, bench.root / "gate"))
    caplog.set_level("INFO")
    async with bench.backend() as backend, backend.session(chat) as session:
        bench.cloud.script(CallTool("Bash", {"command": "env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline"}))
        children = await ask(session, "look around")
        kept = keepers(bench.root)
        modes = [path.stat().st_mode & 0o777 for path in kept]
        bench.cloud.always(Fail(401, "invalid_authentication_error", f"the key {bench.key.key} is wrong"))
        error = await failure(session)
        visible = everything_visible(engine, bench.containers(engine)[0])
        logs = await backend.logs(chat, lines=1000)
    assert PLANTED in visible
    assert PLANTED in children
    for text in (visible, children, logs, caplog.text, str(error)):
        assert bench.key.key not in text
    assert [path.relative_to(bench.root).parts[:2] for path in kept] == [("plugin", "running")]
    assert (kept[0].name, modes) == ("config.toml", [0o600])
    assert keepers(bench.root / "plugin") == []


def keepers(folder: Path) -> list[Path]:
    """The files that hold the key."""
    return [path for path in folder.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]


@pytest.mark.parametrize("kind", ["shared", "access-only"])
async def test_no_token_of_a_login_is_in_environment_command_line_or_labels(
    bench: Bench, engine: Any, kind: str
) -> None:
    login = bench.login() if kind == "shared" else AccessAccount(bench.cloud, bench.root / "credentials")
    async with bench.backend() as backend, backend.session(bench.chat(auth=login)) as session:
        bench.cloud.script(CallTool("Bash", {"command": "env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline"}))
        children = await ask(session, "look around")
        visible = everything_visible(engine, bench.containers(engine)[0])
    assert bench.cloud.oauth_host in visible
    for secret in bench.cloud.oauth.issued():
        assert secret not in visible
        assert secret not in children


async def test_links_that_an_agent_planted_lead_nowhere(bench: Bench) -> None:
    outside = bench.root / "outside"
    outside.mkdir(mode=0o777)
    secret = outside / "secret"
    secret.write_text("SECRET-OF-THE-HOST")
    login = bench.login()
    chat = bench.chat(auth=login)
    home = chat.folder / "agent" / "kimi_docker" / "kimi-code"
    home.mkdir(parents=True)
    for name in ("AGENTS.md", "config.toml", "device_id", "credentials", "oauth"):
        (home / name).symlink_to(secret if "." in name or name == "device_id" else outside)
    (home / "logs").symlink_to(outside)
    (outside / "kimi-code.log").write_text("SECRET-OF-THE-HOST")
    (chat.folder / "workspace").mkdir()
    (chat.folder / "workspace" / "x.png").symlink_to(secret)
    picture = Attachment("x.png", "image/png", chat.folder / "workspace" / "x.png", 10)

    before = {path.name: path.stat().st_mtime_ns for path in outside.iterdir()}
    async with bench.backend() as backend, backend.session(chat) as session:
        await ask(session, turn("hello", attachments=(picture,)))
        logs = await backend.logs(chat, lines=100)
    assert {path.name: path.stat().st_mtime_ns for path in outside.iterdir()} == before
    assert outside.stat().st_uid == bench.root.stat().st_uid
    assert secret.read_text() == "SECRET-OF-THE-HOST"
    assert "SECRET" not in logs
    asked = bench.cloud.completions()[-1]
    assert "GLOBAL-KIMI-MD" in asked.prompt
    assert "image_url" not in str(asked.body["messages"])
    assert asked.token == login.login["access_token"]


async def test_a_link_in_the_place_of_a_session_record_is_not_read(bench: Bench) -> None:
    record = bench.root / "record.jsonl"
    waits = {
        "type": "turn.step.retrying",
        "time": 4e12,
        "delayMs": 1e9,
        "errorName": "X",
        "errorMessage": "429 planted",
    }
    record.write_text(json.dumps(waits))
    swap = "f=$(ls -d ~/.kimi-code/sessions/*/session_*/agents/main)/wire.jsonl; mv $f $f.old; ln -s {} $f; sleep 4"
    bench.cloud.script(CallTool("Bash", {"command": swap.format(record)}))
    async with bench.backend() as backend, backend.session(bench.chat()) as session:
        with anyio.fail_after(30):
            assert await events(session, "swap")
