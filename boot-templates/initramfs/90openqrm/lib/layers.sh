# shellcheck shell=sh
# Roots on an image that members share: the image read-only, a file system in memory over it, private directories over both.
# Needs common.sh, root.sh, and the manifest's OQM_* variables.

# In the bundle, where systemd leaves mounts alone until the root is gone: image, memory, private.
OQ_LAYERS=$OQ_BUNDLE/layers

# Mount the image and over it a file system in memory, of which the manifest may bound the size, as the root.
oq_mount_overlay() {
    _image=$OQ_LAYERS/image
    _memory=$OQ_LAYERS/memory
    _size=50%
    [ "$OQM_OVERLAY_MIB" -eq 0 ] || _size=${OQM_OVERLAY_MIB}m
    oq_mount_volume "$OQM_PARAMETERS" "$_image" ro || return 1
    modprobe overlay
    mkdir -p "$_memory" "$NEWROOT" && mount -t tmpfs -o "mode=0755,size=$_size" openqrm-memory "$_memory" &&
        mkdir "$_memory/changes" "$_memory/work" && chmod 0755 "$_memory/changes" &&
        mount -t overlay -o "lowerdir=$_image,upperdir=$_memory/changes,workdir=$_memory/work" openqrm-root "$NEWROOT"
}

# Mount the member's private directories over the root, and over them what stays common. Each directory is a copy of the image's,
# made where the member does not have it yet.
oq_private() {
    [ "$OQM_ROOT_MODE" = private ] || return 0
    oq_mount_volume "$OQM_PRIVATE_PARAMETERS" "$OQ_LAYERS/private" rw || return 1
    rm -rf "$OQ_LAYERS/private/.new"
    oq_each "$OQM_PRIVATE_DIRECTORIES" oq_private_directory && oq_each "$OQM_PRIVATE_EXCLUDES" oq_private_exclude
}

# Call the function $2 for each line of $1; false, when it is false for one.
oq_each() {
    while read -r _line; do
        [ -z "$_line" ] || "$2" "$_line" || return 1
    done << EOT
$1
EOT
}

oq_private_directory() {
    _own=$OQ_LAYERS/private$1
    mkdir -p "$NEWROOT$1" && oq_is_plain "$1" || return 1
    [ -d "$_own" ] || oq_private_copy "$1" "$_own" || { echo "cannot make the private copy of $1"; return 1; }
    mount --bind "$_own" "$NEWROOT$1"
}

# Copy the directory $1 of the root to $2, which appears whole or not at all. The programs are those that keep all attributes.
oq_private_copy() {
    _new=$OQ_LAYERS/private/.new
    timeout -s KILL 600 /usr/bin/cp --archive --no-target-directory "$NEWROOT$1" "$_new" && mkdir -p "${2%/*}" && mv "$_new" "$2"
}

# Have the image's own $1 over the private one: read-only, the same for all members.
oq_private_exclude() {
    _common=$OQ_LAYERS/image$1
    if [ -d "$_common" ]; then
        mkdir -p "$NEWROOT$1"
    elif [ -f "$_common" ]; then
        mkdir -p "$NEWROOT${1%/*}" && { [ -e "$NEWROOT$1" ] || : > "$NEWROOT$1"; }
    else
        echo "the exclude $1 is neither a directory nor a file of the image"
        return 1
    fi && oq_is_plain "$1" && mount --bind "$_common" "$NEWROOT$1"
}

# Whether the path $1 of the root leads through no symbolic link, which could point out of it.
oq_is_plain() {
    [ "$(readlink -f "$NEWROOT$1")" = "$(readlink -f "$NEWROOT")$1" ] && return 0
    echo "$1 leads through a symbolic link in the image: name the directory that it points to"
    return 1
}

# Write a machine id: 128 bits that follow from data centre, appliance and member, so that the member keeps it.
oq_machine_id() {
    rm -f "$NEWROOT/etc/machine-id"
    { cat "$OQ_CA" && printf 'machine-id %s %s' "$OQM_APPLIANCE" "$OQM_MEMBER"; } | sha256sum | cut -c 1-32 > "$NEWROOT/etc/machine-id"
}
