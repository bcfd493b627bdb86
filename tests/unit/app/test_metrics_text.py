"""Prometheus' text format: what is written is read back by a strict reader; what would break it is refused."""

import math

import pytest
from prometheus_text import read_page

from bridge.app.http.loop_lag import LoopLag
from bridge.app.http.metrics_text import MetricsText


def test_what_is_written_is_read_back():
    page = MetricsText()
    page.gauge("up", "One\nline, a \\ too.", True, backend='a "b"\\c\nd')
    page.counter("door_events_total", "Counted.", 3, door="osc", event="packets")
    page.gauge("up", "One\nline, a \\ too.", False, backend="ü")
    page.gauge("left_out", "Nothing.", None)
    page.gauge("small", "Small.", 1e-07)
    page.histogram("lag_seconds", "Lag.", {0.1: 2, 0.5: 0, math.inf: 1}, 1.25)
    samples, types = read_page(str(page))
    assert samples["texbridge_up"] == {(("backend", 'a "b"\\c\nd'),): 1, (("backend", "ü"),): 0}
    assert samples["texbridge_door_events_total"] == {(("door", "osc"), ("event", "packets")): 3}
    assert samples["texbridge_small"] == {(): 1e-07}
    assert [samples["texbridge_lag_seconds_bucket"][("le", bound),] for bound in ("0.1", "0.5", "+Inf")] == [2, 2, 3]
    assert samples["texbridge_lag_seconds_sum"] == {(): 1.25}
    assert types["texbridge_lag_seconds"] == "histogram"
    assert "texbridge_left_out" not in types


def test_what_would_break_the_page_is_a_fault_here():
    page = MetricsText()
    with pytest.raises(ValueError, match="_total"):
        page.counter("things", "Things.", 1)
    with pytest.raises(ValueError, match="not a name"):
        page.gauge("a b", "Things.", 1)


def test_the_longest_lag_of_a_minute():
    lag = LoopLag()
    assert lag.most_s == 0
    for at, late in ((0, 0.5), (1, 0.001), (2, 0.1), (61, 0.02), (62.5, -0.001)):
        lag.note(late, at)
        if at == 2:
            assert lag.most_s == 0.5
    assert lag.most_s == 0.02
    assert (lag.buckets[0.5], sum(lag.buckets.values())) == (1, 5)
    lag.close()
