# shellcheck shell=sh
# Roots in memory: filled at every boot from a volume that is mounted for that, or from an archive of the boot tree.
# Needs root.sh, layers.sh, copy.sh, and the manifest's OQM_* variables.

# What the system in such a root needs of memory besides, at the least.
OQ_SPARE_MIB=64

# Whether the root is the member's own and stays: not that of an image that is shared, or a copy in memory.
oq_keeps_root() {
    [ "$OQM_ROOT_MODE" = read-write ] && [ "${OQM_MEMORY:-}" != true ]
}

# Mount an empty file system in memory as the root, of which the manifest may bound the size, and fill it.
oq_mount_memory() {
    oq_check_memory || return 1
    _size=50%
    [ "$OQM_MEMORY_MIB" -eq 0 ] || _size=${OQM_MEMORY_MIB}m
    mkdir -p "$NEWROOT" && mount -t tmpfs -o "mode=0755,size=$_size" openqrm-root "$NEWROOT" || return 1
    oq_fill_memory && return 0
    [ "$OQM_MEMORY_MIB" -eq 0 ] || echo "the root of at most $OQM_MEMORY_MIB MiB could not be filled (memory_size_mib of the image)"
    return 1
}

oq_fill_memory() {
    if [ -n "$OQM_ARCHIVE" ]; then
        oq_unpack "$OQM_ARCHIVE" "$OQM_ARCHIVE_FORMAT" "$NEWROOT"
    else
        oq_mount_volume "$OQM_PARAMETERS" "$OQ_LAYERS/source" ro && oq_copy_tree "$OQ_LAYERS/source" "$NEWROOT" &&
            umount "$OQ_LAYERS/source"
    fi
}

# Whether the memory suffices for the root that the manifest asks for.
oq_check_memory() {
    _free=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
    [ $((OQM_MEMORY_MIB + OQ_SPARE_MIB)) -le "$_free" ] && return 0
    echo "the root may take $OQM_MEMORY_MIB MiB of memory, and this machine has $_free MiB free, of which its system needs $OQ_SPARE_MIB:" \
        "lower memory_size_mib of the image, or choose a machine with more memory"
    return 1
}
