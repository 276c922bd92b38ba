"""Generation: the memory changes nothing, choices are what they say, mistakes are told."""

import math
import threading
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import OpenBLASController, threadpool_info, threadpool_limits
from tiny import LEARNED, config, moved, tokens

from ropewalk.errors import UserError
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder
from ropewalk.native.generate import generate, left_padded, sample, stream
from ropewalk.native.numpy_step import MAX_BATCH, THREAD_LIMIT, NumpyStep, supports

SHAPES = [
    *[
        config(parametrization, per=per, per_head=True, decoder={"num_kv_heads": 2})
        for parametrization in LEARNED
        for per in ("layer", "shared")
    ],
    config("integer"),
    config("frozen"),
    config("bounded", gap="after"),
    config("signed", gap="after", per="shared", decoder={"decay": "alibi"}),
    config("bounded", decoder={"encoding": "pope", "num_kv_heads": 1}),
    config("positive", decoder={"encoding": "pope", "decay": "forget"}, per="shared"),
    config("bounded", decoder={"decay": "forget", "num_kv_heads": 2}),
]


def name_of(shape: DecoderConfig) -> str:
    parametrization = shape.increments
    return "-".join(
        str(part)
        for part in (
            parametrization.parametrization,
            parametrization.per,
            parametrization.gap,
            shape.encoding,
            shape.decay,
        )
    )


def in_windows(model: Decoder, seen: torch.Tensor, cuts: list[int], **first: Any) -> torch.Tensor:
    cache, logits = model.new_cache(), []
    for a, b in zip([0, *cuts], [*cuts, seen.shape[1]], strict=True):
        given = {key: value[:, :b] for key, value in first.items()} if a == 0 else {}
        logits.append(model(seen[:, a:b], kv_cache=cache, **given).logits)
    return torch.cat(logits, 1)


@pytest.mark.parametrize("shape", SHAPES, ids=name_of)
@pytest.mark.parametrize("cuts", [[5, 6, 7, 8], [1, 9, 10], [4]], ids=["one-by-one", "mixed", "long"])
@torch.inference_mode()
def test_the_cached_pass_equals_the_whole_pass(shape: DecoderConfig, cuts: list[int]) -> None:
    model = moved(Decoder(shape, seed=0), scale=0.1)
    seen = tokens(2, 14)
    whole = model(seen).logits
    assert whole.std() > 0.05
    assert torch.allclose(in_windows(model, seen, cuts), whole, atol=2e-5)


@pytest.mark.parametrize("shape", SHAPES, ids=name_of)
@torch.inference_mode()
def test_left_padding_changes_nothing_cached_or_not(shape: DecoderConfig) -> None:
    model = moved(Decoder(shape, seed=0), scale=0.1)
    short, long = tokens(1, 9, seed=1), tokens(1, 14, seed=2)
    padded = torch.cat([torch.cat([torch.zeros(1, 5, dtype=torch.long), short], 1), long])
    documents = torch.tensor([[-1] * 5 + [0] * 9, [0] * 14])
    whole = model(padded, document_ids=documents).logits
    assert torch.allclose(whole[:1, 5:], model(short).logits, atol=2e-5)
    assert torch.allclose(whole[1:], model(long).logits, atol=2e-5)
    cached = in_windows(model, padded, [8, 9, 12], document_ids=documents)
    assert torch.allclose(cached[0, 5:], whole[0, 5:], atol=2e-5)
    assert torch.allclose(cached[1], whole[1], atol=2e-5)


@torch.inference_mode()
def test_a_memory_goes_on_from_positions_given_from_outside() -> None:
    model = moved(Decoder(config(), seed=0), scale=0.1)
    seen, n = tokens(1, 8), torch.arange(8)[None] * 2 + 5
    whole = model(seen, n).logits
    cache = model.new_cache()
    parts = [model(seen[:, :5], n[:, :5], kv_cache=cache), model(seen[:, 5:], n[:, 5:], kv_cache=cache)]
    assert torch.allclose(torch.cat([part.logits for part in parts], 1), whole, atol=2e-5)


def test_later_windows_bring_no_documents() -> None:
    model, cache = Decoder(config(), seed=0).eval(), None
    cache = model.new_cache()
    model(tokens(1, 3), kv_cache=cache)
    with pytest.raises(UserError, match="document_ids belong to the first segment"):
        model(tokens(1, 2), document_ids=torch.zeros(1, 2), kv_cache=cache)


def test_greedy_takes_the_most_likely_each_time() -> None:
    model = moved(Decoder(config(), seed=0), scale=0.2)
    prompts = [[1, 2, 3, 4], [9]]
    got = generate(model, prompts, length=6)
    assert got == generate(model, prompts, length=6, seed=5)
    for prompt, made in zip(prompts, got, strict=True):
        seen = list(prompt)
        for symbol in made:
            assert symbol == int(model(torch.tensor([seen])).logits[0, -1].argmax())
            seen.append(symbol)


