#!/usr/bin/env bash
# Makes requirements.txt from requirements.in, and the lock files of conformance/mlflow/environments from the files
# beside them: exact versions for Python 3.11 to 3.13 on every system, with the hash of every file the index has for
# them. Needs the network; the results are committed. With arguments: only these .in files.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/uv.sh
. "$(dirname "${BASH_SOURCE[0]}")/uv.sh"

cd "$(root_of)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
uv="$(uv_of "$work/venv")"
[ $# -gt 0 ] || set -- requirements.in conformance/mlflow/environments/*.in
for in in "$@"; do
  out="${in%.in}.txt"
  {
    echo "# Made by scripts/lock-python.sh from $in; do not edit."
    env -u PIP_FIND_LINKS "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
      --no-annotate --no-header "$in"
  } >"$work/lock.txt"
  mv "$work/lock.txt" "$out"
  say "$out: $(grep -c '==' "$out") packages"
done
