#!/bin/sh
# Runs inside the new root file system, after its packages are configured. An emulated processor boots this system:
# units that a lab has no use for are off; the roles of the collection enable what they serve with.
set -eu

mkdir -p /srv/openqrm
systemctl enable lab-config.service systemd-networkd.service
systemctl disable nfs-server.service nfs-ganesha.service nfs-ganesha-lock.service nfs-client.target nfs-blkmap.service \
    rtslib-fb-targetctl.service tgt.service vblade.service nvmf-autoconnect.service
systemctl mask rpcbind.service rpcbind.socket rpc-statd.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
    e2scrub_reap.service getty@tty1.service systemd-logind.service systemd-pcrphase.service \
    systemd-networkd-wait-online.service systemd-update-utmp.service systemd-random-seed.service

# Nothing of the machine that builds this is kept: its name, name servers, keys.
rm -f /etc/ssh/ssh_host_* /etc/machine-id /etc/hostname /etc/resolv.conf
touch /etc/machine-id
rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/*
for kernel in /boot/vmlinuz-*; do
    version=${kernel#/boot/vmlinuz-}
    ln -sf "vmlinuz-$version" /boot/vmlinuz
    ln -sf "initrd.img-$version" /boot/initrd.img
done
