#include "devices.h"

#include "hostdev.h"
#include "memory.h"
#include "poll.h"

/* ---- Random octets ------------------------------------------------------------------------------------------------------------ */

/* ChaCha20 (RFC 8439 2.3) with fast key erasure: each block's first half is the next key. The host's octets seed it,
 * RDRAND is mixed into every key, and a resumed guest takes fresh octets before anything else. */
static u32 key[8];
static u64 seeded_for = ~0UL; /* shared->boot.resumed at the last seeding */

static u32 rotate(u32 v, int n) { return v << n | v >> (32 - n); }

static void quarter(u32 *s, int a, int b, int c, int d) {
  s[a] += s[b], s[d] = rotate(s[d] ^ s[a], 16);
  s[c] += s[d], s[b] = rotate(s[b] ^ s[c], 12);
  s[a] += s[b], s[d] = rotate(s[d] ^ s[a], 8);
  s[c] += s[d], s[b] = rotate(s[b] ^ s[c], 7);
}

static void block(u32 *out, u64 counter) {
  u32 start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  memcpy(start + 4, key, sizeof key);
  start[12] = counter, start[13] = counter >> 32;
  memcpy(out, start, sizeof start);
  for (int i = 0; i < 10; i++) {
    quarter(out, 0, 4, 8, 12), quarter(out, 1, 5, 9, 13), quarter(out, 2, 6, 10, 14), quarter(out, 3, 7, 11, 15);
    quarter(out, 0, 5, 10, 15), quarter(out, 1, 6, 11, 12), quarter(out, 2, 7, 8, 13), quarter(out, 3, 4, 9, 14);
  }
  for (int i = 0; i < 16; i++) out[i] += start[i];
}

static bool has_rdrand(void) {
  u32 a = 1, b, c = 0, d;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return c >> 30 & 1;
}

/* Mixes a word of RDRAND into each half of the key, where the processor has it and it works. */
static void stir(void) {
  static i32 known = -1;
  if (known < 0) known = has_rdrand();
  for (int i = 0; known && i < 8; i += 2) {
    u64 word;
    u8 good;
    __asm__ volatile("rdrand %0; setc %1" : "=r"(word), "=q"(good));
    if (good) key[i] ^= (u32)word, key[i + 1] ^= word >> 32;
  }
}

static void seed(void) {
  u32 out[16];
  u64 given[8];
  for (int i = 0; i < 8; i++) given[i] = ((volatile u64 *)shared->boot.entropy)[i];
  seeded_for = shared->boot.resumed;
  for (int half = 0; half < 2; half++) {
    for (int i = 0; i < 8; i++) key[i] ^= ((u32 *)given)[8 * half + i];
    block(out, 0);
    memcpy(key, out, sizeof key);
  }
}

void random_fill(u8 *to, u64 n) {
  u32 out[16];
  if (seeded_for != shared->boot.resumed) seed();
  stir();
  for (u64 counter = 1; n; counter++) {
    block(out, counter);
    u64 some = minimum(n, sizeof out);
    memcpy(to, out, some);
    to += some;
    n -= some;
  }
  block(out, 0);
  memcpy(key, out, sizeof key);
  memset(out, 0, sizeof out);
}

i64 sys_getrandom(const u64 *a) {
  if (a[2] & ~7UL) return -EINVAL;
  u64 n = minimum(a[1], 1 << 25);
  if (!may_write(a[0], n)) return -EFAULT;
  random_fill((u8 *)a[0], n);
  return n;
}

/* ---- Devices ------------------------------------------------------------------------------------------------------------------ */

enum { NULL_DEVICE, ZERO_DEVICE, RANDOM_DEVICE, CONSOLE_DEVICE, SNAPSHOT_DEVICE, DIRECTORY_DEVICE };

/* How often this guest has been resumed, as one line of text. */
static i64 resumptions(u8 *to, u64 n) {
  u8 text[24];
  u64 at = sizeof text, value = shared->boot.resumed;
  text[--at] = '\n';
  do text[--at] = '0' + value % 10;
  while (value /= 10);
  n = minimum(n, sizeof text - at);
  memcpy(to, text + at, n);
  return n;
}

