#!/usr/bin/env bash
# Runs the tests of Hugging Face hosts with other releases of transformers, each in an environment of its own.
#
#   scripts/test-transformers-versions.sh              the oldest supported release and the newest
#   scripts/test-transformers-versions.sh 5.17.0 5.20  these
#
# Environments are kept in $VENVS (default .venvs/) and made again only when they are deleted; ropewalk is put in anew.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
oldest=$(sed -n 's/^hf = .*"transformers>=\([0-9.]*\)".*/\1/p' pyproject.toml)
versions=("$@")
[ ${#versions[@]} -gt 0 ] || versions=("$oldest" newest)
status=0
for version in "${versions[@]}"; do
  folder="${VENVS:-.venvs}/transformers-$version"
  case "$version" in
    newest) wanted="transformers" ;;
    *.*.*) wanted="transformers==$version" ;;
    *) wanted="transformers==$version.*" ;;
  esac
  environment "$folder" "$wanted"
  "$folder/bin/pip" install --quiet --editable '.[train]'
  "$folder/bin/python" -c 'import transformers, peft, torch; print("transformers", transformers.__version__, "peft", peft.__version__, "torch", torch.__version__)'
  "$folder/bin/python" -m pytest tests/hf tests/tuning || status=1
done
exit $status
