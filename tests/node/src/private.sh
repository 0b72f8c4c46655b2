#!/bin/sh
# The first process of the private world: prepares it, and runs a command in it as long as that lives.
#   private.sh FOLDER NODE_NAME NODE_ADDRESS COMMAND…
# The world has mounts, processes, a network, a host name and semaphores of its own. Whatever ends this
# process ends all others in it, and the kernel takes the rest away.
set -eu
folder=$1 name=$2 address=$3
shift 3

# A kubelet wants mounts to be shared; nobody outside is a peer.
mount --make-rshared /
hostname "$name"
ip link set lo up
# The node's address, and that of Azure's instance metadata. A kubelet refuses a loopback address.
ip addr add "$address/32" dev lo
ip addr add 169.254.169.254/32 dev lo
# Nothing leads out.
ip route add default dev lo

# Where a node's programs keep what they have. These hold nothing of the machine's here.
for each in /run /var/log /var/lib; do
	mount -t tmpfs tmpfs "$each"
done

mkdir "$folder/etc"
printf 'nameserver %s\n' "$address" >"$folder/etc/resolv.conf"
printf '127.0.0.1 localhost\n%s %s\n' "$address" "$name" >"$folder/etc/hosts"
for file in resolv.conf hosts; do
	target=$(readlink -m "/etc/$file")
	case $target in
	# The link of a resolver leads to where nothing is now.
	/run/* | /var/lib/*)
		mkdir -p "${target%/*}"
		: >"$target"
		;;
	esac
	mount --bind "$folder/etc/$file" "$target"
done

# What a kubelet sets for the whole machine is set in files instead.
setting() {
	printf '%s\n' "$2" >"$folder/etc/$(basename "$1")"
	mount --bind "$folder/etc/$(basename "$1")" "/proc/sys/$1"
}
setting vm/overcommit_memory 1
setting vm/panic_on_oom 0
setting kernel/panic 10
setting kernel/panic_on_oops 1
setting kernel/keys/root_maxkeys 1000000
setting kernel/keys/root_maxbytes 25000000

# Waiting takes in every process that has lost its parent, too. The command reads from the pipe whose
# end tells that the owner is gone; in the background it would read nothing.
exec 3<&0
"$@" <&3 3<&- &
wait $!
