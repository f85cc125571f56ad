# One sender, two listeners at either side of two routers, and one who does not listen.
group=239.1.2.3
say violin apply
until violin exec pim/r -- vtysh -c 'show ip pim neighbor' | grep -q 10.0.2; do :; done
for name in near far; do
  violin exec pim/$name -- timeout 60 iperf -s -u -B $group -t 25 >$name.out &
done
until violin exec pim/s -- vtysh -c 'show ip igmp groups' | grep -q $group; do :; done
say violin exec pim/sender -- iperf -c $group -u -T 8 -l 1000 -b 800k -t 5
say violin exec pim/s -- vtysh -c 'show ip mroute'
wait
for name in near far; do
  echo "$name heard:"
  grep -E 'KBytes|MBytes' $name.out
done
echo 'frames that came to deaf:'
violin exec pim/deaf -- awk '/eth0/ { print $3 }' /proc/net/dev
rm near.out far.out
