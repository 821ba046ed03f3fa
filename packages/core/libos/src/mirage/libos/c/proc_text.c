#include "proc_text.h"

#include "entry.h"
#include "identity.h"
#include "memory.h"
#include "signals.h"
#include "threads.h"
#include "time.h"
#include "tmpfs.h"
#include "tree.h"

enum { TICKS = 100, TICK = NANOSECONDS / TICKS }; /* sysconf(_SC_CLK_TCK) */

static i64 kib(u64 pages) { return pages * (PAGE / 1024); }
static u64 used(void) { return pages_total() - pages_free(); }

/* ---- The process ------------------------------------------------------------------------------------------------------- */

/* The strings that the tender left at the memory's low end: the arguments, then the environment. */
static const char *first_variable(void) {
  const char *at = (const char *)RAM_BASE;
  for (u64 i = 0; i < shared->boot.argc; i++) at += strlen(at) + 1;
  return at;
}

void write_cmdline(struct text *text) {
  text_add_octets(text, (const char *)RAM_BASE, first_variable() - (const char *)RAM_BASE);
}

void write_environ(struct text *text) {
  text_add_octets(text, first_variable(), (const char *)RAM_BASE + shared->boot.arguments - first_variable());
}

static const char *command(char *name) {
  enum { COMM = 15 };
  const char *path = (const char *)image.program_name;
  for (const char *c = path; *c; c++)
    if (*c == '/') path = c + 1;
  u64 n = minimum(strlen(path), COMM);
  memcpy(name, path, n);
  name[n] = 0;
  return name;
}

void write_comm(struct text *text) {
  char name[16];
  text_add(text, "%s\n", command(name));
}

static i64 thread_total(void) {
  i64 n = 0;
  struct thread *thread;
  for (u64 i = 0; (thread = thread_at(i)); i++) n += thread->state != THREAD_FREE;
  return n;
}

void write_stat(struct text *text) {
  char name[16];
  text_add(text, "1 (%s) R 0 1 1 0 -1 0 0 0 0 0 %d 0 0 0 20 0 %d 0 0 ", command(name), process_time() / TICK,
           thread_total());
  text_add(text, "%d %d 18446744073709551615", (i64)(used() * PAGE), (i64)used());
  for (int i = 25; i < 52; i++) text_add(text, " 0");
  text_add(text, "\n");
}

void write_statm(struct text *text) {
  text_add(text, "%d %d 0 0 0 %d 0\n", (i64)used(), (i64)used(), (i64)used());
}

void write_status(struct text *text) {
  char name[16];
  text_add(text, "Name:\t%s\nState:\tR (running)\nTgid:\t1\nPid:\t1\nPPid:\t0\nTracerPid:\t0\n", command(name));
  text_add(text, "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t%d\nGroups:\t\n", (i64)DESCRIPTORS);
  static const char *const sizes[] = {"VmPeak", "VmSize", "VmHWM", "VmRSS"};
  for (int i = 0; i < 4; i++) text_add(text, "%s:\t%d kB\n", sizes[i], kib(used()));
  text_add(text, "Threads:\t%d\nCpus_allowed:\t1\nCpus_allowed_list:\t0\n", thread_total());
}

/* ---- Memory ------------------------------------------------------------------------------------------------------------ */

static void write_map(struct text *text, u64 start, u64 end, u8 protection, u64 offset, u64 inode) {
  text_add(text, "%p-%p ", start, end);
  text_add(text, protection & PROT_R ? "r" : "-");
  text_add(text, protection & PROT_W ? "w" : "-");
  text_add(text, protection & PROT_X ? "xp" : "-p");
  text_add(text, " %p 00:%s %d", offset, inode ? "01" : "00", (i64)inode);
}

/* Shared libraries where they lie in the image, then the memory: `offset` is the place in what the image has of a file. */
void write_maps(struct text *text) {
  const struct entry *e;
  for (u64 i = 0; (e = tree_entry(i)); i++) {
    if (!(e->flags & ENTRY_LAID_OUT)) continue;
    u64 end = e->data + pages_of(e->size) * PAGE;
    for (u64 at = e->data, to; at < end; at = to) {
      u8 protection = page_protection(at);
      for (to = at + PAGE; to < end && page_protection(to) == protection;) to += PAGE;
      write_map(text, at, to, protection, at - e->data, i + 1);
      text_add(text, " ");
      text_add_octets(text, tree_path(e), e->path_length);
      text_add(text, "\n");
    }
  }
  u64 end = RAM_BASE + pages_total() * PAGE;
  for (u64 at = RAM_BASE, to; at < end; at = to) {
    u8 protection = page_protection(at);
    bool is_used = pages_all(at, 1, true);
    to = at + PAGE;
    while (to < end && to != brk_end() && pages_all(to, 1, true) == is_used && page_protection(to) == protection)
      to += PAGE;
    if (!is_used) continue;
    write_map(text, at, to, protection, 0, 0);
    text_add(text, to == brk_end() ? " [heap]\n" : "\n");
  }
}

