#!/bin/sh
# Makes a working copy of the shared benchmark in which `ours` and `modelled` are among the peers.
# usage: bench/setup.sh SHARED_BENCH COPY      (COPY must not exist; nothing outside it is written but cargo's target folder)
set -eu
[ $# = 2 ] || { sed -n '3p' "$0" >&2; exit 2; }
shared=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir "$2"
copy=$(cd "$2" && pwd)
cp -r "$shared/." "$copy"
chmod -R u+w "$copy"
mkdir -p "$copy/logs" "$copy/state"
for part in mockllm bare; do
  CARGO_TARGET_DIR="$copy/target" cargo build --release --quiet --manifest-path "$copy/$part/Cargo.toml"
done
target=$(cd "$here" && cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
(cd "$here" && cargo build --release --locked --quiet -p bench-adapter --features modelled)
git init -q -b main "$copy/repo"
echo 'Nothing to see.' > "$copy/repo/README.md"
git -C "$copy/repo" add -A
git -C "$copy/repo" -c user.name=bench -c user.email=bench@localhost commit -q -m 'A file'
python3 - "$copy" "$target/release/bench-adapter" <<'PY'
import json, sys
copy, adapter = sys.argv[1:]
peers = json.load(open(f"{copy}/peers.json"))
ours = {"cmd": [adapter, "--repo", f"{copy}/repo"], "w1": "w1", "w3": "w3", "w4": "w4", "w5": "w1",
        "note": "one sandboxed process per agent, gateway, durable journal"}
modelled = {"cmd": [*ours["cmd"], "--modelled"], "w1": "w1", "w3": "w3", "w4": "w4",
            "note": "the engine alone: agents modelled in its process; gateway, durable journal"}
json.dump({"ours": ours, "modelled": modelled, **peers}, open(f"{copy}/peers.json", "w"), indent=1)
PY
echo "cd $copy && python3 bench.py --peers ours,bare --workloads w5,w1,w3,w4"
