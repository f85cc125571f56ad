# A ring converges, and heals when a router on the way dies.
say violin apply
until violin exec ring/a -- ping -c 1 -W 1 b >/dev/null; do :; done
until violin exec ring/a -- ping -6 -c 1 -W 1 b >/dev/null; do :; done
say violin exec ring/r1 -- vtysh -c 'show ip route ospf'
say violin exec ring/a -- traceroute -n 10.2.0.1

echo 'r2 falls silent while a pings b every 10 ms:'
violin exec ring/a -- ping -i 0.01 -c 500 10.2.0.1 >pings.out &
until [ "$(wc -l <pings.out)" -gt 100 ]; do :; done
violin exec ring/r2 -- nft 'add table netdev cut; add chain netdev cut in { type filter hook ingress devices = { eth0, eth1 } priority 0; policy drop; }'
wait
tail -n 3 pings.out | head -n 2
awk -F 'seq=' '/seq=/ { split($2, n, " "); if (NR > 1 && n[1] - last > gap) gap = n[1] - last; last = n[1] }
  END { print "longest silence: " gap * 10 " ms" }' pings.out
rm pings.out
echo
say violin exec ring/a -- traceroute -n 10.2.0.1
