import resource

import pytest
import torch

from pelage.common.errors import PelageError
from pelage.model.compute import prepare


def test_freed_memory_is_used_again():
    prepare("cpu", 1)
    faults = []
    for _ in range(10):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(2**24)  # 64 MiB, 16384 pages
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    assert min(faults) < 100


def test_the_device_and_threads_are_as_asked():
    assert prepare("cpu", 1) == torch.device("cpu") and torch.get_num_threads() == 1
    with pytest.raises(PelageError, match=r"compute.device is 'tpu'"):
        prepare("tpu", 1)
