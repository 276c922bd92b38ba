#!/usr/bin/env bash
# Runs the tests of grafted models inside nnsight and TransformerLens, each in an environment of its own.
#
#   scripts/test-interop.sh
#
# Environments are kept in $VENVS (default .venvs/) and made again only when they are deleted; ropewalk is put in anew.
set -euo pipefail
cd "$(dirname "$0")/.."
torch=$(sed -n 's/^torch==//p' constraints.txt)
status=0
for package in nnsight transformer-lens; do
  folder="${VENVS:-.venvs}/$package"
  if [ ! -e "$folder/ready" ]; then
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet "torch==$torch+cpu" \
      || { "$folder/bin/pip" install --quiet uv && "$folder/bin/uv" pip install --python "$folder/bin/python" --torch-backend=cpu "torch==$torch"; }
    "$folder/bin/pip" install --quiet "$package" peft accelerate pytest hypothesis
    touch "$folder/ready"
  fi
  "$folder/bin/pip" install --quiet --editable '.[hf]'
  "$folder/bin/python" -c "from importlib.metadata import version as v; print('$package', v('$package'), 'transformers', v('transformers'))"
  "$folder/bin/python" -m pytest tests/hf/test_interop.py || status=1
done
exit $status
