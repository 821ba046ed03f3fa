"""W^X and what else the page tables must stop: each test is a guest that does the forbidden thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mirage.libos import layout

pytestmark = [pytest.mark.kvm, pytest.mark.tool("gcc"), pytest.mark.slow]
Boot = Callable[..., Any]

LAYOUT = layout()
CALL = "ctypes.CFUNCTYPE(ctypes.c_int)"
FORBIDDEN = {
    "read NULL": ("ctypes.c_uint64.from_address(0).value", "reading nothing"),
    "write NULL": ("ctypes.memset(0, 1, 1)", "writing nothing"),
    "execute the heap": (
        "b = ctypes.create_string_buffer(b'\\xb8\\x2a\\0\\0\\0\\xc3'); " + CALL + "(ctypes.addressof(b))()",
        "executing a protected page",
    ),
    "write the interpreter's text": (
        "ctypes.memset(ctypes.cast(ctypes.pythonapi.Py_GetVersion, ctypes.c_void_p).value, 0, 1)",
        "writing a protected page",
    ),
    "write the library OS's text": (f"ctypes.memset({LAYOUT['LIBOS_BASE']}, 0, 1)", "writing a protected page"),
    "read the image's header": (f"ctypes.string_at({LAYOUT['IMAGE_BASE']}, 8)", "reading a protected page"),
    "read the page tables": (f"ctypes.string_at({LAYOUT['TABLES_BASE']}, 8)", "reading a protected page"),
    "write the page tables": (f"ctypes.memset({LAYOUT['TABLES_BASE'] + 4096}, 0, 8)", "writing a protected page"),
    "read past the memory": ("ctypes.string_at(1 << 46, 1)", "reading nothing"),
    "read no address at all": ("ctypes.string_at(1 << 63, 1)", "general protection fault"),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_it_faults(boot: Boot, name: str) -> None:
    """The guest ends with a report that says what it tried."""
    code, report = FORBIDDEN[name]
    outcome = boot(f"import ctypes\nprint('now', flush=True)\n{code}\nprint('survived')\n")
    assert outcome.status is None
    assert outcome.output == "now\n"
    assert report in outcome.fault
    assert "in the application" in outcome.fault


def test_mprotect_is_enforced(boot: Boot) -> None:
    """A page made read-only stops a write at once; made writable again it takes it; never writable and executable."""
    outcome = boot("""
        import ctypes, mmap
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        page = libc.mmap(None, 8192, 3, 0x22, -1, 0)
        ctypes.memset(page, 7, 8192)
        print([libc.mprotect(page, 4096, protection) for protection in (1, 3, 7)], ctypes.get_errno())
        ctypes.memset(page, 8, 8192)
        print(libc.mprotect(page, 4096, 1), ctypes.string_at(page, 1), ctypes.memset(page + 4096, 9, 1) == page + 4096)
        ctypes.memset(page, 9, 1)
        print("survived")
    """)
    assert outcome.output.splitlines() == ["[0, 0, -1] 13", "0 b'\\x08' True"]
    assert "writing a protected page" in outcome.fault


def test_a_stack_overflow_is_a_fault_and_not_more(boot: Boot) -> None:
    """Below a stack lies a page that nothing may touch."""
    outcome = boot("""
        import sys, threading
        sys.setrecursionlimit(10**9)
        class A:
            def __repr__(self): return repr(self)
        threading.stack_size(64 << 10)
        print("now", flush=True)
        thread = threading.Thread(target=repr, args=(A(),))
        thread.start()
        thread.join()
    """)
    assert outcome.status is None
    assert "in the application" in outcome.fault


def test_faulthandler_prints_the_python_stack(boot: Boot) -> None:
    """A SIGSEGV handler runs in the guest, and what it prints is a Python traceback."""
    outcome = boot("""
        import ctypes, faulthandler
        faulthandler.enable()
        def culprit(): ctypes.string_at(0)
        culprit()
    """)
    assert "Fatal Python error: Segmentation fault" in outcome.output
    assert "in culprit" in outcome.output
