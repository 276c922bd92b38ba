# ruff: noqa: E402
from ropewalk.system.thread_waiting import limit_spinning

limit_spinning()  # before torch is imported

import pytest
import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)

# Busy machines are slow, which is no failure; the same examples every time, which makes one repeatable.
settings.register_profile(
    "ropewalk", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ropewalk")


@pytest.fixture(autouse=True)
def _same_chance() -> None:
    torch.manual_seed(0)
