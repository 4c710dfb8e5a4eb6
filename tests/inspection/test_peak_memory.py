import subprocess
import sys

import pytest

from refseg.inspection.peak_memory import peak_memory

MEGABYTE = 2**20


def test_a_process_has_had_what_it_took():
    before = peak_memory()
    taken = bytearray(before + 50 * MEGABYTE)
    assert peak_memory() >= before + 49 * MEGABYTE and len(taken)


@pytest.mark.skipif(sys.platform != "linux", reason="told of other processes on Linux alone")
def test_a_small_process_does_not_have_the_memory_of_its_parent():
    bytearray(300 * MEGABYTE)
    with subprocess.Popen(
        [sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        small = peak_memory(child.pid)
        child.communicate(b"\n")
    assert 0 < small < 100 * MEGABYTE
    assert peak_memory(child.pid) == 0
