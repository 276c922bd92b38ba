# Sourced by the scripts that test with other releases of a package.

# environment FOLDER PACKAGE...: a virtual environment with PyTorch for the CPU and these packages, unless FOLDER holds it.
environment() {
  local folder=$1 torch
  shift
  [ ! -e "$folder/ready" ] || return 0
  torch=$(sed -n 's/^torch==//p' constraints.txt)
  python3 -m venv "$folder"
  "$folder/bin/pip" install --quiet "torch==$torch+cpu" \
    || { "$folder/bin/pip" install --quiet uv && "$folder/bin/uv" pip install --python "$folder/bin/python" --torch-backend=cpu "torch==$torch"; }
  "$folder/bin/pip" install --quiet "$@" peft accelerate pytest hypothesis
  touch "$folder/ready"
}
