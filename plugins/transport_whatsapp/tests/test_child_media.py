"""Files that come with messages."""

from __future__ import annotations

import base64
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from child_rig import ChildRig, Rigs, rigs
from scripted_engine import Hang, event, text

from nanokimi_transport_whatsapp.child.media import suffix
from nanokimi_transport_whatsapp.engine import EngineError
from nanokimi_transport_whatsapp.values import Brought, Link, Media

ANN, BOB = "1000000002@lid", "1000000003@lid"
LIMITS = {"fetch_pauses": [0.01, 0.01], "fetch_seconds": 5}


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Rigs]:
    with rigs(tmp_path) as made:
        yield made


def opened(made: Rigs, *, limits: dict[str, Any] | None = None, **start: Any) -> ChildRig:
    before = len(made.network.called("open"))
    child = made.start(limits=LIMITS | (limits or {}), **start)
    made.network.wait_called("open", before + 1)
    made.network.link(Link(state="connected"))
    child.expect(Link, state="connected")
    return child


def photo(handle: str, chat: str = ANN, **fields: Any) -> bytes:
    values: dict[str, Any] = {"what": "image", "media_type": "image/png", "name": "../../x.sh", "size": 8}
    return event(text(chat, f"id-{handle}", "", content=Media(**(values | fields))), media=handle)


def files(child: ChildRig) -> dict[str, Media]:
    """Give what was brought, by the handle of its file."""
    found = {one.message.id.removeprefix("id-"): one.message.content for one in child.all(Brought)}
    return {handle: content for handle, content in found.items() if isinstance(content, Media)}


def by_handle(scripts: dict[str, Callable[[], Any]]) -> Callable[[dict[str, Any]], Any]:
    return lambda call: scripts[call["media"]]()


def test_a_file_lies_beside_the_spool_under_a_name_of_ours_until_it_is_done(made: Rigs) -> None:
    child = opened(made)
    made.network.bring(photo("one"))
    (brought,) = child.expect(Brought)
    path = Path(files(child)["one"].path)
    assert path == child.places.media / f"{brought.number}-image.png"
    assert path.read_bytes() == b"the file"
    assert path.stat().st_mode & 0o777 == 0o600
    child.kill()

    stale = [child.places.media / "99-image.png", child.places.media / "x"]
    for file in stale:
        file.write_text("of nothing that waits")
    child = opened(made)
    (again,) = child.expect(Brought)
    assert again == brought
    assert list(child.places.media.iterdir()) == [path]
    child.done(again)
    child.figures(spooled=0)
    assert list(child.places.media.iterdir()) == []


def test_a_file_that_is_too_large_is_not_fetched_and_one_that_lies_about_its_size_is_not_kept(made: Rigs) -> None:
    child = opened(made, max_media=10)
    made.network.scripts["fetch"] = lambda _: base64.b64encode(b"x" * 11).decode()
    made.network.bring(photo("honest", size=11), photo("lie", size=1))
    child.expect(Brought, 2)
    assert [media.trouble for media in files(child).values()] == ["larger than 10 bytes"] * 2
    assert [media.path for media in files(child).values()] == ["", ""]
    assert [call["media"] for call in made.network.called("fetch")] == ["lie"]
    assert list(child.places.media.iterdir()) == []


def test_a_file_is_tried_for_three_times_and_what_is_refused_or_hangs_once(made: Rigs) -> None:
    tries: list[str] = []

    def fetch(call: dict[str, Any]) -> str:
        handle = call["media"]
        tries.append(handle)
        if handle == "slow":
            raise Hang
        if handle == "fault":
            raise RuntimeError("nil pointer")
        if handle != "third" or tries.count(handle) < 3:
            raise EngineError("refused" if handle == "gone" else "failed", f"said of {handle}")
        return base64.b64encode(b"at last").decode()

    made.network.scripts["fetch"] = fetch
    child = opened(made, limits={"fetch_seconds": 1})
    made.network.bring(*(photo(handle, chat=handle) for handle in ("third", "never", "gone", "fault", "slow")))
    child.expect(Brought, 5)
    found = files(child)
    assert Path(found["third"].path).read_bytes() == b"at last"
    assert {handle: media.trouble for handle, media in found.items() if not media.path} == {
        "never": "it could not be fetched: said of never",
        "gone": "it could not be fetched: said of gone",
        "fault": "it could not be fetched: the WhatsApp library fails at it (RuntimeError)",
        "slow": "it could not be fetched: no answer within 1 seconds",
    }
    assert {handle: tries.count(handle) for handle in tries} == {
        "third": 3,
        "never": 3,
        "gone": 1,
        "fault": 3,
        "slow": 1,
    }


