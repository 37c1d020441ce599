#!/run/initramfs/bin/busybox sh
# shellcheck shell=dash
# The agent of a deployed node. One file, fetched by its digest and kept in memory; it runs with the programs that the initramfs
# left in /run/initramfs, so that an image needs nothing for it.
#   install ROOT   in the initramfs: have the image mounted at ROOT start it, and the boot services
#   services VERB  in a deployed system without systemd: start or stop the boot services
#   run            in the deployed system: heartbeats and orders
set -u
units=${OPENQRM_UNIT_DIR:-/run/systemd/system}
services=${OPENQRM_SERVICES:-/run/openqrm/services}

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
    for program in "$services"/*; do
        [ ! -f "$program" ] || install_service_unit "${program##*/}" || return 1
    done
}

# A unit for the boot service $1: its program is called as an init script is.
install_service_unit() {
    cat > "$units/openqrm-$1.service" << UNIT
[Unit]
Description=openQRM boot service $1
After=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
EnvironmentFile=/run/openqrm/services.env
ExecStart=/run/openqrm/services/$1 start
ExecStop=/run/openqrm/services/$1 stop
TimeoutSec=120
UNIT
    ln -sf "../openqrm-$1.service" "$units/multi-user.target.wants/openqrm-$1.service"
}

# Start or stop the boot services, one after the other; a failure of one is reported and does not keep the others.
run_services() {
    OQ_PHASE=deployed
    # shellcheck source=boot-templates/initramfs/90openqrm/lib/common.sh
    . /run/initramfs/usr/lib/openqrm/common.sh
    set -a
    # shellcheck source=/dev/null
    [ ! -f "$OQ/services.env" ] || . "$OQ/services.env"
    set +a
    for program in "$services"/*; do
        [ ! -f "$program" ] || "$program" "$1" < /dev/null || oq_say "boot service ${program##*/}: $1 failed"
    done
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
# Default-Stop:      0 6
# Short-Description: openQRM agent
### END INIT INFO
case $1 in
    start)
        [ -x /run/openqrm/agent ] || exit 0
        /run/initramfs/bin/busybox setsid /run/openqrm/agent run > /dev/null 2>&1 < /dev/null &
        /run/openqrm/agent services start
        ;;
    stop) [ ! -x /run/openqrm/agent ] || /run/openqrm/agent services stop ;;
    restart | force-reload | status) ;;
esac
SCRIPT
    chmod 0755 "$1/etc/init.d/openqrm-agent"
    for link in 2/S99 3/S99 4/S99 5/S99 0/K01 6/K01; do
        directory=$1/etc/rc${link%/*}.d
        mkdir -p "$directory" && ln -sf ../init.d/openqrm-agent "$directory/${link#*/}openqrm-agent" || return 1
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
    services) run_services "$2" ;;
    *)
        echo "usage: $0 install ROOT | run | services start|stop" >&2
        exit 64
        ;;
esac
