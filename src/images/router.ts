/** The image `router`: routing daemons, packet filters and measuring tools. */
import type { DebianImage } from './debian.ts'

export const router: DebianImage = {
  name: 'router',
  /** What machines have to say and to do with networks; what busybox has is taken from there. */
  packages: [
    ...['base-files', 'base-passwd', 'busybox-static', 'dash', 'libc-bin', 'kmod', 'netbase'],
    ...['frr', 'iproute2', 'nftables', 'iptables', 'conntrack', 'ethtool'],
    ...['dnsmasq-base', 'radvd', 'smcroute'],
    ...['iputils-ping', 'traceroute', 'mtr-tiny', 'tcpdump', 'iperf', 'iperf3', 'socat', 'ssmping', 'uftp']
  ]
}
