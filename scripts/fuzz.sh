#!/usr/bin/env bash
# Fuzzes the parsers that read what others wrote: `scripts/fuzz.sh TARGET [SECONDS]`, TARGET one of policy, head, hello, trust.
# Coverage-guided (libFuzzer), on a stable compiler. New inputs go to fuzz/target/new; what is worth keeping comes into the
# corpus with `scripts/fuzz.sh TARGET merge`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/needs.sh

need_packages g++=g++
need_rust

target=${1:?which target: policy, head, hello or trust}
amount=${2:-60}
triple=$(rustc -vV | sed -n 's/^host: //p')
# What cargo-fuzz passes too; inline counters and comparisons guide the search.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
build=${CARGO_TARGET_DIR:-fuzz/target}
cargo build --quiet --release --manifest-path fuzz/Cargo.toml --target "$triple" --target-dir "$build/fuzz" --bin "$target"
program=$build/fuzz/$triple/release/$target
new=$build/fuzz/new/$target
mkdir -p "$new" fuzz/artifacts
case $amount in
  merge) exec "$program" -merge=1 "fuzz/corpus/$target" "$new" ;;
  *) exec "$program" -max_total_time="$amount" -timeout=5 -rss_limit_mb=2048 -max_len=20000 -print_final_stats=1 \
      -artifact_prefix=fuzz/artifacts/ "$new" "fuzz/corpus/$target" ;;
esac
