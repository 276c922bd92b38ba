"""The decoding step in NumPy at the edge of float32's range: large scores give the same probabilities, never infinity."""

import numpy as np
import torch
from tiny import config, moved, tokens

from ropewalk.native.decoder import Decoder
from ropewalk.native.numpy_step import NumpyStep, _softmax


def test_softmax_does_not_overflow() -> None:
    scores = np.array([[3e38, 0.0, -3e38], [1000.0, 999.0, 0.0], [-1000.0, -1001.0, -3e38]], np.float32)
    with np.errstate(over="ignore"):
        found = _softmax(scores)
    e = 1 / (1 + np.exp(-1))
    assert np.allclose(found, [[1, 0, 0], [e, 1 - e, 0], [e, 1 - e, 0]], atol=1e-6)


def test_a_model_with_large_scores_is_continued_as_by_torch() -> None:
    model = moved(Decoder(config(), seed=0))
    with torch.no_grad():
        for layer in model.layers:
            layer.attention.q.weight.mul_(300)  # scores in the thousands
    cache = model.new_cache()
    text = tokens(1, 12)
    with torch.no_grad():
        model(text[:, :-1], kv_cache=cache)
        step = NumpyStep(model, cache)
        expected = model(text).logits[:, -1]
    found = step(text[:, -1])
    assert torch.isfinite(torch.as_tensor(found)).all()
    assert torch.allclose(torch.as_tensor(found), expected, atol=2e-2)
