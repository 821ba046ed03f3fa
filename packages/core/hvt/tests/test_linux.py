"""The guest as a Linux: /proc, links, writable folders, shared maps, timers, limits, and running out of things."""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mirage.hvt import BuildError, Tender, build
from mirage.hvt._collect import Collection

pytestmark = [pytest.mark.kvm, pytest.mark.tool("gcc"), pytest.mark.slow]
Boot = Callable[..., Any]


def test_proc_says_what_is(boot: Boot) -> None:
    """/proc agrees with what the interpreter knows of itself otherwise."""
    outcome = boot(
        """
        import os, sys
        read = lambda name: open("/proc/" + name).read()
        print(read("self/cmdline").split("\\0")[-2], sys.argv[-1], read("self/stat").split()[0] == str(os.getpid()))
        print("PYTHONUNBUFFERED=1" in read("self/environ").split("\\0"), os.path.realpath("/proc/self"))
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024
        print(read("meminfo").split()[1] == str(pages), *(len(read("self/" + n).split()) for n in ("stat", "statm")))
        maps = [line.split() for line in read("self/maps").splitlines()]
        print(all("w" not in m[1] or "x" not in m[1] for m in maps), any(m[-1].endswith("libc.so.6") for m in maps))
        here = id(maps)
        print(any(int(a, 16) <= here < int(b, 16) for a, b in (m[0].split("-") for m in maps)))
        r, w = os.pipe()
        print(str(r) in os.listdir("/proc/self/fd"), os.readlink(f"/dev/fd/{r}").startswith("pipe:["))
        open(f"/dev/fd/{w}", "wb", 0).write(b"through"); print(os.read(r, 9))
        print(any(" /tmp " in line for line in read("self/mountinfo").splitlines()))
        try:
            open("/proc/self/maps", "w")
        except OSError as error:
            print(error.strerror)
    """,
        "last",
    )
    assert outcome.output.splitlines() == [
        *("last last True", "True /proc/1", "True 52 7", "True True", "True"),
        *("True True", "b'through'", "True", "Permission denied"),
    ]


def test_links(boot: Boot) -> None:
    """Symbolic links lead where they say, hard links are one file, loops and O_NOFOLLOW are errors."""
    outcome = boot("""
        import errno, os, pathlib, shutil, tempfile
        os.chdir(tempfile.mkdtemp(dir="/tmp"))
        pathlib.Path("file").write_text("text"); os.makedirs("one/two")
        os.symlink("../../file", "one/two/link"); os.symlink("one/two", "short"); os.symlink("loop", "loop")
        print(open("short/link").read(), os.readlink("short"), os.path.realpath("short/..") == os.path.abspath("one"))
        os.link("file", "again"); open("again", "a").write("!")
        print(open("file").read(), os.stat("file").st_nlink, os.path.samefile("file", "again"))
        os.unlink("file"); print(os.path.exists("short/link"), os.path.lexists("short/link"), open("again").read())
        def attempt(call, *arguments):
            try:
                call(*arguments); print("done")
            except OSError as error:
                print(errno.errorcode[error.errno])
        attempt(open, "loop"); attempt(os.open, "short", os.O_RDONLY | os.O_NOFOLLOW)
        attempt(os.link, "one", "x"); attempt(os.symlink, "a", "again"); attempt(os.open, "again/x", os.O_RDONLY)
        attempt(os.symlink, "a", "/usr/new"); attempt(os.link, os.__file__, "here"); attempt(os.rmdir, "/tmp")
        shutil.rmtree("one"); os.utime("again", (-5, 7.5)); os.chmod("again", 0o640); os.chown("again", 3, 4)
        s = os.stat("again"); print(s.st_atime, s.st_mtime, oct(s.st_mode), s.st_uid, s.st_gid, os.path.isdir("short"))
    """)
    assert outcome.output.splitlines() == [
        *("text one/two True", "text! 2 True", "False True text!"),
        *("ELOOP", "ELOOP", "EPERM", "EEXIST", "ENOTDIR", "EROFS", "EXDEV", "EBUSY"),
        "-5.0 7.5 0o100640 3 4 False",
    ]