static i64 device_read(struct file *file, u8 *to, u64 n, u64 at) {
  (void)at;
  switch (file->number) {
    case ZERO_DEVICE: memset(to, 0, n); return n;
    case RANDOM_DEVICE: random_fill(to, n); return n;
    case CONSOLE_DEVICE: return hypercall(CALL_READ, (u64)to, n, 0);
    case SNAPSHOT_DEVICE: return resumptions(to, n);
    case DIRECTORY_DEVICE: return -EISDIR;
    default: return 0;
  }
}

static i64 device_write(struct file *file, const u8 *from, u64 n, u64 at) {
  (void)at;
  if (file->number == DIRECTORY_DEVICE) return -EISDIR;
  if (file->number == SNAPSHOT_DEVICE) {
    i64 result = hypercall(CALL_SNAPSHOT, 0, 0, 0);
    return result ? result : (i64)n;
  }
  if (file->number != CONSOLE_DEVICE || !n) return n;
  return hypercall(CALL_WRITE, (u64)from, n, 0);
}

static u32 device_ready(struct file *file) {
  if (file->number != CONSOLE_DEVICE) return POLL_IN | POLL_OUT;
  return POLL_OUT | (hypercall(CALL_READ, 0, 0, 0) != -EAGAIN ? POLL_IN : 0);
}

static void device_stat(struct file *file, struct stat *stat) {
  memset(stat, 0, sizeof *stat);
  stat->device = 3;
  stat->inode = file->number + 1;
  stat->links = 1;
  stat->mode = file->number == DIRECTORY_DEVICE ? S_IFDIR | 0555 : S_IFCHR | 0666;
  stat->real_device = 0x100 + file->number;
  stat->block_size = PAGE;
}

static i64 device_truncate(struct file *file, u64 size) {
  (void)size;
  return file->number == DIRECTORY_DEVICE ? -EISDIR : -EINVAL;
}

static const char *const names[] = {"null", "zero", "urandom", "console", "snapshot", "."};

static i64 device_list(struct file *file, u8 *to, u64 n) {
  if (file->number != DIRECTORY_DEVICE) return -ENOTDIR;
  u64 filled = 0;
  for (; file->position < DIRECTORY_DEVICE; file->position++) {
    const char *name = names[file->position];
    u64 size = directory_record(to + filled, n - filled, file->position + 1, file->position + 1, S_IFCHR, name,
                                strlen(name));
    if (!size) return filled ? (i64)filled : -EINVAL;
    filled += size;
  }
  for (struct device *device; (device = host_device(file->position - DIRECTORY_DEVICE)); file->position++) {
    u64 size = directory_record(to + filled, n - filled, file->position + 1, file->position + 1,
                                device->kind == DEVICE_NET ? S_IFCHR : S_IFBLK, device->name, strlen(device->name));
    if (!size) return filled ? (i64)filled : -EINVAL;
    filled += size;
  }
  return filled;
}

static const struct operations device_operations = {
    .name = "device", .read = device_read, .write = device_write, .ready = device_ready, .stat = device_stat,
    .truncate = device_truncate, .list = device_list};

i64 device_open(const char *path, u32 flags, struct file **file) {
  static const struct { const char *path; u64 number; } devices[] = {
      {"/dev/null", NULL_DEVICE}, {"/dev/zero", ZERO_DEVICE}, {"/dev/random", RANDOM_DEVICE},
      {"/dev/urandom", RANDOM_DEVICE}, {"/dev/console", CONSOLE_DEVICE}, {"/dev/tty", CONSOLE_DEVICE},
      {"/dev/snapshot", SNAPSHOT_DEVICE},
      {"/dev", DIRECTORY_DEVICE}};
  for (u64 i = 0; i < sizeof devices / sizeof *devices; i++) {
    if (strcmp(path, devices[i].path)) continue;
    if (devices[i].number == DIRECTORY_DEVICE && (flags & O_ACCMODE)) return -EISDIR;
    if (devices[i].number != DIRECTORY_DEVICE && (flags & O_DIRECTORY)) return -ENOTDIR;
    *file = file_new(&device_operations, flags);
    if (*file) (*file)->number = devices[i].number;
    return 0;
  }
  return host_device_open(path, flags, file);
}

void devices_start(void) {
  struct file *console;
  device_open("/dev/console", 2, &console);
  for (u64 i = 0; i < 3; i++) {
    descriptor_new(console, i, false);
    console->references += i < 2;
  }
}
