# shellcheck shell=sh
# Root over NFS, run in the initramfs. Parameters: source (server:path), options (mount options).

# Mount the volume at $NEWROOT, read-write or read-only as $OPENQRM_ACCESS (rw, ro) says. The client's identity is the boot MAC, so that an NFSv4 server never takes two nodes for one
# and lets go of what this machine held before a crash.
mount_root() {
    modprobe nfsv4
    printf '%s\n' "openqrm-$OPENQRM_MAC" > /sys/module/nfs/parameters/nfs4_unique_id
    mount.nfs "$OPENQRM_PARAM_SOURCE" "$NEWROOT" -o "$OPENQRM_ACCESS,retry=1,$OPENQRM_PARAM_OPTIONS"
}

# Print the root's line for /etc/fstab. An NFS root stays read-write over the switch to init: nothing checks it, and the
# image needs no NFS programs for a remount.
root_fstab_line() {
    printf '%s / nfs rw,%s 0 0\n' "$OPENQRM_PARAM_SOURCE" "$OPENQRM_PARAM_OPTIONS"
}
