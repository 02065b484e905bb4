#!/usr/bin/env bash
# Every check that a change has to pass, in the order in which they fail cheapest. Stops at the first that fails.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/needs.sh

DENY_VERSION=0.20.2
SEEDS=1000

step() {
  local title=$1 start=$SECONDS
  shift
  say "== $title"
  "$@" || { say "FAILED: $title ($*)"; exit 1; }
  say "== $title: $((SECONDS - start)) s"
}

install_deny() {
  [ "$(cargo deny --version 2>/dev/null)" = "cargo-deny $DENY_VERSION" ] && return
  say "Installing with cargo: cargo-deny $DENY_VERSION"
  cargo install --quiet --locked "cargo-deny@$DENY_VERSION"
}

# `set -e` does not reach into a function whose outcome is asked for, so each command in here says what its failure means.
# The tests, with what their runner says at the end kept for the last line of this script.
tests() {
  if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace --locked --no-fail-fast 2>&1 | tee "$log" || return 1
    cargo test --workspace --locked --doc --quiet || return 1
    summary=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | grep -E '^ *Summary ' | tail -n 1)
  else
    cargo test --workspace --locked --no-fail-fast 2>&1 | tee "$log" || return 1
    summary=$(awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
      END { printf "test result: ok. %d passed; %d failed; %d ignored", passed, failed, ignored }' "$log")
  fi
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
summary=

need_packages git=git python3=python3 gcc=gcc libc6-dev=/usr/include/stdio.h ca-certificates=/etc/ssl/certs/ca-certificates.crt
need_rust

step "format" cargo fmt --all --check
step "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
step "lints of the modelled agents" cargo clippy --package bench-adapter --features modelled --all-targets --locked -- -D warnings
step "build" cargo build --workspace --locked
step "rules of the house" cargo xtask tidy
step "price table" cargo xtask prices --check
step "published schemas" cargo xtask schema --check
step "cargo-deny" install_deny
step "dependencies" cargo deny --locked check bans licenses sources
step "programs for the tests" scripts/agents.sh
step "LiteLLM for the tests" scripts/litellm.sh
step "tests" tests
step "modelled agents" cargo test --package bench-adapter --features modelled --locked
step "simulator, $SEEDS seeds" cargo run --locked --release --package sim -- --seeds "$SEEDS"
say "All checks passed in $SECONDS s."
printf '%s\n' "$summary"