def test_a_file_that_needs_a_connection_waits_for_it(made: Rigs) -> None:
    there: list[bool] = []

    def fetch(_: dict[str, Any]) -> str:
        if not there:
            raise EngineError("away", "not connected")
        return base64.b64encode(b"now").decode()

    made.network.scripts["fetch"] = fetch
    child = opened(made, limits={"fetch_pauses": [60]})
    made.network.link(Link(state="disconnected"))
    child.expect(Link, state="disconnected")
    made.network.bring(photo("one"), event(text(BOB, "B1", "hello")))
    child.expect(Brought)
    made.network.wait_called("fetch")
    assert files(child) == {}
    there.append(True)
    made.network.link(Link(state="connected"))
    child.expect(Brought, 2)
    assert Path(files(child)["one"].path).read_bytes() == b"now"


def test_a_file_whose_fetching_kills_the_process_is_given_up_at_last(made: Rigs) -> None:
    def die(_: dict[str, Any]) -> None:
        made.network.do("abort")
        raise Hang

    made.network.scripts["fetch"] = die
    child = opened(made, limits={"fetch_deaths": 2})
    made.network.bring(photo("one"))
    assert child.ended() < 0
    opens = len(made.network.called("open"))
    child = made.start(limits=LIMITS | {"fetch_deaths": 2})
    made.network.wait_called("open", opens + 1)
    made.network.wait_called("fetch", 2)
    made.network.do("abort")
    assert child.ended() < 0
    child = made.start(limits=LIMITS | {"fetch_deaths": 2})
    child.expect(Brought)
    assert files(child)["one"].trouble == "it could not be fetched: the WhatsApp library fails at it"
    assert len(made.network.called("fetch")) == 2


def limit_files(child: ChildRig, size: int | None) -> None:
    """Let the child's files grow to this size only."""
    hard = resource.prlimit(child.process.pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(child.process.pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


def test_a_file_for_which_there_is_no_room_waits_for_it(made: Rigs) -> None:
    large = b"x" * 2_000_000
    made.network.scripts["fetch"] = lambda _: base64.b64encode(large).decode()
    child = opened(made, limits={"disk_pauses": [0.02, 0.1]})
    limit_files(child, 1_000_000)
    made.network.bring(photo("one"), event(text(BOB, "B1", "hello")))
    child.expect(Brought)
    made.network.wait_called("fetch")
    assert files(child) == {}
    limit_files(child, None)
    child.expect(Brought, 2)
    assert Path(files(child)["one"].path).read_bytes() == large


def test_a_file_that_cannot_be_written_is_said_and_the_message_comes(made: Rigs) -> None:
    child = opened(made)
    child.places.media.rmdir()
    made.network.bring(photo("one"))
    child.expect(Brought)
    assert files(child)["one"].trouble == "it could not be written: No such file or directory"


@pytest.mark.parametrize(
    ("media_type", "ending"),
    [
        ("image/jpeg", ".jpg"),
        ("audio/ogg; codecs=opus", ".ogg"),
        ("application/pdf", ".pdf"),
        ("application/x-unheard-of", ".bin"),
        ("../../etc/passwd", ".bin"),
        ("", ".bin"),
    ],
)
def test_a_files_ending_comes_from_its_media_type_only(media_type: str, ending: str) -> None:
    assert suffix(media_type) == ending
