/* Networks: frames in two rings that the guest and the tender share.
 *
 * The tender carries frames whenever the guest leaves for any reason: it takes what the guest has put, and puts what has
 * come. So a frame costs no hypercall of its own. Two things must not be forgotten then:
 *
 * - A frame that was put must leave soon, though the application may compute for hours. While frames wait, the tick runs
 *   (threads.c): asking for it is itself an exit, which takes them, and it interrupts the guest every 2 ms from then on.
 * - An application that looks again and again, and never waits, must see what comes. A look into an empty ring makes
 *   the guest leave, though not more often than every LOOK_INTERVAL.
 *
 * The guest may leave at any instruction, so a record is complete before the word that announces it is written. */
#include "hostdev.h"

#include "memory.h"
#include "poll.h"
#include "time.h"

enum { WORD = 8, LOOK_INTERVAL = 200000 }; /* nanoseconds */
enum { SIOCGIFMTU = 0x8921, SIOCGIFHWADDR = 0x8927, TUNSETOFFLOAD = 0x400454d0, ARPHRD_ETHER = 1 };

/* Counts of octets, records and what is between them; they only grow. */
struct rings {
  volatile u64 come, taken; /* written by the tender; by the guest */
  volatile u64 put, gone;   /* written by the guest; by the tender */
  volatile u64 error;       /* an error number: the host's side has ended */
  u8 gap[PAGE - 5 * 8];
  u8 in[NET_RING], out[NET_RING];
};
_Static_assert(sizeof(struct rings) == NET_RINGS, "layout.h");

static struct net { struct rings *rings; u64 users; } nets[DEVICES];
static i64 looked; /* when the guest last left, as far as it knows */

static struct net *net_of(struct file *file) { return &nets[file->number]; }

static u64 record(u64 length) { return WORD + ((length + WORD - 1) & ~(WORD - 1UL)); }

/* ---- Leaving ----------------------------------------------------------------------------------------------------------- */

void net_looked(void) { looked = monotonic(); }

static bool look(void) {
  if (monotonic() - looked < LOOK_INTERVAL) return false;
  hypercall(CALL_LOOK, 0, 0, 0);
  net_looked();
  return true;
}

bool net_unsent(void) {
  for (u64 i = 0; host_device(i); i++)
    if (nets[i].users && nets[i].rings->put != nets[i].rings->gone) return true;
  return false;
}

/* ---- Frames ------------------------------------------------------------------------------------------------------------ */

/* The length of the next frame, right before it; 0 when none waits. */
static const u64 *next_frame(struct rings *rings) {
  u64 at = rings->taken;
  if (at == rings->come) return 0;
  const u64 *length = (const u64 *)(rings->in + at % NET_RING);
  if (*length != NET_SKIP) return length;
  rings->taken = at + NET_RING - at % NET_RING;
  return (const u64 *)rings->in; /* the tender announces both at once */
}

/* Takes the next frame; what the parts have no room for is cut off. */
static i64 take(struct rings *rings, const struct part *parts, u64 count) {
  const u64 *length = next_frame(rings);
  if (!length && look()) length = next_frame(rings);
  if (!length) return rings->error ? -(i64)rings->error : -EAGAIN;
  u64 left = minimum(*length, NET_LONGEST), whole = left, done = 0;
  const u8 *from = (const u8 *)(length + 1);
  for (u64 i = 0; i < count && left; i++) {
    u64 some = minimum(left, parts[i].size);
    memcpy((void *)parts[i].address, from + done, some);
    done += some;
    left -= some;
  }
  rings->taken += record(whole);
  return done;
}

static u64 room(struct rings *rings) { return NET_RING - (rings->put - rings->gone); }

/* Puts one frame, or nothing. */
static i64 put(struct rings *rings, const struct part *parts, u64 count) {
  u64 size = 0;
  for (u64 i = 0; i < count && size <= NET_LONGEST; i++) size += minimum(parts[i].size, NET_LONGEST + 1);
  if (size < NET_SHORTEST || size > NET_LONGEST) return -EINVAL;
  if (rings->error) return -(i64)rings->error;
  u64 at = rings->put, rest = NET_RING - at % NET_RING, skip = rest < record(size) ? rest : 0;
  if (room(rings) < skip + record(size)) hypercall(CALL_LOOK, 0, 0, 0);
  if (room(rings) < skip + record(size)) return -EAGAIN;
  if (skip) *(u64 *)(rings->out + at % NET_RING) = NET_SKIP;
  u64 *length = (u64 *)(rings->out + (at + skip) % NET_RING);
  u8 *to = (u8 *)(length + 1);
  *length = size;
  for (u64 i = 0; i < count; i++) {
    memcpy(to, (const void *)parts[i].address, parts[i].size);
    to += parts[i].size;
  }
  rings->put = at + skip + record(size); /* after the record: memcpy and volatile keep the order */
  return size;
}

