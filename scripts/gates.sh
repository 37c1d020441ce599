#!/bin/bash
# Runs the quality gates, all of them or those named, goes on after a failure, and ends with a summary.
#
# Usage: scripts/gates.sh [GATE...]
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

ALL=(ruff mypy yamllint shellcheck changelog docs-current ansible-lint docs-lint sanity galaxy-importer)
root=$PWD
PATH=$root/.venv/bin:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT


# The collection as users get it: built, and installed at a physical path away from the checkout and its ansible.cfg.
installed_collection() {
  local target=$work/ansible_collections/openqrm/datacenter
  if [ ! -d "$target" ]; then
    ansible-galaxy collection build --output-path "$work" . &&
      (cd "$work" && ansible-galaxy collection install --force --no-deps -p "$work" "$work"/*.tar.gz) || return 1
  fi >"$work/install.log" 2>&1 || { cat "$work/install.log" >&2; return 1; }
  printf '%s\n' "$target"
}

gate_ruff() { ruff check . && ruff format --check .; }
gate_mypy() { mypy; }
gate_yamllint() { yamllint --strict .; }
gate_changelog() { antsibull-changelog lint; }
gate_docs-current() { python scripts/generate_reference.py --check; }
gate_ansible-lint() { ansible-lint --offline --nocolor; }

# Shell files by suffix or first line; those without a first line are POSIX shell that another file sources. Templates are
# read with a word in place of each expression.
gate_shellcheck() {
  local file count=0 status=0
  while read -r file; do
    [ -f "$file" ] || continue
    case $file in
      *.sh | *.sh.j2) ;;
      *.*) continue ;;
      *) head -n1 "$file" | tr -d '\0' | grep -qE '^#!.*\b(sh|bash|dash)\b' || continue ;;
    esac
    count=$((count + 1))
    check_shell "$file" || status=1
  done < <(git ls-files --cached --others --exclude-standard)
  printf '%d shell files.\n' "$count"
  return $status
}

check_shell() {
  local file=$1 options=(--external-sources)
  head -n1 "$file" | grep -q '^#!' || options+=(--shell=sh)
  if [ "${file%.j2}" = "$file" ]; then
    shellcheck "${options[@]}" "$file"
  else
    sed -E -e 's/\{\{[^}]*\}\}/value/g' -e '/\{%.*%\}/d' -e '/\{#.*#\}/d' "$file" | shellcheck "${options[@]}" - ||
      { printf 'in %s\n' "$file"; return 1; }
  fi
}

gate_docs-lint() {
  local collection
  collection=$(installed_collection) || return 1
  (cd "$collection" && antsibull-docs lint-collection-docs --plugin-docs --skip-rstcheck .)
}

# The machine's real interpreters under their plain names: ansible-test takes pyenv's shims for interpreters.
real_pythons() {
  local python
  mkdir -p "$work/python"
  for python in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3.? "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3.??; do
    [ -x "$python" ] && ln -sf "$python" "$work/python/${python##*/}"
  done
  printf '%s:%s\n' "$work/python" "$(printf '%s' "$PATH" | tr ':' '\n' | grep -v '/shims$' | paste -sd:)"
}

gate_sanity() {
  local collection
  collection=$(installed_collection) || return 1
  (cd "$collection" && git init --quiet && git add --all && PATH=$(real_pythons) ansible-test sanity --color no --truncate 0)
}

gate_galaxy-importer() {
  installed_collection >/dev/null || return 1
  (cd "$work" && GALAXY_IMPORTER_CONFIG=$root/tests/galaxy-importer.cfg python -m galaxy_importer.main "$work"/*.tar.gz)
}

[ $# -gt 0 ] || set -- "${ALL[@]}"
failed=()
for gate in "$@"; do
  declare -F "gate_$gate" >/dev/null || { printf 'No gate %s; there are: %s\n' "$gate" "${ALL[*]}" >&2; exit 2; }
  printf '\n--- gate %s\n' "$gate"
  start=$SECONDS
  if "gate_$gate"; then verdict=passed; else verdict=FAILED && failed+=("$gate"); fi
  printf -- '--- gate %s %s in %d s\n' "$gate" "$verdict" $((SECONDS - start))
done
if [ ${#failed[@]} -gt 0 ]; then
  printf '\nGates failed: %s\n' "${failed[*]}"
  exit 1
fi
printf '\nAll gates passed: %s\n' "$*"
