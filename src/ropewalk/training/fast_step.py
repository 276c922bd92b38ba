"""A training step without synchronization with the CPU: data, gradients, update and statistics stay on the device.

A step gathers its windows from a `DeviceTokens`, accumulates the gradients of all micro-batches, clips them, updates the
weights by AdamW at a rate read from a table, and writes loss, gradient norm and the statistics of the increments into a
table on the device. The CPU reads that table once in `advance`. On a GPU the whole step is one captured CUDA graph; on
a CPU the same function runs directly. A step whose loss or gradient is not finite, or whose increments ran away, changes no weight, nor
does any later one: the CPU finds the first of them when it reads.

The whole model, its output layer and the loss are compiled as one function without graph breaks. The vocabulary is
padded to a multiple of 8, which matrix units need for their fast path; the padding takes no part in the loss. Losses and
gradients equal those of `ropewalk.training.loop` up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ropewalk.core import loss
from ropewalk.corpus import Corpus, windows
from ropewalk.errors import UserError
from ropewalk.native.decoder import Decoder
from ropewalk.training.compilation import compiled
from ropewalk.training.device_corpus import DeviceTokens, start_table
from ropewalk.training.loop import RUNAWAY, StepResult
from ropewalk.training.optimizer import Optimizers, rate_fraction
from ropewalk.training.recipe import Recipe, micro_batch_size

Scope = Literal["model", "layers", "none"]
"""What is compiled: the whole model with its loss, each layer by itself, or nothing."""
Attention = Literal["auto", "flash", "cudnn"]
BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}

VOCABULARY_MULTIPLE = 8
MOST_TOKENS = 1 << 16  # of a corpus in 16-bit numbers
WARM_UP_STEPS = 3  # before a capture: compiles, allocates, chooses kernels

LossFunction = Callable[[Decoder, Tensor, Attention], tuple[Tensor, Tensor]]


def window_loss(model: Decoder, tokens: Tensor, attention: Attention = "auto") -> tuple[Tensor, Tensor]:
    """The loss of windows (B, T + 1), and mean and standard deviation of the increments of each row, (2, N).

    The attention kernel is chosen in here, so that it is a part of what is compiled and cached.
    """
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    position_ids = torch.arange(inputs.shape[1], device=inputs.device).expand(inputs.shape)
    with attention_kernel(attention):
        x, increments = model.run_layers(inputs, position_ids)
    size = model.vocab_size
    weight = F.pad(model.embedding.to(x.dtype), (0, 0, 0, -size % VOCABULARY_MULTIPLE))
    logits = F.linear(model.norm(x), weight)[..., :size]
    d = 1.0 + torch.cat([r.detach().transpose(1, 2) for r in increments], 1)
    return loss.nats(logits, targets), torch.stack([d.mean((0, 2)), d.std((0, 2))])


def compiled_loss(scope: Scope) -> LossFunction:
    """`window_loss`, compiled as a whole, or left to the layers that `execution.apply_plan` compiled."""
    return compiled(window_loss) if scope == "model" else window_loss


def attention_kernel(attention: Attention) -> AbstractContextManager:
    """Restricts scaled dot-product attention to one kernel while it is entered; "auto" leaves torch's choice."""
    if attention == "auto":
        return nullcontext()
    context: AbstractContextManager = sdpa_kernel(BACKENDS[attention])
    return context


