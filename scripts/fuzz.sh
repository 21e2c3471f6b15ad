#!/usr/bin/env bash
# Runs every fuzz test of the project, one after the other, for the time given.
set -euo pipefail
time="${1:?how long, e.g. 20s}"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

while read -r file; do
  while read -r test; do
    printf '== %s %s\n' "$(dirname "$file")" "$test"
    go test -run '^$' -fuzz "^$test\$" -fuzztime "$time" "./$(dirname "$file")"
  done < <(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' "$file")
done < <(git ls-files '*_test.go' | xargs grep -l '^func Fuzz')
