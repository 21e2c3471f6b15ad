#!/usr/bin/env bash
# Looks for what has to come from the system: Go, a C compiler (for the model server), Python with venv, nft and newuidmap (for the network and the users of pods), PostgreSQL (for tests).
set -euo pipefail
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

go_wanted="$(sed -n 's/^go //p' "$(root_of)/go.mod")"

[ "$(uname -s)" = Linux ] ||
  fail "the local cluster runs on Linux; on $(uname -s) use WSL2, a Linux virtual machine or the container image."

command -v go >/dev/null ||
  fail "Go $go_wanted or newer was not found on PATH; install it from https://go.dev/dl and run the command again."
go_found="$(cd / && GOTOOLCHAIN=local go env GOVERSION | sed 's/^go//; s/[- ].*//')"
[ "$(printf '%s\n' "$go_wanted" "$go_found" | sort -V | head -n 1)" = "$go_wanted" ] ||
  fail "Go $go_found is too old, $go_wanted or newer is needed; install it from https://go.dev/dl and run the command again."

missing=()
command -v gcc >/dev/null || missing+=(gcc libc6-dev)
command -v python3 >/dev/null || [ -n "${KIWERK_PYTHON:-}" ] || missing+=(python3 python3-venv)
[ ${#missing[@]} = 0 ] || need_debian "${missing[@]}"

# Without nft pods share this machine's network, without newuidmap the pods of an ordinary user have that user only:
# a missing one is no reason to stop.
optional=()
command -v nft >/dev/null || [ -x /usr/sbin/nft ] || optional+=(nftables)
command -v newuidmap >/dev/null || optional+=(uidmap)
command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || optional+=(postgresql)
if [ ${#optional[@]} != 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    need_debian "${optional[@]}"
  else
    say "pods get a network of their own with nftables, and further users with uidmap; the tests of the store on PostgreSQL need postgresql; to have them:  sudo apt-get install ${optional[*]}"
  fi
fi

# Go modules first: without them a build ends in a page of messages.
stamp="$(root_of)/.cache/modules-$(sha256sum "$(root_of)/go.sum" | cut -c1-16)"
if [ ! -f "$stamp" ]; then
  mkdir -p "$(root_of)/.cache"
  rm -f "$(root_of)"/.cache/modules-*
  log="$(root_of)/.cache/setup-modules.log"
  if ! (cd "$(root_of)" && go mod download) >"$log" 2>&1; then
    grep -qE 'dial tcp|no such host|i/o timeout|connection refused|proxyconnect' "$log" &&
      fail "the Go modules could not be downloaded: the module proxy cannot be reached (offline?). Connect once and run the command again; details: $log"
    fail "the Go modules could not be downloaded; the last line was: $(tail -n 1 "$log"). Details: $log"
  fi
  touch "$stamp"
fi
