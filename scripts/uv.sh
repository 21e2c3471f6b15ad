# The resolver and installer of Python packages that the lock files are made with.
# shellcheck shell=bash

uv_version=0.13.9

# uv_of FOLDER prints the path of uv, after installing it into a virtual environment there if it is not.
uv_of() {
  local venv="$1"
  if [ "$("$venv/bin/uv" --version 2>/dev/null | cut -d' ' -f2)" != "$uv_version" ]; then
    { python3 -m venv --clear "$venv" &&
      "$venv/bin/pip" install --quiet --disable-pip-version-check "uv==$uv_version"; } >&2 ||
      fail "uv $uv_version could not be installed; is the package index reachable?"
  fi
  printf '%s\n' "$venv/bin/uv"
}
