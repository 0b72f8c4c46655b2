#!/bin/sh
# Waits for its owner's end, whatever the reason, then ends the private world and takes away what is
# left of it outside: its control groups and its folder.
#   sweeper.sh FOLDER GROUP
# The only line that comes on standard input is the id of the process that made the world.
set -u
folder=$1 group=$2
trap '' HUP INT TERM
maker=
read -r maker && read -r _
if [ -n "$maker" ]; then
	kill -KILL "$maker"
	# It is dead when its world is: it dies last.
	while kill -0 "$maker"; do sleep 0.05; done
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
rm -rf -- "$folder"
