# shellcheck shell=sh
# This machine's disks read into an image: see disk.sh. And wiped.

# Read the disks into the image. What the image was before it is until all of it is there.
oq_grab_disks() {
    if [ ! -e "$OQ_IMAGE/image.json" ] && [ ! -d "$OQ_IMAGE/work" ] && [ -n "$(ls -A "$OQ_IMAGE")" ]; then
        oq_disk_refuse "the volume holds files that are not of a disk image"
        return 1
    fi
    if [ -e "$OQ_IMAGE/image.json" ] && [ "$OQM_DISK_OVERWRITE" != true ]; then
        oq_disk_refuse "the image holds a disk already: say that it may be overwritten"
        return 1
    fi
    mkdir -p "$OQ_IMAGE/lists" "$OQ_IMAGE/chunks" || return 1
    _wanted=$OQM_DISK_NAME
    if [ "$_wanted" = all ]; then
        oq_disk_names | tr ' ' '\n' | sed '/^$/d' > "$OQ_WORK/disks"
        [ -s "$OQ_WORK/disks" ] || { oq_disk_refuse "this machine has no disk"; return 1; }
    else
        oq_choose_disk "$_wanted" > "$OQ_WORK/disks" || { oq_disk_refuse "$(cat "$OQ_WORK/disks")"; return 1; }
    fi
    oq_disk_resume && oq_disk_begun || return 1
    : > "$OQ_WORK/entries"
    OQ_ZEROS=$(/usr/bin/dd if=/dev/zero bs=1M count="$OQ_CHUNK_MIB" status=none | zstd -1qc | oq_digest)
    while read -r _disk; do
        oq_grab_disk "$_disk" < /dev/null || return 1
    done < "$OQ_WORK/disks"
    oq_publish_image
}

oq_grab_disk() {
    _begun=$(cut -d . -f 1 /proc/uptime)
    _bytes=$(oq_disk_bytes "$1") || return 1
    _count=$(((_bytes + OQ_CHUNK_MIB * 1048576 - 1) / (OQ_CHUNK_MIB * 1048576)))
    seq 0 $((_count - 1)) > "$OQ_WORK/numbers"
    oq_each_chunk oq_read_chunk "$1" "$OQ_WORK/numbers" || return 1
    cat "$OQ_DONE/$1".[0-9]* | sort -n -u > "$OQ_WORK/list.$1"
    [ "$(wc -l < "$OQ_WORK/list.$1")" = "$_count" ] || { echo "chunks of $1 are missing"; return 1; }
    _list=$(oq_digest < "$OQ_WORK/list.$1")
    cp "$OQ_WORK/list.$1" "$OQ_IMAGE/lists/$_list" || return 1
    echo "$1 $_bytes $_list" >> "$OQ_WORK/entries"
    printf '%s: %s MiB read, %s of %s chunks with data, in %s s. ' "$1" "$((_bytes / 1048576))" "$(grep -vc ' -$' "$OQ_WORK/list.$1")" \
        "$_count" "$(($(cut -d . -f 1 /proc/uptime) - _begun))" >> "$OQ_WORK/report"
}

# Read the chunk number $2 of the disk $1; OQ_NOTE is its digest, or "-" where it has only zeros. One that the image has already is
# not written again.
oq_read_chunk() {
    _file=$OQ_WORK/chunk.$OQ_SLOT
    timeout -s KILL "$OQ_CHUNK_S" /usr/bin/dd if="/dev/$1" bs=1M skip=$(($2 * OQ_CHUNK_MIB)) count="$OQ_CHUNK_MIB" iflag=fullblock \
        status=none | zstd -1qc > "$_file" || return 1
    OQ_NOTE=$(oq_digest < "$_file")
    if [ "$OQ_NOTE" = "$OQ_ZEROS" ]; then
        OQ_NOTE=-
    elif [ ! -e "$OQ_IMAGE/chunks/$OQ_NOTE" ]; then
        # Two workers may have the same chunk at the same time.
        timeout -s KILL "$OQ_CHUNK_S" cp "$_file" "$OQ_DONE/chunk.$OQ_SLOT" && mv "$OQ_DONE/chunk.$OQ_SLOT" "$OQ_IMAGE/chunks/$OQ_NOTE" ||
            return 1
    fi
    rm -f "$_file"
}

# Have the image be what was read, at once, and remove what only the image before needed.
oq_publish_image() {
    # shellcheck disable=SC2016 # jq's syntax, not the shell's
    oq_jq -R -n --argjson chunk "$OQ_CHUNK_MIB" '{version: 1, chunk_mib: $chunk, disks:
        [inputs | split(" ") | {name: .[0], bytes: (.[1] | tonumber), list: .[2]}]}' < "$OQ_WORK/entries" > "$OQ_DONE/image.json" &&
        sync "$OQ_DONE/image.json" && mv "$OQ_DONE/image.json" "$OQ_IMAGE/image.json" || return 1
    cut -d ' ' -f 3 "$OQ_WORK/entries" > "$OQ_WORK/kept"
    cat "$OQ_WORK"/list.* | cut -d ' ' -f 2 | sort -u >> "$OQ_WORK/kept"
    (cd "$OQ_IMAGE" && ls lists chunks) | sed -n '/^[0-9a-f]*$/p' | grep -v '^$' | grep -vxFf "$OQ_WORK/kept" | while read -r _old; do
        rm -f "$OQ_IMAGE/lists/$_old" "$OQ_IMAGE/chunks/$_old"
    done
    rm -rf "$OQ_DONE"
}

# Wipe the disks as the manifest says: signatures and partition tables (quick), or everything (full).
oq_wipe_disks() {
    if [ "$OQM_DISK_NAME" = all ]; then
        _names=$(oq_disk_names)
    else
        _names=$(oq_choose_disk "$OQM_DISK_NAME") || { echo "$_names"; return 1; }
    fi
    : > "$OQ_WORK/report"
    for _disk in $_names; do
        _content=$(oq_disk_content "$_disk")
        oq_wipe_disk "$_disk" || return 1
        printf '%s wiped (%s), it held: %s. ' "$_disk" "$OQM_DISK_WIPE" "${_content:-nothing}" >> "$OQ_WORK/report"
    done
}

# Wipe the disk $1 and let the kernel see that. A quick wipe takes the signatures of partitions too: they come back with a table.
oq_wipe_disk() {
    case $OQM_DISK_WIPE in
        quick)
            for _part in "/dev/$1"[0-9]* "/dev/$1"p[0-9]* "/dev/$1"; do
                [ ! -b "$_part" ] || wipefs --all --force --quiet "$_part" || return 1
            done
            ;;
        full) /usr/sbin/blkdiscard --force --zeroout "/dev/$1" || return 1 ;;
        *) echo "the wipe '$OQM_DISK_WIPE' is not known to this initramfs"; return 1 ;;
    esac
    /usr/sbin/blockdev --flushbufs "/dev/$1" || return 1
    /usr/sbin/blockdev --rereadpt "/dev/$1" || echo "the kernel does not read the partitions of $1 again"
}
