"""Requests and tokens per minute: how fast, in which order, and what is given back."""

from __future__ import annotations

import asyncio
import time

import pytest
from scripted_server import Answer, chat, serving

from arena.agents.models import build
from arena.agents.models._rate import RateLimit, _Bucket
from arena.core.errors import ModelUnavailable
from arena.core.messages import Message, Sampling


def test_requests_are_spread_at_the_rate_after_a_burst_of_one_second():
    bucket = _Bucket(per_minute=120)
    starts = [bucket.reserve(1, now=1000.0) for _ in range(5)]
    assert starts == [1000.0, 1000.0, 1000.0, 1000.5, 1001.0]
    assert bucket.reserve(1, now=5000.0) == 5000.0  # having stood idle is not saved up further


def test_a_request_bigger_than_the_burst_passes_and_delays_those_after_it():
    """Waiting for a bucket that can never hold so much would last for ever."""
    bucket = _Bucket(per_minute=600)
    assert bucket.reserve(1000, now=0.0 + 100) == 100
    assert bucket.reserve(1, now=100.0) == pytest.approx(100 - 1 + 100)


def test_what_was_not_used_is_given_back():
    bucket = _Bucket(per_minute=60)
    bucket.reserve(50, now=100.0)
    bucket.give_back(48)
    assert bucket.reserve(1, now=101.0) == 101.0


def test_tasks_are_served_in_the_order_they_asked():
    served = []

    async def one(limit, n):
        async with limit.turn(10):
            served.append(n)

    async def run():
        limit = RateLimit(requests=60_000, tokens=6_000_000)
        await asyncio.gather(*(one(limit, n) for n in range(40)))

    asyncio.run(run())
    assert served == list(range(40))


def test_a_cancelled_task_leaves_its_place_to_others():
    async def run():
        limit = RateLimit(requests=60)
        for _ in range(2):
            async with limit.turn(0):
                pass
        waiting = [asyncio.create_task(limit.turn(0).__aenter__()) for _ in range(100)]
        await asyncio.sleep(0.01)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return limit._requests.free_at - time.monotonic()

    assert asyncio.run(run()) < 2


def test_no_limit_means_no_wait():
    async def run():
        limit = RateLimit()
        async with limit.turn(10**9):
            pass
        async with limit.turn(10**9):
            return True

    assert asyncio.run(run())


def test_retries_count_against_the_limit_and_failed_tokens_do_not():
    async def run(server):
        model = build(f"openai:m@{server.url}/v1,rpm=120,tpm=6000,max_retries=2,wait=0,max_wait=0")
        with pytest.raises(ModelUnavailable):
            await model.complete([Message.of("user", "x" * 4000)], Sampling(max_tokens=1000))
        rate = model._remote._rate
        debts = rate._requests.free_at - time.monotonic(), rate._tokens.free_at - time.monotonic()
        await model.aclose()
        return debts

    with serving(Answer(b"", 500)) as server:
        requests, tokens = asyncio.run(run(server))
    assert len(server.requests) == 3
    assert requests > 0  # three requests at two a second, after a burst of one second
    assert tokens < 0.1


def test_tokens_are_booked_by_what_the_server_counted():
    usage = {"prompt_tokens": 5000, "completion_tokens": 1000}

    async def run(server):
        model = build(f"openai:m@{server.url}/v1,tpm=60000")
        await model.complete([Message.of("user", "x")], Sampling())
        debt = model._remote._rate._tokens.free_at - time.monotonic()
        await model.aclose()
        return debt

    with serving(chat(usage=usage)) as server:
        assert 3 < asyncio.run(run(server)) <= 5.1
