# A station publishes weather, an agency news; a farmer takes the one, a reader the other, an editor both.
say violin apply
# Repeats a command inside an entity until it says something so many times.
wait_for() { violin exec pubsub/$1 -- sh -c "until [ \$($2 | grep -c '$3') = $4 ]; do sleep 0.2; done"; }
for router in r t; do wait_for $router "vtysh -c 'show ip pim neighbor'" '10\.2\.0\.2' 1; done
for name in station agency farmer reader editor; do violin cp ../../examples pubsub/$name:/srv/; done
programs=/srv/examples/pubsub
violin exec pubsub/farmer -- node $programs/subscribe.ts weather >farmer.out &
violin exec pubsub/reader -- node $programs/subscribe.ts news >reader.out &
violin exec pubsub/editor -- node $programs/subscribe.ts weather news >editor.out &
for name in farmer reader; do wait_for $name 'ip maddr show dev eth0' '239\.' 1; done
wait_for editor 'ip maddr show dev eth0' '239\.' 2
# Joined, and OSPF leads to all publishers and to the rendezvous point.
wait_for s "vtysh -c 'show ip pim upstream'" ' 239\..* J ' 2
wait_for t "vtysh -c 'show ip pim upstream'" ' 239\..* J ' 2
wait_for r "vtysh -c 'show ip route ospf'" '>\* 10\.3\.' 1
for router in s t; do wait_for $router "vtysh -c 'show ip route ospf'" '>\* 10\.1\.' 1; done
say violin exec pubsub/t -- vtysh -c 'show ip igmp groups'
say violin exec pubsub/station -- node $programs/publish.ts weather 'cloud cover' --count 50 --rate 10 &
say violin exec pubsub/agency -- node $programs/publish.ts news 'story' --count 25 --rate 5
wait
for name in farmer reader editor; do sed "1d; s/^/$name: /" $name.out; done
rm farmer.out reader.out editor.out
