"""A few seconds of `tests/chaos.py`, which says what must hold; run that by itself for longer."""

import chaos
import pytest
from serve_rig import run


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "backends"), [(1, 2)])
def test_whatever_happens(seed, backends):
    async def scenario():
        print(await chaos.scenario(seed, 4.0, backends))

    run(scenario)
