"""Several processes on gloo that run the same few lines, and end cleanly."""

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path

import pytest
import torch

needs_gloo = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()), reason="torch without gloo"
)

# One process imports everything, and forks the ranks of every run: to import is most of what a short run costs. Among
# it is what a rank would import at its first collective or derivative. Whoever is done first waits for the others,
# gives its group back while everything is alive still, and leaves without running destructors of threads that the
# backend may have left behind (they end a process by "terminate called").
SERVER = """
import json, math, os, sys, traceback
from contextlib import suppress
from pathlib import Path
import torch, torch.distributed as dist
import array_api_compat.torch, scipy.linalg, torch._dynamo, torch.distributed.fsdp
import training.curvature.sharded_runs, training.curvature.two_processes
from torch.nn.parallel import DistributedDataParallel
with suppress(ImportError):
    import accelerate
torch.set_num_threads(1)
def run(rank, count, where, arguments, body):
    for number, name in ((1, "out"), (2, "errors")):
        os.dup2(os.open(where / f"{name}.{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    code = 0
    try:
        dist.init_process_group("gloo", init_method=f"file://{where}/meet", rank=rank, world_size=count)
        exec(body, globals() | {"rank": rank, "count": count, "where": where, "arguments": arguments})
        dist.barrier()
        dist.destroy_process_group()
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
while line := sys.stdin.readline():
    body, where, count, arguments = json.loads(line)
    ranks = []
    for rank in range(count):
        ranks.append(os.fork())
        if not ranks[-1]:
            run(rank, count, Path(where), arguments, body)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) for rank in ranks]), flush=True)
"""
# Another launcher's variables would make torch look for its processes.
LAUNCHER = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
TESTS = Path(__file__).parents[1]


@cache
def server():
    """The process that ranks are forked from; it ends with this one."""
    environment = {name: value for name, value in os.environ.items() if name not in LAUNCHER}
    # the loopback needs no host name
    environment |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-W", "ignore", "-c", SERVER]
    # a session of its own, so that no rank outlives a test that waits in vain
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    atexit.register(stop, process)
    return process


def stop(process):
    """End the server and whatever it forked."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    server.cache_clear()


def run_ranks(body, where, *arguments, count=2):
    """Exit codes, what each rank printed, and its errors.

    The lines of `body` know their rank, the count, the folder `where` and the arguments, and torch, dist and json.
    """
    process = server()
    job = [textwrap.dedent(body), str(where), count, list(map(str, arguments))]
    try:
        print(json.dumps(job), file=process.stdin, flush=True)
        # generous: only a rank that waits for ever gets there
        assert select.select([process.stdout], [], [], 300)[0], "the ranks did not end"
        codes = json.loads(process.stdout.readline())
    except BaseException:  # an answer that came later would be taken for that of another run
        stop(process)
        raise
    said, errors = (
        [(where / f"{name}.{rank}").read_text(encoding="utf-8") for rank in range(count)] for name in ("out", "errors")
    )
    return codes, said, errors
