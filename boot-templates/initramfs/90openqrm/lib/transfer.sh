# shellcheck shell=sh disable=SC2034,SC2153 # variables that are shared between the files
# Transfers: before the system starts, another image, an archive or a disk of the machine is copied into the root, or the root to an image or a
# disk. Needs root.sh, layers.sh, copy.sh, block.sh and the manifest's OQM_* variables.
#
# What is copied to has a mark with the number of the transfer, "filling" until all of it is there, then "done": a transfer that was broken off goes on,
# one that is over is not done again when the machine boots with the same manifest.

# Carry out the manifest's transfer, if it has one.
oq_transfer() {
    [ -n "${OQM_TRANSFER:-}" ] || return 0
    OQ_COPY_S=$OQM_TRANSFER_S
    _other=$OQ_LAYERS/transfer
    mkdir -p "$_other"
    case $OQM_TRANSFER_DIRECTION in
        install) oq_install "$_other" ;;
        save) oq_save "$_other" ;;
        *) echo "transfers of direction '$OQM_TRANSFER_DIRECTION' are not known to this initramfs"; return 1 ;;
    esac || return 1
    ! oq_is_mounted "$_other" || umount "$_other"
}

# Fill the root from what is to be mounted at $1, or from an archive.
oq_install() {
    oq_wants_filling "$NEWROOT" || return 1
    [ "$OQ_WANTS" = true ] || return 0
    if [ -n "$OQM_TRANSFER_ARCHIVE" ]; then
        oq_begin "$NEWROOT" && oq_empty "$NEWROOT" && oq_unpack "$OQM_TRANSFER_ARCHIVE" "$OQM_TRANSFER_FORMAT" "$NEWROOT" || return 1
    else
        oq_mount_other "$1" ro && oq_begin "$NEWROOT" && oq_copy_tree "$1" "$NEWROOT" || return 1
    fi
    oq_end "$NEWROOT"
}

# Copy the root to what is to be mounted at $1.
oq_save() {
    oq_mount_other "$1" rw && oq_wants_filling "$1" || return 1
    [ "$OQ_WANTS" = true ] || return 0
    oq_begin "$1" && oq_copy_tree "$NEWROOT" "$1" && oq_end "$1"
}

# Mount the other side at $1 with the access $2.
oq_mount_other() {
    if [ -n "$OQM_TRANSFER_DEVICE" ]; then
        oq_mount_disk "$OQM_TRANSFER_DEVICE" "$1" "$2"
        return
    fi
    oq_fetch_blob "$OQM_TRANSFER_HOOK" "$OQ/hook.transfer" || return 1
    (
        export OPENQRM_HOOK="$OQ/hook.transfer"
        OQ_GRANT=''
        oq_run_hook mount_root "$OQM_TRANSFER_PARAMETERS" "$1" "$2"
    ) || { echo "cannot mount image $OQM_TRANSFER_NAME"; return 1; }
    oq_is_mounted "$1" || { echo "nothing is mounted of image $OQM_TRANSFER_NAME"; return 1; }
}

# Mount the disk $1 at $2 with the access $3. One that is written to gets a file system where it has nothing, or where what it has may go.
oq_mount_disk() {
    _waited=0
    until [ -b "$1" ]; do
        [ "$_waited" -lt 20 ] || { echo "this machine has no disk $1"; return 1; }
        sleep 1
        _waited=$((_waited + 1))
    done
    if [ "$3" = rw ] && ! oq_is_ours "$1" "$2"; then
        oq_make_file_system "$1" "$OQM_TRANSFER_OVERWRITE" || return 1
    fi
    oq_mount_as "$3" "$1" "$2" || { echo "cannot mount $1"; return 1; }
}

# Whether the disk $1, looked at by mounting it at $2, is the target of this transfer already, or has an empty file system.
oq_is_ours() {
    oq_mount_as ro "$1" "$2" > /dev/null 2>&1 || return 1
    _ours=1
    { oq_is_empty "$2" || oq_is_begun "$2"; } && _ours=0
    umount "$2"
    return "$_ours"
}

# Mount a disk as hooks do: oq_mount_as rw|ro DEVICE POINT.
oq_mount_as() {
    (
        OPENQRM_ACCESS=$1
        NEWROOT=$3
        # shellcheck source=/dev/null
        . "$OQ_LIBRARY/block.sh" && oq_mount_device "$2"
    )
}

# Make an ext4 file system on $1. Where the disk holds anything that is known, only if $2 is true.
oq_make_file_system() {
    _found=$(blkid -p -s TYPE -s PTTYPE -o value "$1" | tr '\n' ' ')
    if [ -n "$_found" ] && [ "$2" != true ]; then
        echo "$1 holds data ($_found): start the appliance with --overwrite if that may be lost"
        return 1
    fi
    timeout -s KILL 600 mkfs.ext4 -q -F -L openqrm "$1"
}

# Whether nothing is in the directory $1 but what belongs to a file system, or to transfers.
oq_is_empty() {
    [ -z "$(find "$1" -xdev -mindepth 1 -maxdepth 1 ! -name lost+found ! -name "$OQ_TRANSFERRED" ! -name "$OQ_ATTRIBUTES" | head -n 1)" ]
}

oq_is_begun() {
    read -r _number _ 2> /dev/null < "$1/$OQ_TRANSFERRED" && [ "$_number" = "$OQM_TRANSFER" ]
}

# Set OQ_WANTS: whether the directory $1 is still to be filled. False where it holds data that must not be lost.
oq_wants_filling() {
    OQ_WANTS=true
    if oq_is_begun "$1"; then
        read -r _ _state < "$1/$OQ_TRANSFERRED"
        [ "$_state" != 'done' ] || OQ_WANTS=false
    elif [ "$OQM_TRANSFER_OVERWRITE" != true ] && ! oq_is_empty "$1"; then
        echo "what is to be copied to holds data: start the appliance with --overwrite if that may be lost"
        return 1
    fi
}

oq_begin() {
    printf '%s filling\n' "$OQM_TRANSFER" > "$1/$OQ_TRANSFERRED"
    oq_event info "$OQ_STEP" "copying: $OQM_TRANSFER_DIRECTION $OQM_TRANSFER_NAME"
}

# All of it is there: on the disk, too, before the mark says so.
oq_end() {
    sync
    printf '%s done\n' "$OQM_TRANSFER" > "$1/$OQ_TRANSFERRED.new" && mv "$1/$OQ_TRANSFERRED.new" "$1/$OQ_TRANSFERRED" && sync
    oq_event info "$OQ_STEP" "copied: $OQM_TRANSFER_DIRECTION $OQM_TRANSFER_NAME"
}
