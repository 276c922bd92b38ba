#!/usr/bin/env bash
# Runs the tests of Hugging Face hosts with other releases of transformers, each in an environment of its own.
#
#   scripts/test-transformers-versions.sh              the oldest supported release and the newest
#   scripts/test-transformers-versions.sh 5.17.0 5.20  these
#
# Environments are kept in .venvs/ and made again only when they are deleted.
set -euo pipefail
cd "$(dirname "$0")/.."
oldest=$(sed -n 's/^hf = \["transformers>=\([0-9.]*\)".*/\1/p' pyproject.toml)
versions=("$@")
[ ${#versions[@]} -gt 0 ] || versions=("$oldest" newest)
status=0
for version in "${versions[@]}"; do
  folder=".venvs/transformers-$version"
  if [ "$version" = newest ]; then wanted="transformers"; else wanted="transformers~=$version"; [[ "$version" == *.*.* ]] || wanted="transformers==$version.*"; fi
  if [ ! -x "$folder/bin/python" ]; then
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --upgrade pip
    "$folder/bin/pip" install --quiet ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch "$wanted" peft accelerate pytest hypothesis -e .
  fi
  "$folder/bin/python" -c 'import transformers, peft, torch; print("transformers", transformers.__version__, "peft", peft.__version__, "torch", torch.__version__)'
  "$folder/bin/python" -m pytest tests/hf tests/tuning || status=1
done
exit $status
