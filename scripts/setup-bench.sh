#!/usr/bin/env bash
# Installs into .cache/bench what only the peers in bench/tracking need: FastTrackML's program, and the driver with
# which mlflow reaches PostgreSQL. Their own requirements are not installed.
set -euo pipefail
cd "$(dirname "$0")/.."
target=.cache/bench
wanted="fasttrackml==0.6.0 psycopg2-binary==2.9.13"
[ "$(cat "$target/.installed" 2>/dev/null)" = "$wanted" ] && exit 0
rm -rf "$target"
# shellcheck disable=SC2086 # two words
.venv/bin/python -m pip install --quiet --no-deps --target "$target" $wanted
echo "$wanted" > "$target/.installed"
