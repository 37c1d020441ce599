# shellcheck shell=sh
# For hooks whose volume is a block device: waiting for it, checking it, mounting it. run-hook.sh reads it before the hook.

# Wait up to $1 seconds until the command that follows prints a block device; print that.
oq_wait_device() {
    _tries=$(($1 * 5))
    shift
    while :; do
        _device=$("$@") && [ -b "$_device" ] && printf '%s\n' "$_device" && return 0
        [ "$_tries" -gt 0 ] || return 1
        sleep 0.2
        _tries=$((_tries - 1))
    done
}

# Mount the device $1 at $NEWROOT as $OPENQRM_ACCESS says (rw or ro). An ext file system that is written to is first repaired as far
# as that is safe, and not mounted where it is not; a check that takes too long is ended at a safe point. Where $OPENQRM_NEW is true, a device that
# holds nothing gets a file system.
oq_mount_device() {
    if [ "${OPENQRM_NEW:-}" = true ] && [ -z "$(blkid -p -o value -s TYPE -s PTTYPE "$1")" ]; then
        timeout -s KILL 80 mkfs.ext4 -q -F "$1" || return 1
    fi
    _type=$(blkid -p -o value -s TYPE "$1") || { echo "the volume ($1) has no file system"; return 1; }
    case $OPENQRM_ACCESS-$_type in
        rw-ext*)
            if command -v e2fsck > /dev/null; then
                _status=0
                timeout -s TERM 60 e2fsck -p "$1" || _status=$?
                [ "$_status" -lt 4 ] || { echo "e2fsck ended with status $_status: the file system of $1 needs a repair by hand"; return 1; }
            fi
            ;;
        # A journal cannot be replayed on a device that is read-only; a shared image was unmounted cleanly.
        ro-ext*) _options=,noload ;;
        ro-xfs) _options=,norecovery ;;
    esac
    modprobe -q "$_type" || :
    mount -t "$_type" -o "$OPENQRM_ACCESS${_options:-}" "$1" "$NEWROOT"
}

# Print the line of /etc/fstab for the device that is mounted at $NEWROOT. The name of the device holds for this boot, for which the
# line is written. Nothing checks the file system again while it is in use.
oq_device_fstab_line() {
    awk -v root="$NEWROOT" '$2 == root { device = $1; type = $3 } END { if (!device) exit 1; print device, "/", type, "rw 0 0" }' /proc/mounts
}
