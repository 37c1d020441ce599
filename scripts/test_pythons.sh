#!/bin/bash
# Runs the library's unit tests on every Python 3.11 to 3.13 that the machine has, each with the newest ansible-core that
# it can run, but for that of .venv, on which `make test` runs them. The environments are kept in .venvs, and made anew when
# the project's requirements change.
set -euo pipefail
cd "$(dirname "$0")/.."

# The interpreter of that version, from PATH or pyenv; nothing if there is none that works.
find_python() {
  local python
  for python in "$(command -v "python$1")" "/usr/bin/python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/"python$1"; do
    if "$python" -c 'import ensurepip' 2>/dev/null; then
      printf '%s\n' "$python"
      return
    fi
  done
}

prepare() {
  local python=$1 venv=$2 wanted
  wanted=$(sed '/^\[tool.pytest/,$d' pyproject.toml | sha256sum)
  [ "$(cat "$venv/.setup" 2>/dev/null)" = "$wanted" ] && return
  "$python" -m venv --clear "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[test]'
  printf '%s\n' "$wanted" >"$venv/.setup"
}

failed=()
tested=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
for version in 3.11 3.12 3.13; do
  [ "$version" = "$tested" ] && continue
  python=$(find_python "$version")
  if [ -z "$python" ]; then
    printf '\nPython %s is not on this machine.\n' "$version"
    continue
  fi
  venv=.venvs/$version
  prepare "$python" "$venv"
  printf '\nPython %s, %s\n' "$version" "$("$venv/bin/python" -m pip list 2>/dev/null | grep '^ansible-core ' | tr -s ' ')"
  # What fuzzing finds does not depend on the Python: it is enough that `make test` does it.
  "$venv/bin/python" -m pytest --quiet -n 2 --ignore=tests/unit/fuzz tests/unit || failed+=("$version")
done
if [ ${#failed[@]} -gt 0 ]; then
  printf 'Unit tests failed on Python %s.\n' "${failed[*]}"
  exit 1
fi
