"""What a restart command prints: bounded, its end kept."""

import os
import subprocess
import sys

import pytest

from bridge.app.pool.restart_output import TAIL_BYTES, RestartOutput


@pytest.fixture
def output():
    made = RestartOutput(most_bytes=10_000)
    yield made
    made.close()


def prints(output, code):
    subprocess.run([sys.executable, "-c", code], stdout=output.file, check=True)


def test_nothing_and_one_line(output):
    assert output.tail() == "nothing"
    prints(output, "print('a\\x07\\n\\n  b')")
    assert output.tail() == "a? | b"


def test_what_is_over_the_limit_goes_and_the_end_stays(output):
    prints(output, "print('x' * 9_000, end='')")
    output.bound()
    assert os.fstat(output.file.fileno()).st_size == 9_000
    prints(output, "print('y' * 9_000 + 'end', end='')")
    output.bound()
    assert os.fstat(output.file.fileno()).st_size == TAIL_BYTES
    assert output.tail().endswith("yend")


@pytest.mark.skipif(sys.platform == "win32", reason="there a program that goes on printing has a place of its own")
def test_a_program_that_goes_on_printing_prints_at_the_end(output):
    code = "import sys\nfor line in sys.stdin: print('z' * 6_000, line, end='', flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=output.file, encoding="ascii"
    ) as program:
        for _ in range(5):
            size = os.fstat(output.file.fileno()).st_size
            program.stdin.write("!\n")
            program.stdin.flush()
            while os.fstat(output.file.fileno()).st_size < size + 6_002:
                assert program.poll() is None
            output.bound()
            assert os.fstat(output.file.fileno()).st_size <= 10_000
        program.stdin.close()
    assert output.tail().endswith("z !")
