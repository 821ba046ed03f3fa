"""CPython in a guest: each test builds an image of a script, boots it on /dev/kvm and looks at what it printed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = [pytest.mark.kvm, pytest.mark.tool("gcc"), pytest.mark.slow]
Boot = Callable[..., Any]


def test_hello(boot: Boot) -> None:
    """The first words of a guest, and its status."""
    outcome = boot("print('hello')")
    assert (outcome.status, outcome.output) == (0, "hello\n")


def test_arguments_and_exit_status(boot: Boot) -> None:
    """`sys.argv` holds the tender's arguments, and `sys.exit` reaches the host."""
    outcome = boot("import sys; print(sys.argv); sys.exit(len(sys.argv))", "one", "two words")
    assert outcome.output == "['/app/main.py', 'one', 'two words']\n"
    assert outcome.status == 3


def test_a_traceback_names_the_source_line(boot: Boot) -> None:
    """An uncaught exception is reported as anywhere."""
    outcome = boot("def f():\n    raise ValueError('oops')\nf()\n")
    assert outcome.status == 1
    assert "raise ValueError('oops')" in outcome.output
    assert "ValueError: oops" in outcome.output


def test_what_the_standard_library_imports_late_is_there(boot: Boot) -> None:
    """Functions of argparse and others import when they are called; which do differs from one CPython to the next."""
    outcome = boot("""
        import argparse, fractions, typing
        parser = argparse.ArgumentParser()
        parser.add_argument("--port", type=int)
        class Named(typing.Protocol):
            name: str
        print(parser.parse_args(["--port", "80"]).port, fractions.Fraction("0.5"), parser.format_help().split()[0])
    """)
    assert outcome.output == "80 1/2 usage:\n"


def test_sixteen_mebibytes_are_enough(boot: Boot) -> None:
    """A small application fits into 16 MiB of memory."""
    assert boot("print('small')", memory=16 << 20).output == "small\n"


def test_files(boot: Boot) -> None:
    """/tmp can be written, the image cannot, and both answer as a file system does."""
    outcome = boot("""
        import os, tempfile
        with tempfile.TemporaryDirectory() as folder:
            name = os.path.join(folder, "a", "b")
            os.makedirs(os.path.dirname(name))
            with open(name, "w") as file:
                file.write("line\\n" * 10000)
            with open(name, "r+b") as file:
                file.seek(5)
                file.write(b"LINE")
                file.truncate(20)
            print(open(name).read().split(), os.stat(name).st_size, os.listdir(folder))
            os.rename(name, name + "2")
            print(os.path.exists(name), os.path.getsize(name + "2"))
        print(os.path.exists(folder))
        for path, mode in ((os.__file__, "a"), ("/new", "w"), ("/none", "r")):
            try:
                open(path, mode)
            except OSError as error:
                print(type(error).__name__, error.strerror)
        print(sorted(os.listdir("/")), open("/dev/zero", "rb").read(3), len(os.urandom(100)))
    """)
    assert outcome.output.splitlines() == [
        "['line', 'LINE', 'line', 'line'] 20 ['a']",
        "False 20",
        "False",
        "OSError Read-only file system",
        "OSError Read-only file system",
        "FileNotFoundError No such file or directory",
        "['app', 'dev', 'lib64', 'proc', 'tmp', 'usr'] b'\\x00\\x00\\x00' 100",
    ]


def test_running_out_of_memory_is_a_memory_error(boot: Boot) -> None:
    """No allocation ends the guest, and what was freed can be used again."""
    outcome = boot("""
        held = []
        for size in (1 << 30, 1 << 20, 1 << 12):
            try:
                while True:
                    held.append(bytearray(size))
            except MemoryError:
                print("MemoryError")
                held.clear()
        print(len(bytearray(20 << 20)))
    """)
    assert outcome.output.split() == ["MemoryError"] * 3 + [str(20 << 20)]


def test_threads_are_preempted(boot: Boot) -> None:
    """Three threads that never wait all make progress, and the main thread's sleep ends."""
    outcome = boot("""
        import threading, time
        counts, stop = [0, 0, 0], False
        def spin(i):
            while not stop:
                counts[i] += 1
        threads = [threading.Thread(target=spin, args=(i,)) for i in range(3)]
        for thread in threads: thread.start()
        time.sleep(0.3)
        stop = True
        for thread in threads: thread.join()
        print(all(count > 1000 for count in counts))
    """)
    assert outcome.output == "True\n"


