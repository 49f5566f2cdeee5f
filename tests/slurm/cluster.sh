#!/usr/bin/env bash
# A SLURM cluster of two virtual nodes on this machine: `cluster.sh install`, `cluster.sh start DIR`, `cluster.sh stop DIR`.
# Everything lies in DIR but a link in /etc/slurm, where jobs look, since SLURM hands no SLURM_CONF on to them. Needs root,
# as SLURM's daemons do.
set -euo pipefail

install() {
  command -v slurmctld slurmd munged squeue >/dev/null && return
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge
}

start() {
  local dir=$1 host
  host=$(hostname -s)
  if [ -e /etc/slurm/slurm.conf ]; then
    echo "/etc/slurm/slurm.conf is there: this machine has a cluster of its own" >&2
    return 1
  fi
  mkdir -p "$dir"/{state,spool-alnet1,spool-alnet2,munge}
  chmod 755 "$dir"
  chmod 700 "$dir/munge"
  dd if=/dev/urandom of="$dir/munge/key" bs=1024 count=1 status=none
  chmod 400 "$dir/munge/key"
  munged --force --key-file="$dir/munge/key" --socket="$dir/munge.socket" --pid-file="$dir/munge/pid" \
    --log-file="$dir/munge/log" --seed-file="$dir/munge/seed"
  # The nodes claim more than the machine has, so that the defaults of profiles/slurm are used as they are; no accounting,
  # as on many small clusters.
  cat > "$dir/slurm.conf" <<CONF
ClusterName=alnet
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=17000
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
MinJobAge=600
GresTypes=gpu
NodeName=alnet1 NodeHostname=$host NodeAddr=127.0.0.1 Port=17001 CPUs=8 RealMemory=64000 Gres=gpu:1
NodeName=alnet2 NodeHostname=$host NodeAddr=127.0.0.1 Port=17002 CPUs=8 RealMemory=64000 Gres=gpu:1
PartitionName=all Nodes=alnet[1-2] Default=YES MaxTime=INFINITE State=UP
CONF
  # Any device file stands for a card; networks compute on the processor.
  printf 'NodeName=alnet1 Name=gpu File=/dev/null\nNodeName=alnet2 Name=gpu File=/dev/zero\n' > "$dir/gres.conf"
  echo "CgroupAutomount=no" > "$dir/cgroup.conf"
  mkdir -p /etc/slurm
  ln -sf "$dir"/{slurm,gres,cgroup}.conf /etc/slurm/
  slurmctld -i
  slurmd -N alnet1
  slurmd -N alnet2
  for _ in $(seq 60); do
    [ "$(sinfo --noheader --format=%T%D 2>/dev/null)" = idle2 ] && return
    sleep 1
  done
  sinfo
  tail -n 5 "$dir"/*.log
  return 1
}

stop() {
  local dir=$1
  for file in "$dir"/slurmd-*.pid "$dir/slurmctld.pid" "$dir/munge/pid"; do
    [ -s "$file" ] && kill "$(cat "$file")" 2>/dev/null
  done
  for file in slurm gres cgroup; do
    [ "$(readlink "/etc/slurm/$file.conf")" = "$dir/$file.conf" ] && rm "/etc/slurm/$file.conf"
  done
  return 0
}

"$@"
