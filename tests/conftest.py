# ruff: noqa: E402
from ropewalk.system.thread_waiting import limit_spinning

limit_spinning()  # before torch is imported

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)

SHAPES_CHECKED = ("core", "parity", "native/test_decoder.py")
"""Tests that check every tensor against the shapes in the signatures of `core` and of the native decoder."""

# Busy machines are slow, which is no failure; the same examples every time, which makes one repeatable.
settings.register_profile(
    "ropewalk", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ropewalk")


@pytest.fixture(autouse=True)
def _same_chance() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="module")
def _shapes(request: pytest.FixtureRequest) -> Iterator[None]:
    if not request.path.relative_to(Path(__file__).parent).as_posix().startswith(SHAPES_CHECKED):
        yield
        return
    from shape_checks import shapes_checked

    from ropewalk.core import attention, decay, encoding, host, increments, loss, positions
    from ropewalk.native import decoder, kv_cache

    with shapes_checked(attention, decay, encoding, host, increments, loss, positions, decoder, kv_cache):
        yield
