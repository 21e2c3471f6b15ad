#!/usr/bin/env bash
# Puts the ONNX Runtime library, taken from its wheel on the Python package index, into bin/lib.
# The library itself is checked, not the wheel: wheels for different Pythons carry the same file.
set -euo pipefail
umask 022
# shellcheck source=scripts/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

version=1.24.4
library="libonnxruntime.so.$version"
root="$(root_of)"
cache="${XDG_CACHE_HOME:-${HOME:-/var/cache}/.cache}/kiwerk/onnxruntime/$version"
target="$root/bin/lib/$library"

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) sha256=2d518e11c7767f9fdc4413bdbeb45acf30db504ff76a82fc19d9238a3f9f6c24 ;;
  Linux-aarch64) sha256=f373ae5fd4d878ed17ebea26e5480bd3d0a15e3bd6bc94b878e6c1b73998d22a ;;
  *) fail "the model server needs ONNX Runtime on Linux, x86_64 or aarch64; this is $(uname -s) on $(uname -m)." ;;
esac

genuine() { [ -f "$1" ] && [ "$(sha256sum "$1" | cut -d' ' -f1)" = "$sha256" ]; }

# place FROM TO: copies, so that nobody ever sees half a library.
place() {
  mkdir -p "$(dirname "$2")"
  cp "$1" "$2.part.$$"
  chmod 0755 "$2.part.$$"
  mv -f "$2.part.$$" "$2"
}

# from_venv prints the library inside the Python environment, if there is one.
from_venv() { find "$root/.venv" -path "*/onnxruntime/capi/$library" -print -quit 2>/dev/null | grep .; }

# from_index downloads the wheel into FOLDER and prints the library in it.
from_index() {
  python3 -m pip download --quiet --disable-pip-version-check --no-input --no-deps --only-binary :all: \
    --python-version 3.11 --implementation cp --platform "manylinux_2_28_$(uname -m)" \
    --dest "$1" "onnxruntime==$version" >"$1/log" 2>&1 || return 1
  python3 -m zipfile -e "$1"/onnxruntime-*.whl "$1/wheel" || return 1
  echo "$1/wheel/onnxruntime/capi/$library"
}

if genuine "$target"; then
  exit 0
fi
if ! genuine "$cache/$library"; then
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' EXIT
  found="$(from_venv || from_index "$work")" ||
    fail "ONNX Runtime $version could not be downloaded: the package index cannot be reached (offline?). Connect once and run the command again."
  genuine "$found" ||
    fail "the ONNX Runtime library from the package index does not have the expected checksum $sha256 and was not installed."
  place "$found" "$cache/$library" || fail "ONNX Runtime could not be kept in $cache; set XDG_CACHE_HOME to a folder that can be written."
fi
place "$cache/$library" "$target" || fail "ONNX Runtime could not be written to $target."
say "ONNX Runtime $version: ready in bin/lib"
