#!/bin/sh
# What a node loses when it is switched off: processes, their control groups, mounts, network devices
# and /run.
#   power_off.sh GROUP
# The programs of the node itself have been killed before.
set -u
group=$1

# Processes of pods are known by their control group, and what watches them by its name.
doomed() {
	find /sys/fs/cgroup -path "*/$group/*" -name cgroup.procs -exec cat {} +
	for each in /proc/[0-9]*; do
		[ "$(cat "$each/comm")" != containerd-shim ] || echo "${each#/proc/}"
	done
}

tries=0
while [ -n "$(doomed 2>/dev/null)" ]; do
	[ "$tries" -lt 100 ] || {
		echo "these processes do not die: $(doomed)" >&2
		exit 1
	}
	kill -KILL $(doomed 2>/dev/null)
	tries=$((tries + 1))
	sleep 0.05
done

for mount in $(cut -d ' ' -f 2 /proc/mounts | grep -E '^/(run|var/lib)/.' | sort -r); do
	umount -l "$mount"
done
# /sys is the machine's, and shows the devices of its network. One end of a pair takes the other along.
ip -o link | while IFS=': @' read -r _ device _; do
	[ "$device" = lo ] || ip link delete "$device" 2>/dev/null
done
# A kubelet would ask for the containers of each for seconds.
find /sys/fs/cgroup -depth -path "*/$group/*" -type d -exec rmdir {} \;
rm -rf /run/containerd /run/netns
