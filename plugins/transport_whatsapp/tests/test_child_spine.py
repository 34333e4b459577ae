from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from child_rig import Rigs, rigs
from scripted_engine import ME, event, text

from nanokimi_transport_whatsapp.child import exits
from nanokimi_transport_whatsapp.values import Brought, Figures, Link, Send

ANN, BOB = "1000000002@lid", "1000000003@lid"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Rigs]:
    with rigs(tmp_path) as made:
        yield made


def test_a_message_is_brought_until_it_is_done_and_an_answer_is_sent(made: Rigs) -> None:
    child = made.start()
    assert child.expect(Figures) == [Figures()]
    made.network.wait_called("open")
    made.network.link(Link(state="connected", me=ME))
    assert child.expect(Link, state="connected")[0].me == ME
    made.network.bring(event(text(ANN, "A1", "hello")))
    (brought,) = child.expect(Brought)
    assert brought.message.id == "A1"
    child.tell(Send(request=child.request(), key="k1", chat=ANN, text="hi"))
    answer = child.answer(1)
    assert (answer.network_id, answer.sender, answer.again) == ("ID1", ME.id, False)
    child.kill()

    child = made.start()
    (again,) = child.expect(Brought)
    assert again == brought
    child.done(again)
    child.figures(spooled=0)
    assert child.stop() == exits.STOPPED
    assert child.strange == []