def test_copying_and_room(boot: Boot) -> None:
    """sendfile, copy_file_range, posix_fallocate and memfd_create do what their names say."""
    outcome = boot("""
        import os
        a, b, data = os.memfd_create("a"), os.memfd_create("b"), os.urandom(300_000)
        os.write(a, data)
        print(os.sendfile(b, a, 10, 200_000), os.pread(b, 300_000, 0) == data[10:200_010])
        print(os.copy_file_range(a, b, 1000, 0, 0), os.pread(b, 1001, 0) == data[:1000] + data[1010:1011])
        os.posix_fallocate(a, 0, 1 << 20); print(os.fstat(a).st_size, os.pread(a, 9, 300_000))
        os.ftruncate(a, 5); os.ftruncate(a, 10); print(os.pread(a, 20, 0) == data[:5] + bytes(5))
        r, w = os.pipe(); print(os.sendfile(w, b, 0, 10), os.read(r, 99) == data[:10])
    """)
    assert outcome.output.splitlines() == [
        *("200000 True", "1000 True", f"{1 << 20} {bytes(9)}", "True", "10 True"),
    ]


def test_shared_maps(boot: Boot) -> None:
    """A shared map is the file: each sees at once what is written through the other, and both grow."""
    outcome = boot("""
        import mmap, tempfile
        file = tempfile.TemporaryFile()
        file.write(b"x" * 10_000); file.flush()
        one, two = mmap.mmap(file.fileno(), 0), mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        private = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        one[:3] = b"map"; private[:3] = b"own"; file.seek(5000); file.write(b"file"); file.flush()
        file.seek(0); print(file.read(4), two[:4], one[5000:5004], private[:4]); two.close()
        one.resize(3_000_000); one[-4:] = b"last"; one.flush(); file.seek(2_999_996); print(file.read(), one[:4])
        view = mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ, offset=mmap.ALLOCATIONGRANULARITY)
        one.close(); file.close(); print(view[904:908], len(view)); view.close()
        print(mmap.mmap(-1, 8192)[:2])
    """)
    assert outcome.output.splitlines() == [
        *("b'mapx' b'mapx' b'file' b'ownx'", "b'last' b'mapx'", "b'file' 4096", "b'\\x00\\x00'"),
    ]


def test_no_page_is_mapped_writable_and_executable(boot: Boot) -> None:
    """Neither at one address nor by two maps of one file."""
    outcome = boot("""
        import mmap, os
        file = os.memfd_create("code"); os.ftruncate(file, 8192)
        one = mmap.mmap(file, 8192)
        for arguments in ((file, 8192), (-1, 8192)):
            for prot in (mmap.PROT_READ | mmap.PROT_EXEC, 7):
                try:
                    mmap.mmap(*arguments, prot=prot); print("mapped")
                except PermissionError:
                    print("refused")
    """)
    assert outcome.output.split("\n")[:-1] == ["refused", "refused", "mapped", "refused"]


def test_callbacks_of_ctypes_need_no_code_to_be_written(boot: Boot) -> None:
    """Called from C, integers, floating point and structures; as many as there are, and again what was given back."""
    outcome = boot("""
        import ctypes, gc, threading
        compare = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.POINTER(ctypes.c_int)] * 2)
        numbers = (ctypes.c_int * 6)(5, 3, 9, 1, 7, 2)
        ctypes.CDLL(None).qsort(numbers, 6, 4, compare(lambda a, b: a[0] - b[0]))
        print(list(numbers))
        mixed = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_float, ctypes.c_longlong)
        held = []
        try:
            while True: held.append(mixed(lambda x, y, z, i=len(held): x + y + z + i))
        except MemoryError:
            print(len(held))
        print(sum(f(0.5, 0.25, -1) for f in held) == sum(i - 0.25 for i in range(len(held))))
        del held[1::2]
        gc.collect()
        def work(n):
            for i in range(300):
                assert mixed(lambda x, y, z: x * y + z + n)(2.0, 4.0, i) == 8 + i + n
        threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(held[5](0.0, 0.0, 0), len(open("/proc/self/maps").read().split("rwx")) - 1)
    """)
    assert outcome.output.splitlines() == ["[1, 2, 3, 5, 7, 9]", "4096", "True", "10.0 0"]


def test_another_libffi_keeps_its_own_closures(tmp_path: Path) -> None:
    """One that writes other code into them would not be understood: then no library stands in its place."""
    for code, found in (("f30f1efa4c8d15f5ffffffff25070000000f1f80", True), ("49bb000000000000000049ba", False)):
        octets = ",".join(f"0x{octet:02x}" for octet in bytes.fromhex(code))
        source = tmp_path / "other.c"
        source.write_text(f"const char code[] = {{{octets}}};\nint ffi_prep_closure_loc(void) {{ return code[0]; }}\n")
        library = tmp_path / f"{found}.so"
        subprocess.run(["gcc", "-shared", "-nostdlib", "-o", str(library), str(source)], check=True)
        collection = Collection()
        collection.add_elf("/lib/other.so", library)
        assert bool(collection.add_closures()) == found


