#!/usr/bin/env bash
# A fleet on Slurm: the first node of the allocation schedules and drives, the others measure.
#
#   sbatch --nodes=5 docker/fleet.slurm.sh --profile quick --budget 10m
#
# What follows the script's name are options of `bench run`. The bench, with its extra [cluster], has to be installed in
# the same environment on every node; BENCH_CACHE_DIR has to be a folder of the node's own, not one that they share.
#SBATCH --job-name=bench-fleet
#SBATCH --exclusive
#SBATCH --ntasks-per-node=1
#SBATCH --time=02:00:00
#SBATCH --output=bench-fleet-%j.log
set -euo pipefail

export RAY_USAGE_STATS_ENABLED=0
export RAY_worker_niceness=0           # Ray has its workers give way to everything else; a measurement must not
export RAY_memory_monitor_refresh_ms=0 # it ends workers where memory is short; a cell that takes it all fails by itself
export SLURM_CPU_BIND=none             # the suite binds its processes itself
export BENCH_CACHE_DIR="${BENCH_CACHE_DIR:-${TMPDIR:-/tmp}/bench-$USER}"
export RAY_AUTH_MODE=token             # others have accounts on these machines too; Ray would run what they send
RAY_AUTH_TOKEN="$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"
export RAY_AUTH_TOKEN
port="${RAY_PORT:-6379}"

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
if [ "${#nodes[@]}" -lt 2 ]; then
  echo "fleet.slurm.sh: ${#nodes[@]} node in the allocation; ask for two or more, the first of them measures nothing" >&2
  exit 2
fi
head="${nodes[0]}"
# Its own name may stand for 127.0.1.1 there, at which no other node finds it.
address="$(srun --nodes=1 --ntasks=1 -w "$head" hostname --all-ip-addresses | cut -d' ' -f1):$port"

srun --nodes=1 --ntasks=1 --overlap -w "$head" \
  ray start --head --block --num-cpus=0 --node-ip-address="${address%:*}" --port="$port" --include-dashboard=false --object-store-memory=80000000 &
tries=0
until srun --nodes=1 --ntasks=1 --overlap -w "$head" ray health-check --address "$address" >/dev/null 2>&1; do
  tries=$((tries + 1))
  if [ "$tries" -ge 60 ]; then
    echo "fleet.slurm.sh: no Ray head at $address after 60 tries; see its lines above" >&2
    exit 3
  fi
  sleep 2
done
workers="$(IFS=,; echo "${nodes[*]:1}")"
srun --nodes="$((${#nodes[@]} - 1))" --ntasks-per-node=1 --overlap -w "$workers" \
  ray start --address="$address" --block --object-store-memory=80000000 &

code=0
srun --nodes=1 --ntasks=1 --overlap -w "$head" bench run --cluster "$address" "$@" || code=$?
kill %1 %2 2>/dev/null || true
exit "$code"
