"""Several processes on gloo that run the same few lines, and end cleanly."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

# One process imports everything and forks the ranks: imports are most of what a short run costs. Whoever is done first
# waits for the others, gives its group back while everything is alive still, and leaves without running destructors of
# threads that the backend may have left behind (they end a process by "terminate called").
AROUND = """
import json, math, os, sys, traceback
from pathlib import Path
import torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
import {imports}
count, where, arguments = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
torch.set_num_threads(1)
def main():
{body}
ranks = []
for rank in range(count):
    ranks.append(os.fork())
    if ranks[-1]:
        continue
    for number, name in ((1, "out"), (2, "errors")):
        os.dup2(os.open(f"{{where}}/{{name}}.{{rank}}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    code = 0
    try:
        dist.init_process_group("gloo", init_method=f"file://{{where}}/meet", rank=rank, world_size=count)
        main()
        dist.barrier()
        dist.destroy_process_group()
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) for rank in ranks]))
"""
# Another launcher's variables would make torch look for its processes.
LAUNCHER = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
TESTS = Path(__file__).parents[1]


def run_ranks(body, where, *arguments, count=2, imports="surefoot.training"):
    """Exit codes, what each rank printed, and its errors.

    `imports` are the modules of the body that all ranks get from the process they are forked from.
    """
    script = AROUND.format(body=textwrap.indent(textwrap.dedent(body), "    "), imports=imports)
    environment = {name: value for name, value in os.environ.items() if name not in LAUNCHER}
    # the loopback needs no host name
    environment |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-W", "ignore", "-c", script, str(count), str(where), *map(str, arguments)]
    # a session of its own, so that no rank outlives a test that waits in vain
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        told, _ = process.communicate(timeout=300)  # generous: only a rank that waits for ever gets there
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    said, errors = (
        [(where / f"{name}.{rank}").read_text(encoding="utf-8") for rank in range(count)] for name in ("out", "errors")
    )
    return json.loads(told), said, errors
