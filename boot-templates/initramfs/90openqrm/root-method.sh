#!/bin/sh
# dracut's cmdline hook, late, so that its own parsing does not overwrite this: the root is mounted by mount-root.sh.
# shellcheck disable=SC2034 # read by dracut's init
root=openqrm
# shellcheck disable=SC2034
rootok=1
