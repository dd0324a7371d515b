"""Stand-ins for sbatch, srun and sacct: a queue of this machine that starts all jobs of an array."""

from pathlib import Path

SBATCH = """#!/usr/bin/env python3
import os, re, subprocess, sys
script = sys.argv[-1]
first, last = re.search(r"#SBATCH --array=(\\d+)-(\\d+)", open(script).read()).groups()
for number in range(int(first), int(last) + 1):
    out = open(f"{script}.{number}.log", "w")
    one = {"SLURM_JOB_ID": f"{70 + number}", "SLURM_ARRAY_JOB_ID": "70", "SLURM_ARRAY_TASK_ID": str(number)}
    waiting = ["bash", "-c", 'sleep 5; exec bash "$0"', script]  # a queue takes its time, and submitit counts on it
    subprocess.Popen(waiting, env=os.environ | one, start_new_session=True, stdout=out, stderr=out)
print("Submitted batch job 70")
"""
SRUN = """#!/usr/bin/env python3
import os, sys
at = next(i for i, word in enumerate(sys.argv) if "python" in os.path.basename(word) and i)
one = {"NTASKS": "1", "NTASKS_PER_NODE": "1", "PROCID": "0", "LOCALID": "0", "NODEID": "0", "JOB_NUM_NODES": "1"}
names = {"JOB_NODELIST": "localhost", "NODELIST": "localhost", "JOB_NAME": "job"}
os.execvpe(sys.argv[at], sys.argv[at:], os.environ | {f"SLURM_{key}": value for key, value in (one | names).items()})
"""
SACCT = """#!/usr/bin/env python3
print("JobID|State|NodeList", *(f"70_{number}|RUNNING|localhost" for number in range(99)), sep="\\n")
"""


def put_slurm(folder: Path) -> Path:
    """Write the three commands into a folder, which goes to the front of PATH."""
    folder.mkdir(parents=True)
    for name, text in {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder
