"""Memory is asked about before it is taken; where it runs out all the same, one sentence says so."""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import zstandard

sys.path.insert(0, str(Path(__file__).parents[1]))
import tiny

from ropewalk.corpus import decompress, formats
from ropewalk.errors import UserError
from ropewalk.measure.capture import trace
from ropewalk.native import checkpoint
from ropewalk.native.config import DecoderConfig
from ropewalk.native.decoder import Decoder
from ropewalk.system import available_memory
from ropewalk.system.text_files import read_text
from ropewalk.traces.trace import Trace
from ropewalk.training import memory_estimate, native_training
from ropewalk.training.recipe import Recipe


def content(root: Path, **files: str) -> Path:
    """A machine's /proc and /sys: `proc__meminfo="..."`."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = "MemTotal: 9000 kB\nMemAvailable:    8000 kB\n"


def test_what_the_machine_has_free(tmp_path: Path) -> None:
    assert available_memory.available_bytes(content(tmp_path, proc__meminfo=MEMINFO)) == 8000 * 1024


@pytest.mark.parametrize("where", ["job", "job/step", ""])
def test_a_container_has_less(tmp_path: Path, where: str) -> None:
    """Version 2: the least that any group around the process leaves; its page cache is given back."""
    content(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup="0::/job/step\n")
    group = tmp_path / "sys/fs/cgroup" / where
    group.mkdir(parents=True)
    for name, text in (
        ("max", "3000000\n"),
        ("current", "2500000\n"),
        ("stat", "anon 1\ninactive_file 100000\n"),
    ):
        (group / f"memory.{name}").write_text(text)
    assert available_memory.available_bytes(tmp_path) == 600_000
    (group / "memory.max").write_text("max\n")
    assert available_memory.available_bytes(tmp_path) == 8000 * 1024


def test_an_older_container_too(tmp_path: Path) -> None:
    content(tmp_path, proc__meminfo=MEMINFO, proc__self__cgroup="5:cpu,memory:/box\n1:name=systemd:/\n")
    group = tmp_path / "sys/fs/cgroup/memory/box"
    group.mkdir(parents=True)
    for name, text in (("limit_in_bytes", "900000"), ("usage_in_bytes", "950000")):
        (group / f"memory.{name}").write_text(text)
    assert available_memory.available_bytes(tmp_path) == 0


def test_a_limit_on_address_space_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content(tmp_path, proc__meminfo=MEMINFO, proc__self__statm="10 5 1")
    page = resource.getpagesize()
    monkeypatch.setattr(resource, "getrlimit", lambda which: (12 * page, 12 * page))
    assert available_memory.available_bytes(tmp_path) == 2 * page


def test_nothing_is_known_of_other_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sysconf_names", {})
    assert available_memory.available_bytes(tmp_path) == float("inf")


def test_what_is_too_much_is_refused_with_figures() -> None:
    available_memory.require_memory(5e9, "this", "do that", free=5e9)
    with pytest.raises(
        UserError, match=r"this needs about 5\.0 GB of memory and 20\.0 MB are free; do that\."
    ):
        available_memory.require_memory(5e9, "this", "do that", free=2e7)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "memory ran out;|memory ran out \\(|memory ran out; "),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0"),
            "GPU's memory.*2.50 GiB",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
            "8 bytes",
        ),
        (RuntimeError("something else"), None),
        (KeyError("x"), None),
    ],
)
def test_running_out_is_one_sentence(error: Exception, said: str | None) -> None:
    import re

    found = available_memory.out_of_memory_message(error)
    assert (found is None) == (said is None)
    if found is not None and said is not None:
        assert "\n" not in found and "train.micro" in found
        assert "ran out" in found and re.search(said.split("|")[0].rstrip(";"), found)


def test_a_training_that_would_not_fit_is_refused_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr(available_memory, "available_bytes", lambda sharing: 1e5)
    with pytest.raises(
        UserError, match=r"this training needs about .* MB of memory and 0\.1 MB are free; lower"
    ):
        native_training.train(tiny.recipe(), tiny.corpus(), tmp_path / "run")
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run" / "checkpoints").iterdir())


def test_processes_of_one_machine_share_its_memory_but_not_their_own_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(available_memory, "_address_space", lambda root: float("inf"))
    content(tmp_path, proc__meminfo=MEMINFO)
    assert (
        available_memory.available_bytes(tmp_path, sharing=4)
        == available_memory.available_bytes(tmp_path) / 4
        > 0
    )
    monkeypatch.setattr(available_memory, "_address_space", lambda root: 1e6)
    assert available_memory.available_bytes(tmp_path, sharing=4) == 1e6


@pytest.mark.parametrize(
    ("local", "launched", "count"),
    [("4", True, 4), ("4", False, 1), ("0", True, 1), ("x", True, 1), ("-2", True, 1)],
)
def test_how_many_share_a_machine(
    local: str, launched: bool, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ropewalk.training import distributed

    monkeypatch.setenv("LOCAL_WORLD_SIZE", local)
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "4" if launched else "1")):
        monkeypatch.setenv(name, value)
    assert distributed.local_world_size() == count


def test_where_one_process_has_too_little_all_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    from ropewalk.training import distributed, execution

    needed = memory_estimate.MemoryEstimate(1, 1, 3e6, 0, 0, 0, 0)
    plan, _ = execution.plan_execution("cpu", "float32", compile=False)
    monkeypatch.setattr(available_memory, "available_bytes", lambda sharing: 9e6)
    for others, refused in ((9e6, False), (1e6, True)):
        monkeypatch.setattr(
            distributed.ProcessGroup, "everyone", lambda self, own, others=others: [[own], [others]]
        )
        with (
            pytest.raises(UserError, match=r"needs about 2\.0 MB .* 1\.0 MB are free")
            if refused
            else nullcontext()
        ):
            needed.require(plan, distributed.ProcessGroup(0, 2), "wait")


def test_a_sharded_training_needs_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    from ropewalk.training import distributed, native_training

    asked: list[float] = []
    monkeypatch.setattr(
        distributed, "join_process_group", lambda device: nullcontext(distributed.ProcessGroup(0, 4))
    )
    monkeypatch.setattr(distributed.ProcessGroup, "everyone", lambda self, own: [[own]])
    monkeypatch.setattr(
        memory_estimate.available_memory, "require_memory", lambda needed, *_: asked.append(needed)
    )
    monkeypatch.setattr(native_training, "open_run", lambda *_, **__: pytest.fail("enough"))
    for shard in (False, True):
        with pytest.raises(pytest.fail.Exception):
            native_training.train(tiny.recipe(), tiny.corpus(), Path("nowhere"), shard=shard)
    assert asked[1] < asked[0]


def test_a_training_takes_more_the_more_it_holds() -> None:
    def total(windows: int, **shape: object) -> float:
        content = tiny.recipe().model_dump() | {"model": DecoderConfig(**shape).model_dump()}  # type: ignore[arg-type]
        content["train"] |= {"micro_batch_size": windows, "batch_size": windows}
        return memory_estimate.estimate(Recipe.model_validate(content)).total

    small = total(1)
    assert total(16) > 4 * small and total(1, context_length=8192) > 8 * small
    assert total(1, num_layers=12) > 1.8 * small and total(1, decay="forget") > small


def test_a_model_larger_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save_decoder(tmp_path / "m", Decoder(tiny.config(), seed=0), {})
    monkeypatch.setattr(available_memory, "available_bytes", lambda: 1e5)
    with pytest.raises(UserError, match=r"the model .* needs about .* of memory"):
        checkpoint.load_decoder(tmp_path / "m")


def test_a_trace_larger_than_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.moved(Decoder(tiny.config(), seed=0))
    monkeypatch.setattr(available_memory, "available_bytes", lambda: 1e4)
    with pytest.raises(UserError, match=r"a trace of 301 tokens needs about .* of memory"):
        trace(model, "a" * 300)


def test_a_command_says_that_memory_ran_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ropewalk import cli
    from ropewalk.cli import run as command_line

    def out(*content: object, **how: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.")

    monkeypatch.setattr(command_line, "command_group", lambda: SimpleNamespace(make_context=out))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert (
        said.startswith("ropewalk: the GPU's memory ran out (asked for 1.00 GiB)") and said.count("\n") == 1
    )


def test_a_real_limit_is_respected(tmp_path: Path) -> None:
    """ulimit -v in a process of its own: the sentence comes, and no kernel has to end anything."""
    program = (
        "import resource, re\n"
        "from ropewalk.system import available_memory\n"
        "size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size + 50_000_000,) * 2)\n"
        "print(available_memory.available_bytes() <= 50_000_000)\n"
        "try: bytes(10**9)\n"
        "except MemoryError as error: print(available_memory.out_of_memory_message(error))\n"
    )
    if not Path("/proc/self/statm").exists():
        pytest.skip("only where the system tells the size of a process")
    content = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert content.startswith("True\nmemory ran out")


# What a few bytes unpack to.


def zeros(path: Path, megabytes: int) -> Path:
    block = b"a" * (1 << 20)
    if path.suffix == ".gz":
        with gzip.open(path, "wb", 1) as file:
            for _ in range(megabytes):
                file.write(block)
    else:
        path.write_bytes(zstandard.compress(block * megabytes))
    return path


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt.zst", "a.jsonl.gz", "a.txt"])
def test_a_document_longer_than_memory_is_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zeros(tmp_path / name, 20) if name != "a.txt" else tmp_path / name
    if name == "a.txt":
        path.write_bytes(b"a" * (20 << 20))
    monkeypatch.setattr(available_memory, "available_bytes", lambda: 8 * 5e6)
    with pytest.raises(UserError, match="a document is longer than 5 MB"):
        list(formats.documents(path, "text", lambda _: None))


def test_many_lines_are_no_long_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_text((json.dumps({"text": "x" * 60_000}) + "\n") * 90)
    monkeypatch.setattr(available_memory, "available_bytes", lambda: 8 * 3e5)
    assert len(list(formats.documents(tmp_path / "a.jsonl", "text", lambda _: None))) == 90


def test_few_compressed_bytes_are_unpacked_piece_by_piece(tmp_path: Path) -> None:
    path = zeros(tmp_path / "a.txt.zst", 300)
    assert path.stat().st_size < 100_000
    assert max(map(len, decompress.chunks(path, lambda _: None))) <= 128 << 20


def test_a_trace_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros(tmp_path / "t.json.gz", 20)
    monkeypatch.setattr(available_memory, "available_bytes", lambda: 16 * 3e6)
    with pytest.raises(UserError, match="is longer than the 3 MB"):
        Trace.load(tmp_path / "t.json.gz")
    with pytest.raises(UserError, match=r"a trace"):
        Trace.loads(b"x")


def test_a_file_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(available_memory, "available_bytes", lambda: 8 * 3e6)
    with pytest.raises(UserError, match="/dev/zero is longer than the 3 MB"):
        read_text("/dev/zero")
