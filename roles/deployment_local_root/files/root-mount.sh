# shellcheck shell=sh
# Root on a disk or partition of this machine, run in the initramfs. Parameter: device (a path below /dev, or LABEL=, UUID=, PARTUUID=,
# PARTLABEL=).

DEVICE_S=30

# Print the device, if it is there.
find_root() {
    case $OPENQRM_PARAM_DEVICE in
        *=*) blkid -t "$OPENQRM_PARAM_DEVICE" -o device | head -n 1 ;;
        *) printf '%s\n' "$OPENQRM_PARAM_DEVICE" ;;
    esac
}

# Mount the device at $NEWROOT.
mount_root() {
    _root=$(oq_wait_device "$DEVICE_S" find_root) || { echo "this machine has no $OPENQRM_PARAM_DEVICE"; return 1; }
    oq_mount_device "$_root"
}

# Print the root's line for /etc/fstab.
root_fstab_line() {
    oq_device_fstab_line
}
