#!/bin/sh
# Boot service motd/banner: a login says which member of which appliance this is. Below /run, so that no image is changed.
case ${1:-} in
    start)
        mkdir -p /run/motd.d
        printf 'openQRM: appliance %s, member %s, on resource %s\n' \
            "$OPENQRM_APPLIANCE" "$OPENQRM_MEMBER" "$OPENQRM_RESOURCE" > /run/motd.d/openqrm
        ;;
    stop) rm -f /run/motd.d/openqrm ;;
    *)
        echo "usage: $0 start|stop" >&2
        exit 64
        ;;
esac