void write_meminfo(struct text *text) {
  text_add(text, "MemTotal: %d kB\nMemFree: %d kB\nMemAvailable: %d kB\n", kib(pages_total()), kib(pages_free()),
           kib(pages_free()));
  text_add(text, "Buffers: 0 kB\nCached: 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\nShmem: %d kB\n", kib(tmpfs_used()));
}

/* ---- File systems ------------------------------------------------------------------------------------------------------ */

void write_mounts(struct text *text) {
  const char *path;
  text_add(text, "image / squashfs ro 0 0\nproc /proc proc ro 0 0\ndev /dev devtmpfs rw 0 0\n");
  for (u64 i = 0; (path = tmpfs_mount(i)); i++) text_add(text, "tmpfs %s tmpfs rw 0 0\n", path);
}

void write_mountinfo(struct text *text) {
  const char *path;
  text_add(text, "1 0 0:%d / / ro - squashfs image ro\n2 1 0:%d / /proc ro - proc proc ro\n", (i64)TREE_DEVICE,
           (i64)PROC_DEVICE);
  text_add(text, "3 1 0:%d / /dev rw - devtmpfs dev rw\n", (i64)DEVICES_DEVICE);
  for (u64 i = 0; (path = tmpfs_mount(i)); i++)
    text_add(text, "%d 1 0:%d / %s rw - tmpfs tmpfs rw\n", (i64)(TMPFS_DEVICE + i), (i64)(TMPFS_DEVICE + i), path);
}

/* ---- The system -------------------------------------------------------------------------------------------------------- */

static void cpuid(u32 leaf, u32 *words) {
  words[0] = leaf, words[2] = 0;
  __asm__ volatile("cpuid" : "+a"(words[0]), "=b"(words[1]), "+c"(words[2]), "=d"(words[3]));
}

void write_cpuinfo(struct text *text) {
  u32 words[4], vendor[4] = {0};
  char model[49] = "unknown";
  cpuid(0, words);
  vendor[0] = words[1], vendor[1] = words[3], vendor[2] = words[2];
  cpuid(0x80000000, words);
  if (words[0] >= 0x80000004) {
    for (u32 i = 0; i < 3; i++) {
      cpuid(0x80000002 + i, words);
      memcpy(model + 16 * i, words, 16);
    }
    model[48] = 0;
  }
  i64 khz = shared->boot.tsc_khz;
  text_add(text, "processor\t: 0\nvendor_id\t: %s\nmodel name\t: %s\n", (const char *)vendor, model);
  text_add(text, "cpu MHz\t\t: %d\nsiblings\t: 1\ncpu cores\t: 1\n\n", khz / 1000);
}

void write_uptime(struct text *text) {
  i64 up = monotonic() - started_at(), idle = idle_time();
  text_add(text, "%d.%d%d ", up / NANOSECONDS, up / (NANOSECONDS / 10) % 10, up / (NANOSECONDS / 100) % 10);
  text_add(text, "%d.%d%d\n", idle / NANOSECONDS, idle / (NANOSECONDS / 10) % 10, idle / (NANOSECONDS / 100) % 10);
}

void write_loadavg(struct text *text) { text_add(text, "0.00 0.00 0.00 1/%d 1\n", thread_total()); }

void write_version(struct text *text) { text_add(text, "Linux version " SYSTEM_RELEASE " (libos)\n"); }

void write_system_stat(struct text *text) {
  static const char *const names[] = {"cpu ", "cpu0"};
  for (int i = 0; i < 2; i++)
    text_add(text, "%s %d 0 0 %d 0 0 0 0 0 0\n", names[i], process_time() / TICK, idle_time() / TICK);
  text_add(text, "btime %d\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n",
           (realtime() - (monotonic() - started_at())) / NANOSECONDS);
}