class FastStep:
    """Steps `first` to `recipe.train.steps` of a training run. `advance(n)` does n steps and returns their results.

    model: on its device, as `ropewalk.training.execution.apply_plan` left it. optimizers: AdamW only; the
    checkpoint format is the same. capture: replay one CUDA graph a step, on a GPU.
    """

    def __init__(
        self,
        recipe: Recipe,
        corpus: Corpus,
        model: Decoder,
        optimizers: Optimizers,
        *,
        first: int = 0,
        scope: Scope = "model",
        attention: Attention = "auto",
        capture: bool = True,
    ) -> None:
        train, device, context = recipe.train, model.device, recipe.model.context_length
        self.recipe, self.corpus, self.model, self.optimizers = recipe, corpus, model, optimizers
        self.loss, self.attention = compiled_loss(scope), attention
        self.tokens = DeviceTokens(corpus.train, context, device)
        table = start_table(
            corpus.train,
            seed=train.seed,
            first=first,
            steps=train.steps,
            size=train.batch_size,
            context=context,
        )
        self.starts = table.to(device)
        fractions = [rate_fraction(recipe.optimizer, step, train.steps) for step in range(first, train.steps)]
        self.rates = torch.tensor(fractions, dtype=torch.float32, device=device)
        self.index = torch.zeros(1, dtype=torch.int64, device=device)
        self.failed = torch.zeros((), device=device)
        self.results = torch.zeros(
            train.log_every, 2 + 2 * len(model.rows), dtype=torch.float64, device=device
        )
        self.done = 0
        self.adamw = _capturable(optimizers, self.failed)
        self.graph: torch.cuda.CUDAGraph | None = None
        if capture and device.type == "cuda":
            self._capture()

    def advance(self, count: int) -> list[StepResult]:
        """The next `count` steps, at most `log_every`, and then the only read by the CPU."""
        if not 1 <= count <= len(self.results):
            raise ValueError(f"expected 1 to {len(self.results)} steps at a time, got {count}")
        for _ in range(count):
            self.replay()
        return self.read(count)

    def replay(self) -> None:
        """Starts one step; nothing is read."""
        if self.graph is not None:
            self.graph.replay()
        else:
            self._update()
        self.done += 1

    def read(self, count: int) -> list[StepResult]:
        """The results of the last `count` steps: one read by the CPU."""
        size, rows = len(self.results), [str(row) for row in self.model.rows]
        table = self.results.tolist()
        found = []
        for step in range(self.done - count, self.done):
            value, norm, *statistics = table[step % size]
            means, stds = statistics[: len(rows)], statistics[len(rows) :]
            spacing = [
                {"row": row, "mean": mean, "std": std}
                for row, mean, std in zip(rows, means, stds, strict=True)
            ]
            found.append(StepResult(value, norm, spacing))
        return found

    @torch.no_grad()
    def validate(self) -> float:
        """Loss on the validation windows, nats per token: one read by the CPU."""
        train, context, device = self.recipe.train, self.recipe.model.context_length, self.model.device
        split = self.corpus.validation
        starts = windows.validation_starts(split, context=context, limit=train.validation_tokens)
        if not hasattr(self, "held_out"):
            self.held_out = DeviceTokens(split, context, device)
        self.model.eval()
        total = torch.zeros((), dtype=torch.float64, device=device)
        for part in torch.from_numpy(starts).to(device).split(max(16, micro_batch_size(self.recipe))):
            seen = self.held_out.windows(part)
            total += loss.nats(self.model(seen[:, :-1]).logits, seen[:, 1:]).double() * len(part)
        return float(total) / len(starts)

    def _update(self) -> None:
        """One step, from data to weights, without a read by the CPU."""
        self.model.train()
        batch = self.tokens.windows(
            self.starts.index_select(0, self.index)[0]
        )  # indexing by a scalar would read it
        value, statistics = self.accumulate(batch)
        norm = nn.utils.clip_grad_norm_(self.optimizers.named.values(), self.optimizers.config.clip)
        usable = value.isfinite() & norm.isfinite() & (statistics[0].abs() < RUNAWAY).all()
        self.failed.copy_(torch.maximum(self.failed, (~usable).to(self.failed.dtype)))
        rate = self.rates.index_select(0, self.index)[0]
        for group, peak in self.optimizers.peaks:
            group["lr"].copy_(rate * peak)
        self.adamw.step()
        result = torch.cat([torch.stack([value, norm.double()]), statistics.flatten().double()])
        self.results.index_copy_(0, self.index % len(self.results), result[None])
        self.index += 1

    def accumulate(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Sets the gradients to those of a batch's mean loss; returns the loss and the last micro-batch's statistics."""
        for parameter in self.optimizers.named.values():
            parameter.grad = None
        total = torch.zeros((), dtype=torch.float64, device=batch.device)
        for part in batch.split(micro_batch_size(self.recipe)):
            share = len(part) / len(batch)
            value, statistics = self.loss(self.model, part, self.attention)
            (value * share).backward()
            total += value.detach().double() * share
        return total, statistics

    def _capture(self) -> None:
        """Records the step as a CUDA graph. The steps before the recording change no weight."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                self.failed.fill_(1.0)
                self.index.zero_()
                self._update()
        torch.cuda.current_stream().wait_stream(stream)
        self.index.zero_()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self._update()
        self.failed.zero_()
        self.index.zero_()


def unsupported(recipe: Recipe, processes: int) -> str | None:
    """Why a training run cannot use the fast step; None where it can."""
    if recipe.optimizer.name != "adamw":
        return 'train.cuda_graphs needs optimizer.name = "adamw"'
    if recipe.model.vocab_size > MOST_TOKENS:
        return f"train.cuda_graphs needs model.vocab_size of at most {MOST_TOKENS}"
    if processes > 1:
        return "train.cuda_graphs trains on one process"
    return None


def _capturable(optimizers: Optimizers, failed: Tensor) -> torch.optim.AdamW:
    """The only optimizer, with rates in tensors, made to skip its update while `failed` is 1."""
    adamw = optimizers.members[0]
    if len(optimizers.members) != 1 or not isinstance(adamw, torch.optim.AdamW):
        raise UserError('the fast step needs optimizer.name = "adamw"; set it, or train.cuda_graphs = false.')
    for group, peak in optimizers.peaks:
        group["lr"] = torch.tensor(peak, dtype=torch.float32, device=failed.device)
        group["capturable"] = True
    adamw.found_inf = failed  # type: ignore[attr-defined]
    return adamw
