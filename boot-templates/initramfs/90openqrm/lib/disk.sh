# shellcheck shell=sh disable=SC2034,SC3040 # variables that are shared between the files; busybox has pipefail
# Images of this machine's own disks: written to them (deploy) and read from them (grab), while the machine is idle.
# Needs common.sh, api.sh, manifest.sh, root.sh, and the manifest's OQM_* variables. Programs of which busybox has a lesser form are
# called by their path.
#
# An image is a directory, the volume that the manifest's hook mounts:
#   image.json     version, size of chunks in MiB, and of each disk its name, size in bytes and list
#   lists/DIGEST   the chunks of a disk in their order, as "NUMBER DIGEST"; "-" is one that has only zeros
#   chunks/DIGEST  a chunk, compressed by zstd; its name is the BLAKE2b-256 of the compressed file
#   work/MAC       what a machine that is at it has done; with it a broken deploy or grab goes on

OQ_IMAGE=$OQ_BUNDLE/image
OQ_WORK=$OQ/disk
OQ_CHUNK_MIB=${OQ_CHUNK_MIB:-64}
OQ_CHUNK_S=900

oq_digest() {
    b2sum -l 256 | cut -d ' ' -f 1
}

# Print the size of the disk $1 in bytes.
oq_disk_bytes() {
    /usr/sbin/blockdev --getsize64 "/dev/$1"
}

# How many chunks are worked on at once: one more than there are cores, so that disk and network are busy while all cores are; as
# many as a quarter of the memory holds.
oq_disk_workers() {
    _cores=$(grep -c '^processor' /proc/cpuinfo)
    _fit=$(awk -v chunk="$OQ_CHUNK_MIB" '/^MemAvailable:/ { print int($2 / 4096 / chunk) }' /proc/meminfo)
    _count=$((_cores + 1))
    [ "$_count" -le "$_fit" ] || _count=$_fit
    [ "$_count" -ge 2 ] || _count=2
    [ "$_count" -le 16 ] || _count=16
    echo "$_count"
}

# Print what is on the disk $1 and its partitions, in one line; nothing where it is blank.
oq_disk_content() {
    for _part in "/dev/$1" "/dev/$1"[0-9]* "/dev/$1"p[0-9]*; do
        [ -b "$_part" ] || continue
        /usr/sbin/blkid -p -o export "$_part" 2> /dev/null | awk -F = -v part="${_part#/dev/}" '
            $1 == "PTTYPE" { found = found " " $2 " partition table" }
            $1 == "TYPE" { found = found " " $2 }
            $1 == "LABEL" { found = found " \"" $2 "\"" }
            END { if (found) print part ":" found }'
    done | tr '\n' ' ' | sed 's/ $//'
}

# Print the names of this machine's disks in one line.
oq_disk_names() {
    oq_disks | cut -f 1 | tr '\n' ' '
}

# Print which of this machine's disks is meant where it is named $1: that one; empty: the only one.
oq_choose_disk() {
    _there=$(oq_disk_names)
    if [ -n "$1" ]; then
        case " $_there" in *" $1 "*) echo "$1" && return 0 ;; esac
        echo "this machine has no disk $1; found: ${_there:-none}"
        return 1
    fi
    # shellcheck disable=SC2086 # one word a disk
    set -- $_there
    [ $# -eq 1 ] && echo "$1" && return 0
    echo "which disk is not said; found: ${_there:-none}: set the parameter disk"
    return 1
}

# Mount the image's volume.
oq_mount_image() {
    oq_is_mounted "$OQ_IMAGE" || oq_mount_volume "$OQM_PARAMETERS" "$OQ_IMAGE" rw
}

# Do what the order says with the disks, and answer it.
oq_disk_order() {
    oq_screen "$OQM_DISK_ACTION of local disks"
    if oq_disk_steps; then
        oq_event info "$OQM_DISK_ACTION" "$(cat "$OQ_WORK/report")"
        oq_answer_order 'done'
    else
        oq_refuse "$OQ_STEP: $OQ_PROBLEM"
    fi
    ! oq_is_mounted "$OQ_IMAGE" || timeout -s KILL 30 umount "$OQ_IMAGE" || umount -l "$OQ_IMAGE"
    return 1
}

oq_disk_steps() {
    rm -rf "$OQ_WORK" && mkdir -p "$OQ_WORK"
    case $OQM_DISK_ACTION in
        wipe) oq_step wipe oq_wipe_disks ;;
        deploy | grab)
            oq_step networks oq_networks && oq_step root_hook oq_fetch_hook && oq_step volume oq_mount_image &&
                oq_step "$OQM_DISK_ACTION" oq_disk_work
            ;;
        *) oq_step disk oq_disk_unknown ;;
    esac
}

