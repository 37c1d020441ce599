#!/bin/bash
# Installs what is missing on a Debian 12 machine: Debian packages and the virtual environment .venv.
#
# Usage: scripts/setup.sh [lab | dev]     lab: what `make demo` needs; dev (default): also tests and gates.
# PYTHON names the interpreter to build .venv from; without it the system's own is taken.
set -euo pipefail
cd "$(dirname "$0")/.."

extras=${1:-dev}
stamp=.venv/.setup-$extras

say() { printf '%s setup: %s\n' "$(date +%H:%M:%S)" "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "installing Debian packages needs root: run as root or install sudo."
  fi
}

missing_packages() {
  local name
  sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' scripts/packages.txt | while read -r name; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || printf '%s\n' "$name"
  done
}

# Packages must not start their daemons: the lab runs its own, in its own network namespace.
forbid_services() {
  local policy=/usr/sbin/policy-rc.d
  [ -e $policy ] && return
  trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
  printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
  as_root chmod 755 $policy
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages)
  [ "${#missing[@]}" -eq 0 ] && return
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  forbid_services
  as_root apt-get -o DPkg::Lock::Timeout=600 -qq update
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 -qq -y \
    --no-install-recommends install "${missing[@]}" >/dev/null
}

# The newest of the usual names that is Python 3.11 or later.
find_python() {
  local name
  for name in ${PYTHON:-/usr/bin/python3 python3 python3.13 python3.12 python3.11}; do
    if "$name" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s\n' "$name"
      return
    fi
  done
  die "no Python 3.11 or later with ensurepip found: install one and set PYTHON."
}

# Of what an installation follows from: the project's metadata and its build, not the settings of other tools.
digest() { sed '/^\[tool.pytest/,$d' pyproject.toml | cat - hatch_build.py | sha256sum | cut -d' ' -f1; }

install_python() {
  local wanted
  wanted=$(digest)
  [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
  if ! .venv/bin/python -c '' 2>/dev/null; then
    local python
    python=$(find_python)
    say "making .venv from $("$python" -V)"
    "$python" -m venv --clear .venv
  fi
  say "installing Python packages ($extras)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$extras]"
  printf '%s\n' "$wanted" >"$stamp"
}

[ -r /etc/debian_version ] || die "this is not Debian; install the equivalents of scripts/packages.txt by hand."
install_packages
install_python
