# A web server at one address in two places, of which the nearer one dies.
say violin apply
for name in near far; do
  violin exec anycast/$name -- sh -c 'mkdir /srv/www; echo "this is $(hostname)" >/srv/www/index.html; httpd -h /srv/www'
done
ask() { violin exec anycast/client -- timeout 2 wget -q -O - http://10.99.0.1/; }
until ask | grep -q near; do :; done
say ask
say violin exec anycast/r -- vtysh -c 'show ip route 10.99.0.1'

echo 'near dies:'
violin exec anycast/near -- kill -9 2 || true
until ask | grep -q far; do :; done
say ask
say violin exec anycast/r -- vtysh -c 'show ip route 10.99.0.1'
