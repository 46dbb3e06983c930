import time

import pytest

from pelage.common.parallel import parallel_map
from pelage.common.seeds import derive, generator


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_order_is_that_of_the_input(workers):
    def slow_for_the_first(i):
        time.sleep(0.02 if i == 0 else 0)
        return i * i

    assert list(parallel_map(slow_for_the_first, range(40), workers)) == [i * i for i in range(40)]


def test_an_error_reaches_the_caller():
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(lambda i: 1 // i, [2, 1, 0, 3], 2))


def test_streams_depend_on_names_only():
    assert derive(1, "a", 2) == derive(1, "a", 2)
    assert len({derive(1, "a", 2), derive(1, "a", 3), derive(2, "a", 2), derive(1, "a2")}) == 4
    assert generator(7, "x").integers(1 << 30) == generator(7, "x").integers(1 << 30)
