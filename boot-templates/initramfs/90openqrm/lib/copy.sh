# shellcheck shell=sh
# shellcheck disable=SC2034 # OQ_ANSWER is read by api.sh
# Copies of whole trees, with all that belongs to their files. Needs common.sh, manifest.sh and api.sh.
#
# NFS carries neither ACLs nor attributes other than user.*. What a tree there cannot hold is kept in a file of its root, as getfattr writes
# it, and comes back where the tree is copied to a file system that can.

OQ_ATTRIBUTES=.openqrm-attributes
OQ_TRANSFERRED=.openqrm-transfer
OQ_PRIVILEGED='^(security|trusted|system\.posix_acl)'
OQ_PROGRESS_S=10
OQ_COPY_S=3600

# Print the type of the file system that is mounted at $1.
oq_file_system() {
    awk -v point="$1" '$2 == point { type = $3 } END { print type }' /proc/mounts
}

# Whether the file system at $1 is on NFS.
oq_is_nfs() {
    case $(oq_file_system "$1") in nfs*) return 0 ;; esac
    return 1
}

# Whether files at $1 may have attributes user.*: those in memory have them since Linux 6.6, on NFS it is for the server to say.
oq_holds_user_attributes() {
    : > "$1/.openqrm-probe" || return 1
    _held=0
    setfattr -n user.openqrm -v 1 "$1/.openqrm-probe" 2> /dev/null || _held=1
    rm -f "$1/.openqrm-probe"
    return "$_held"
}

# Make the tree at $2 the one at $1: owners, times, hard links, holes, ACLs, attributes and capabilities; what else is there goes. Mounts below
# the trees are left alone. Progress is reported in events. False, and what failed is on the standard error, where anything could not be copied.
oq_copy_tree() {
    rm -f "$2/$OQ_ATTRIBUTES"
    if oq_is_nfs "$1" || oq_is_nfs "$2"; then
        oq_copy_over_nfs "$1" "$2"
    elif oq_holds_user_attributes "$2"; then
        oq_rsync "$1" "$2" --acls --xattrs
    else
        oq_rsync "$1" "$2" --acls --xattrs '--filter=-x user.*' '--filter=-x system.*'
    fi
}

oq_copy_over_nfs() {
    _wanted=$OQ_PRIVILEGED
    set -- "$1" "$2" "--exclude=/$OQ_ATTRIBUTES"
    if oq_holds_user_attributes "$2"; then
        set -- "$@" --xattrs '--filter=-x! user.*'
    elif ! oq_is_nfs "$1"; then
        _wanted="$OQ_PRIVILEGED|^user\\."
    fi
    oq_rsync "$@" || return 1
    if oq_is_nfs "$1" && oq_is_nfs "$2"; then
        [ ! -f "$1/$OQ_ATTRIBUTES" ] || cp -p "$1/$OQ_ATTRIBUTES" "$2/"
    elif oq_is_nfs "$2"; then
        oq_save_attributes "$1" "$2/$OQ_ATTRIBUTES"
    elif [ -s "$1/$OQ_ATTRIBUTES" ]; then
        (cd "$2" && setfattr -h "--restore=$1/$OQ_ATTRIBUTES") || { echo "cannot restore the attributes of files"; return 1; }
    fi
}

# Write down the attributes of the tree $1 that are wanted to the file $2, for root alone.
oq_save_attributes() {
    (cd "$1" && umask 077 && timeout -s KILL "$OQ_COPY_S" getfattr -R -P -h -d -m "$_wanted" -e base64 . > "$2") || return 1
    [ -s "$2" ] || rm -f "$2"
}

# Run rsync from $1 to $2 with more options, in bounded time, and report how far it is.
oq_rsync() {
    _from=$1
    _to=$2
    shift 2
    : > "$OQ/copy.progress"
    oq_report_progress &
    _reporter=$!
    _status=0
    timeout -s KILL "$OQ_COPY_S" rsync --archive --hard-links "$@" --numeric-ids --sparse --one-file-system --modify-window=-1 --delete \
        "--exclude=/$OQ_TRANSFERRED" --exclude=/lost+found --no-inc-recursive --info=progress2 --outbuf=N "$_from/" "$_to/" \
        > "$OQ/copy.progress" || _status=$?
    kill "$_reporter" 2> /dev/null
    wait "$_reporter" 2> /dev/null
    [ "$_status" -eq 0 ] || echo "the copy ended with status $_status of rsync"
    return "$_status"
}

# Report every few seconds how far rsync is, without end: the caller ends it.
oq_report_progress() {
    OQ_ANSWER=$OQ/answer.progress
    while sleep "$OQ_PROGRESS_S"; do
        _done=$(tr '\r' '\n' < "$OQ/copy.progress" | awk '$2 ~ /^[0-9]+%$/ { done = $2 " of the data, " $1 " bytes" } END { print done }')
        [ -z "$_done" ] || oq_event info "$OQ_STEP" "$_done are copied"
    done
}

# Have the content of an archive of the boot tree at $3: oq_unpack DIGEST FORMAT DIRECTORY.
oq_unpack() {
    case $2 in
        tar.zst) oq_unpack_tar "$1" "$3" ;;
        squashfs) oq_unpack_squashfs "$1" "$3" ;;
        *) echo "archives of format '$2' are not known to this initramfs"; return 1 ;;
    esac
}

# Fetch a tar archive and unpack it as it comes; its digest is known at the end, and without the right one nothing of it is kept.
oq_unpack_tar() {
    for _attempt in 1 2 3; do
        oq_stream_tar "$1" "$2" && return 0
        oq_empty "$2"
        oq_pause 1 4
    done
    return 1
}

# Remove all that is in the directory $1 but what belongs to its file system, or to transfers.
oq_empty() {
    find "$1" -xdev -mindepth 1 -maxdepth 1 ! -name lost+found ! -name "$OQ_TRANSFERRED" -exec rm -rf {} +
}

oq_stream_tar() {
    rm -f "$OQ/archive.pipe" "$OQ/archive.digest" "$OQ/archive.failed"
    mkfifo "$OQ/archive.pipe"
    sha256sum < "$OQ/archive.pipe" > "$OQ/archive.digest" &
    _sum=$!
    oq_curl --fail --max-time "$OQ_COPY_S" "$OQ_BOOT/blobs/$1" | tee "$OQ/archive.pipe" | zstd -d -c -q |
        /usr/bin/tar -x -f - -C "$2" --numeric-owner --preserve-permissions --same-owner --acls --xattrs '--xattrs-include=*' ||
        echo "tar ended with status $?" > "$OQ/archive.failed"
    wait "$_sum"
    _digest=$(cut -d ' ' -f 1 "$OQ/archive.digest")
    rm -f "$OQ/archive.pipe"
    if [ -s "$OQ/archive.failed" ]; then
        cat "$OQ/archive.failed"
        return 1
    fi
    [ "$_digest" = "$1" ] || { echo "the file at $OQ_BOOT/blobs/$1 has the digest $_digest"; return 1; }
}

oq_unpack_squashfs() {
    oq_fetch_blob "$1" "$OQ/blobs/$1" || return 1
    modprobe -a loop squashfs
    mkdir -p "$OQ_LAYERS/archive" && mount -t squashfs -o loop,ro,nosuid,nodev "$OQ/blobs/$1" "$OQ_LAYERS/archive" || return 1
    _unpacked=0
    oq_copy_tree "$OQ_LAYERS/archive" "$2" || _unpacked=1
    umount "$OQ_LAYERS/archive" && rm -f "$OQ/blobs/$1"
    return "$_unpacked"
}
