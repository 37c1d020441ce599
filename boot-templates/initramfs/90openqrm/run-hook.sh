#!/bin/busybox sh
# shellcheck shell=dash
# Run one function of a deployment's hook: run-hook.sh FUNCTION. The hook is data that was checked by digest.
# Its parameters are in the environment as OPENQRM_PARAM_<NAME>, the mount point is NEWROOT, the node's boot MAC OPENQRM_MAC.
set -eu
# shellcheck source=/dev/null
. /run/openqrm/hook
"$1"
