# Receives until the machine ends; -T keeps nothing half received.
mkdir -p /var/received /var/receiving
uftpd -I eth0 -D /var/received -T /var/receiving
