#!/bin/busybox sh
# shellcheck shell=dash
# The last program of a deployed node: systemd pivots into the bundle and runs it as PID 1 with the verb as its argument.
# It unmounts the old root, each mount in bounded time, has the deployment's hook let go of the volumes, before and after that, and carries the
# verb out.
# A guard reboots the machine whatever hangs.
verb=${1:-reboot}

say() {
    printf 'openqrm: %s\n' "$*" > /dev/console 2> /dev/null
}

# Print the mount points below /oldroot and those of layers, the deepest first.
old_mounts() {
    awk '$2 == "/oldroot" || index($2, "/oldroot/") == 1 || index($2, "/programs/layers/") == 1 { print $2 }' /proc/mounts | sort -r
}

unmount_old_root() {
    for mount_point in $(old_mounts); do
        timeout -s KILL 15 umount "$mount_point" || umount -l "$mount_point" || say "cannot unmount $mount_point"
    done
}

# Call the function $1 of the deployment's hook, where it has that.
hook() {
    grep -q "^$1()" /usr/lib/openqrm/hook 2> /dev/null || return 0
    OPENQRM_HOOK=/usr/lib/openqrm/hook OPENQRM_BUNDLE=/ timeout -s KILL 30 busybox sh /usr/lib/openqrm/run-hook.sh "$1" > /dev/null 2>&1
}

[ -e /proc/mounts ] || mount -t proc proc /proc
(
    sleep 60
    case $verb in poweroff | halt) echo o ;; *) echo b ;; esac > /proc/sysrq-trigger
) &
say "shutting down: $verb"
# Programs that the bundle started before, as iscsid, still see it there, with mounts that they need to the end.
mkdir -p /programs
mount -o move /oldroot/run/initramfs /programs || say "cannot keep the mounts of programs"
hook prepare_release || say "cannot prepare the release of the storage"
# Loop devices in the old root (the module tree) go first, then the rest; a second pass takes what the first one freed.
unmount_old_root
unmount_old_root
if [ -z "$(old_mounts)" ]; then
    say "root unmounted"
    hook release_root || say "cannot log out of the storage"
fi
case $verb in
    poweroff | halt) poweroff -f ;;
    *) reboot -f ;;
esac
sleep 30
