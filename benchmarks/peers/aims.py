"""What NanoKimi is to reach in the comparison, and whether it did."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from benchmarks.peers.candidates import BARE, FEW, MANY, OURS, SINGLE, Result

Runs = Mapping[tuple[str, str], list[Result | None]]  # (scenario, candidate) → one result a round, None where it failed
NOISE = 1.10  # what two equal things may differ by on a busy machine
FLAT = 1.05  # what memory may differ by that doesn't grow


@dataclass(frozen=True)
class Aim:
    """One aim.

    Attributes:
        says: What it is.
        value: What was measured, for people.
        met: Whether that will do; ``None`` where nothing is aimed at, and the value is told to compare.
    """

    says: str
    value: str
    met: bool | None


def aims(runs: Runs) -> list[Aim]:
    """Judge all aims for which something was measured.

    They are about NanoKimi as shipped. With a turn for each message it does other work than it is made for, since
    several messages that wait in one chat are to become one turn; its speed and memory then are told without an aim.
    """
    found = [
        *_ratios(runs),
        *_promises(runs),
        _under(runs, "burst, RSS after 20,000 messages, MiB", "burst", "rss", 45, max),
        *_flat(runs),
        _under(runs, "paced (100 a second), p50 from deliver to send, ms", "paced", "p50_us", 2000, statistics.median),
        _known(runs),
    ]
    return [aim for aim in found if aim is not None]


def ratio(runs: Runs, scenario: str, ours: str, theirs: str, key: str = "per_second") -> float | None:
    """Divide what was measured in the same round, and give the median of all rounds."""
    pairs = zip(runs.get((scenario, ours), []), runs.get((scenario, theirs), []), strict=False)
    found = [a[key] / b[key] for a, b in pairs if a and b and b[key]]
    return statistics.median(found) if found else None


def _ratios(runs: Runs) -> Iterable[Aim | None]:
    yield _ratio(runs, "burst", OURS, "nonebot2", 4)
    yield _ratio(runs, "burst", OURS, BARE, 0.5)
    yield _ratio(runs, "serial", OURS, BARE, 0.6)
    yield _ratio(runs, "burst", SINGLE, "nonebot2", None)
    yield _ratio(runs, "burst", SINGLE, BARE, None)


def _ratio(runs: Runs, scenario: str, ours: str, theirs: str, least: float | None) -> Aim | None:
    found = ratio(runs, scenario, ours, theirs)
    if found is None:
        return None
    if least is None:
        return Aim(f"{scenario}: {ours}, beside {theirs}", f"{found:.2f} x", None)
    return Aim(f"{scenario}: {ours} at the least {least:g} x {theirs}", f"{found:.2f} x", found >= least)


def _promises(runs: Runs) -> Iterable[Aim]:
    ours = {key: results for key, results in runs.items() if key[1] in (OURS, SINGLE, FEW, MANY)}
    ended = [(key, result) for key, results in ours.items() for result in results]
    if not ended:
        return
    whole = [result for _, result in ended if result is not None]
    broken = len(ended) - len(whole)
    yield Aim("all measurements of nanokimi came to an end", f"{broken} failed", broken == 0)
    for says, key in (("out of order", "out_of_order"), ("answered twice", "doubles")):
        found = sum(result[key] for result in whole)
        yield Aim(f"0 {says}, in all scenarios", str(found), found == 0)
    lost = sum(result["count"] - result["answered"] for result in whole)
    yield Aim("0 without an answer, in all scenarios", str(lost), lost == 0)
    for scenario in ("error", "sendfail"):
        least = [r["answered"] for (name, _), r in ended if name == scenario and r is not None]
        if least:
            yield Aim(f"{scenario}: 500 of 500", f"{min(least)} of 500", min(least) == 500)


def _under(
    runs: Runs,
    says: str,
    scenario: str,
    key: str,
    most: float,
    of: Callable[[list[float]], float],
) -> Aim | None:
    found = [result[key] for result in runs.get((scenario, OURS), []) if result]
    if not found:
        return None
    value = of(found)
    scale = 1000 if key.endswith("_us") else 1
    return Aim(f"{says}: at most {most / scale:g}", f"{value / scale:.1f}", value <= most)


def _flat(runs: Runs) -> Iterable[Aim]:
    for name in (OURS, SINGLE):
        for result in runs.get(("long", name), []):
            if result and "rss_at_20000" in result:
                looks = [result[key] for key in ("rss_at_20000", "rss_at_100000", "rss_at_200000")]
                says = f"long: RSS of {name} after 20,000, 100,000 and 200,000 messages, MiB"
                value = " / ".join(f"{look:.1f}" for look in looks)
                flat = looks[-1] <= looks[0] * FLAT
                yield Aim(f"{says}: flat", value, flat) if name == OURS else Aim(says, value, None)


def _known(runs: Runs) -> Aim | None:
    found = ratio(runs, "known", MANY, FEW, "cpu_us")
    if found is None:
        return None
    return Aim(
        "known: a message costs no more with 10,000 known chats than with 10 (processor time)",
        f"{found:.2f} x",
        found <= NOISE,
    )
