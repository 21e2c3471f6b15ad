#!/usr/bin/env bash
# Makes .venv with exactly the packages of requirements.txt (pinned, every file checked against its hash).
# Running it again costs nothing: a stamp remembers which lock file and which Python it was made from.
set -euo pipefail
umask 022
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

root="$(root_of)"
venv="$root/.venv"
stamp="$venv/.kiwerk-lock"
log="$root/.cache/setup-python.log"

# usable PYTHON: 3.11 to 3.13, the versions that the lock file was tried with.
usable() { "$1" -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13)))' 2>/dev/null; }

# find_python prints a Python. The system's comes first: one in a private home cannot be run by the
# ordinary user that the tests of the cluster make.
find_python() {
  local candidate
  for candidate in ${KIWERK_PYTHON:-} /usr/bin/python3 /usr/local/bin/python3 python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && usable "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

install() {
  local python="$1"
  rm -f "$stamp"
  "$python" -m venv --clear "$venv" &&
    "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --no-compile \
      --require-hashes --only-binary :all: --requirement "$root/requirements.txt" &&
    # Compiled here, on all processors: pods may not be able to write into the folder.
    "$venv/bin/python" -m compileall -q -j 0 "$venv/lib" &&
    "$venv/bin/python" -c 'import importlib.metadata as m; [m.version(p) for p in ("mlflow", "scikit-learn", "skl2onnx", "onnxruntime")]'
}

python="$(find_python)" || fail "Python 3.11, 3.12 or 3.13 was not found. On Debian 12 or newer: apt-get install python3 python3-venv; elsewhere set KIWERK_PYTHON to one."
wanted="$(sha256sum "$root/requirements.txt" | cut -d' ' -f1) $("$python" -c 'import platform; print(platform.python_version())')"

mkdir -p "$root/.cache"
exec 9>"$root/.cache/setup-python.lock"
flock 9 # two makes at once: the second waits and then finds the stamp

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && "$venv/bin/python" -c '' 2>/dev/null; then
  exit 0
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  need_debian python3-venv
fi
say "Python environment: installing the packages of requirements.txt into .venv (about 1 GB, once)"
if ! install "$python" >"$log" 2>&1; then
  if grep -qE 'NewConnectionError|NameResolutionError|Temporary failure in name resolution|Network is unreachable|ConnectTimeout|Read timed out|ProxyError|Max retries exceeded' "$log"; then
    fail "the Python packages could not be downloaded: the package index cannot be reached (offline?). Connect once and run the command again; details: $log"
  fi
  if grep -q 'DO NOT MATCH THE HASHES' "$log"; then
    fail "a downloaded Python package does not match its hash in requirements.txt and was not installed; details: $log"
  fi
  if grep -q 'No space left on device' "$log"; then
    fail "the Python packages need about 1 GB in $venv and the disk is full."
  fi
  fail "the Python packages could not be installed; the last line was: $(grep -v '^\s*$' "$log" | tail -n 1). Details: $log"
fi
printf '%s\n' "$wanted" >"$stamp"
say "Python environment: ready"
