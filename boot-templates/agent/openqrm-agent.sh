#!/run/initramfs/bin/busybox sh
# shellcheck shell=dash
# The agent of a deployed node. One file, fetched by its digest and kept in memory; it runs with the programs that the initramfs
# left in /run/initramfs, so that an image needs nothing for it.
#   install ROOT   in the initramfs: have the image mounted at ROOT start it
#   run            in the deployed system: heartbeats and orders
set -u
units=${OPENQRM_UNIT_DIR:-/run/systemd/system}

# Whether the image at $1 runs systemd.
uses_systemd() {
    [ -x "$1/lib/systemd/systemd" ] || [ -x "$1/usr/lib/systemd/systemd" ] || return 1
    case $(readlink "$1/sbin/init") in *systemd) return 0 ;; esac
    return 1
}

# A unit below /run: the image is not changed.
install_unit() {
    mkdir -p "$units/multi-user.target.wants"
    cat > "$units/openqrm-agent.service" << 'UNIT'
[Unit]
Description=openQRM agent

[Service]
ExecStart=/run/openqrm/agent run
Restart=on-failure
RestartSec=2
OOMScoreAdjust=-900
UNIT
    ln -sf ../openqrm-agent.service "$units/multi-user.target.wants/openqrm-agent.service"
}

# An init script in the image, started last and stopped first.
install_init_script() {
    cat > "$1/etc/init.d/openqrm-agent" << 'SCRIPT' || return 1
#!/bin/sh
### BEGIN INIT INFO
# Provides:          openqrm-agent
# Required-Start:    $local_fs
# Required-Stop:
# Default-Start:     2 3 4 5
# Default-Stop:
# Short-Description: openQRM agent
### END INIT INFO
case $1 in
    start) [ ! -x /run/openqrm/agent ] || /run/initramfs/bin/busybox setsid /run/openqrm/agent run > /dev/null 2>&1 < /dev/null & ;;
    stop | restart | force-reload | status) ;;
esac
SCRIPT
    chmod 0755 "$1/etc/init.d/openqrm-agent"
    for level in 2 3 4 5; do
        mkdir -p "$1/etc/rc$level.d" && ln -sf ../init.d/openqrm-agent "$1/etc/rc$level.d/S99openqrm-agent" || return 1
    done
}

install_agent() {
    if uses_systemd "$1"; then
        install_unit
    elif [ -d "$1/etc/init.d" ]; then
        install_init_script "$1"
    else
        echo "the image has neither systemd nor /etc/init.d: the agent cannot be started"
        return 1
    fi
}

# Print the stage of the boot: init until the system's own start is over, then up.
boot_stage() {
    if [ ! -d /run/systemd/system ] || ! command -v systemctl > /dev/null; then
        echo up
        return 0
    fi
    case $(systemctl is-system-running 2> /dev/null) in
        initializing | starting) echo init ;;
        *) echo up ;;
    esac
}

# Carry out the current order; the answer goes first, because there is no time for it later.
obey() {
    oq_say "order $OQO_ID: $OQO_ORDER"
    case $OQO_ORDER in
        release | reboot) stop_system reboot -r ;;
        poweroff) stop_system poweroff -h ;;
        *) oq_answer_order failed "a deployed node does not know the order '$OQO_ORDER'" ;;
    esac
}

# Stop the system the clean way: stop_system SYSTEMD-VERB SHUTDOWN-OPTION. Does not return where it works.
stop_system() {
    oq_answer_order accepted
    if [ -d /run/systemd/system ]; then
        systemctl --no-block "$1"
    else
        shutdown "$2" now || "$1"
    fi || { oq_event error "$OQO_ORDER" "the system's own $1 failed"; return 1; }
    sleep 600
}

# The server did not take a call: get a new token when it does not know this one, else wait a little.
recover() {
    case $OQ_STATUS in 401 | 403) rm -f "$OQ/token" ;; esac
    oq_pause 2 8
}

run_agent() {
    OQ_PHASE=deployed
    # shellcheck source=boot-templates/initramfs/90openqrm/lib/common.sh
    . /run/initramfs/usr/lib/openqrm/common.sh
    # shellcheck source=boot-templates/initramfs/90openqrm/lib/api.sh
    . /run/initramfs/usr/lib/openqrm/api.sh
    # shellcheck source=/dev/null
    . "$OQ/boot"
    # shellcheck source=/dev/null
    . "$OQ/manifest.vars"
    while :; do
        if [ ! -s "$OQ/token" ] && ! oq_register deployed; then
            recover
            continue
        fi
        stage=$(boot_stage)
        wait_s=$OQM_INTERVAL
        [ "$stage" = up ] || wait_s=1
        if ! oq_heartbeat deployed "$stage"; then
            recover
        elif oq_next_order "$wait_s"; then
            obey
        elif [ "$OQ_STATUS" != 204 ]; then
            recover
        fi
    done
}

case ${1:-} in
    install) install_agent "$2" ;;
    run) run_agent ;;
    *)
        echo "usage: $0 install ROOT | run" >&2
        exit 64
        ;;
esac
