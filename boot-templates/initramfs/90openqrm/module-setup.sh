#!/bin/bash
# The dracut module of openQRM's universal initramfs.
#
# The configuration file that is given to dracut sets:
#   openqrm_ca     the certificate authority of the data centre (PEM)
#   openqrm_built  seconds since 1970 of the build; a clock that is behind it is set to it, so that certificates are valid

check() {
    return 255 # only when it is asked for
}

depends() {
    echo base udev-rules kernel-modules kernel-network-modules
}

installkernel() {
    hostonly='' instmods \
        '=fs/nfs' '=net/sunrpc' overlay squashfs loop 8021q af_packet \
        '=drivers/char/ipmi' dmi-sysfs efivarfs \
        iscsi_tcp nvme-tcp aoe sd_mod crc32c xfs btrfs dm_multipath dm_service_time
}

install() {
    local _script
    inst_multiple busybox curl jq dmidecode kexec mount.nfs blkid kmod modprobe losetup cp
    inst_multiple iscsid iscsiadm e2fsck multipathd dmsetup
    inst_multiple -o /lib{,64}/multipath/{libchecktur,libprioconst}.so
    inst_rules 55-dm.rules 60-persistent-storage-dm.rules 95-dm-notify.rules
    inst_multiple mkfs.ext4
    inst_multiple rsync tar zstd getfattr setfattr
    inst_multiple dd b2sum blkdiscard blockdev wipefs sfdisk
    inst_multiple -o /etc/nsswitch.conf /etc/protocols /etc/netconfig /etc/mke2fs.conf
    # shellcheck disable=SC2154 # srcmods is set by dracut; a kernel without IPMI has no use for its program
    [[ -d $srcmods/kernel/drivers/char/ipmi ]] && inst_multiple -o ipmitool
    inst_libdir_file 'libnss_dns*' 'libnss_files*' 'libgcc_s.so*'
    inst_rules 99-default.link
    inst_simple /usr/lib/systemd/network/99-default.link

    # shellcheck disable=SC2154 # moddir is set by dracut
    for _script in "$moddir"/lib/*.sh; do
        inst_simple "$_script" "/usr/lib/openqrm/${_script##*/}"
    done
    inst_script "$moddir/node.sh" /usr/lib/openqrm/node.sh
    inst_script "$moddir/run-hook.sh" /usr/lib/openqrm/run-hook.sh
    inst_script "$moddir/udhcpc.sh" /usr/lib/openqrm/udhcpc.sh
    inst_script "$moddir/shutdown.sh" /usr/lib/openqrm/shutdown.sh
    # shellcheck disable=SC2154 # initdir is set by dracut
    chmod 0755 "$initdir"/usr/lib/openqrm/*.sh
    inst_hook cmdline 95 "$moddir/root-method.sh"
    inst_hook mount 50 "$moddir/mount-root.sh"

    # shellcheck disable=SC2154 # openqrm_ca and openqrm_built are set by the configuration file
    inst_simple "$openqrm_ca" /etc/openqrm/ca.pem
    # shellcheck disable=SC2154
    printf '%s\n' "$openqrm_built" > "$initdir/etc/openqrm/built"
    echo 'rd.shell=0 rd.emergency=reboot' > "$initdir/etc/cmdline.d/90-openqrm.conf"
    openqrm_bundle_list > "$initdir/usr/lib/openqrm/bundle.list"
    openqrm_programs iscsid iscsiadm > "$initdir/usr/lib/openqrm/iscsi.files"
    {
        openqrm_programs multipathd dmsetup
        # Which it opens when it runs: what looks at paths, and what ends threads.
        (cd "$initdir" && find . -path '*/multipath/lib*.so' -o -name 'libgcc_s.so*' | sed 's,^\./\(usr/\)\?,,')
    } > "$initdir/usr/lib/openqrm/multipath.files"
}

# Print the paths of programs and of the libraries that they need.
openqrm_programs() {
    local _program
    for _program; do
        type -P "$_program"
        ldd "$(type -P "$_program")" 2> /dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }'
    done | sed 's,^/,,' | sort -u
}

# Print the files that must outlive the initramfs: what the agent, the DHCP client and the shutdown need.
openqrm_bundle_list() {
    openqrm_programs busybox curl jq
    (cd "$initdir" && find ./usr/lib/openqrm ./etc/openqrm/ca.pem -type f -name '*.*' | sed 's,^\./,,' | sort)
    (cd "$initdir" && find . -name 'libnss_dns.so*' -o -name 'libnss_files.so*' -o -name nsswitch.conf | sed 's,^\./,,' | sort)
}
