# Five seconds of video, ten pictures a second, to four receivers; each says what came, one shows its last picture.
group=239.1.1.1
say violin apply
# Repeats a command inside an entity until it says something.
wait_for() { violin exec streaming/$1 -- sh -c "until $2 | grep -q '$3'; do sleep 0.2; done"; }
wait_for r "vtysh -c 'show ip pim neighbor'" '10\.2\.0\.3'
for name in camera monitor tv1 tv2 tv3; do violin cp ../../examples streaming/$name:/srv/; done
for name in monitor tv1 tv2 tv3; do
  show=; [ $name != tv3 ] || show=--show
  violin exec streaming/$name -- node /srv/examples/streaming/receive.ts $group $show >$name.out &
done
for name in monitor tv1 tv2 tv3; do wait_for $name 'ip maddr show dev eth0' $group; done
# Joined: OSPF leads to the rendezvous point, which is on the camera's vLAN, and so to the camera.
for router in s t; do wait_for $router "vtysh -c 'show ip pim upstream'" "$group *J "; done
say violin exec streaming/camera -- node /srv/examples/streaming/source.ts $group --seconds 5 --rate 10
wait
for name in monitor tv1 tv2 tv3; do echo "$name: $(sed 1d $name.out)"; done
rm monitor.out tv1.out tv2.out tv3.out
