from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from testbed.site import SECONDS, Site, command

NOTICE = "No nanokimi.toml yet, so the built-in echo answers with what you write; to get Kimi: nanokimi init\n"


def until(path: Path, text: str) -> None:
    deadline = time.monotonic() + SECONDS
    while text not in (path.read_text() if path.exists() else ""):
        assert time.monotonic() < deadline, f"{text!r} never came to {path}"
        time.sleep(0.02)


def test_without_a_toml_the_echo_answers_and_one_line_says_how_to_get_kimi(site: Site) -> None:
    done = site.run("chat", "--once", "hello")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", NOTICE)


def test_with_a_toml_nothing_but_the_answer_is_printed(site: Site) -> None:
    site.toml("")
    done = site.run("chat", "--once", "hello")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")


def test_each_line_of_a_pipe_is_a_message_answered_in_order(site: Site) -> None:
    site.toml("")
    done = site.run("chat", said="one\ntwo\n\nthree")
    assert (done.returncode, done.stdout, done.stderr) == (0, "one\ntwo\nthree\n", "")


def test_a_pipes_bytes_that_are_no_text_are_answered_too(site: Site) -> None:
    site.toml("")
    started = command(["chat"])
    done = subprocess.run(
        started, input=b"caf\xe9\nend\n", capture_output=True, timeout=SECONDS, env=site.environ(), cwd=site.home
    )
    assert done.returncode == 0
    assert done.stdout.decode().splitlines()[1] == "end"


def test_no_input_at_all_ends_at_once(site: Site) -> None:
    site.toml("")
    script = f"exec {' '.join(command(['chat']))} <&-"
    done = subprocess.run(["sh", "-c", script], capture_output=True, timeout=SECONDS, env=site.environ(), cwd=site.home)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_pipe_that_nobody_reads_ends_the_chat_without_a_traceback(site: Site) -> None:
    site.toml("")
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        command(["chat"]),
        stdin=subprocess.PIPE,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env=site.environ(),
        cwd=site.home,
    ) as chat:
        os.close(writer)
        _, said = chat.communicate("one\ntwo\nthree\n", timeout=SECONDS)
    assert "Traceback" not in said
    assert said.count("\n") <= 1


def test_an_answer_that_failed_exits_with_1_and_tells_the_owner_the_cause_and_the_remedy(site: Site) -> None:
    site.ours("lab")
    image(site)
    site.toml('backend = "lab"\n[plugins.lab]\nfails = "the month\'s tokens are used up"\n')
    for done in (site.run("chat", "--once", "hello"), site.run("chat", said="hello\n")):
        assert done.returncode == 1
        assert "my account is used up" in done.stdout
        assert done.stderr.startswith("nanokimi: console:local: ")
        assert "quota: the month's tokens are used up; pay the bill\n" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_plugins_fault_in_a_turn_is_one_sentence_without_a_traceback(site: Site) -> None:
    site.ours("lab")
    image(site)
    site.toml('backend = "lab"\n[plugins.lab]\nraises = "no such shelf"\n')
    done = site.run("chat", "--once", "hello")
    assert done.returncode == 1
    assert "backend lab has a fault: LookupError: no such shelf" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_consoles_place_is_taken_even_where_the_toml_has_other_transports(site: Site) -> None:
    site.ours("desk")
    site.toml('transports = ["desk", "line"]\n[plugins.desk]\nout = "out"\n')
    done = site.run("chat", "--once", "hello")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")


def test_the_environment_names_the_toml_the_data_and_the_assistant(site: Site) -> None:
    site.ours("lab")
    place = site.folder / "elsewhere"
    place.mkdir()
    (place / "my.toml").write_text('assistant = "Ada"\n')
    env = {
        "NANOKIMI_CONFIG": str(place / "my.toml"),
        "NANOKIMI_HOME": str(place / "store"),
        "ASSISTANT_NAME": "Bo",
    }
    shown = site.run("config", "show", env=env).stdout
    assert 'assistant = "Bo"' in shown
    assert site.run("chat", "--once", "hello", env=env).returncode == 0
    assert (place / "store" / "installation").is_file()
    assert not site.data.exists()


def test_a_process_with_a_console_of_its_own_lets_no_terminal_join(site: Site) -> None:
    site.toml("")
    with site.start("chat", stdin=subprocess.PIPE) as first:
        until(site.data / "nanokimi.lock", str(first.pid))
        second = site.run("chat", "--once", "hello")
        assert first.stdin is not None
        first.stdin.close()
        assert first.wait(SECONDS) == 0
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr == ("nanokimi: the running process has the console itself; write to it in its own terminal\n")


