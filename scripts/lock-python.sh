#!/usr/bin/env bash
# Makes requirements.txt from requirements.in: exact versions for Python 3.11 to 3.13 on every system, with the hash
# of every file the index has for them. Needs the network; the result is committed.
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

uv_version=0.13.9
root="$(root_of)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "uv==$uv_version" ||
  fail "uv $uv_version could not be installed; is the package index reachable?"
{
  echo "# Made by scripts/lock-python.sh from requirements.in; do not edit."
  env -u PIP_FIND_LINKS "$work/venv/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-annotate --no-header "$root/requirements.in"
} >"$work/requirements.txt"
mv "$work/requirements.txt" "$root/requirements.txt"
say "requirements.txt: $(grep -c '==' "$root/requirements.txt") packages"
