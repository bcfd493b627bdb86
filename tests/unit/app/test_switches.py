"""The log of switches: bounded, and no client's name looks like another line."""

from bridge.app.switches import MAX_LINES, MAX_NAME, WITHIN_S, Switches


def test_who_switched_and_at_most_so_often(caplog):
    caplog.set_level("INFO", "bridge.app")
    now = [0.0]
    switches = Switches(lambda: now[0])
    switches.by = ("a\nb" + "x" * 1000, "127.0.0.1:5")
    for number in range(3 * MAX_LINES):
        switches.log(f"switch {number}")
    assert len(caplog.messages) == MAX_LINES
    assert caplog.messages[0].startswith(r"switch 0, by 'a\nbxxx")
    assert caplog.messages[0].endswith("x' at 127.0.0.1:5")
    assert caplog.messages[0].count("x") == MAX_NAME - 3
    now[0] = WITHIN_S
    switches.by = ("", "127.0.0.1:6")
    switches.log("panic")
    told = f"panic, by 'a client without a name' at 127.0.0.1:6 ({2 * MAX_LINES} switches before it were not logged)"
    assert caplog.messages[-1] == told
