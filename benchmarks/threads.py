"""What threads do to a training: alone and beside a busy process, as torch has them by default and as dino chooses them.

Every measurement is a process of its own: how threads wait is settled when torch is loaded. The competitors do nothing
but keep a processor busy each. Other load on the machine is a competitor too; `others` says how much there was.
"""

CHILD = """
import json, sys, time
from pathlib import Path
if sys.argv[3] == "chosen":
    from dino.numerics.threads import choose_threads, let_waiting_threads_sleep
    let_waiting_threads_sleep()
import torch
from dino.config import load_config
from dino.experiments.train import train
if sys.argv[3] == "chosen":
    choose_threads()
began, busy = time.perf_counter(), time.process_time()
train(load_config("demo", sys.argv[4:]) if False else load_config(Path(sys.argv[1]), sys.argv[4:]), Path(sys.argv[2]), lambda *told: None)
print(json.dumps({"seconds": time.perf_counter() - began, "cpu": time.process_time() - busy, "threads": torch.get_num_threads()}))
"""
