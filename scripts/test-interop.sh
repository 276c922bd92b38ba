#!/usr/bin/env bash
# Runs the tests of grafted models inside nnsight and TransformerLens, each in an environment of its own.
#
#   scripts/test-interop.sh
#
# Environments are kept in $VENVS (default .venvs/) and made again only when they are deleted; ropewalk is put in anew.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
status=0
for package in nnsight transformer-lens; do
  folder="${VENVS:-.venvs}/$package"
  environment "$folder" "$package"
  "$folder/bin/pip" install --quiet --editable '.[hf]'
  "$folder/bin/python" -c "from importlib.metadata import version as v; print('$package', v('$package'), 'transformers', v('transformers'))"
  "$folder/bin/python" -m pytest tests/hf/test_interop.py || status=1
done
exit $status
