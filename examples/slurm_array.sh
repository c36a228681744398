#!/usr/bin/env bash
# A run as a Slurm array: each task asks its part, on its own GPU; a last job puts the parts together.
#
#   sbatch examples/slurm_array.sh qwen2.5-vl-7b mmd runs/qwen
#
# Data and the run's folder must be on a file system that every node sees. A task that is pre-empted
# or killed is queued again and resumes.
#SBATCH --job-name=mmdbench
#SBATCH --array=1-8
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --output=mmdbench-%A_%a.log
set -euo pipefail

if [ $# -lt 3 ]; then
  echo "usage: sbatch $0 MODEL BENCH FOLDER [more options of mmdbench eval]" >&2
  exit 2
fi
model=$1 bench=$2 folder=$3
shift 3

number=$SLURM_ARRAY_TASK_ID
count=$SLURM_ARRAY_TASK_COUNT

# The first task queues the merge, to run when all have succeeded.
if [ "$number" = "$SLURM_ARRAY_TASK_MIN" ] && [ "${SLURM_RESTART_COUNT:-0}" = 0 ]; then
  sbatch --dependency="afterok:$SLURM_ARRAY_JOB_ID" --job-name=mmdbench-merge --time=1:00:00 \
    --output="mmdbench-%j.log" \
    --wrap="mmdbench merge $(printf '%q/shard-* ' "$folder")-o $(printf '%q' "$folder/whole") && mmdbench report $(printf '%q' "$folder/whole")"
fi

mmdbench eval --model "$model" --bench "$bench" --shard "$number/$count" -o "$folder/shard-$number" --offline "$@"