def test_a_command_that_finds_a_process_without_a_socket_names_it(site: Site) -> None:
    site.toml("")
    holds = "from pathlib import Path; from nanokimi_core.folder import DataFolder; import sys\n"
    holds += "with DataFolder(Path(sys.argv[1])).hold(): print('held', flush=True); sys.stdin.read()"
    words = [sys.executable, "-c", holds, str(site.data)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=site.environ()) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        for arguments in (["status"], ["chat", "--once", "hello"], ["dead", "list"]):
            done = site.run(*arguments)
            assert (done.returncode, done.stdout) == (4, "")
            assert done.stderr == (
                f"nanokimi: process {other.pid}, which holds the data folder {site.data}, takes no commands; "
                "it is being started or stopped, or is another command: try again in a moment\n"
            )
        other.kill()


def image(site: Site) -> None:
    folder = site.data / "plugins" / "lab"
    folder.mkdir(parents=True)
    (folder / "image").touch()


def test_a_missing_image_is_said_with_the_command_and_the_size_of_the_download(site: Site) -> None:
    site.ours("lab")
    site.toml('backend = "lab"\n')
    done = site.run("chat", "--once", "hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        'nanokimi: the agent\'s image "lab:1" is not on this machine; '
        "build it with: nanokimi image build (downloads about 3 MB)\n"
    )


def test_a_missing_image_of_the_owners_own_is_not_offered_to_be_built(site: Site) -> None:
    site.ours("lab")
    site.toml('backend = "lab"\n[plugins.lab]\nown_image = true\n')
    done = site.run("chat", "--once", "hello")
    assert done.returncode == 1
    assert "fetch or build it yourself" in done.stderr


def test_an_engine_that_cannot_be_asked_stops_the_chat_with_the_remedy(site: Site) -> None:
    site.ours("lab")
    site.toml('backend = "lab"\n[plugins.lab]\nfails = "engine"\n')
    done = site.run("chat", "--once", "hello")
    assert (done.returncode, done.stderr) == (1, "nanokimi: the lab is locked; unlock it\n")


def test_in_a_terminal_a_missing_image_is_built_when_the_person_agrees(site: Site) -> None:
    site.ours("lab")
    site.toml('backend = "lab"\n')
    with site.terminal("chat") as terminal:
        asked = terminal.until("[Y/n]")
        assert "downloads about 3 MB" in " ".join(asked.split())
        terminal.type("y\n")
        terminal.until("Ctrl-D ends")
        terminal.type("hello\n")
        terminal.until("done: hello")
        terminal.type("\x04")
        assert terminal.ended() == 0


def test_in_a_terminal_a_missing_image_is_left_when_the_person_says_no(site: Site) -> None:
    site.ours("lab")
    site.toml('backend = "lab"\n')
    with site.terminal("chat") as terminal:
        terminal.until("[Y/n]")
        terminal.type("n\n")
        assert terminal.ended() == 1
    assert "build it with: nanokimi image build" in terminal.seen
    assert not (site.data / "plugins" / "lab" / "image").exists()


def test_ctrl_c_at_a_question_is_ctrl_c(site: Site) -> None:
    site.ours("lab")
    site.toml('backend = "lab"\n')
    with site.terminal("chat") as terminal:
        terminal.until("[Y/n]")
        terminal.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):  # a signal between the question and the reading is not heard there
            terminal.process.wait(2)
        if terminal.process.returncode is None:
            terminal.process.send_signal(signal.SIGINT)
        assert terminal.ended() == 130
    assert "Traceback" not in terminal.seen


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_waiting_chat_with_its_own_exit_code(site: Site, number: int, code: int) -> None:
    site.toml("")
    with site.terminal("chat") as terminal:
        terminal.until("Ctrl-D ends")
        terminal.process.send_signal(number)
        assert terminal.ended() == code


def test_a_signal_lets_a_running_answer_finish(site: Site) -> None:
    site.ours("lab")
    image(site)
    site.toml('backend = "lab"\n[plugins.lab]\nseconds = 1.5\n')
    with site.terminal("chat") as terminal:
        terminal.until("Ctrl-D ends")
        terminal.type("hello\n")
        terminal.until("thinking")
        terminal.process.send_signal(signal.SIGINT)
        said = terminal.until("done: hello")
        assert "Ctrl-C again ends at once" in said
        assert terminal.ended() == 130
