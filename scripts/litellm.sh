#!/usr/bin/env bash
# Installs the LiteLLM proxy for the tests and the benchmark that run beside it: PyPI's `litellm[proxy]` at one version,
# in a folder of its own, nothing system-wide (some 750 MB, a few minutes). Prints the path of its program.
#
#   scripts/litellm.sh             install it if it is not there
#   MUSTER_LITELLM=DIR             where (default: target/litellm)
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/needs.sh

VERSION=1.106.2

dir=${MUSTER_LITELLM:-target/litellm}
need_packages python3=python3 python3-venv=/usr/share/python-wheels
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
if [ "$(cat "$dir/installed" 2>/dev/null)" != "$VERSION" ]; then
  say "Installing from PyPI into $dir: litellm[proxy] $VERSION" >&2
  rm -rf "$dir/venv" "$dir/installed"
  python3 -m venv "$dir/venv" >&2
  "$dir/venv/bin/pip" install --quiet --disable-pip-version-check "litellm[proxy]==$VERSION" >&2
  echo "$VERSION" > "$dir/installed"
fi
echo "$dir/venv/bin/litellm"
