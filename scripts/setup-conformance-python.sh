#!/usr/bin/env bash
# setup-conformance-python.sh ENVIRONMENT…: makes .cache/conformance/ENVIRONMENT with exactly the packages of
# conformance/mlflow/environments/ENVIRONMENT.txt. The environments share their files: uv links them from one cache.
# Running it again costs nothing: a stamp remembers the lock file.
set -euo pipefail
umask 022
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=scripts/uv.sh
. "$(dirname "${BASH_SOURCE[0]}")/uv.sh"

root="$(root_of)"
home="$root/.cache/conformance"
python="$root/.venv/bin/python"
[ -x "$python" ] || fail "the Python environment is missing; run: make setup-python"

mkdir -p "$home"
exec 9>"$home/.lock"
flock 9
uv="$(uv_of "$home/uv")"
for name in "$@"; do
  lock="$root/conformance/mlflow/environments/$name.txt"
  [ -f "$lock" ] || fail "there is no environment $name; there are: $(cd "$(dirname "$lock")" && echo ./*.txt)"
  wanted="$(sha256sum "$lock" | cut -d' ' -f1) $("$python" -c 'import platform; print(platform.python_version())')"
  [ "$(cat "$home/$name/.kiwerk-lock" 2>/dev/null)" = "$wanted" ] && continue
  say "Python environment $name: installing into .cache/conformance/$name"
  export UV_CACHE_DIR="$home/cache"
  { "$uv" venv --quiet --clear --python "$python" "$home/$name" &&
    "$uv" pip install --quiet --python "$home/$name/bin/python" --require-hashes --only-binary :all: --requirement "$lock"; } \
    >"$home/$name.log" 2>&1 || fail "the Python packages of $name could not be installed: $(tail -n 3 "$home/$name.log"). Details: $home/$name.log"
  printf '%s\n' "$wanted" >"$home/$name/.kiwerk-lock"
done
