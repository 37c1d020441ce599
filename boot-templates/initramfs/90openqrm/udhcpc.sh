#!/bin/busybox sh
# shellcheck shell=dash disable=SC2154 # udhcpc sets ip, interface and the rest
# What udhcpc calls when its lease changes. It runs in the bundle (chroot), in the initramfs and in the deployed system alike.
# An address is never taken away: the root file system may depend on it.
set -u
state=/run/openqrm

configure() {
    ip addr replace "$ip/${mask:-24}" dev "$interface"
    for gateway in ${router:-}; do
        ip route replace default via "$gateway" dev "$interface" && break
    done
    : > /etc/resolv.conf.new
    for server in ${dns:-}; do
        printf 'nameserver %s\n' "$server" >> /etc/resolv.conf.new
    done
    mv /etc/resolv.conf.new /etc/resolv.conf
    {
        printf 'interface=%s\naddress=%s/%s\n' "$interface" "$ip" "${mask:-24}"
        printf 'router=%s\ndns=%s\n' "${router:-}" "${dns:-}"
    } > "$state/lease.new"
    mv "$state/lease.new" "$state/lease"
}

case $1 in
    deconfig) ip link set dev "$interface" up ;;
    bound | renew) configure ;;
esac