def test_the_text_goes_on_past_the_context() -> None:
    model = moved(Decoder(config(decoder={"context_length": 8}), seed=0))
    assert len(generate(model, [[1, 2, 3]], length=20)[0]) == 20


def test_a_seed_decides_what_is_sampled() -> None:
    model = Decoder(config(), seed=0).eval()
    runs = [generate(model, [[1, 2]], length=12, temperature=1.0, seed=seed) for seed in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2]


def test_a_stream_is_greedy_with_seed_0_unless_told() -> None:
    model = moved(Decoder(config(), seed=0), scale=0.2)

    def streamed(**settings: float) -> list[list[int]]:
        return torch.stack(list(stream(model, [[1, 2]], length=6, **settings)), 1).tolist()  # type: ignore[arg-type]

    assert streamed() == generate(model, [[1, 2]], length=6)
    drawn = [
        generate(model, [[1, 2]], length=6, temperature=1.0, **seed)
        for seed in ({}, {"seed": 0}, {"seed": 1})
    ]
    assert streamed(temperature=1.0) == drawn[0] == drawn[1] != drawn[2]


def test_a_token_is_computed_only_where_another_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[list[int]] = []

    class Counted(NumpyStep):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            made.append([])

        def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
            made[-1].append(int(tokens[0]))
            return super().__call__(tokens)

    monkeypatch.setattr("ropewalk.native.generate.NumpyStep", Counted)
    model = Decoder(config(), seed=0).eval()
    assert generate(model, [[1, 2]], length=1) and made == []
    assert generate(model, [[1, 2]], length=3)[0][:2] == made[0]


def test_padding_is_minus_one_and_only_where_needed() -> None:
    seen, documents = left_padded([[1, 2, 3], [4]])
    assert seen.tolist() == [[1, 2, 3], [0, 0, 4]]
    assert documents is not None and documents.tolist() == [[0, 0, 0], [-1, -1, 0]]
    assert left_padded([[1], [2]])[1] is None


def often(p: list[float], draws: int = 4000, **how: float) -> torch.Tensor:
    """How often each symbol is chosen, as fractions."""
    logits = torch.tensor(p).log().expand(draws, -1)
    settings = {"temperature": 1.0, "top_p": 1.0, **how}
    chosen = sample(logits, generator=torch.Generator().manual_seed(0), **settings)
    return torch.bincount(chosen, minlength=len(p)) / draws


def test_equal_logits_are_drawn_from_the_smallest_temperature_on() -> None:
    tiny, stream = torch.finfo(torch.float32).tiny, torch.Generator().manual_seed(0)
    draws = {
        t: sample(torch.zeros(64, 2), temperature=t, top_p=1.0, generator=stream).unique().tolist()
        for t in (0.0, tiny)
    }
    assert draws == {0.0: [0], tiny: [0, 1]}
    far = torch.tensor([[50.0, 3.0]])
    assert sample(far, temperature=tiny, top_p=1.0, generator=stream).tolist() == [0]


def test_one_logit_that_is_no_number_is_refused() -> None:
    with pytest.raises(UserError, match="non-finite logits"):
        sample(torch.tensor([[0.0, math.nan]]), temperature=0.0, top_p=1.0, generator=torch.Generator())


