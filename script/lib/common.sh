# Shared by the scripts; sourced, never run.
set -euo pipefail

knap_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
# Downloads, engines and the tests' Python packages, shared by all clones of one user (cmake/Engines.cmake: same rule).
knap_cache=${KNAP_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/knap}

say() { printf '==> %s\n' "$*" >&2; }

# die MESSAGE: one line that says what failed, where, and what to do.
die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# usage: prints the comment at the top of the calling script.
usage() {
  sed -n '2,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$0"
}

# usage_error MESSAGE: wrong use, exit code 2.
usage_error() {
  printf '%s: %s (see --help)\n' "$(basename "$0")" "$*" >&2
  exit 2
}

# retry COMMAND...: at most three tries, with a pause that grows.
retry() {
  local try
  for try in 1 2 3; do
    if "$@"; then return 0; fi
    if [ "$try" -lt 3 ]; then
      say "try $try of 3 failed, again in $((try * 3)) s"
      sleep $((try * 3))
    fi
  done
  return 1
}

# list FILE: the entries of a list in packages/, without comments.
list() { sed 's/#.*//;s/[[:space:]]*$//;/^$/d' "$knap_root/packages/$1"; }

# pull_models: fetches the default models; without them Knap still searches and quotes.
pull_models() {
  "$knap_root/build/release/knap" models pull --default \
    || say "models are missing: keyword search and quoted answers work; try again with: build/release/knap models pull --default"
}
