"""One of two processes that train: base, corpus folder, out folder, shard or not, and whether the second one breaks."""

import os
import sys
from pathlib import Path

from test_graft_training import plan

from ropewalk import IncrementConfig
from ropewalk.corpus import Corpus
from ropewalk.training.graft import paired, trainable

if __name__ == "__main__":
    base, corpus, out, shard, breaks = sys.argv[1:]
    if breaks == "1" and os.environ["RANK"] == "1":

        def broken(self, tokens):
            raise ArithmeticError("out of the blue")

        trainable.Trainee.forward = broken
    model = {"increments": IncrementConfig(hidden_size=8), "shard": shard == "1"}
    paired.train(plan(base, "full", model=model), Corpus.open(Path(corpus)), Path(out))
