#include "pipes.h"

#include "memory.h"
#include "poll.h"
#include "signals.h"

enum { PIPE_PAGES = 16, PIPE_SIZE = PIPE_PAGES * PAGE };

/* One direction: octets between `taken` and `put`, both counted from the start of time. */
struct pipe { u8 *buffer; u64 taken, put; bool reader, writer; };
static struct pool pipe_pool = {sizeof(struct pipe), 0};

/* file->object is the pipe that is read, file->peer the one that is written. */

static struct pipe *pipe_new(void) {
  struct pipe *pipe = pool_take(&pipe_pool);
  if (!pipe) return 0;
  pipe->buffer = (u8 *)pages_take(PIPE_PAGES);
  if (!pipe->buffer) {
    pool_give(&pipe_pool, pipe);
    return 0;
  }
  pipe->reader = pipe->writer = true;
  return pipe;
}

static void pipe_leave(struct pipe *pipe, bool *end) {
  if (!pipe) return;
  *end = false;
  if (pipe->reader || pipe->writer) return;
  pages_give((u64)pipe->buffer, PIPE_PAGES);
  pool_give(&pipe_pool, pipe);
}

static i64 pipe_read(struct file *file, u8 *to, u64 n, u64 at) {
  struct pipe *pipe = file->object;
  (void)at;
  if (!pipe) return -EBADF;
  n = minimum(n, pipe->put - pipe->taken);
  if (!n) return pipe->writer ? -EAGAIN : 0;
  u64 start = pipe->taken % PIPE_SIZE, first = minimum(n, PIPE_SIZE - start);
  memcpy(to, pipe->buffer + start, first);
  memcpy(to + first, pipe->buffer, n - first);
  pipe->taken += n;
  wake_pollers();
  return n;
}

static i64 pipe_write(struct file *file, const u8 *from, u64 n, u64 at) {
  struct pipe *pipe = file->peer;
  (void)at;
  if (!pipe) return -EBADF;
  if (!n) return 0;
  if (!pipe->reader) {
    signal_post(SIGPIPE);
    return -EPIPE;
  }
  u64 room = PIPE_SIZE - (pipe->put - pipe->taken);
  if (!room || (n <= PAGE && room < n)) return -EAGAIN; /* up to PIPE_BUF octets go whole */
  n = minimum(n, room);
  u64 start = pipe->put % PIPE_SIZE, first = minimum(n, PIPE_SIZE - start);
  memcpy(pipe->buffer + start, from, first);
  memcpy(pipe->buffer, from + first, n - first);
  pipe->put += n;
  wake_pollers();
  return n;
}

static u32 pipe_ready(struct file *file) {
  struct pipe *in = file->object, *out = file->peer;
  u32 ready = 0;
  if (in && in->put != in->taken) ready |= POLL_IN;
  if (in && !in->writer) ready |= out ? POLL_IN | POLL_HUP : POLL_HUP;
  if (out && PIPE_SIZE - (out->put - out->taken) >= PAGE) ready |= POLL_OUT;
  if (out && !out->reader) ready |= in ? POLL_OUT : POLL_OUT | POLL_ERR;
  return ready;
}

static void pipe_close(struct file *file) {
  struct pipe *in = file->object, *out = file->peer;
  if (in) pipe_leave(in, &in->reader);
  if (out) pipe_leave(out, &out->writer);
}

static i64 pipe_control(struct file *file, u64 request, u64 argument) {
  enum { FIONREAD = 0x541B };
  struct pipe *pipe = file->object;
  if (request != FIONREAD || !pipe) return -ENOTTY;
  if (!may_write(argument, 4)) return -EFAULT;
  *(i32 *)argument = pipe->put - pipe->taken;
  return 0;
}

static const struct operations pipe_operations = {
    .name = "pipe", .mode = S_IFIFO, .read = pipe_read, .write = pipe_write, .ready = pipe_ready,
    .control = pipe_control, .close = pipe_close};
static const struct operations socket_operations = {
    .name = "socket", .mode = S_IFSOCK, .read = pipe_read, .write = pipe_write, .ready = pipe_ready,
    .control = pipe_control, .close = pipe_close};

/* Opens two files, or none. */
static i64 open_pair(struct file *one, struct file *other, bool close_on_exec, i32 *out) {
  i64 first = descriptor_new(one, 0, close_on_exec);
  if (first < 0) {
    file_drop(other);
    return first;
  }
  i64 second = descriptor_new(other, 0, close_on_exec);
  if (second < 0) {
    u64 descriptor = first;
    sys_close(&descriptor);
    return second;
  }
  out[0] = first;
  out[1] = second;
  return 0;
}

i64 sys_pipe2(const u64 *a) {
  if (!may_write(a[0], 8)) return -EFAULT;
  if (a[1] & ~(u64)(O_CLOEXEC | O_NONBLOCK)) return -EINVAL;
  struct pipe *pipe = pipe_new();
  struct file *in = pipe ? file_new(&pipe_operations, a[1] & O_NONBLOCK) : 0;
  struct file *out = in ? file_new(&pipe_operations, 1 | (a[1] & O_NONBLOCK)) : 0;
  if (!out) return -ENOMEM;
  in->object = out->peer = pipe;
  return open_pair(in, out, a[1] & O_CLOEXEC, (i32 *)a[0]);
}

