"""The governor, by simulation: whatever happens when, the sum over all leases stays within what the origin allows."""

import threading
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.commons.origin import BITS_PER_SECOND, CONNECTIONS
from pipelines.commons.politeness import WINDOW, Allowance, Governor, LocalLeases, leased

SHARE = Allowance(bits_per_second=BITS_PER_SECOND / CONNECTIONS)


@dataclass(frozen=True)
class Transfer:
    """One response in a simulation: think time before it, latency, size, speed of the line."""

    idle: float
    latency: float
    size: int
    bytes_per_second: float


transfers = st.builds(
    Transfer,
    idle=st.sampled_from([0.0, 0.0, 0.0, 0.3, 11.0]),
    latency=st.floats(0.0005, 0.3),
    size=st.one_of(st.integers(1, 100_000), st.integers(1, 8_000_000)),
    bytes_per_second=st.floats(1e5, 1e9),
)


def simulate(script: list[Transfer], handovers: frozenset[int], chunk: int = 64 << 10) -> list[tuple[float, int]]:
    """Play one connection's life, with the lease handed on before some of the transfers; return what arrived when."""
    now, arrived = 0.0, []
    governor = Governor(SHARE, now)
    for number, transfer in enumerate(script):
        if number in handovers:
            now += governor.settle_delay(now)
            governor = Governor(SHARE, now)
        now += transfer.idle
        now += governor.start_delay(now)
        governor.started(now)
        now += transfer.latency
        left = transfer.size
        while left > 0:
            size = min(left, chunk)
            now += size / transfer.bytes_per_second
            governor.received(now, size)
            arrived.append((now, size))
            now += governor.read_delay(now)
            left -= size
        governor.finished(now)
    return arrived


def most_in(window: float, arrived: list[tuple[float, int]]) -> float:
    events = sorted(arrived)
    most = total = start = 0
    for at, size in events:
        total += size
        while events[start][0] <= at - window:
            total -= events[start][1]
            start += 1
        most = max(most, total)
    return most * 8


@given(st.lists(st.tuples(st.lists(transfers, max_size=40), st.frozensets(st.integers(0, 40))), min_size=2, max_size=2))
@settings(max_examples=100, deadline=None)
def test_two_connections_never_exceed_the_bandwidth_over_any_ten_seconds(
    lives: list[tuple[list[Transfer], frozenset[int]]],
) -> None:
    arrived = [event for script, handovers in lives for event in simulate(script, handovers)]
    unread = CONNECTIONS * (256 << 10) * 8  # what may lie in buffers uncounted, see download._SOCKET_BUFFER
    assert most_in(WINDOW, arrived) <= BITS_PER_SECOND * WINDOW - unread


@given(st.floats(0.0, 0.1), st.integers(2_000, 4_000_000))
@settings(deadline=None)
def test_a_line_that_is_fast_enough_is_used_to_at_least_95_percent(latency: float, size: int) -> None:
    script = [Transfer(0.0, latency, size, 1e9)] * max(60, int(40e6 // size))
    reachable = min(1.0, size * 8 / (latency + size / 1e9) / (BITS_PER_SECOND / CONNECTIONS))
    arrived = simulate(script[:4000], frozenset())
    seconds = arrived[-1][0]
    rate = sum(got for _, got in arrived) * 8 / seconds / (BITS_PER_SECOND / CONNECTIONS)
    assert rate >= 0.95 * reachable


@given(st.lists(st.floats(0.001, 3.0), min_size=1, max_size=60), st.floats(0.5, 20))
@settings(deadline=None)
def test_requests_keep_their_distance(latencies: list[float], rate: float) -> None:
    governor, now, sent = Governor(Allowance(requests_per_second=rate), 0.0), 0.0, []
    for latency in latencies:
        now += governor.start_delay(now)
        governor.started(now)
        sent.append(now)
        now += latency
        governor.finished(now)
    assert all(b - a >= 1 / rate - 1e-6 for a, b in pairwise(sent))


@given(st.lists(st.tuples(st.floats(0.01, 3.0), st.booleans()), min_size=2, max_size=40))
@settings(deadline=None)
def test_after_a_slow_answer_there_is_silence_whoever_has_the_lease(answers: list[tuple[float, bool]]) -> None:
    allowance, now, lives = Allowance(requests_per_second=200 / 60, slow_after=1.0, slow_rest=5.0), 0.0, []
    governor = Governor(allowance, now)
    for latency, handed_on in answers:
        if handed_on:
            now += governor.settle_delay(now)
            governor = Governor(allowance, now)
        now += governor.start_delay(now)
        governor.started(now)
        lives.append((now, now := now + latency))
        governor.finished(now)
    for (began, ended), (following, _) in pairwise(lives):
        assert following - ended >= (5.0 if ended - began > 1.0 else 0.0) - 1e-6


def test_handing_a_lease_on_gains_no_request() -> None:
    allowance, now, sent = Allowance(requests_per_second=4.0), 0.0, []
    for _ in range(40):
        governor = Governor(allowance, now)
        now += governor.start_delay(now)
        governor.started(now)
        sent.append(now)
        now += governor.settle_delay(now)
    assert sent[-1] >= 39 / 4 - 1e-6


def test_a_pause_binds_and_is_never_shortened() -> None:
    governor = Governor(Allowance(), 100.0)
    assert governor.start_delay(100.0) == 0
    governor.pause(130.0)
    governor.pause(110.0)
    assert governor.start_delay(101.0) == pytest.approx(29.0)
    assert governor.start_delay(131.0) == 0


def test_a_slow_answer_is_followed_by_the_rest_that_the_policy_asks_for() -> None:
    governor = Governor(Allowance(slow_after=1.0, slow_rest=5.0), 0.0)
    governor.started(0.0)
    governor.finished(0.9)
    assert governor.start_delay(0.9) == 0
    governor.started(1.0)
    governor.finished(2.5)
    assert governor.start_delay(2.5) == pytest.approx(5.0)


def test_a_clock_that_stands_still_or_jumps_back_gives_nothing_away() -> None:
    governor = Governor(SHARE, 50.0)
    governor.received(50.0, 1_000_000)
    before = governor.read_delay(50.0)
    assert governor.read_delay(40.0) == before > 0


def test_local_leases_are_as_many_as_connections_and_come_back() -> None:
    leases = LocalLeases(2)
    with leased(leases), leased(leases):
        assert leases.acquire(0.0) is None
        got: list[bool] = []
        waiting = threading.Thread(target=lambda: got.append(leases.acquire(10.0) is not None))
        waiting.start()
    waiting.join(10)
    assert got == [True]


def test_a_lease_given_back_twice_counts_once() -> None:
    leases = LocalLeases(1)
    lease = leases.acquire(0)
    assert lease is not None
    lease.release()
    lease.release()
    assert not lease.valid()
    assert leases.acquire(0) is not None
    assert leases.acquire(0) is None


def test_the_shared_pause_is_never_shortened() -> None:
    leases = LocalLeases(2)
    leases.announce_pause(1000)
    leases.announce_pause(1)
    assert 999 < leases.paused_for() <= 1000
