"""Names and files that nobody outside can bend."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanokimi_core import ConfigError, private_folder, safe_name, write_private
from nanokimi_core.conversation.attachments import take_in
from nanokimi_core.folder import DataFolder
from nanokimi_core.messages import Attachment, Inbound


@given(st.text())
def test_any_text_becomes_one_path_component(text: str) -> None:
    name = safe_name(text)
    assert name
    assert name not in {".", ".."}
    assert len(name) < 100
    assert not set(name) & set("/\\\0:")
    assert not name.startswith(".")


@given(st.text(), st.text())
def test_different_texts_get_different_names_on_any_file_system(one: str, other: str) -> None:
    assert (safe_name(one).lower() == safe_name(other).lower()) == (one == other)


@pytest.mark.parametrize("chat", ["../../etc", "/etc/passwd", "..", ".", "", "a/../../b", "C:\\x", "a\0b"])
def test_a_chats_folder_lies_inside_the_data_folder(tmp_path: Path, chat: str) -> None:
    folder = DataFolder(tmp_path / "data").chat(f"net:{chat}")
    assert folder.resolve().parent == (tmp_path / "data" / "chats").resolve()


def test_private_files_are_private_and_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("a longer old content")
    file.chmod(0o644)
    write_private(file, b"new")
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_a_link_in_place_of_a_private_file_is_replaced_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / "secret").symlink_to(other)
    write_private(tmp_path / "secret", b"new")
    assert other.read_text() == "mine"


def test_private_folders_are_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    assert stat.S_IMODE(private_folder(tmp_path / "open").stat().st_mode) == 0o700


def incoming(folder: Path, name: str) -> Inbound:
    file = folder / "upload"
    file.write_text("content")
    return Inbound("1", "desk", "ana", "see", attachments=(Attachment(name, "text/plain", file, 7),))


@pytest.mark.parametrize("name", ["report.txt", "../../.bashrc", "/etc/cron.d/x", "", "a\nb"])
def test_attachments_move_into_the_workspace_under_safe_names(tmp_path: Path, name: str) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (file,) = take_in(incoming(tmp_path, name), workspace).message.attachments
    assert file.path.parent == workspace / "attachments"
    assert file.path.read_text() == "content"
    assert file.name == name
    assert not (tmp_path / "upload").exists()


def test_a_link_that_the_agent_put_in_the_way_is_not_followed(tmp_path: Path) -> None:
    workspace, outside = tmp_path / "workspace", tmp_path / "outside"
    workspace.mkdir()
    outside.mkdir()
    (workspace / "attachments").symlink_to(outside)
    taken = take_in(incoming(tmp_path, "x"), workspace)
    assert not list(outside.iterdir())
    assert not taken.message.attachments
    assert taken.lost


def test_the_installation_keeps_its_id(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.make()
    assert folder.installation == DataFolder(tmp_path / "data").installation
    assert folder.installation != DataFolder(tmp_path).installation


def test_one_process_holds_a_data_folder_and_others_are_told_which(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    assert folder.holder() is None
    with folder.hold():
        assert folder.holder() == os.getpid()
        with pytest.raises(Exception, match=f"in use by process {os.getpid()}; stop that process"), folder.hold():
            pass
    assert folder.holder() is None


def test_somebody_who_only_looks_at_the_lock_does_not_stop_a_start(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.make()
    with (tmp_path / "data" / "nanokimi.lock").open("w") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        timer = threading.Timer(0.05, fcntl.flock, (looking, fcntl.LOCK_UN))
        timer.start()
        with folder.hold():
            assert folder.holder() == os.getpid()
        timer.join()


def test_the_folder_of_a_chat_that_somebody_removed_is_made_again(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    made = folder.chat("net:desk")
    shutil.rmtree(tmp_path / "data" / "chats")
    assert folder.chat("net:desk") == made
    assert (made / "workspace").is_dir()
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_a_kimi_md_that_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.make()
    os.mkfifo(tmp_path / "data" / "KIMI.md")
    with pytest.raises(ConfigError, match="it is not a file"):
        folder.instructions("Kai", folder.chat("console:local"))


@pytest.mark.parametrize("name", ["nanokimi.lock", "installation"])
def test_what_should_be_a_file_of_the_data_folder_and_is_not_is_one_error(tmp_path: Path, name: str) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.make()
    (tmp_path / "data" / name).mkdir()
    with pytest.raises(ConfigError, match="can't be used"), folder.hold():
        assert folder.installation


def test_an_installation_that_is_no_id_is_refused(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.make()
    (tmp_path / "data" / "installation").write_text("a b c")
    with pytest.raises(ConfigError, match="holds no id"):
        assert folder.installation