def test_writable_folders(tmp_path: Path) -> None:
    """Beside /tmp the application writes where the image says so; what the image has there is there, and may change."""
    (tmp_path / "main.py").write_text(
        textwrap.dedent("""
        import os
        os.chdir("/var/lib/app"); print(sorted(os.listdir(".")), open("sub/b").read(), os.path.islink("link"))
        open("a", "a").write("more"); open("/var/lib/app/new", "w").write("new"); os.remove("/var/lib/app/link")
        print(open("/var/lib/app/a").read(), sorted(os.listdir("/var/lib/app")), os.stat("/var/lib/app/a").st_size)
        open("/srv/x", "w").write("y")
        try:
            open("/var/lib/x", "w")
        except OSError as error:
            print(error.strerror)
        try:
            os.rename("/srv/x", "/tmp/x")
        except OSError as error:
            print(error.strerror)
        """)
    )
    data = tmp_path / "data"
    (data / "sub").mkdir(parents=True)
    (data / "a").write_text("first ")
    (data / "sub" / "b").write_text("b")
    (data / "link").symlink_to("sub/b")
    image = build(
        tmp_path / "i.hvt",
        tmp_path / "main.py",
        data={"/var/lib/app": data},
        writable=["/var/lib/app", "/srv"],
        environment={"PYTHONUNBUFFERED": "1"},
    )
    said: list[bytes] = []
    with Tender(image.path, console=said.append) as tender:
        assert tender.run() == 0
    assert b"".join(said).decode().splitlines() == [
        "['a', 'link', 'sub'] b True",
        "first more ['a', 'new', 'sub'] 10",
        *("Read-only file system", "Invalid cross-device link"),
    ]


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["relative"], "absolute path"),
        (["/a/../b"], "absolute path"),
        (["/"], "keeps"),
        (["/dev"], "keeps /dev"),
        (["/usr"], "keeps"),
        (["/app/main.py"], "is a file"),
        (["/a", "/a/b"], "lies in /a"),
        ([f"/{n}" for n in range(16)], "at most 15"),
    ],
)
def test_folders_that_cannot_be_writable(tmp_path: Path, folders: list[str], message: str) -> None:
    """The builder says why."""
    (tmp_path / "main.py").write_text("")
    with pytest.raises(BuildError, match=message):
        build(tmp_path / "i.hvt", tmp_path / "main.py", writable=folders)


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    """A data folder's links stay in it, or lead to files, which are then copied."""
    (tmp_path / "main.py").write_text("")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "lost").symlink_to("/no/such/place")
    with pytest.raises(BuildError, match="lost leads to /no/such/place"):
        build(tmp_path / "i.hvt", tmp_path / "main.py", data={"/d": tmp_path / "data"})


def test_threads_make_even_progress(boot: Boot) -> None:
    """Of three CPU-bound threads each gets at least a fifth of the mean within 100 ms of their start."""
    outcome = boot("""
        import sys, threading, time
        sys.setswitchinterval(0.001)
        gate, counts = threading.Barrier(4), [0, 0, 0]
        def spin(i):
            gate.wait()
            end = time.monotonic() + 0.1
            while time.monotonic() < end: counts[i] += 1
        threads = [threading.Thread(target=spin, args=(i,)) for i in range(3)]
        for thread in threads: thread.start()
        gate.wait()
        for thread in threads: thread.join()
        print(min(counts) * 5 >= sum(counts) / 3, counts)
    """)
    assert outcome.output.startswith("True"), outcome.output


def test_futexes_wake_first_come_first_served(boot: Boot) -> None:
    """Locks go to the threads in the order in which they came for them."""
    outcome = boot("""
        import threading, time
        lock, order = threading.Lock(), []
        lock.acquire()
        def want(i):
            lock.acquire(); order.append(i); lock.release()
        threads = [threading.Thread(target=want, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start(); time.sleep(0.01)
        lock.release()
        for thread in threads: thread.join()
        print(order)
    """)
    assert outcome.output == "[0, 1, 2, 3, 4, 5, 6, 7]\n"


