"""The comparison for people: a table for each scenario, and the aims."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from benchmarks.peers.aims import Aim, Runs
from benchmarks.peers.candidates import Candidate, Result
from benchmarks.peers.work import SCENARIOS, Scenario

_HEAD = (
    f"{'':29}{'msg/s':>8}{'(least-most)':>16}{'p50 ms':>10}{'p99 ms':>10}{'cpu us':>8}{'RSS':>7}{'peak':>7}"
    f"{'answered':>10}{'disorder':>9}{'turns':>8}{'at once':>8}"
)


def lines(runs: Runs, judged: list[Aim], taking_part: list[Candidate], missing: list[str]) -> Iterable[str]:
    """Give the report, line by line."""
    yield "Who takes part"
    for candidate in taking_part:
        yield f"  {candidate.name:29}{candidate.note}"
    yield from (f"  {sentence}" for sentence in missing)
    yield ""
    yield "Medians of all rounds; p50 and p99 from handing a message over to its answer's send; RSS and peak in MiB;"
    yield "cpu: of the whole process for each message; disorder: answers that came after a later one of their chat."
    for scenario in dict.fromkeys(name for name, _ in runs):
        yield ""
        yield f"{scenario}: {_what(SCENARIOS[scenario])}"
        yield _HEAD
        for (name, who), results in runs.items():
            if name == scenario:
                yield _row(who, results)
    if judged:
        yield ""
        yield "Aims"
        for aim in judged:
            yield f"  {_VERDICT[aim.met]}  {aim.says}: {aim.value}"


_VERDICT = {True: "met   ", False: "MISSED", None: "-     "}
_FEEDS = {"closed": "each after the answer to the one before", "open": "as fast as taken", "paced": "100 a second"}


def _what(scenario: Scenario) -> str:
    parts = [f"{scenario.count:,} messages of {scenario.chats} chat{'s' if scenario.chats > 1 else ''}"]
    parts.append(_FEEDS[scenario.feed])
    parts += ["the handler sleeps 5 to 50 ms"] if scenario.naps else []
    parts += ["another plugin raises at every message"] if scenario.raises else []
    parts += ["10 sends fail once"] if scenario.sends_fail else []
    return "; ".join(parts)


def _row(candidate: str, results: list[Result | None]) -> str:
    whole = [result for result in results if result is not None]
    if not whole:
        return f"  {candidate:27}{'failed':>8}"

    def middle(key: str) -> float:
        return float(statistics.median(result[key] for result in whole))

    rates = [result["per_second"] for result in whole]
    turns = f"{middle('turns'):,.0f}" if "turns" in whole[0] else "-"
    at_once = f"{middle('most_at_once'):.0f}" if whole[0]["most_at_once"] else "-"
    return (
        f"  {candidate:27}{middle('per_second'):>8,.0f}{f'({min(rates):,.0f}-{max(rates):,.0f})':>16}"
        f"{middle('p50_us') / 1000:>10.2f}{middle('p99_us') / 1000:>10.2f}{middle('cpu_us'):>8.0f}"
        f"{middle('rss'):>7.1f}{middle('rss_peak'):>7.1f}{min(result['answered'] for result in whole):>10,}"
        f"{max(result['out_of_order'] for result in whole):>9}{turns:>8}{at_once:>8}"
    )
