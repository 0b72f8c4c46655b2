#!/bin/sh
# Waits for its owner's end, whatever the reason, then ends the private world and takes away what is
# left of it outside: its control groups and its folder.
#   sweeper.sh FOLDER GROUP [CONTROLLER…]
# Controllers are those of control groups, version 2, that the owner had handed down for this world.
# On standard input comes the id of the process that made the world, and, when that has ended by itself,
# a second line.
set -u
folder=$1 group=$2
shift 2
trap '' HUP INT TERM
maker= gone=
read -r maker && read -r gone
if [ -n "$maker" ] && [ -z "$gone" ]; then
	kill -KILL "$maker"
	# It dies last in its world.
	tries=0
	while kill -0 "$maker" && [ "$tries" -lt 400 ]; do
		tries=$((tries + 1))
		sleep 0.05
	done
fi

# Processes that are ending hold their control groups for a moment.
tries=0
while [ "$tries" -lt 100 ]; do
	left=
	for each in "/sys/fs/cgroup/$group" "/sys/fs/cgroup"/*/"$group"; do
		[ -d "$each" ] || continue
		find "$each" -depth -type d -exec rmdir {} \;
		[ ! -d "$each" ] || left=yes
	done
	[ -n "$left" ] || break
	tries=$((tries + 1))
	sleep 0.05
done
for each in "$@"; do
	echo "-$each" >/sys/fs/cgroup/cgroup.subtree_control
done
rm -rf -- "$folder"
