#!/usr/bin/env bash
# Installs the oldest versions that pyproject.toml promises to work with, and tries what each extra is for.
#
#   scripts/test-lowest-versions.sh                  the base install and every extra
#   scripts/test-lowest-versions.sh base pictures    these
#
# Each extra has an environment of its own, made in a temporary folder: direct dependencies at their lower bounds, what
# they need at the newest. PYTHON chooses the interpreter (default python3.11). TORCH_BACKEND is where PyTorch comes from
# (default cpu, its own index; pypi, the package index's CUDA build, which runs on CPUs too).
set -euo pipefail
cd "$(dirname "$0")/.."
extras=("$@")
if [ ${#extras[@]} -eq 0 ]; then
  extras=(base $(sed -n '/^\[project.optional-dependencies\]/,/^\[/s/^\([a-z]*\) = \[.*/\1/p' pyproject.toml | grep -v '^all$'))
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ROPEWALK_CACHE="$work/cache"
backend=("--torch-backend=${TORCH_BACKEND:-cpu}")
[ "${TORCH_BACKEND:-cpu}" = pypi ] && backend=()

cat > "$work/recipe.toml" <<'TOML'
corpus = { sources = [{ builtin = "planted" }], documents = 20, validation_documents = 4 }
model = { hidden_size = 16, num_heads = 2, num_layers = 1, context_length = 32, increments = { hidden_size = 4 } }
train = { steps = 2, batch_size = 2, device = "cpu", precision = "float32", compile = false, validation_tokens = 64 }
TOML
cat > "$work/graft.py" <<'PY'
import torch, transformers, peft, ropewalk
from ropewalk.tokens.tokenizer import ByteTokenizer
shape = dict(vocab_size=257, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**shape)).eval()
with ropewalk.graft(model, tokenizer=ByteTokenizer()) as grafted:
    assert (ropewalk.trace(grafted, "abc").values == 1).all()
PY
cat > "$work/live.py" <<'PY'
import urllib.request, ropewalk
from ropewalk.live import Live
from ropewalk.live.answers import Model
live = Live({"shared": Model(ropewalk.load("shared"))}, "abc")
live.start()
assert b"ropewalk" in urllib.request.urlopen(live.url, timeout=60).read()
live.stop()
PY
cat > "$work/words.py" <<'PY'
from ropewalk.analyses.gold import by_jieba, from_lines
assert len(by_jieba(from_lines([["北京大学", "的", "学生"]])).words)
PY
cat > "$work/export.py" <<'PY'
import pathlib, sys, ropewalk
from ropewalk.export import onnx_graph
print(onnx_graph.onnx(ropewalk.load("shared"), pathlib.Path(sys.argv[1])))
PY

try() {  # what an extra is for; $1: the extra, $2: the folder of its environment's programs
  local run="$2/ropewalk" python="$2/python" out="$work/$1-out"
  case "$1" in
    base) "$run" show "The cat." --json "$out.json" && "$run" info ;;
    torch) "$run" generate "The cat" --length 5 ;;
    train) "$run" train "$work/recipe.toml" --out "$out" ;;
    hf) "$python" "$work/graft.py" ;;
    gguf) "$python" -c "import gguf, ropewalk.hf" ;;
    pictures) "$run" show "北京 in spring" --png "$out.png" --svg "$out.svg" --pdf "$out.pdf" ;;
    notebook) "$python" -c "import ropewalk; ropewalk.load('shared', backend='numpy')" ;;
    view) "$python" "$work/live.py" ;;
    data) printf '{"text": "The cat."}\n' > "$work/t.jsonl" && "$run" trace "$work/t.jsonl" --out "$out" ;;
    zh) "$python" "$work/words.py" ;;
    study) "$run" measure bytes shared ;;
    board) "$run" train "$work/recipe.toml" --out "$out" --tensorboard ;;
    export) "$python" "$work/export.py" "$out.onnx" ;;
    *) echo "no such extra: $1" >&2; return 1 ;;
  esac
}

failed=()
for extra in "${extras[@]}"; do
  folder="$work/$extra"
  uv venv --quiet --python "${PYTHON:-python3.11}" "$folder"
  wanted="."; [ "$extra" = base ] || wanted=".[$extra]"
  [ "$extra" = data ] && wanted=".[data,torch]" # tracing many texts runs a model
  if uv pip install --quiet --python "$folder/bin/python" --resolution lowest-direct "${backend[@]}" "$wanted" \
    && try "$extra" "$folder/bin" > "$work/$extra.log" 2>&1; then
    echo "$extra: works ($(uv pip list --quiet --python "$folder/bin/python" --format freeze | grep -vc ^ropewalk) packages)"
  else
    failed+=("$extra"); cat "$work/$extra.log" 2> /dev/null || true
    echo "$extra: FAILED"
  fi
  rm -rf "$folder"
done
[ ${#failed[@]} -eq 0 ]
