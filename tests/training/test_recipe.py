"""Recipes: strict keys, overrides, and the ones that come along, the published one to the letter."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ropewalk.errors import UserError
from ropewalk.native.decoder import Decoder
from ropewalk.training import recipe

RECIPES = Path(__file__).parents[2] / "recipes"
SMALLEST = '[corpus]\nsources = [{ builtin = "python" }]\n'


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALLEST)
    return path


STUDIES = ("study-", "graft")  # which other readers read
PLAIN = sorted(path for path in RECIPES.glob("*.toml") if not path.stem.startswith(STUDIES))


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_every_recipe_that_comes_along_holds(path: Path) -> None:
    read = recipe.read_recipe(path)
    with torch.device("meta"):
        Decoder(read.model, seed=None)
    assert read.train.steps > read.optimizer.warmup
    assert len(PLAIN) >= 4


def test_the_published_recipe_is_the_posts_to_the_letter() -> None:
    """Every number here is a fact of the post or of its public code, written down independently of our defaults."""
    post = recipe.read_recipe(RECIPES / "post.toml")
    corpus, model, parametrization, optimizer, train = (
        post.corpus,
        post.model,
        post.model.increments,
        post.optimizer,
        post.train,
    )
    assert [(s.kind, s.dataset, s.name, s.split) for s in corpus.sources] == [
        ("huggingface", "wikimedia/wikipedia", "20231101.en", "train"),
        ("huggingface", "wikimedia/wikipedia", "20231101.zh", "train"),
    ]
    assert (corpus.documents, corpus.validation_documents) == (60_000, 2_000)
    assert (model.vocab_size, model.hidden_size, model.num_heads, model.kv_heads, model.num_layers) == (
        257,
        256,
        8,
        8,
        6,
    )
    assert (model.mlp_size, model.head_size, model.rope_theta, model.norm_eps) == (1024, 32, 10_000, 1e-5)
    assert (model.context_length, model.encoding, model.decay) == (512, "rope", None)
    assert (
        parametrization.parametrization,
        parametrization.per,
        parametrization.per_head,
        parametrization.gap,
    ) == ("bounded", "layer", False, "before")
    assert (parametrization.hidden_size, parametrization.max_increment, parametrization.init) == (
        64,
        10,
        "random",
    )
    assert (optimizer.name, optimizer.lr, optimizer.increments_lr_multiplier) == ("adamw", 1e-3, 1)
    assert (optimizer.weight_decay, optimizer.warmup, optimizer.clip) == (0.01, 500, 1.0)
    assert (train.steps, train.batch_size, train.seed, train.precision) == (50_000, 64, 42, "bfloat16")
    assert train.steps * train.batch_size * model.context_length == pytest.approx(1.64e9, rel=0.01)
    with torch.device("meta"):
        assert round(sum(p.numel() for p in Decoder(model, seed=None).parameters()) / 1e6, 2) == 6.46


def test_the_comments_of_the_published_recipe_hold() -> None:
    text = (RECIPES / "post.toml").read_text()
    wanted = [
        word.split()[0].rstrip(".") for line in text.splitlines()[:6] for word in line.split("--set ")[1:]
    ]
    assert len(wanted) == 5
    shared = recipe.read_recipe(RECIPES / "post.toml", wanted[:2]).model
    assert (shared.increments.parametrization, shared.increments.per, shared.increments.init) == (
        "positive",
        "shared",
        "random",
    )
    with torch.device("meta"):
        assert round(sum(p.numel() for p in Decoder(shared, seed=None).parameters()) / 1e6, 2) == 6.38
    baseline, gate = (
        recipe.read_recipe(RECIPES / "post.toml", part).model for part in (wanted[2:3], wanted[3:])
    )
    assert (baseline.increments.parametrization, baseline.decay) == ("integer", None)
    assert (gate.increments.parametrization, gate.decay) == ("integer", "shared-forget")


def test_overrides_are_toml_values_or_bare_words(small: Path) -> None:
    read = recipe.read_recipe(
        small,
        ["train.steps=70", "optimizer.lr=2e-4", "model.increments.parametrization=signed", "train.compile=false",
         "corpus.root=/some where", 'corpus.sources=[{ path = "a b.txt" }]', 'train.device="cpu"'],
    )  # fmt: skip
    assert (read.train.steps, read.optimizer.lr, read.model.increments.parametrization) == (
        70,
        2e-4,
        "signed",
    )
    assert read.train.compile is False and read.train.device == "cpu"
    assert read.corpus.root == Path("/some where") and read.corpus.sources[0].path == Path("a b.txt")


@given(steps=st.integers(1, 10**9), lr=st.floats(1e-9, 1e3))
def test_overrides_keep_every_digit(steps: int, lr: float) -> None:
    read = recipe.read_recipe(RECIPES / "smoke.toml", [f"train.steps={steps}", f"optimizer.lr={lr!r}"])
    assert read.train.steps == steps and math.isclose(read.optimizer.lr, lr, rel_tol=0)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.stesp=3", "unknown key 'train.stesp'"),
        ("trian.steps=3", "unknown key 'trian'"),
        ("model.increments.low=unit", "unknown key 'model.increments.low'"),
        ("train.steps", "cannot read the override 'train.steps': write it as section.key=value"),
        ("steps=3", "cannot read the override"),
        ("corpus.sources.path=x", "cannot override 'corpus.sources.path': 'sources' is no section"),
        ("train.steps=0", "train.steps: Input should be greater than or equal to 1"),
        ("train.steps=many", "train.steps: Input should be a valid integer"),
        ("train.precision=float8", "train.precision: Input should be 'auto', 'float32' or 'bfloat16'"),
        ("optimizer.lr=inf", "optimizer.lr: Input should be a finite number"),
        ("optimizer.lr=nan", "optimizer.lr: Input should be"),
        ("model.hidden_size=100", "model: hidden_size 100 must be a multiple of 2 x num_heads = 16"),
        ("model.vocab_size=256", "model.vocab_size 256 must be at least 257"),
        ("model.increments.parametrization=cubic", "unknown parametrization 'cubic': choose one of integer"),
        ("corpus.sources=[]", "corpus.sources: Tuple should have at least 1 item"),
    ],
)
def test_wrong_keys_and_values_are_named(small: Path, override: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        recipe.read_recipe(small, [override])
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"[corpus", "is not readable TOML"),
        (b"\xff\xfe", "is not readable TOML"),
        (b"", "invalid recipe .*corpus: Field required"),
        (SMALLEST.encode() + b"[extra]\n", "unknown key 'extra'"),
    ],
)
def test_files_that_are_no_recipe_are_refused(tmp_path: Path, raw: bytes, said: str) -> None:
    (tmp_path / "r.toml").write_bytes(raw)
    with pytest.raises(UserError, match=said):
        recipe.read_recipe(tmp_path / "r.toml")


def test_a_recipe_that_is_not_there_is_content(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.toml does not exist; give the path of a TOML file"):
        recipe.read_recipe(tmp_path / "none.toml")
    with pytest.raises(UserError, match="is not readable TOML"):
        recipe.read_recipe(tmp_path)


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_a_resolved_recipe_reads_back_the_same(path: Path) -> None:
    read = recipe.read_recipe(path)
    assert recipe.Recipe.model_validate(read.model_dump(mode="json")) == read


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("betas = [0.9, 0.99]\nbeta2_half_life = 1e6", "give betas or beta2_half_life, not both"),
        ("betas = [0.9, 1.0]", "less than 1"),
        ("decay_steps = 10", "decay_steps belong to schedule"),
    ],
)
def test_an_optimizer_that_contradicts_itself_is_refused(small: Path, lines: str, problem: str) -> None:
    small.write_text(f"{SMALLEST}[optimizer]\n{lines}\n")
    with pytest.raises(UserError, match=problem):
        recipe.read_recipe(small)