i64 sys_pipe(const u64 *a) {
  u64 arguments[2] = {a[0], 0};
  return sys_pipe2(arguments);
}

/* ---- Sockets ----------------------------------------------------------------------------------------------------------------- */

enum { AF_UNIX = 1, SOCK_STREAM = 1, MSG_PEEK = 2, MSG_DONTWAIT = 0x40 };

i64 sys_socket(const u64 *a) {
  static bool said;
  (void)a;
  if (!said) say("libos: there are no sockets in this guest; the network is mirage.runtime's event loop\n");
  said = true;
  return -EAFNOSUPPORT;
}

i64 sys_socketpair(const u64 *a) {
  if (a[0] != AF_UNIX) return -EAFNOSUPPORT;
  if ((a[1] & 15) != SOCK_STREAM || a[2]) return -EOPNOTSUPP;
  if (!may_write(a[3], 8)) return -EFAULT;
  struct pipe *there = pipe_new(), *back = there ? pipe_new() : 0;
  struct file *one = back ? file_new(&socket_operations, 2 | (a[1] & O_NONBLOCK)) : 0;
  struct file *other = one ? file_new(&socket_operations, 2 | (a[1] & O_NONBLOCK)) : 0;
  if (!other) return -ENOMEM;
  one->peer = other->object = there;
  one->object = other->peer = back;
  return open_pair(one, other, a[1] & O_CLOEXEC, (i32 *)a[3]);
}

static struct file *socket_of(u64 descriptor, i64 *error) {
  struct file *file = file_of(descriptor);
  *error = !file ? -EBADF : file->operations != &socket_operations ? -88 /* ENOTSOCK */ : 0;
  return *error ? 0 : file;
}

/* Runs a read or a write that does not wait if the flags say so. */
static i64 transfer(i64 (*call)(const u64 *), const u64 *a, u64 flags) {
  i64 error;
  struct file *file = socket_of(a[0], &error);
  if (!file) return error;
  if (flags & MSG_PEEK) return -EOPNOTSUPP;
  u32 before = file->flags;
  if (flags & MSG_DONTWAIT) file->flags |= O_NONBLOCK;
  i64 result = call(a);
  if (flags & MSG_DONTWAIT) file->flags = before;
  return result;
}

i64 sys_sendto(const u64 *a) { return transfer(sys_write, a, a[3]); }

i64 sys_recvfrom(const u64 *a) {
  if (a[5] && may_write(a[5], 4)) *(u32 *)a[5] = 0;
  return transfer(sys_read, a, a[3]);
}

/* The vector of a struct msghdr; ancillary data is refused when sent and never received. */
static i64 message(const u64 *a, i64 (*call)(const u64 *), bool sending) {
  if (!may_write(a[1], 56)) return -EFAULT;
  u64 *header = (u64 *)a[1];
  if (sending && header[5]) return -EOPNOTSUPP;
  u64 arguments[3] = {a[0], header[2], header[3]};
  i64 result = transfer(call, arguments, a[2]);
  if (!sending && result >= 0) {
    *(u32 *)(header + 1) = 0;
    header[5] = 0;
    *(u32 *)(header + 6) = 0;
  }
  return result;
}

i64 sys_sendmsg(const u64 *a) { return message(a, sys_writev, true); }
i64 sys_recvmsg(const u64 *a) { return message(a, sys_readv, false); }

i64 sys_shutdown(const u64 *a) {
  i64 error;
  struct file *file = socket_of(a[0], &error);
  if (!file) return error;
  if (a[1] > 2) return -EINVAL;
  struct pipe *in = file->object, *out = file->peer;
  if (a[1] != 1 && in) in->reader = false;
  if (a[1] != 0 && out) out->writer = false;
  wake_pollers();
  return 0;
}

i64 sys_getsockname(const u64 *a) {
  i64 error;
  if (!socket_of(a[0], &error)) return error;
  if (!may_write(a[2], 4) || *(u32 *)a[2] < 2 || !may_write(a[1], 2)) return -EFAULT;
  *(u16 *)a[1] = AF_UNIX;
  *(u32 *)a[2] = 2;
  return 0;
}

i64 sys_getsockopt(const u64 *a) {
  enum { SOL_SOCKET = 1, SO_TYPE = 3, SO_ERROR = 4, SO_SNDBUF = 7, SO_RCVBUF = 8, SO_PROTOCOL = 38, SO_DOMAIN = 39 };
  i64 error;
  if (!socket_of(a[0], &error)) return error;
  if (a[1] != SOL_SOCKET) return -EOPNOTSUPP;
  if (!may_write(a[4], 4) || *(u32 *)a[4] < 4 || !may_write(a[3], 4)) return -EFAULT;
  i32 value = 0;
  switch (a[2]) {
    case SO_TYPE: value = SOCK_STREAM; break;
    case SO_DOMAIN: value = AF_UNIX; break;
    case SO_SNDBUF:
    case SO_RCVBUF: value = PIPE_SIZE; break;
    case SO_ERROR:
    case SO_PROTOCOL: break;
    default: return -EOPNOTSUPP;
  }
  *(i32 *)a[3] = value;
  *(u32 *)a[4] = 4;
  return 0;
}

i64 sys_setsockopt(const u64 *a) {
  i64 error;
  return socket_of(a[0], &error) ? 0 : error;
}