def test_signals_as_applications_use_them(boot: Boot) -> None:
    """asyncio's signal handlers, faulthandler.register, all interval timers, a handler for SIGTERM."""
    outcome = boot("""
        import asyncio, faulthandler, os, signal, sys, threading, time
        async def main():
            loop, done = asyncio.get_running_loop(), asyncio.Event()
            loop.add_signal_handler(signal.SIGUSR2, done.set)
            loop.call_later(0.01, os.kill, os.getpid(), signal.SIGUSR2)
            await asyncio.wait_for(done.wait(), 10)
            return "woken"
        print(asyncio.run(main()))
        faulthandler.register(signal.SIGUSR1, file=sys.stdout)
        def here(): signal.raise_signal(signal.SIGUSR1)
        here()
        got = []
        for which, number in ((signal.ITIMER_REAL, 14), (signal.ITIMER_VIRTUAL, 26), (signal.ITIMER_PROF, 27)):
            signal.signal(number, lambda n, _: got.append(n)); signal.setitimer(which, 0.01, 0.01)
            end = time.monotonic() + 10
            while got.count(number) < 2 and time.monotonic() < end: pass
            signal.setitimer(which, 0); print(got.count(number) >= 2, signal.getitimer(which))
        print("armed")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); os.kill(os.getpid(), signal.SIGTERM); time.sleep(10)
    """)
    assert outcome.status == 7
    assert "in here" in outcome.output
    lines = outcome.output.splitlines()
    assert (lines[0], lines[-1]) == ("woken", "armed")
    assert [line for line in lines if line.startswith("True")] == ["True (0.0, 0.0)"] * 3


def test_a_restarted_call_goes_on(boot: Boot) -> None:
    """With SA_RESTART a read goes on after the handler; without it, it ends with EINTR."""
    outcome = boot("""
        import ctypes, os, signal, threading
        libc = ctypes.CDLL(None, use_errno=True)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        def attempt(interrupt):
            signal.siginterrupt(signal.SIGUSR1, interrupt)
            r, w = os.pipe(); main = threading.main_thread().ident
            timers = [threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGUSR1)),
                      threading.Timer(0.2, os.write, (w, b"late"))]
            for timer in timers: timer.start()
            buffer = ctypes.create_string_buffer(9)
            n = libc.read(r, buffer, 9); print(n, buffer.value, ctypes.get_errno() if n < 0 else 0)
            for timer in timers: timer.join()
        attempt(False); attempt(True)
    """)
    assert outcome.output.splitlines() == ["4 b'late' 0", "-1 b'' 4"]


def test_running_out(boot: Boot) -> None:
    """Of memory for maps, threads and files, of descriptors: an exception each time, and all is well afterwards."""
    outcome = boot(
        """
        import errno, mmap, os, resource, threading
        def attempt(call, *wanted):
            held = []
            try:
                while True: held.append(call())
            except wanted as error:
                print(type(error).__name__, errno.errorcode.get(getattr(error, "errno", 0), error))
            return held
        for held in (attempt(lambda: mmap.mmap(-1, 1 << 20), OSError),): [m.close() for m in held]
        stop = threading.Event()
        def start():
            thread = threading.Thread(target=stop.wait); thread.start(); return thread
        threading.stack_size(4 << 20); held = attempt(start, RuntimeError)
        stop.set(); [t.join() for t in held]; del held
        file = open("/tmp/full", "wb", 0); attempt(lambda: file.write(bytes(1 << 16)) or 1, OSError)
        print(os.statvfs("/tmp").f_bfree < 300, len(bytearray(1 << 20))); file.close(); os.unlink("/tmp/full")
        print(os.statvfs("/tmp").f_bfree > 5000)
        resource.setrlimit(resource.RLIMIT_NOFILE, (50, 1024))
        [os.close(f) for f in attempt(lambda: os.open("/dev/null", 0), OSError)]
        attempt(lambda: bytearray(1 << 20), MemoryError)
        print(open("/tmp/after", "w").write("alive"))
    """,
        memory=192 << 20,
    )  # the C library keeps up to 40 MiB of stacks for the next threads
    assert outcome.output.splitlines() == [
        *("OSError ENOMEM", "RuntimeError can't start new thread", "OSError ENOSPC", f"True {1 << 20}", "True"),
        *("OSError EMFILE", "MemoryError ", "5"),
    ], outcome.fault
