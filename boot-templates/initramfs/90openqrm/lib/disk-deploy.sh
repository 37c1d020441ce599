# shellcheck shell=sh
# An image written to this machine's disks: see disk.sh.

# Write the image to the disks.
oq_deploy_disks() {
    oq_jq -r '"\(.version) \(.chunk_mib)", (.disks[] | "\(.name) \(.bytes) \(.list)")' < "$OQ_IMAGE/image.json" > "$OQ_WORK/image" ||
        { oq_disk_refuse "the image has no valid image.json: grab a disk into it first"; return 1; }
    read -r _version OQ_CHUNK_MIB < "$OQ_WORK/image"
    [ "$_version" = 1 ] || { oq_disk_refuse "version $_version of the image is not known to this initramfs"; return 1; }
    sed 1d "$OQ_WORK/image" > "$OQ_WORK/disks"
    : > "$OQ_WORK/plan"
    while read -r _image_disk _bytes _list; do
        oq_plan_disk "$_image_disk" "$_bytes" "$_list" || return 1
    done < "$OQ_WORK/disks"
    oq_disk_resume || return 1
    [ -e "$OQ_DONE/manifest" ] || oq_refuse_full_disks || return 1
    oq_disk_begun || return 1
    while read -r _disk _bytes _list; do
        oq_deploy_disk "$_disk" "$_bytes" "$_list" < /dev/null || return 1
    done < "$OQ_WORK/plan"
}

# Choose this machine's disk for the image's disk $1 with $2 bytes and the list $3: the one that is named, else, where the image has
# several or all are meant, the one of the same name, else the only one.
oq_plan_disk() {
    _wanted=$OQM_DISK_NAME
    if [ "$_wanted" = all ] || { [ -z "$_wanted" ] && [ "$(wc -l < "$OQ_WORK/disks")" -gt 1 ]; }; then
        _wanted=$1
    fi
    _disk=$(oq_choose_disk "$_wanted") || { oq_disk_refuse "$_disk"; return 1; }
    _has=$(oq_disk_bytes "$_disk")
    [ "$_has" -ge "$2" ] ||
        { oq_disk_refuse "disk $_disk has $((_has / 1048576)) MiB, the image needs $((($2 + 1048575) / 1048576))"; return 1; }
    ! grep -q "^$_disk " "$OQ_WORK/plan" || { oq_disk_refuse "disk $_disk cannot hold several disks of the image"; return 1; }
    echo "$_disk $2 $3" >> "$OQ_WORK/plan"
}

# Refuse disks that hold something, unless the manifest allows to overwrite them.
oq_refuse_full_disks() {
    [ "$OQM_DISK_OVERWRITE" != true ] || return 0
    while read -r _disk _; do
        _content=$(oq_disk_content "$_disk")
        [ -z "$_content" ] || {
            oq_disk_refuse "disk $_disk holds data ($_content): set the appliance's parameter disk_overwrite=true to overwrite it"
            return 1
        }
    done < "$OQ_WORK/plan"
}

oq_deploy_disk() {
    _begun=$(cut -d . -f 1 /proc/uptime)
    _path=$OQ_IMAGE/lists/$3
    [ "$(oq_digest < "$_path")" = "$3" ] || { oq_disk_refuse "the list $3 of the image is damaged"; return 1; }
    OQ_OFFLOAD=0
    [ "$(oq_line "/sys/block/$1/queue/rotational")" = 1 ] || OQ_OFFLOAD=$(oq_line "/sys/block/$1/queue/write_zeroes_max_bytes")
    oq_each_chunk oq_write_chunk "$1" "$_path" || return 1
    oq_finish_disk "$1" "$2" || return 1
    printf '%s: %s MiB written, %s of %s chunks with data, in %s s. ' "$1" "$(($2 / 1048576))" "$(grep -vc ' -$' "$_path")" \
        "$(wc -l < "$_path")" "$(($(cut -d . -f 1 /proc/uptime) - _begun))" >> "$OQ_WORK/report"
}

# Write the chunk number $2 with the digest $3 to the disk $1, and have it on the disk. The second read of the file is from memory.
oq_write_chunk() {
    _from=$(($2 * OQ_CHUNK_MIB))
    if [ "$3" = - ]; then
        oq_zero_chunk "$1" "$_from"
        return
    fi
    _file=$OQ_IMAGE/chunks/$3
    [ -e "$_file" ] || { oq_disk_refuse "chunk $2 of the image, $3, is missing"; return 1; }
    _found=$(timeout -s KILL "$OQ_CHUNK_S" b2sum -l 256 < "$_file" | cut -d ' ' -f 1) || return 1
    [ "$_found" = "$3" ] || { oq_disk_refuse "chunk $2 of the image, $3, is damaged: its digest is $_found"; return 1; }
    _sparse=''
    if [ "${OQ_OFFLOAD:-0}" -gt 0 ]; then
        oq_zero_chunk "$1" "$_from" || return 1
        _sparse=,sparse
    fi
    timeout -s KILL "$OQ_CHUNK_S" zstd -dcq "$_file" |
        timeout -s KILL "$OQ_CHUNK_S" /usr/bin/dd of="/dev/$1" bs=64K iflag=fullblock oflag=seek_bytes seek=$((_from * 1048576)) \
            conv=notrunc,fsync"$_sparse" status=none
}

# Have zeros on the disk $1 from $2 MiB on, for a chunk or to its end. The device does it where it can, else the kernel.
oq_zero_chunk() {
    _length=$((OQ_CHUNK_MIB * 1048576))
    _rest=$(($(oq_disk_bytes "$1") - $2 * 1048576))
    [ "$_rest" -ge "$_length" ] || _length=$_rest
    timeout -s KILL "$OQ_CHUNK_S" /usr/sbin/blkdiscard --force --zeroout --offset $(($2 * 1048576)) --length "$_length" "/dev/$1"
}

# What follows when all chunks are there: a GPT has its second copy at the end of a larger disk, and the kernel reads the partitions.
oq_finish_disk() {
    if [ "$(/usr/sbin/blkid -p -o value -s PTTYPE "/dev/$1")" = gpt ] && [ "$(oq_disk_bytes "$1")" -gt "$2" ]; then
        sfdisk --quiet --relocate gpt-bak-std "/dev/$1" || return 1
    fi
    /usr/sbin/blockdev --flushbufs "/dev/$1" || return 1
    /usr/sbin/blockdev --rereadpt "/dev/$1" || echo "the kernel does not read the partitions of $1 again"
}
