# Sourced by the scripts beside it: makes sure that the programs are there which they need. What is missing is said first,
# then installed with apt; where there is no apt, it is only said.

RUST_MIN=1.95

say() { printf '%s\n' "$*" >&2; }

# need_packages PACKAGE=WHAT… where WHAT is a program of the system's own folders, or a file.
need_packages() {
  local missing=() pair package what
  for pair in "$@"; do
    package=${pair%%=*} what=${pair#*=}
    case $what in
      /*) [ -e "$what" ] || missing+=("$package") ;;
      *) PATH=/usr/local/bin:/usr/bin:/bin command -v "$what" >/dev/null || missing+=("$package") ;;
    esac
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null; then
    say "Missing, and there is no apt-get here to install it with: ${missing[*]}"
    say "Install these packages with your system's own tool, then run this again."
    exit 2
  fi
  local root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { say "Missing: ${missing[*]}. Become root or install sudo, then run this again."; exit 2; }
    root=(sudo)
  fi
  say "Installing with apt: ${missing[*]}"
  "${root[@]}" apt-get update -q
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# need_rust: cargo, new enough. Installing a compiler is left to whoever owns this machine.
need_rust() {
  local found=none
  command -v cargo >/dev/null || [ ! -f "$HOME/.cargo/env" ] || . "$HOME/.cargo/env"
  command -v cargo >/dev/null && found=$(cargo --version | cut -d' ' -f2)
  if [ "$found" = none ] || [ "$(printf '%s\n' "$RUST_MIN" "$found" | sort -V | head -n 1)" != "$RUST_MIN" ]; then
    say "muster needs Rust $RUST_MIN or later with clippy and rustfmt; found: $found."
    say "Get it from https://rustup.rs, then: rustup toolchain install $RUST_MIN --component clippy,rustfmt && rustup default $RUST_MIN"
    exit 2
  fi
}
