# What is inside reaches out, is seen as its router, and cannot be reached.
say violin apply
say violin show gateway/r --config
say violin exec gateway/laptop -- udhcpc -i eth0 -n -q -f -s /bin/true
say violin exec gateway/laptop -- nslookup server 192.168.1.1
violin exec gateway/server -- socat TCP-LISTEN:7,reuseaddr,fork 'SYSTEM:echo you are $SOCAT_PEERADDR' &
until violin exec gateway/laptop -- sh -c 'sleep 1 | nc -w 2 server 7' 2>/dev/null; do :; done
violin exec gateway/server -- ping -c 1 -W 2 192.168.1.2 || echo 'nobody answers from inside'
violin exec gateway/server -- killall socat
wait
