"""Who carries out the jobs of a sweep: processes here, Slurm, Ray."""
