from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from breakeven.serving.batcher import Batcher
from breakeven.serving.wire import HttpError


@pytest.fixture
def batchers() -> Iterator[list[Batcher]]:
    made: list[Batcher] = []
    yield made
    for batcher in made:
        batcher.close()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_ten_thousand_answers_and_none_is_mixed_up(batchers: list[Batcher]) -> None:
    sizes: list[int] = []

    def answer(inputs: list[int]) -> list[int]:
        sizes.append(len(inputs))
        return [item * 3 for item in inputs]

    batcher = Batcher(answer, max_queue=100_000)
    batchers.append(batcher)

    async def ask(number: int) -> None:
        inputs = [number * 10 + place for place in range(number % 4 + 1)]
        outputs = await batcher.submit(inputs, lane=str(number % 7), seconds=60)
        assert outputs == [item * 3 for item in inputs]

    async def all_of_them() -> None:
        await asyncio.gather(*(ask(number) for number in range(10_000)))

    run(all_of_them())
    assert sum(sizes) == 25_000
    assert 1 < max(sizes) <= 64


def test_nothing_waits_while_nothing_runs(batchers: list[Batcher]) -> None:
    batcher = Batcher(lambda inputs: inputs, window=300.0)
    batchers.append(batcher)
    assert run(_one(batcher, "a")) == ["a"]  # it would be past its deadline otherwise


async def _one(batcher: Batcher, item: Any, lane: str = "a", seconds: float = 30) -> Any:
    return await batcher.submit([item], lane=lane, seconds=seconds)


async def _first(batcher: Batcher) -> None:
    """One case answered, and its pace known: the worker learns it after it has handed over the answer."""
    await _one(batcher, 0)
    while not batcher.pace:
        await asyncio.sleep(0.001)


def test_one_bad_case_does_not_fail_its_neighbours(batchers: list[Batcher]) -> None:
    hold = threading.Event()

    def answer(inputs: list[str]) -> list[str]:
        hold.wait(60)
        if "bad" in inputs:
            raise ValueError("bad")
        return inputs

    batcher = Batcher(answer)
    batchers.append(batcher)

    async def crowd() -> list[Any]:
        asks = [asyncio.ensure_future(_one(batcher, item)) for item in ("first", "a", "bad", "b")]
        await asyncio.sleep(0.02)
        hold.set()
        return await asyncio.gather(*asks, return_exceptions=True)

    first, a, bad, b = run(crowd())
    assert (first, a, b) == (["first"], ["a"], ["b"])
    assert isinstance(bad, ValueError)


def test_keys_take_turns(batchers: list[Batcher]) -> None:
    order: list[str] = []
    hold = threading.Event()

    def answer(inputs: list[str]) -> list[str]:
        hold.wait(60)
        order.extend(inputs)
        return inputs

    batcher = Batcher(answer, max_cases=2)
    batchers.append(batcher)

    async def crowd() -> None:
        asks = [asyncio.ensure_future(_one(batcher, "first"))]
        await asyncio.sleep(0.02)
        asks += [asyncio.ensure_future(_one(batcher, "noisy", "noisy")) for _ in range(50)]
        asks.append(asyncio.ensure_future(_one(batcher, "quiet", "quiet")))
        await asyncio.sleep(0.02)
        hold.set()
        await asyncio.gather(*asks)

    run(crowd())
    assert order.index("quiet") <= 3


def test_a_full_queue_refuses_at_once(batchers: list[Batcher]) -> None:
    hold = threading.Event()
    batcher = Batcher(lambda inputs: (hold.wait(30), inputs)[1], max_queue=3)
    batchers.append(batcher)

    async def crowd() -> Any:
        first = asyncio.ensure_future(_one(batcher, 0))
        await asyncio.sleep(0.02)
        waiting = [asyncio.ensure_future(_one(batcher, number)) for number in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(HttpError, match="more work") as caught:
            await _one(batcher, 9)
        assert not first.done()  # nobody had to end before it was told
        hold.set()
        await asyncio.gather(first, *waiting)
        return caught.value

    error = run(crowd())
    assert (error.status, error.fields["retry_after"]) == (503, 1)


def test_a_queue_too_long_for_the_deadline_refuses_early(batchers: list[Batcher]) -> None:
    batcher = Batcher(lambda inputs: (time.sleep(0.05 * len(inputs)), inputs)[1], max_cases=1)
    batchers.append(batcher)

    async def crowd() -> list[Any]:
        await _first(batcher)
        return await asyncio.gather(
            *(_one(batcher, number, seconds=0.2) for number in range(20)), return_exceptions=True
        )

    answers = run(crowd())
    refused = [answer for answer in answers if isinstance(answer, HttpError)]
    assert {error.code for error in refused} <= {"overloaded", "deadline-passed"}
    assert sum(1 for error in refused if error.code == "overloaded") >= 10


def test_one_keys_flood_is_refused_and_another_keys_request_is_not(batchers: list[Batcher]) -> None:
    batcher = Batcher(lambda inputs: (time.sleep(0.01), inputs)[1], max_cases=1, patience=0.1)
    batchers.append(batcher)

    async def crowd() -> tuple[list[Any], Any]:
        await _first(batcher)
        flood = [asyncio.ensure_future(_one(batcher, number, lane="noisy")) for number in range(100)]
        await asyncio.sleep(0)
        quiet = await _one(batcher, "quiet", lane="quiet")
        return await asyncio.gather(*flood, return_exceptions=True), quiet

    answers, quiet = run(crowd())
    assert quiet == ["quiet"]
    answered = sum(1 for answer in answers if not isinstance(answer, HttpError))
    assert 4 <= answered <= 20  # a tenth of a second at a hundredth a case, or four cases where it takes longer


def test_a_slow_model_keeps_a_batch_or_two_waiting(batchers: list[Batcher]) -> None:
    batcher = Batcher(lambda inputs: (time.sleep(0.05), inputs)[1], max_cases=1, patience=0.0)
    batchers.append(batcher)

    async def crowd() -> list[Any]:
        await _first(batcher)
        return await asyncio.gather(*(_one(batcher, number) for number in range(20)), return_exceptions=True)

    assert 2 <= sum(1 for answer in run(crowd()) if not isinstance(answer, HttpError)) <= 4


def test_a_pace_measured_before_counts_from_the_first_request(batchers: list[Batcher]) -> None:
    hold = threading.Event()
    batcher = Batcher(lambda inputs: (hold.wait(60), inputs)[1], max_cases=1, pace={"single": 10.0, "batched": 10.0})
    batchers.append(batcher)

    async def crowd() -> int:
        asks = []
        for number in range(2):
            asks.append(asyncio.ensure_future(_one(batcher, number)))
            await asyncio.sleep(0.02)
        with pytest.raises(HttpError, match="more work") as caught:
            await _one(batcher, 2)
        hold.set()
        await asyncio.gather(*asks)
        return int(caught.value.fields["retry_after"])

    assert run(crowd()) == 20  # what runs, and what waits


def test_what_waited_past_its_deadline_is_not_computed(batchers: list[Batcher]) -> None:
    seen: list[str] = []

    def answer(inputs: list[str]) -> list[str]:
        seen.extend(inputs)
        time.sleep(0.1)
        return inputs

    batcher = Batcher(answer, max_cases=1)
    batchers.append(batcher)

    async def crowd() -> list[Any]:
        return await asyncio.gather(_one(batcher, "slow"), _one(batcher, "late", seconds=0.05), return_exceptions=True)

    slow, late = run(crowd())
    assert slow == ["slow"]
    assert isinstance(late, HttpError)
    assert late.status == 504
    assert seen == ["slow"]


def test_wrong_numbers_of_outputs_are_an_error(batchers: list[Batcher]) -> None:
    batcher = Batcher(lambda inputs: [])
    batchers.append(batcher)
    with pytest.raises(ValueError, match="1 cases in, 0 outputs out"):
        run(_one(batcher, "a"))


def test_closing_answers_what_was_queued() -> None:
    batcher = Batcher(lambda inputs: (time.sleep(0.02), inputs)[1], max_cases=1)

    async def crowd() -> list[Any]:
        asks = [asyncio.ensure_future(_one(batcher, number)) for number in range(5)]
        await asyncio.sleep(0)
        await asyncio.get_running_loop().run_in_executor(None, batcher.close)
        return await asyncio.gather(*asks)

    assert run(crowd()) == [[0], [1], [2], [3], [4]]


def test_streams_and_batches_share_the_worker(batchers: list[Batcher]) -> None:
    batcher = Batcher(lambda inputs: inputs)
    batchers.append(batcher)

    async def both() -> tuple[list[int], list[Any]]:
        parts = batcher.stream(lambda: iter(range(200)))
        asks = [asyncio.ensure_future(_one(batcher, number)) for number in range(20)]
        found = [part async for part in parts]
        return found, await asyncio.gather(*asks)

    found, answers = run(both())
    assert found == list(range(200))
    assert answers == [[number] for number in range(20)]


def test_one_keys_streams_leave_room_and_time_for_anothers(batchers: list[Batcher]) -> None:
    batcher = Batcher(lambda inputs: inputs, max_cases=8)
    batchers.append(batcher)
    order: list[str] = []

    def parts(name: str, count: int) -> Callable[[], Iterator[str]]:
        def make() -> Iterator[str]:
            for _ in range(count):
                order.append(name)
                time.sleep(0.002)
                yield name

        return make

    async def read(stream: Any) -> int:
        return len([part async for part in stream])

    async def crowd() -> int:
        noisy = [batcher.stream(parts("noisy", 30), lane="noisy") for _ in range(4)]
        with pytest.raises(HttpError, match="more work"):
            batcher.stream(parts("noisy", 1), lane="noisy")
        quiet = batcher.stream(parts("quiet", 20), lane="quiet")
        counted = asyncio.gather(*(read(stream) for stream in noisy))
        assert await read(quiet) == 20
        return sum(await counted)

    assert run(crowd()) == 120
    last = len(order) - order[::-1].index("quiet")
    assert order[:last].count("noisy") <= 24  # four streams of one key had one turn together


def test_who_is_alone_waits_for_company_no_longer_than_the_window(batchers: list[Batcher]) -> None:
    batcher = Batcher(lambda inputs: inputs, window=0.3)
    batchers.append(batcher)

    async def timed(number: int) -> float:
        began = time.perf_counter()
        await _one(batcher, number)
        return time.perf_counter() - began

    async def story() -> tuple[float, float]:
        await asyncio.gather(*(_one(batcher, number) for number in range(3)))
        waited = await timed(4)  # right after a batch of several: the others may come again
        return waited, min([await timed(number) for number in range(5, 10)])  # nothing is waited for after one alone

    waited, alone = run(story())
    assert alone < 0.15 < waited  # of five at least one is not held up by the machine


@pytest.mark.parametrize("clients", [64, 8])
def test_a_slow_model_refuses_none_of_its_first_clients(batchers: list[Batcher], clients: int) -> None:
    hold = threading.Event()
    batcher = Batcher(lambda inputs: (hold.wait(60), inputs)[1], pace={"single": 0.034, "batched": 0.028})
    batchers.append(batcher)

    async def crowd() -> list[Any]:
        asks = [asyncio.ensure_future(_one(batcher, number)) for number in range(clients)]
        await asyncio.sleep(0.02)
        hold.set()
        return await asyncio.gather(*asks)

    assert run(crowd()) == [[number] for number in range(clients)]


def test_a_case_that_was_held_up_makes_the_queue_no_shorter(batchers: list[Batcher]) -> None:
    """A stall says that one case was late, not that each of three hundred will be."""
    stall, hold = threading.Event(), threading.Event()

    def answer(inputs: list[Any]) -> list[Any]:
        if inputs == ["held up"]:
            stall.wait(1.0)
        elif "after" in inputs:
            hold.wait(60)
        return inputs

    batcher = Batcher(answer, pace={"single": 2e-5, "batched": 2e-5})
    batchers.append(batcher)

    async def story() -> int:
        await batcher.submit(["usual"] * 64, lane="a", seconds=30)
        await _one(batcher, "held up")
        asks = [batcher.submit(["after"] * 20, lane="a", seconds=30) for _ in range(15)]
        hold.set()
        return sum(len(found) for found in await asyncio.gather(*asks))

    assert run(story()) == 300


def test_a_batch_of_a_slow_model_holds_no_more_than_ends_soon(batchers: list[Batcher]) -> None:
    hold, sizes = threading.Event(), list[int]()

    def answer(inputs: list[Any]) -> list[Any]:
        hold.wait(60)
        sizes.append(len(inputs))
        return inputs

    batcher = Batcher(answer, pace={"single": 0.034, "batched": 0.028})
    batchers.append(batcher)

    async def crowd() -> int:
        asks = [asyncio.ensure_future(_one(batcher, number)) for number in range(60)]
        await asyncio.sleep(0.02)
        hold.set()
        return len(await asyncio.gather(*asks))

    assert run(crowd()) == 60
    assert max(sizes) <= 32  # all of them would have taken 1.7 s by what was measured before; one step down at a time
