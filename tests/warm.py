"""`python ...` in a copy of a process that has already imported what we build on: a command costs seconds less.

The copy runs the command as the interpreter does: its arguments, folder, environment and file descriptors are those of the
caller, and `biasmask` is imported anew from where the caller's PYTHONPATH says. Only third-party packages are shared.
"""

import atexit
import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import types
from pathlib import Path

PACKAGES = (
    *("torch", "torchvision", "lightning.pytorch", "torchmetrics", "timm", "transformers", "pandas", "pyarrow.parquet"),
    *("hydra", "omegaconf", "rich.console", "rich.progress", "rich.table"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg"),
    *("scipy.stats", "sklearn.metrics", "sklearn.linear_model", "safetensors.torch", "submitit", "cloudpickle", "pytest"),
)
SHIM = """#!{python} -IS
import array, json, os, socket, sys
words = sys.argv[1:]
while words and words[0] == "-u":
    del words[0]
# An option of the interpreter, or a program whose process id must be the one that was started.
if not words or words[0].startswith("-") and words[0] != "-m" or words[:2] == ["-m", "submitit.local._local"]:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as line:
    line.connect({socket!r})
    place = {{"words": words, "cwd": os.getcwd(), "environment": dict(os.environ)}}
    content = json.dumps(place).encode()
    files = array.array("i", [0, 1, 2])
    line.sendmsg([len(content).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
    line.sendall(content)
    answer = line.recv(4)
sys.exit(int.from_bytes(answer, "big") if answer else 70)
"""


def put_python(folder: Path) -> tuple[Path, subprocess.Popen[bytes]]:
    """Write a `python` into a new folder, for the front of PATH, and start the process that stands behind it.

    Returns:
        The command, and the process, which ends by SIGTERM.
    """
    folder.mkdir(parents=True)
    command, address = folder / "python", str(folder / "socket")
    if len(address) > 100:  # the kernel's limit for the name of a socket
        raise ValueError(f"{address} is too long for the name of a socket")
    command.write_text(SHIM.format(python=sys.executable, socket=address))
    command.chmod(0o755)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    environment.pop("PYTHONPATH", None)
    server = subprocess.Popen([sys.executable, __file__, address], env=environment, start_new_session=True)
    while not Path(address).exists():
        if server.poll() is not None:
            raise RuntimeError("the process behind `python` ended before it began")
        time.sleep(0.05)
    return command, server


def serve(address: str) -> None:
    """Answer each connection by a copy of this process, as long as the process that started it lives."""
    parent = os.getppid()
    del sys.path[0]  # the folder of this file: the tests of the caller are others
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError:  # an extra that isn't installed
            continue
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the copies
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(f"{address}.new")
        door.listen(16)
        os.rename(f"{address}.new", address)  # there once it answers
        door.settimeout(2)
        while os.getppid() == parent:
            try:
                line, _ = door.accept()
            except TimeoutError:
                continue
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                door.close()
                answer(line)
            line.close()


def answer(line: socket.socket) -> None:
    """Run what a connection asks for in one more copy, and say how it ended; doesn't return."""
    size, files, _, _ = socket.recv_fds(line, 8, 3)
    with line.makefile("rb") as stream:
        place = json.loads(stream.read(int.from_bytes(size, "big")))
    runner = os.fork()
    if runner == 0:
        os.setsid()  # a group of its own, which ends with it
        line.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
        os.closerange(3, max(files) + 1)
        os.chdir(place["cwd"])
        os.environ.clear()
        os.environ.update(place["environment"])
        run(place["words"])
    for file in files:
        os.close(file)
    done = status = 0
    while not done:
        done, status = os.waitpid(runner, os.WNOHANG)
        if not done and select.select([line], [], [], 0.02)[0]:  # the caller was killed
            os.killpg(runner, signal.SIGKILL)
            os._exit(1)
    code = os.waitstatus_to_exitcode(status)
    line.sendall((code if code >= 0 else 128 - code).to_bytes(4, "big"))
    os._exit(0)


def run(words: list[str]) -> None:
    """What the interpreter does with its arguments, from `__main__` to its end; doesn't return."""
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, mode, buffering=1, closefd=False) for n, mode in enumerate("rww"))
    more = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    module = words[0] == "-m"
    sys.argv = words[1:] if module else words
    sys.path[:0] = [os.getcwd() if module else os.path.dirname(os.path.abspath(words[0])), *more]
    importlib.invalidate_caches()
    code = 1
    try:
        if module:
            runpy._run_module_as_main(sys.argv[0], alter_argv=True)
        else:
            main = types.ModuleType("__main__")
            main.__file__, main.__builtins__ = words[0], __builtins__
            sys.modules["__main__"] = main
            with io.open_code(words[0]) as file:
                content = file.read()
            exec(compile(content, words[0], "exec"), main.__dict__)
        code = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
