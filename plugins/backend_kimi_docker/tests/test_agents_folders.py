"""Folders that an agent can write, and files beside them that it can't."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path, PurePosixPath

import pytest
from pydantic import ValidationError

from nanokimi_backend_kimi_docker import beneath
from nanokimi_backend_kimi_docker.agent_log import AgentLog
from nanokimi_backend_kimi_docker.agents import KimiCode
from nanokimi_backend_kimi_docker.config import KimiDockerConfig, format_size, parse_size
from nanokimi_backend_kimi_docker.conversations import Conversation, Conversations
from nanokimi_backend_kimi_docker.mounts import agent_user, device_id

HERE = PurePosixPath("a/b/file")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "file").write_text("SECRET")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def test_a_file_is_made_with_its_folders_and_an_existing_one_is_kept(root: Path) -> None:
    beneath.ensure_file(root, HERE, b"first", owner=None)
    beneath.ensure_file(root, HERE, b"second", owner=None)
    assert beneath.read(root, HERE, most=100) == b"first"
    assert beneath.read(root, HERE, most=3) == b"fir"
    assert beneath.read(root, HERE, most=3, from_end=True) == b"rst"


def test_links_in_the_way_are_moved_aside_and_never_followed(root: Path, outside: Path) -> None:
    (root / "a").symlink_to(outside)
    beneath.ensure_file(root, PurePosixPath("a/file"), b"mine", owner=None)
    assert (outside / "file").read_text() == "SECRET"
    assert (root / "a" / "file").read_text() == "mine"
    (root / "link").symlink_to(outside / "file")
    beneath.ensure_file(root, PurePosixPath("link"), b"mine", owner=None)
    assert (root / "link").read_text() == "mine"
    (root / "thing").write_text("a file")
    beneath.ensure_folder(root, PurePosixPath("thing/inner"), owner=None)
    assert (root / "thing" / "inner").is_dir()
    assert len([path for path in root.iterdir() if ".moved-aside." in path.name]) == 3


def test_links_pipes_and_ways_out_are_not_read(root: Path, outside: Path) -> None:
    (root / "link").symlink_to(outside / "file")
    (root / "folder").symlink_to(outside)
    os.mkfifo(root / "pipe")
    for path in ("link", "folder/file", "pipe", "missing", "../outside/file"):
        with pytest.raises(OSError, match=r".+"):
            beneath.read(root, PurePosixPath(path), most=100)
    with pytest.raises(FileNotFoundError):
        beneath.read_one(root, PurePosixPath("*/file"), most=100)
    (root / "real").mkdir()
    (root / "real" / "file").write_text("plain")
    assert beneath.read_one(root, PurePosixPath("*/file"), most=100) == b"plain"


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_a_folder_is_given_with_all_in_it_but_not_through_links(root: Path, outside: Path) -> None:
    (root / "sub").mkdir()
    (root / "sub" / "file").write_text("x")
    (root / "link").symlink_to(outside / "file")
    (root / "folder").symlink_to(outside)
    beneath.give(root, (1000, 1000))
    assert {path.lstat().st_uid for path in (root, root / "sub", root / "sub" / "file", root / "link")} == {1000}
    assert {outside.stat().st_uid, (outside / "file").stat().st_uid} == {0}
    beneath.ensure_file(root, HERE, owner=(1000, 1000))
    assert (root / "a" / "b" / "file").stat().st_uid == 1000


def test_the_container_runs_as_nanokimi_itself_but_never_as_root() -> None:
    user = agent_user(rootless=False)
    if os.getuid() == 0:
        assert (user.inside, user.owner) == ((1000, 1000), (1000, 1000))
    else:
        assert (user.inside, user.owner) == ((os.getuid(), os.getgid()), None)
    rootless = agent_user(rootless=True)
    assert (rootless.inside, rootless.outside, rootless.owner) == ((0, 0), (os.getuid(), os.getgid()), None)


def test_a_device_keeps_its_name(tmp_path: Path) -> None:
    assert device_id(tmp_path) == device_id(tmp_path)
    assert (tmp_path / "device_id").stat().st_mode & 0o777 == 0o600


def test_conversations_are_kept_by_chat_and_agent_and_survive_broken_files(tmp_path: Path) -> None:
    kept = Conversations(tmp_path / "c")
    one = Conversation("kimi-code", "session_1", "x")
    kept.put("console:../../etc", one)
    assert kept.get("console:../../etc", "kimi-code") == one
    assert kept.get("console:../../etc", "kimi-cli") is None
    [file] = (tmp_path / "c").iterdir()
    for broken in ("", "[]", '{"agent": 1}', '{"agent": "kimi-code", "session": "../../x"}'):
        file.write_text(broken)
        assert kept.get("console:../../etc", "kimi-code") is None
    kept.drop("console:../../etc", "kimi-code")
    kept.drop("console:../../etc", "kimi-code")
    assert list((tmp_path / "c").iterdir()) == []


def test_a_log_stays_small_and_keeps_secrets_out(tmp_path: Path) -> None:
    log = AgentLog(tmp_path / "a.log", secrets=["sk-secret", ""])
    log.write("the key is sk-secret\n")
    log.write("   ")
    for number in range(12_000):
        log.write(f"{number} " + "x" * 100)
    assert "11999" in log.last_words
    log.close()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert max(sizes) < 600 * 1024
    assert not any("sk-secret" in path.read_text() for path in tmp_path.iterdir())


def test_a_log_on_a_full_disk_loses_lines_and_nothing_else() -> None:
    log = AgentLog(Path("/dev/full"))
    for number in range(3):
        log.write(f"line \x1b[31m{number}\x00")
    assert log.last_words == "line  0 | line  1 | line  2"
    log.close()


def test_a_log_that_cant_be_set_aside_stays_small(tmp_path: Path) -> None:
    (tmp_path / "a.old.log" / "in the way").mkdir(parents=True)
    log = AgentLog(tmp_path / "a.log")
    for _ in range(6_000):
        log.write("x" * 200)
    log.write("the end")
    log.close()
    assert (tmp_path / "a.log").stat().st_size < 600 * 1024
    assert (tmp_path / "a.log").read_text().endswith(" the end\n")


def test_an_agent_that_waits_before_it_asks_again_is_seen(tmp_path: Path) -> None:
    folder = tmp_path / "sessions" / "wd_x" / "session_1" / "agents" / "main"
    folder.mkdir(parents=True)
    now = time.time()
    record = '{{"type":"turn.step.retrying","time":{},"delayMs":60000,"errorName":"E","errorMessage":"429"}}\n'
    (folder / "wire.jsonl").write_text("not json\n" + record.format(now * 1000) + '{"type":"other"}\n')
    found = KimiCode().waiting(tmp_path, "session_1", now - 1)
    assert found is not None
    assert found.cause == "E: 429"
    assert 50 < found.rest.total_seconds() <= 60
    assert KimiCode().waiting(tmp_path, "session_1", now + 1) is None
    assert KimiCode().waiting(tmp_path, "session_2", now - 1) is None
    deep = '{"x":' + "[" * 50_000 + '"turn.step.retrying"'
    for broken in ('{"type":"turn.step.retrying","time":"soon"}', deep, record.format("9" * 400)):
        (folder / "wire.jsonl").write_text(broken + "\n")
        assert KimiCode().waiting(tmp_path, "session_1", now - 1) is None
    for endless in ("1e300", "Infinity"):
        (folder / "wire.jsonl").write_text(record.format(endless))
        found = KimiCode().waiting(tmp_path, "session_1", now - 1)
        assert found is not None
        assert found.rest == timedelta(days=1)


@pytest.mark.parametrize(("text", "size"), [("512m", 2**29), ("1g", 2**30), ("1.5 GiB", 1610612736), (2**30, 2**30)])
def test_sizes_are_written_like_people_do(text: object, size: int) -> None:
    assert parse_size(text) == size
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize("text", ["much", "", "1", 1, True, None, "-1g", "1 parsec"])
def test_a_size_that_is_none_says_how_one_is_written(text: object) -> None:
    with pytest.raises(ValueError, match='write a size like "512m" or "1g"'):
        parse_size(text)


@pytest.mark.parametrize(
    "table",
    [
        {"agent": "gpt"},
        {"network": "a b"},
        {"cpus": 0},
        {"pids": 1},
        {"max_steps": 0},
        {"max_attempts": 0},
        {"memory": "lots"},
        {"memory": "63m"},
        {"memory": "9" * 400 + "t"},
        {"memory": 2**63},
        {"cpus": float("inf")},
        {"cpus": float("nan")},
        {"cpus": 1025},
        *(
            {"image": image}
            for image in (
                "",
                "a b",
                "/a",
                "a/",
                "a//b",
                "../a",
                "a/../b",
                "A",
                "a/B",
                "a:",
                "a:b c",
                "a@sha256:1",
                "a\n",
            )
        ),
        {"colour": "red"},
    ],
)
def test_settings_that_make_no_sense_are_refused(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        KimiDockerConfig.model_validate(table)


@pytest.mark.parametrize(
    "image",
    [
        "a",
        "a:1.2",
        "owner/a_b--c.d:Tag",
        "example.org/a",
        "Example.org:5000/a/b:1",
        "localhost/a",
        "host:5000/a",
        f"a@sha256:{'0' * 64}",
    ],
)
def test_every_way_to_name_an_image_is_taken(image: str) -> None:
    assert KimiDockerConfig(image=image).image == image
