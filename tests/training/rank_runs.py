"""Several processes on gloo that run the same few lines, and end cleanly."""

import subprocess
import sys
import textwrap

# Whoever is done first waits for the others, gives its group back while everything is alive still, and leaves without
# running destructors of threads that the backend may have left behind (they end a process by "terminate called").
AROUND = """
import math, os, sys, traceback
from pathlib import Path
import torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
rank, count, where = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
arguments = sys.argv[4:]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{{where}}/meet", rank=rank, world_size=count)
def main():
{body}
code = 0
try:
    main()
    dist.barrier()
    dist.destroy_process_group()
except BaseException:
    traceback.print_exc()
    code = 1
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
"""


def run_ranks(body, where, *arguments, count=2):
    """Exit codes, what each rank printed, and its errors."""
    script = AROUND.format(body=textwrap.indent(textwrap.dedent(body), "    "))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-W", "ignore", "-c", script]
    ranks = [
        subprocess.Popen([*command, str(rank), str(count), str(where), *map(str, arguments)], **pipes)
        for rank in range(count)
    ]
    said = [rank.communicate(timeout=300) for rank in ranks]  # generous: only a rank that waits for ever gets there
    return [rank.returncode for rank in ranks], [out for out, _ in said], [errors for _, errors in said]
