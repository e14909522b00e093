#!/usr/bin/env bash
# A real Slurm of two nodes with a core each on this machine, for tests; as root, without cgroups.
# It has its own munge, ports and folders: a Slurm that is there is not disturbed.
#
#     slurm_two_nodes.sh start DIR    then: export SLURM_CONF=DIR/slurm.conf
#     slurm_two_nodes.sh node DIR n1  start a node's daemon again
#     slurm_two_nodes.sh stop DIR     end all that runs under it
#
# Debian: apt-get install slurm-wlm munge
set -euo pipefail
action=$1
folder=$(mkdir -p "$2" && cd "$2" && pwd)
export SLURM_CONF=$folder/slurm.conf
PATH=$PATH:/usr/sbin

free_ports() {
    python3 - "$1" <<'P'
import socket, sys
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for each in held:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in held))
P
}

# Processes whose environment names this configuration: daemons, their helpers, jobs.
ours() {
    local each
    for each in $(grep -lzxF "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ 2>/dev/null); do
        each=${each#/proc/}
        each=${each%/environ}
        [ "$each" = $$ ] || [ "$each" = "$BASHPID" ] || echo "$each"
    done
}

case $action in
start)
    mkdir -p "$folder"/{state,log,n1,n2,munge}
    chmod 755 "$folder/munge"
    dd if=/dev/urandom of="$folder/munge/key" bs=1024 count=1 status=none
    chmod 400 "$folder/munge/key"
    munged --force --socket="$folder/munge/socket" --key-file="$folder/munge/key" \
        --pid-file="$folder/munge/pid" --log-file="$folder/munge/log" --seed-file="$folder/munge/seed"
    host=$(hostname -s)
    read -r controller first second < <(free_ports 3)
    # A requeued job waits for cred_expire and a second: 121 s, if this is not said.
    cat >"$SLURM_CONF" <<C
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=5
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/%n.pid
SlurmctldLogFile=$folder/log/slurmctld
SlurmdLogFile=$folder/log/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=0
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
KillWait=1
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$first CPUs=1 State=UNKNOWN
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$second CPUs=1 State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
C
    slurmctld -i
    slurmd -N n1
    slurmd -N n2
    for _ in $(seq 60); do
        [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = 2 ] && exit 0
        sleep 0.5
    done
    sinfo
    tail -n 5 "$folder"/log/*
    exit 1
    ;;
node)
    slurmd -N "$3"
    ;;
stop)
    for signal in TERM KILL; do
        for pid in $(ours) $(cat "$folder/munge/pid" 2>/dev/null); do
            kill -"$signal" "$pid" 2>/dev/null || true
        done
        sleep 1
    done
    ;;
*)
    echo "$0: start, node or stop" >&2
    exit 2
    ;;
esac
