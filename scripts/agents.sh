#!/usr/bin/env bash
# Installs the programs of others that the tests run in sandboxes: four coding agents and two ACP adapters of theirs (with the
# node that these want) from npm, pytest from PyPI, and a copy of this machine's Rust that an ordinary user may read. All of it
# goes to one folder below the build folder, in the versions written here; what is there already is left alone. Only their own install scripts are run.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/needs.sh

AGENTS="@openai/codex@0.169.0 @anthropic-ai/claude-code@2.1.329 opencode-ai@1.18.33 @google/gemini-cli@0.61.0"
ADAPTERS="@agentclientprotocol/codex-acp@2.6.0 @agentclientprotocol/claude-agent-acp@0.100.0 node@22.23.3"
PYTEST="pytest==9.0.2 iniconfig==2.3.0 packaging==25.0 pluggy==1.6.0 pygments==2.19.2"

need_packages nodejs=node npm=npm make=make git=git python3=python3 python3-pip=/usr/lib/python3/dist-packages/pip/__init__.py
need_rust

dir=${CARGO_TARGET_DIR:-target}/agents
sysroot=$(rustc --print sysroot)
wanted="$AGENTS $ADAPTERS $PYTEST $(rustc --version)"
[ "$(cat "$dir/installed" 2>/dev/null)" != "$wanted" ] || exit 0

say "Installing into $dir (about 2 GB): $AGENTS $ADAPTERS from npm, $PYTEST from PyPI"
rm -rf "$dir"
mkdir -p "$dir/rust/lib"
# One Codex for itself and for its adapter.
codex=${AGENTS%% *}
printf '{"private": true, "overrides": {"@openai/codex": "%s"}}\n' "${codex##*@}" >"$dir/package.json"
# The programs say which version of node they like best; their own executables need none.
# shellcheck disable=SC2086
npm install --silent --no-audit --no-fund --no-progress --no-update-notifier --prefix "$dir" $AGENTS $ADAPTERS
# shellcheck disable=SC2086
/usr/bin/python3 -m pip install --quiet --no-deps --root-user-action=ignore --disable-pip-version-check --no-cache-dir --target "$dir/pytest" $PYTEST
# Hard links where that is possible, else copies; without the documentation.
for part in bin lib; do
  cp -aLl "$sysroot/$part" "$dir/rust/" 2>/dev/null || cp -aL "$sysroot/$part" "$dir/rust/"
done
chmod -R go+rX "$dir/node_modules" "$dir/pytest"
find "$dir" -maxdepth 3 -type d -exec chmod go+rx {} +
printf '%s\n' "$wanted" >"$dir/installed"
