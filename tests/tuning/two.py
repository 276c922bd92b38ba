"""One of the processes of test_two_processes_train_as_one: base, corpus folder, out folder, shard or not."""

import sys
from pathlib import Path

from test_tuning import plan

from ropewalk import IncrementConfig
from ropewalk.corpus import Corpus
from ropewalk.tuning import paired

if __name__ == "__main__":
    base, corpus, out, shard = sys.argv[1:]
    model = {"increments": IncrementConfig(hidden=8), "shard": shard == "1"}
    paired.train(plan(base, "full", model=model), Corpus.open(Path(corpus)), Path(out))
