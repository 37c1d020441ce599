# shellcheck shell=sh
# The volume with an image of local disks, over NFS, run in the initramfs. Parameters: source (server:path), options (mount options).

# Mount the volume at $NEWROOT. The client's identity is the boot MAC, so that a server never takes two nodes for one.
mount_root() {
    modprobe nfsv4
    printf '%s\n' "openqrm-$OPENQRM_MAC" > /sys/module/nfs/parameters/nfs4_unique_id
    mount.nfs "$OPENQRM_PARAM_SOURCE" "$NEWROOT" -o "$OPENQRM_ACCESS,retry=1,$OPENQRM_PARAM_OPTIONS"
}

# The root is on the machine's own disk, whose system has an fstab of its own.
root_fstab_line() {
    :
}