/* ---- The file ------------------------------------------------------------------------------------------------------------ */

static i64 net_read(struct file *file, u8 *to, u64 n, u64 at) {
  (void)at;
  struct part part = {(u64)to, n};
  return take(net_of(file)->rings, &part, 1);
}

static i64 net_write(struct file *file, const u8 *from, u64 n, u64 at) {
  (void)at;
  struct part part = {(u64)from, n};
  return put(net_of(file)->rings, &part, 1);
}

static i64 net_message(struct file *file, const struct part *parts, u64 count, bool writing) {
  if ((file->flags & O_ACCMODE) == (writing ? 0 : 1)) return -EBADF;
  for (;;) {
    if (!may_read((u64)parts, count * sizeof *parts)) return -EFAULT;
    for (u64 i = 0; i < count; i++)
      if (!(writing ? may_read : may_write)(parts[i].address, parts[i].size)) return -EFAULT;
    i64 done = (writing ? put : take)(net_of(file)->rings, parts, count);
    if (done != -EAGAIN || (file->flags & O_NONBLOCK)) return done;
    i64 waited = wait_ready(file, writing ? POLL_OUT : POLL_IN); /* the parts may have changed meanwhile */
    if (waited) return waited;
  }
}

/* Writable means: the longest frame fits, wherever the ring's end is. */
static u32 net_ready(struct file *file) {
  struct rings *rings = net_of(file)->rings;
  u32 ready = 0;
  if (next_frame(rings) || (look() && next_frame(rings))) ready |= POLL_IN;
  if (room(rings) < 2 * record(NET_LONGEST)) hypercall(CALL_LOOK, 0, 0, 0);
  if (room(rings) >= 2 * record(NET_LONGEST)) ready |= POLL_OUT;
  if (rings->error) ready |= POLL_IN | POLL_OUT | POLL_ERR;
  return ready;
}

static void net_stat(struct file *file, struct stat *stat) {
  memset(stat, 0, sizeof *stat);
  stat->device = 3;
  stat->inode = 0x100 + file->number;
  stat->links = 1;
  stat->mode = S_IFCHR | 0660;
  stat->real_device = 0xa00 + file->number;
  stat->block_size = PAGE;
}

static i64 net_control(struct file *file, u64 request, u64 argument) {
  const struct device *device = host_device(file->number);
  if (request == TUNSETOFFLOAD) return hypercall(CALL_NET_OFFLOAD, file->number, argument, 0);
  if (request != SIOCGIFMTU && request != SIOCGIFHWADDR) return -ENOTTY;
  if (!may_write(argument, 40)) return -EFAULT; /* struct ifreq */
  if (request == SIOCGIFMTU) {
    *(i32 *)(argument + 16) = device->size;
  } else {
    *(u16 *)(argument + 16) = ARPHRD_ETHER;
    memcpy((void *)(argument + 18), device->address, 6);
  }
  return 0;
}

static void leave_net(u64 index) {
  struct net *net = &nets[index];
  if (--net->users) return;
  hypercall(CALL_NET_START, index, 0, 0); /* takes the last frames along, as any exit */
  pages_give((u64)net->rings, NET_RINGS / PAGE);
}

static void net_close(struct file *file) { leave_net(file->number); }

static const struct operations net_operations = {
    .name = "net", .mode = S_IFCHR, .read = net_read, .write = net_write, .message = net_message, .ready = net_ready,
    .stat = net_stat, .control = net_control, .close = net_close};

i64 net_open(struct device *device, u32 flags, struct file **file) {
  u64 index = host_device_index(device);
  struct net *net = &nets[index];
  if (!net->users) {
    net->rings = (struct rings *)pages_take(NET_RINGS / PAGE);
    if (!net->rings) return -ENOMEM;
    i64 result = hypercall(CALL_NET_START, index, (u64)net->rings, 0);
    if (result) {
      pages_give((u64)net->rings, NET_RINGS / PAGE);
      return result;
    }
  }
  net->users++;
  *file = file_new(&net_operations, flags);
  if (!*file) {
    leave_net(index);
    return -ENOMEM;
  }
  (*file)->number = index;
  return 0;
}
