"""Proofs of the hvt target on real things: run with ``./noxw -s integration -- hvt``.

`test_ordinary_kvm` shows that nothing rests on one machine's peculiar /dev/kvm: it boots a stock Debian kernel under
QEMU's emulation of AMD's virtualisation, or Bochs' of Intel's, and runs the tender inside. The way there: `initramfs`
collects what that machine needs (busybox, the modules of KVM, the running CPython, the packages, an image), `cpio`
packs it, `qemu` or `bochs` boots it, `console` reads the results, and `inside` is the program that runs there;
`application` is what runs in the guests of that tender. `test_rings` proves who may run in ring 0, `test_thousand`
boots and resumes in a row.

`--all` (or MIRAGE_HVT_TESTS=all) takes the long form of each proof, `--vmx` (or MIRAGE_HVT_VMX=1) Bochs.
"""
