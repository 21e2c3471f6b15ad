# Shared by the set-up scripts: one clear sentence for a person instead of a stack trace.
# shellcheck shell=bash

say() { printf '%s\n' "$*"; }

# fail prints what is wrong and what to do about it, and ends the script.
fail() {
  printf 'kiwerk setup: %s\n' "$*" >&2
  exit 1
}

# root_of prints the folder of the project.
root_of() { cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P; }

# need_debian PACKAGE…: installs Debian packages as root, otherwise prints the exact command and ends.
need_debian() {
  local command="apt-get install --yes --no-install-recommends $*"
  if ! command -v apt-get >/dev/null; then
    fail "missing: $*. Install them with the package manager of this system and run the command again."
  fi
  if [ "$(id -u)" != 0 ]; then
    fail "missing: $*. Run this once, then the command again:  sudo $command"
  fi
  say "installing Debian packages: $*"
  mkdir -p "$(root_of)/.cache"
  local log
  log="$(root_of)/.cache/setup-debian.log"
  if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive $command; } >"$log" 2>&1; then
    fail "Debian packages could not be installed ($*); is this machine offline? What apt-get said is in $log"
  fi
}
