#!/usr/bin/env bash
# A SLURM of one node on this machine, for tests: Debian's or Ubuntu's packages, without systemd.
#
#   cluster.sh start DIR   installs what is missing, starts the daemons, waits until the node is idle
#   cluster.sh stop DIR    ends all jobs and the daemons that `start DIR` started; happens, too, when the caller ends
#
# DIR keeps logs and state. Status 77 says that SLURM cannot be had here; the message says why, nothing was changed.
set -euo pipefail
command=$1 dir=$2
etc=/etc/slurm  # SLURM_CONF would not do: Snakemake's job step drops every variable of SLURM's

absent() {
  echo "$1" >&2
  exit 77
}

ours() { [[ -L $1 && $(readlink "$1") == "$dir/"* ]]; }

running() { [[ -s $1 ]] && kill -0 "$(cat "$1")" 2>/dev/null; }

until_true() { # SECONDS COMMAND...
  local left=$(($1 * 10))
  shift
  until "$@" >/dev/null 2>&1; do
    ((left--)) || return 1
    sleep 0.1
  done
}

gone() { ! running "$1"; }

stop() {
  local name pid
  if running "$dir/slurmctld.pid"; then
    timeout 10 scancel --user=root || true
    until_true 10 eval '[[ -z $(squeue --noheader) ]]' || true
  fi
  for name in slurmd slurmctld munged; do
    pid=$dir/$name.pid
    if running "$pid"; then
      kill "$(cat "$pid")"
      until_true 10 gone "$pid" || kill -9 "$(cat "$pid")"
    fi
    rm -f "$pid"
  done
  for name in slurm gres cgroup; do
    if ours "$etc/$name.conf"; then rm "$etc/$name.conf"; fi
  done
}

check() {
  [[ $(id -u) == 0 ]] || absent "SLURM needs root to be started"
  command -v apt-get >/dev/null || absent "no apt-get, from whose packages SLURM would come"
  for name in slurm gres cgroup; do
    if [[ -e $etc/$name.conf || -L $etc/$name.conf ]]; then
      absent "$etc/$name.conf exists: this machine has a SLURM of its own, or an earlier test was not stopped"
    fi
  done
}

packages() {
  local wanted=(slurmctld slurmd slurm-client munge)
  dpkg-query --show --showformat='${Status}\n' "${wanted[@]}" 2>/dev/null | grep -c 'ok installed' | grep -qx 4 && return
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update && apt-get install --yes --no-install-recommends "${wanted[@]}"; } >"$dir/apt.log" 2>&1 ||
    absent "apt-get could not install ${wanted[*]}: $(tail -n 1 "$dir/apt.log")"
}

configure() {
  local host cpus memory
  host=$(hostname -s) cpus=$(nproc)
  memory=$(awk '/MemTotal/ {print int($2 / 1024 * 0.9)}' /proc/meminfo)
  mkdir -p "$dir/state" "$dir/spool"
  # A job whose node fails is queued again (JobRequeue), as is usual, and for the test at once (cred_expire).
  # Jobs that take more memory than they asked for are killed, and impossible requests refused.
  cat >"$dir/slurm.conf" <<EOF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobAcctGatherParams=OverMemoryKill,NoShared
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
EnforcePartLimits=ALL
JobRequeue=1
MinJobAge=3600
MpiDefault=none
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory Gres=gpu:2 State=UNKNOWN
PartitionName=cpu Nodes=$host Default=YES MaxTime=1-00:00:00
PartitionName=gpu Nodes=$host MaxTime=1-00:00:00
EOF
  # Two pretended GPUs; they have to be character devices.
  printf 'Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n' >"$dir/gres.conf"
  printf 'CgroupAutomount=no\nCgroupPlugin=cgroup/v1\n' >"$dir/cgroup.conf"
  mkdir -p "$etc"
  for name in slurm gres cgroup; do ln -s "$dir/$name.conf" "$etc/$name.conf"; done
}

start() {
  check
  mkdir -p "$dir"
  packages
  trap stop ERR
  # It goes with whoever started it, however that ends.
  setsid bash -c "while kill -0 $PPID 2>/dev/null; do sleep 1; done; exec '$0' stop '$dir'" >/dev/null 2>&1 </dev/null &
  configure
  if ! munge --no-input >/dev/null 2>&1; then # systemd has started it where there is one
    install -d -o munge -g munge -m 755 /run/munge
    runuser -u munge -- munged
    cp /run/munge/munged.pid "$dir/munged.pid"
  fi
  slurmctld
  slurmd
  until_true 30 eval '[[ $(sinfo --noheader --format=%T) == *idle* ]]' || {
    tail -n 5 "$dir"/slurm*.log >&2
    false
  }
}

case $command in
  start) start ;;
  stop) stop ;;
  *) echo "cluster.sh start|stop DIR" >&2; exit 2 ;;
esac
