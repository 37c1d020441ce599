#!/bin/busybox sh
# shellcheck shell=dash
# Run one function of a deployment's hook: run-hook.sh FUNCTION. The hook is data that was checked by digest.
# Its parameters are in the environment as OPENQRM_PARAM_<NAME>, the mount point is NEWROOT, the node's boot MAC OPENQRM_MAC,
# the secret of its grant OPENQRM_SECRET (empty where the deployment type has none).
set -eu
# shellcheck source=/dev/null
. /usr/lib/openqrm/block.sh
# shellcheck source=/dev/null
. /usr/lib/openqrm/multipath.sh
# shellcheck source=/dev/null
. "${OPENQRM_HOOK:-/run/openqrm/hook}"
"$1"
