# shellcheck shell=sh disable=SC2034 # variables are shared between the files
# Shared by the initramfs and the agent: where things are, messages, waiting, digests, HTTPS.
#
# /run/initramfs is a file system in memory that outlives the initramfs: curl, jq, busybox, their libraries and the certificate
# authority (the bundle), with the node's state in its run/openqrm, which /run/openqrm links to. Programs of the bundle run
# with chroot, so that paths below /run/openqrm and /etc/openqrm mean the same inside and outside, and an image needs nothing.

OQ=/run/openqrm
OQ_BUNDLE=/run/initramfs
OQ_CA=/etc/openqrm/ca.pem
OQ_ANSWER=$OQ/answer

# Say something on every console (initramfs) or on standard output (agent).
oq_say() {
    read -r _seconds _ < /proc/uptime
    _line="openqrm [${_seconds%?}] $*"
    if [ "${OQ_PHASE:-initramfs}" = deployed ]; then
        printf '%s\n' "$_line"
        return 0
    fi
    oq_consoles "$_line"
}

# Write text to every active console; a console that cannot be written to is passed over.
oq_consoles() {
    read -r _consoles < /sys/class/tty/console/active || _consoles=console
    for _console in $_consoles; do
        printf '%s\r\n' "$1" 2> /dev/null > "/dev/$_console" || :
    done
}

# Sleep a random time: from $1 to $2 seconds.
oq_pause() {
    _random=$(od -A n -N 2 -t u2 /dev/urandom)
    sleep $(($1 + _random % ($2 - $1 + 1)))
}

oq_sha256() {
    sha256sum "$1" | cut -d ' ' -f 1
}

# Whether $1 is a SHA-256 in lower-case hex.
oq_is_digest() {
    case $1 in *[!0-9a-f]*) return 1 ;; esac
    [ ${#1} -eq 64 ]
}

# curl with verified TLS; options and URL as arguments, secrets through `--config -` only.
oq_curl() {
    chroot "$OQ_BUNDLE" /usr/bin/curl --silent --show-error --proto =https --cacert "$OQ_CA" \
        --connect-timeout 5 --speed-limit 100 --speed-time 45 "$@"
}

oq_jq() {
    chroot "$OQ_BUNDLE" /usr/bin/jq "$@"
}
