import asyncio

import pytest

from bridge.client.faults import LinkLostError
from bridge.client.requests import MAX_ASKS, MAX_RUNS, Ask, Asks, Run, Runs, with_id
from bridge.codec.messages import Finished, Ok, Ping, Progress
from bridge.codec.messages import Run as RunMessage
from bridge.errors import ErrorCode, NotAllowedError
from bridge.types import Outcome


def make_run(key):
    return Run(RunMessage(stream="sky", key=key))


def finished(request, key=None):
    return Finished(request=request, key=key, outcome=Outcome.DONE, frames=1, number=1)


def test_a_run_is_found_by_request_or_key():
    async def go():
        runs = Runs()
        one, other = make_run("one"), make_run("other")
        runs.add(one)
        runs.add(other)
        runs.accept(one, 4)
        assert runs.find(finished(4)) is one
        assert runs.find(Progress(request=4, value=1, max=2)) is one
        assert runs.find(finished(9, "other")) is other
        assert runs.find(finished(9)) is None
        runs.accept(one, 5)  # made anew
        assert runs.find(finished(4)) is None
        assert runs.find(finished(5)) is one
        runs.remove(one)
        runs.remove(one)
        assert runs.find(finished(5, "one")) is None
        assert runs.unfinished() == [other]
        one.finish(finished(5))
        one.fail(LinkLostError("too late"))
        assert (await one.finished(1)).request == 5
        runs.fail_all(LinkLostError("cut"))
        with pytest.raises(LinkLostError, match="cut"):
            await other.finished(1)
        assert len(runs) == 0

    asyncio.run(go())


def test_runs_are_bounded_and_keys_their_own():
    async def go():
        runs = Runs()
        for key in range(MAX_RUNS):
            runs.add(make_run(key))
        with pytest.raises(NotAllowedError, match="runs of this client are unfinished") as caught:
            runs.add(make_run(MAX_RUNS))
        assert caught.value.code is ErrorCode.TOO_MANY_WAITING
        runs.remove(runs.unfinished()[0])
        with pytest.raises(NotAllowedError, match="key 5 is unfinished"):
            runs.add(make_run(5))
        runs.add(make_run(0))

    asyncio.run(go())


def test_asks_are_bounded_but_those_of_our_own():
    async def go():
        asks = Asks()

        def ask(**options):
            message = with_id(Ping(), asks.take_id())
            return Ask(message, b"", lambda answer: None, **options)

        own = ask(is_own=True)
        asks.add(own)
        others = [ask() for _ in range(MAX_ASKS - 1)]
        for other in others:
            asks.add(other)
        with pytest.raises(NotAllowedError, match="wait for answers"):
            asks.add(ask())
        asks.add(ask(is_own=True))
        asks.drop_own()
        assert asks.waiting() == others
        others[0].sent = True
        asks.fail_sent(LinkLostError("cut"))
        with pytest.raises(LinkLostError):
            others[0].answer.result()
        assert asks.pop(others[0].message.id) is None
        assert asks.pop(None) is None
        assert asks.pop(others[1].message.id) is others[1]
        others[1].settle(Ok())
        others[1].fail(LinkLostError("too late"))
        assert others[1].answer.result() == Ok()
        asks.fail_all(LinkLostError("the end"))
        assert asks.waiting() == []

    asyncio.run(go())


def test_waiting_for_a_run_ends_without_ending_the_run():
    async def go():
        one = make_run(1)
        with pytest.raises(TimeoutError):
            await one.finished(0.001)
        one.finish(finished(1))
        assert (await one.finished()).outcome is Outcome.DONE

    asyncio.run(go())