def test_pools_queues_and_asyncio(boot: Boot) -> None:
    """Executors, queues, locks and asyncio's executor work on the guest's threads."""
    outcome = boot("""
        import asyncio, concurrent.futures, queue, threading
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            print(sum(pool.map(lambda n: n * n, range(200))))
        q, got = queue.Queue(), []
        def consume():
            while (item := q.get()) is not None: got.append(item)
        thread = threading.Thread(target=consume); thread.start()
        for i in range(2000): q.put(i)
        q.put(None); thread.join(); print(got == list(range(2000)))
        print(threading.Event().wait(0.01))
        async def main():
            loop = asyncio.get_running_loop()
            a, b = await asyncio.gather(loop.run_in_executor(None, sum, range(1000)), asyncio.sleep(0.01, "slept"))
            return a, b
        print(asyncio.run(main()))
    """)
    assert outcome.output.splitlines() == ["2646700", "True", "False", "(499500, 'slept')"]


def test_signals(boot: Boot) -> None:
    """Handlers run for timers and for what the guest sends itself; SIGINT is KeyboardInterrupt."""
    outcome = boot("""
        import os, signal, time
        signal.signal(signal.SIGALRM, lambda number, frame: print("alarm", number))
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        signal.pause()
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        end = time.monotonic() + 0.1
        while time.monotonic() < end: pass
        signal.signal(signal.SIGUSR1, lambda number, frame: print("usr1", number))
        os.kill(os.getpid(), signal.SIGUSR1)
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            print("interrupted")
        signal.raise_signal(signal.SIGTERM)
    """)
    assert outcome.output.splitlines() == ["alarm 14", "alarm 14", "usr1 10", "interrupted"]
    assert outcome.status == 128 + 15


def test_polling(boot: Boot) -> None:
    """poll, select and epoll agree on pipes, socket pairs, eventfd; no network sockets."""
    outcome = boot("""
        import os, select, socket
        r, w = os.pipe()
        epoll, poll = select.epoll(), select.poll()
        epoll.register(r, select.EPOLLIN); poll.register(r, select.POLLIN)
        print(epoll.poll(0), poll.poll(0), select.select([r], [w], [], 0) == ([], [w], []))
        os.write(w, b"x")
        print(epoll.poll() == [(r, 1)], poll.poll() == [(r, 1)], select.select([r], [], []) == ([r], [], []))
        print(os.read(r, 10)); os.close(w); print(os.read(r, 10), epoll.poll(0) == [(r, select.EPOLLHUP)])
        a, b = socket.socketpair()
        a.sendall(b"ping"); print(b.recv(10)); a.close(); print(b.recv(10))
        e = os.eventfd(2) if hasattr(os, "eventfd") else None
        print(os.eventfd_read(e))
        try:
            socket.socket()
        except OSError as error:
            print(error.strerror)
    """)
    assert outcome.output.splitlines() == [
        "[] [] True",
        "True True True",
        "b'x'",
        "b'' True",
        "b'ping'",
        "b''",
        "2",
        "libos: there are no sockets in this guest; the network is mirage.runtime's event loop",
        "Address family not supported by protocol",
    ]


def test_time(boot: Boot) -> None:
    """Clocks run forwards, sleeping takes the time it says, and the date is the host's."""
    outcome = boot("""
        import time
        a = time.monotonic(); time.sleep(0.02); b = time.monotonic()
        print(0.02 <= b - a, time.process_time() < b, int(time.time()) // 1000)
    """)
    words = outcome.output.split()
    assert words[:2] == ["True", "True"]
    assert abs(int(words[2]) - int(time.time()) // 1000) <= 1


def test_no_processes(boot: Boot) -> None:
    """fork is refused with an error and not with a crash."""
    outcome = boot("import os\ntry:\n    os.fork()\nexcept OSError as error:\n    print(error.strerror)\n")
    assert outcome.output == "Function not implemented\n"
