#!/usr/bin/env bash
# Builds muster and shows it at work: three agents mend a small project in real sandboxes, without keys and without a
# network; only the model's answers come from a file. Arguments are handed on to `muster demo`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/needs.sh

need_packages git=git python3=python3 gcc=gcc libc6-dev=/usr/include/stdio.h ca-certificates=/etc/ssl/certs/ca-certificates.crt
need_rust
say "Building muster; the first time takes some minutes."
cargo build --locked --release --package muster
exec "${CARGO_TARGET_DIR:-target}/release/muster" demo "$@"