def test_nothing_is_left_out_unless_asked_however_unlikely(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_from: list[torch.Tensor] = []
    plain = torch.multinomial
    monkeypatch.setattr(torch, "multinomial", lambda p, *a, **k: (drawn_from.append(p), plain(p, *a, **k))[1])
    for top_p in (1.0, 0.999):
        sample(torch.tensor([[0.0, -20.0]]), temperature=1.0, top_p=top_p, generator=torch.Generator())
    assert drawn_from[0].min() > 0 == drawn_from[1].min()


def test_sampling_follows_the_distribution_and_temperature_sharpens_it() -> None:
    p = torch.tensor([0.5, 0.2, 0.3])
    assert torch.allclose(often(p.tolist()), p, atol=0.03)
    assert torch.allclose(often(p.tolist(), temperature=0.5), p**2 / (p**2).sum(), atol=0.03)


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.3, [1]), (0.5, [1]), (0.51, [1, 2]), (0.79, [1, 2]), (0.81, [0, 1, 2]), (1.0, [0, 1, 2, 3])],
)
def test_top_p_keeps_the_smallest_set_that_reaches_it(top_p: float, kept: list[int]) -> None:
    counts = often([0.15, 0.5, 0.3, 0.05], top_p=top_p)
    assert torch.nonzero(counts).flatten().tolist() == kept


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=9), st.floats(1e-3, 1.0), st.floats(1e-40, 100.0))
def test_a_choice_is_always_in_the_nucleus(logits: list[float], top_p: float, temperature: float) -> None:
    at = torch.tensor([logits])
    symbol = sample(
        at, temperature=temperature, top_p=top_p, generator=torch.Generator().manual_seed(1)
    ).item()
    p = ((at.double() - at.max()) / temperature).softmax(-1)[0]
    assert p[p > p[symbol] * (1 + 1e-4)].sum() <= top_p + 1e-5


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"prompts": []}, "every prompt needs at least one token"),
        ({"prompts": [[1], []]}, "every prompt needs at least one token"),
        ({"prompts": [[300]]}, "expected tokens from 0 to 256"),
        ({"length": 0}, "length must be a whole number of at least 1, got 0"),
        ({"length": 2.5}, "length must be a whole number of at least 1, got 2.5"),
        ({"temperature": -1.0}, "temperature must be 0 or more"),
        ({"temperature": math.nan}, "temperature must be 0 or more"),
        ({"top_p": 0.0}, r"top_p in \(0, 1\]"),
        ({"top_p": 1.5}, r"top_p in \(0, 1\]"),
    ],
)
def test_mistakes_are_content(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        generate(Decoder(config(), seed=0).eval(), **{"prompts": [[1]], "length": 2, **wrong})


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_diverged_model_is_content(temperature: float) -> None:
    model = Decoder(config(), seed=0).eval()
    with torch.no_grad():
        model.embedding.fill_(math.nan)
    with pytest.raises(UserError, match="training diverged"):
        generate(model, [[1]], length=1, temperature=temperature)


@pytest.mark.parametrize("shape", SHAPES, ids=name_of)
@torch.inference_mode()
def test_a_step_equals_the_whole_pass(shape: DecoderConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ropewalk.native.numpy_step.GROWTH", 2)  # so that the memory has to grow
    model, seen = moved(Decoder(shape, seed=0), scale=0.1), tokens(2, 14)
    cache = model.new_cache()
    model(seen[:, :6], kv_cache=cache)
    assert supports(model, cache) == (shape.encoding == "rope" and shape.decay is None)
    if supports(model, cache):
        step = NumpyStep(model, cache)
        steps = torch.stack([step(seen[:, t]) for t in range(6, 14)], 1)
        assert torch.allclose(steps, model(seen).logits[:, 6:], atol=2e-5)


@pytest.mark.parametrize("padded", [False, True])
@torch.inference_mode()
def test_steps_are_for_rows_without_padding_in_float32(padded: bool) -> None:
    model, (seen, documents) = Decoder(config(), seed=0), left_padded([[1, 2], [3]] if padded else [[1, 2]])
    cache = model.new_cache()
    assert not supports(model, cache)
    model(seen, document_ids=documents, kv_cache=cache)
    assert supports(model, cache) != padded
    model.compute_dtype = torch.bfloat16
    assert not supports(model, cache)


@torch.inference_mode()
def test_steps_are_for_few_rows() -> None:
    model = Decoder(config(), seed=0)
    for rows in (MAX_BATCH, MAX_BATCH + 1):
        cache = model.new_cache()
        model(tokens(rows, 3), kv_cache=cache)
        assert supports(model, cache) == (rows == MAX_BATCH)


def threads() -> set[int]:
    """How many threads the matrix libraries of this process take."""
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}


def test_a_step_takes_one_thread_and_gives_the_others_back(monkeypatch: pytest.MonkeyPatch) -> None:
    real, seen = NumpyStep._pass, []
    monkeypatch.setattr(NumpyStep, "_pass", lambda *content: (seen.append(threads()), real(*content))[1])
    with threadpool_limits(2, user_api="blas"):
        generate(Decoder(config(), seed=0), [[1, 2]], length=2)
        assert threads() == {2} and seen[0] == {1}


def test_steps_of_several_threads_leave_the_libraries_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, joined, gone = threading.Event(), threading.Event(), threading.Event()
    model, real, found = Decoder(config(), seed=0), NumpyStep._pass, []

    def meanwhile(*content: Any) -> Any:
        """The first one's step ends, and its thread too, in the midst of the second one's."""
        mine, other = (begun, joined) if threading.current_thread() is first else (joined, gone)
        mine.set()
        assert other.wait(60)
        return real(*content)

    monkeypatch.setattr(NumpyStep, "_pass", meanwhile)
    first, second = (
        threading.Thread(target=lambda: found.append(generate(model, [[1, 2]], length=2))) for _ in range(2)
    )
    with threadpool_limits(2, user_api="blas"):
        # else this thread alone could change the number
        OpenBLASController.clear_controlling_thread(force=True)
        first.start()
        assert begun.wait(60)
        second.start()
        first.join()
        gone.set()
        second.join()
        after = threads()
    assert after == {2} and found[0] == found[1] and not THREAD_LIMIT.locked()