oq_disk_unknown() {
    echo "this initramfs does not know the disk action '$OQM_DISK_ACTION'"
    return 1
}

# Deploy or grab while heartbeats and progress are sent; after a failure it goes on where it was, a few times.
oq_disk_work() {
    (
        OQ_ANSWER=$OQ/answer.disk
        while sleep 10; do
            oq_heartbeat idle disk
            oq_disk_progress
        done
    ) > /dev/null 2>&1 < /dev/null &
    _reporter=$!
    for _attempt in 1 2 3; do
        rm -f "$OQ_WORK/refused"
        _status=0
        "oq_${OQM_DISK_ACTION}_disks" || _status=1
        if [ "$_status" = 0 ] || [ -e "$OQ_WORK/refused" ]; then
            break
        fi
        [ "$_attempt" = 3 ] || { echo "trying again"; oq_pause 2 8; }
    done
    kill "$_reporter" 2> /dev/null
    wait "$_reporter" 2> /dev/null
    return "$_status"
}

# Say why the work cannot be done, however often it is tried.
oq_disk_refuse() {
    : > "$OQ_WORK/refused"
    echo "$1"
    return 1
}

# Report how far the work is, each time that another tenth of it is done.
oq_disk_progress() {
    [ -s "$OQ_WORK/total" ] || return 0
    read -r _name _total < "$OQ_WORK/total"
    _done=$(cat "$OQ_IMAGE/work/$OQ_MAC/$_name".[0-9]* 2> /dev/null | wc -l)
    _tenth=$((_done * 10 / _total))
    [ "$_name $_tenth" != "$(cat "$OQ_WORK/tenth" 2> /dev/null)" ] || return 0
    echo "$_name $_tenth" > "$OQ_WORK/tenth"
    oq_event info "$OQM_DISK_ACTION" "$_name: $_done of $_total chunks"
}

# Begin or go on: what was done is that of this very manifest, or forgotten.
oq_disk_resume() {
    OQ_DONE=$OQ_IMAGE/work/$OQ_MAC
    : > "$OQ_WORK/report"
    if [ "$(cat "$OQ_DONE/manifest" 2> /dev/null)" != "$(cat "$OQ/manifest.sha256")" ]; then
        rm -rf "$OQ_DONE" && mkdir -p "$OQ_DONE" || return 1
        return 0
    fi

    : > "$OQ_WORK/first"
    printf 'Going on where it was broken off, after %s chunks. ' "$(cat "$OQ_DONE"/*.[0-9]* 2> /dev/null | wc -l)" >> "$OQ_WORK/report"
}

# Note that from now on the work is that of this manifest.
oq_disk_begun() {
    cp "$OQ/manifest.sha256" "$OQ_DONE/manifest"
}

# Call `$1 DISK NUMBER...` for every line of the list $3 of the disk $2 that was not done before, on all cores. Each worker notes what it
# has done, in a file of its own. What it says is kept.
oq_each_chunk() {
    _workers=$(oq_disk_workers)
    wc -l < "$3" | sed "s/^/$2 /" > "$OQ_WORK/total"
    cat "$OQ_DONE/$2".[0-9]* 2> /dev/null | cut -d ' ' -f 1 > "$OQ_WORK/done"
    awk 'NR == FNR { done[$1] = 1; next } !($1 in done)' "$OQ_WORK/done" "$3" > "$OQ_WORK/todo"
    # A file without lines would be taken for the second one.
    [ -s "$OQ_WORK/done" ] || cp "$3" "$OQ_WORK/todo"
    _pids=''
    _worker=0
    while [ "$_worker" -lt "$_workers" ]; do
        oq_chunk_worker "$1" "$2" "$_worker" "$_workers" > "$OQ_WORK/said.$_worker" 2>&1 < /dev/null &
        _pids="$_pids $!"
        _worker=$((_worker + 1))
    done
    _failed=0
    for _pid in $_pids; do
        wait "$_pid" || _failed=1
    done
    cat "$OQ_WORK"/said.*
    return "$_failed"
}

# Do every $4th chunk of those that are to be done, from the $3rd on; stops at the first that fails.
oq_chunk_worker() {
    set -o pipefail
    awk -v first="$3" -v every="$4" '(NR - 1) % every == first' "$OQ_WORK/todo" > "$OQ_WORK/todo.$3"
    while read -r _number _digest; do
        [ ! -e "$OQ_WORK/refused" ] || return 1
        OQ_SLOT=$3
        "$1" "$2" "$_number" "$_digest" < /dev/null || return 1
        echo "$_number ${OQ_NOTE:-$_digest}" >> "$OQ_DONE/$2.$3"
    done < "$OQ_WORK/todo.$3"
}
