#!/usr/bin/env bash
# A private Slurm on this machine, for tests: one controller and some nodes on the loopback interface, as root, without
# systemd. It writes into DIR only.
#
#     scripts/slurm-local.sh start DIR     installs Slurm where it is missing (Debian, Ubuntu), and starts it
#     export SLURM_CONF=DIR/slurm.conf
#     scripts/slurm-local.sh stop DIR      ends its jobs, and it
#
# SLURM_LOCAL_NODES (1), SLURM_LOCAL_CPUS (4) of each, SLURM_LOCAL_PORT (16817), SLURM_LOCAL_KILLWAIT (5 seconds between TERM and
# KILL), and SLURM_LOCAL_EXTRA (more lines of slurm.conf) say how it is to be.
set -euo pipefail
command=${1:?start or stop} dir=$(realpath -m "${2:?a folder}")
nodes=${SLURM_LOCAL_NODES:-1} cpus=${SLURM_LOCAL_CPUS:-4} port=${SLURM_LOCAL_PORT:-16817}
export SLURM_CONF=$dir/slurm.conf
host=$(hostname -s)

# until SECONDS WHAT COMMAND...: waits for a command to succeed.
until_ok() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    while ! "$@" > /dev/null 2>&1; do
        if ((SECONDS >= end)); then echo "slurm-local: no $what in time; the logs are in $dir" >&2; return 1; fi
        sleep 0.05
    done
}
pid_of() { cat "$dir/$1" 2> /dev/null || true; }
# A zombie has ended.
lives() { [ -n "$1" ] && grep -qs '^State:.[^Z]' "/proc/$1/status"; }
has_ended() { ! lives "$1"; }
nodes_are_idle() { [ "$(sinfo -h -N -o %t | sort -u)" = idle ]; }
no_jobs() { [ -z "$(timeout 5 squeue -h -o %i)" ]; }

install() {
    command -v slurmctld > /dev/null && command -v munged > /dev/null && return
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 \
        slurmctld slurmd slurm-client munge > /dev/null
}

start_slurmd() { slurmd -N "$1"; }

start() {
    if lives "$(pid_of slurmctld.pid)"; then echo "slurm-local: it runs already in $dir" >&2; exit 1; fi
    # The path of a Unix socket is limited to 108 bytes, and slurmd adds to it.
    if ((${#dir} > 70)); then echo "slurm-local: the path of the folder is too long for a socket" >&2; exit 1; fi
    install
    mkdir -p "$dir"/{munge,state,spool}
    # munged wants to pass through every folder above its socket.
    chmod 711 "$dir" "$dir/munge"
    [ -s "$dir/munge/key" ] || (umask 077; head -c 64 /dev/urandom > "$dir/munge/key")
    # Processes are tracked by their group: by parents, those whose shell has died would be lost.
    cat > "$SLURM_CONF" << CONF
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/jobcomp.log
MailProg=/bin/true
ReturnToService=2
SlurmdTimeout=10
MessageTimeout=5
KillWait=${SLURM_LOCAL_KILLWAIT:-5}
MaxArraySize=1001
JobRequeue=1
${SLURM_LOCAL_EXTRA:-}
NodeName=DEFAULT CPUs=$cpus RealMemory=8000
$(for i in $(seq "$nodes"); do echo "NodeName=n$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + i))"; done)
PartitionName=debug Nodes=ALL Default=YES MaxTime=60 DefaultTime=10
CONF
    munged --socket="$dir/munge/socket" --key-file="$dir/munge/key" --pid-file="$dir/munge/pid" \
        --log-file="$dir/munge/log" --seed-file="$dir/munge/seed"
    until_ok 10 munge munge -n -S "$dir/munge/socket"
    slurmctld
    until_ok 10 slurmctld scontrol ping
    for i in $(seq "$nodes"); do start_slurmd "n$i"; done
    until_ok 15 "idle nodes" nodes_are_idle
}

# Jobs first: their processes would outlive slurmd.
stop() {
    local file id
    if lives "$(pid_of slurmctld.pid)"; then
        timeout 5 scancel -Q --me || true
        until_ok 20 "end of the jobs" no_jobs || true
    fi
    for file in $(cd "$dir" && ls slurmd.*.pid 2> /dev/null) slurmctld.pid munge/pid; do
        id=$(pid_of "$file")
        lives "$id" || continue
        kill "$id"
        until_ok 10 "end of $file" has_ended "$id" || kill -9 "$id" || true
    done
}

case $command in
    start) trap 'status=$?; [ $status = 0 ] || stop' EXIT; start ;;
    stop) stop ;;
    *) echo "slurm-local: start or stop, and a folder" >&2; exit 2 ;;
esac
