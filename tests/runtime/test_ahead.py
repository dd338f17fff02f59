"""Work of other threads: all of it is done, what fails is raised, and nothing changes for others."""

import sys
import threading

import pytest

from ingot.runtime.ahead import Works


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_all_is_done_while_more_is_handed_in(workers):
    works, go = Works(workers), threading.Event()
    works.begin(0, lambda: go.wait(60) and 0)
    for i in range(1, 20):
        works.begin(i, lambda i=i: i * i)
    go.set()
    assert works.results(workers) == {i: i * i for i in range(20)}


def test_the_first_that_failed_is_raised_and_the_rest_is_not_begun():
    works, done = Works(1), []
    works.begin("a", lambda: done.append("a"))
    works.begin("b", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        works.results(3)
    works = Works(1)
    go = threading.Event()
    works.begin("c", lambda: go.wait(60))
    for _ in range(5):
        works.begin("d", lambda: done.append("d"))
    works.close()
    go.set()
    for t in works._threads:
        t.join(60)
    assert done == ["a"]


def test_threads_take_turns_as_before_once_all_have_ended():
    before = sys.getswitchinterval()
    first, second = Works(1), Works(1)
    assert sys.getswitchinterval() <= before
    first.begin(1, lambda: 1)
    assert first.results(1) == {1: 1}
    assert sys.getswitchinterval() <= before
    second.close()
    second.close()
    assert sys.getswitchinterval() == before
