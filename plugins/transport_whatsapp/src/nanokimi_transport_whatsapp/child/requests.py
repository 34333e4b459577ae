"""What is asked of the engine besides sending."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Literal

from nanokimi_transport_whatsapp.child.calls import Calls, Late
from nanokimi_transport_whatsapp.child.lanes import Lanes
from nanokimi_transport_whatsapp.child.limits import Limits
from nanokimi_transport_whatsapp.child.speaker import Speaker
from nanokimi_transport_whatsapp.engine import Engine, EngineError
from nanokimi_transport_whatsapp.values import Answer, MarkRead, Members, Pair, ShowTyping, Unlink

_log = logging.getLogger(__name__)

_WORKERS = 3
_SIGNS_WAITING = 100


class Requests:
    """Asks the engine, and answers.

    Args:
        engine: Is asked.
        calls: Bounds it.
        speaker: Takes the answers.
        limits: How long.
    """

    def __init__(self, engine: Engine, calls: Calls, speaker: Speaker, limits: Limits) -> None:
        self._engine, self._calls, self._speaker, self._limits = engine, calls, speaker, limits
        self._lanes = Lanes("ask", _WORKERS)

    def start(self) -> None:
        """Begin."""
        self._lanes.start()

    def take(self, request: Members | Pair | Unlink) -> None:
        """Have a request done; the answer comes on the wire."""
        if self._lanes.waiting >= self._limits.requests:
            self._speaker.say(Answer(request=request.request, error="later", said="too many requests wait", seconds=10))
            return
        self._lanes.put(request.kind, lambda: self._answer(request))

    def take_sign(self, sign: ShowTyping | MarkRead) -> None:
        """Have a sign given, which nobody waits for; it is dropped while many wait."""
        if self._lanes.waiting < _SIGNS_WAITING:
            self._lanes.put(sign.kind, lambda: self._give(sign))

    def _answer(self, request: Members | Pair | Unlink) -> bool:
        number = request.request
        late: Literal["unknown", "failed"] = "unknown" if isinstance(request, Unlink) else "failed"
        try:
            names = self._calls.run(request.kind, self._question(request), self._limits.ask_seconds)
            answer = Answer(request=number, names=tuple(names))
        except Late as error:
            answer = Answer(request=number, error=late, said=str(error))
        except EngineError as error:
            answer = Answer(request=number, error=error.kind, said=error.said, code=error.code, seconds=error.seconds)
        except Exception as error:  # noqa: BLE001  # the engine is called here; whoever asked is told
            said = f"the WhatsApp library fails at it ({type(error).__name__})"
            answer = Answer(request=number, error=late, said=said)
        self._speaker.say(answer)
        return True

    def _question(self, request: Members | Pair | Unlink) -> Callable[[], Sequence[str]]:
        if isinstance(request, Members):
            return lambda: self._engine.members(request.chat)
        if isinstance(request, Pair):
            return lambda: [self._engine.pair(request.phone)]
        return self._unlink

    def _unlink(self) -> Sequence[str]:
        self._engine.unlink()
        return ()

    def _give(self, sign: ShowTyping | MarkRead) -> bool:
        try:
            self._calls.run(sign.kind, lambda: self._sign(sign), self._limits.ask_seconds)
        except (EngineError, Late) as error:
            _log.info("%s could not be given: %s", sign.kind, error)
        except Exception as error:  # noqa: BLE001  # the engine is called here; nobody waits for the sign
            _log.warning("%s: the WhatsApp library fails at it (%s)", sign.kind, type(error).__name__)
        return True

    def _sign(self, sign: ShowTyping | MarkRead) -> None:
        if isinstance(sign, ShowTyping):
            self._engine.show_typing(sign.chat, sign.on)
        else:
            self._engine.mark_read(sign.chat, sign.sender, sign.id)
