#!/bin/sh
# Runs inside the new root file system, after its packages are configured: keeps the module that DKMS has built for the
# kernel of this system, and removes what it was built with.
set -eu

for kernel in /boot/vmlinuz-*; do
    version=${kernel#/boot/vmlinuz-}
    dkms autoinstall -k "$version"
    mkdir -p "/lib/modules/$version/extra"
    cp "/lib/modules/$version/updates/dkms/"*.ko "/lib/modules/$version/extra/"
done
# Headers are protected from autoremove, as kernels are; nothing here was installed for a recommendation.
apt-get --yes --quiet purge zfs-dkms dkms '~i~nlinux-headers-' '~i~nlinux-kbuild-'
apt-get --yes --quiet -o APT::AutoRemove::RecommendsImportant=false -o APT::AutoRemove::SuggestsImportant=false \
    autoremove --purge
rm -rf /usr/src/* /var/lib/dkms
for kernel in /boot/vmlinuz-*; do
    version=${kernel#/boot/vmlinuz-}
    depmod "$version"
    modprobe --set-version "$version" --show-depends zfs
done
