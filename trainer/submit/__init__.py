"""Jobs on a cluster: `scripts/submit --cluster=slurm --nodes=2 -- --dataset=mnist`."""
