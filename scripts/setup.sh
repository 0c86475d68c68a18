#!/usr/bin/env bash
# Makes sure that everything is there to run the portal (setup.sh run) or its
# tests (setup.sh test): programs from Debian's packages, third-party assets of
# the browser from npm. Quick when nothing is missing, and safe to repeat.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

purpose=${1:-run}
case $purpose in
  run | test) ;;
  *) echo "usage: $0 run|test" >&2; exit 2 ;;
esac

# --- what is missing ---------------------------------------------------------

packages=()
# need PACKAGES PATH...: the packages are missing when none of the programs is
# found, neither in PATH nor at one of the paths.
need() {
  local package=$1 program
  shift
  for program in "$@"; do
    if [[ $program == /* ]]; then [[ -x $program ]] && return; else command -v "$program" >/dev/null && return; fi
  done
  # shellcheck disable=SC2206 # several packages may stand in one word
  packages+=($package)
}

# stale FOLDER STAMP FILE...: the stamp in the folder does not match the files.
stale() {
  local stamp=$1 sum
  shift
  [[ -r $stamp ]] || return 0
  sum=$(cat "$@" | sha256sum)
  [[ $(<"$stamp") != "${sum%% *}" ]]
}

assets=false browser=false
if stale web/dist/stamp web/package-lock.json web/build.mjs; then assets=true; fi
if [[ $purpose == test ]] && stale e2e/node_modules/.stamp e2e/package-lock.json; then browser=true; fi

need postgresql postgres /usr/lib/postgresql/*/bin/postgres
need redis-server redis-server /usr/bin/redis-server
if $assets || $browser || [[ $purpose == test ]]; then
  need nodejs node
  if $assets || $browser; then need npm npm; fi
fi
if [[ $purpose == test ]]; then
  # Without windows Chromium takes a third less of the processor.
  need chromium-headless-shell chromium-headless-shell chromium chromium-browser google-chrome
  need poppler-utils pdftotext
  need qpdf qpdf
  need zbar-tools zbarimg
  need softhsm2 softhsm2-util
  # The race detector needs a C compiler.
  need "gcc libc6-dev" gcc clang
fi

# --- Debian's packages -------------------------------------------------------

install_packages() {
  local as_root=() what="apt-get install --no-install-recommends ${packages[*]}"
  if ! command -v apt-get >/dev/null; then
    echo "Missing: ${packages[*]} (names of Debian's packages). Please install them with your system's package manager, then start again." >&2
    exit 1
  fi
  if [[ $(id -u) -ne 0 ]]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root=(sudo -n)
    else
      echo "Missing: ${packages[*]}. Please install them as root with \`$what\`, then start again." >&2
      exit 1
    fi
  fi
  echo "Installing from Debian's packages: ${packages[*]}" >&2
  as_root+=(env DEBIAN_FRONTEND=noninteractive)
  if [[ " ${packages[*]} " == *" postgresql "* && ! -e /etc/postgresql-common/createcluster.conf ]]; then
    # The portal runs PostgreSQL itself: the package shall not start one too.
    "${as_root[@]}" sh -c 'mkdir -p /etc/postgresql-common && echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf'
  fi
  local apt=("${as_root[@]}" apt-get -q -y -o DPkg::Lock::Timeout=300) log
  log=$(mktemp)
  # Without lists, or with old ones, the first attempt fails.
  if ! "${apt[@]}" install --no-install-recommends "${packages[@]}" >"$log" 2>&1; then
    if ! { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${packages[@]}"; } >"$log" 2>&1; then
      tail -n 20 "$log" >&2
      rm -f "$log"
      echo "The packages could not be installed. Please install them with \`$what\`, then start again." >&2
      exit 1
    fi
  fi
  rm -f "$log"
}
if [[ ${#packages[@]} -gt 0 ]]; then install_packages; fi

# Who has a whole Chromium can test with it; the light one is taken when it is to be had.
light_browser() {
  command -v chromium-headless-shell >/dev/null && return
  local as_root=()
  if [[ $(id -u) -ne 0 ]]; then
    command -v sudo >/dev/null && sudo -n true 2>/dev/null || return 0
    as_root=(sudo -n)
  fi
  command -v apt-get >/dev/null && apt-cache show chromium-headless-shell >/dev/null 2>&1 || return 0
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends chromium-headless-shell >/dev/null 2>&1 || true
}
if [[ $purpose == test ]]; then light_browser; fi

# --- npm's packages ----------------------------------------------------------

# fetch FOLDER: exactly what the lock file says, and no scripts of the packages.
fetch() {
  local log
  log=$(mktemp)
  if ! (cd "$1" && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier) >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    echo "npm could not fetch the packages of $1/package-lock.json. Is https://registry.npmjs.org reachable? Then start again." >&2
    exit 1
  fi
  rm -f "$log"
}

if $assets || $browser; then
  # Two starts at the same time: the second one finds the work done.
  exec 9<"${BASH_SOURCE[0]}"
  flock 9
  if stale web/dist/stamp web/package-lock.json web/build.mjs; then
    echo "Fetching the browser assets with npm" >&2
    fetch web
    node web/build.mjs
  fi
  if $browser && stale e2e/node_modules/.stamp e2e/package-lock.json; then
    echo "Fetching the browser tests' packages with npm" >&2
    fetch e2e
    sum=$(sha256sum <e2e/package-lock.json)
    echo "${sum%% *}" >e2e/node_modules/.stamp
  fi
fi
