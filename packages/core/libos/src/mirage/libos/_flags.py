"""How the library OS is compiled and linked, whichever compiler does it; nothing is imported here."""

FLAGS = (
    *("-std=gnu11", "-O2", "-ffreestanding", "-nostdlib", "-static", "-fno-pic", "-no-pie", "-mcmodel=small"),
    # The application's vector registers stay where they are during a system call, and its stack is not ours.
    *("-mgeneral-regs-only", "-mno-red-zone", "-fno-stack-protector", "-fcf-protection=none"),
    *("-fno-asynchronous-unwind-tables", "-fno-strict-aliasing", "-fno-ident", "-Wall", "-Wextra", "-Werror"),
)
# A note in a segment of its own would overlap the text; a stack note means nothing here.
LINK_FLAGS = ("-Wl,--entry=start", "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,-z,max-page-size=4096")

CLOSURES = "libmirage-closures.so"
CLOSURES_FLAGS = (
    *("-std=gnu11", "-O2", "-ffreestanding", "-nostdlib", "-shared", "-fPIC", "-fno-stack-protector"),
    *("-fno-asynchronous-unwind-tables", "-fno-ident", "-Wall", "-Wextra", "-Werror"),
    *("-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,-z,max-page-size=4096", f"-Wl,-soname,{CLOSURES}"),
)
