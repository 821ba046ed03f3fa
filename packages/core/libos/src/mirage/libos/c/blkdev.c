/* Disks: whole sectors, each request a hypercall that returns when the host has answered. */
#include "hostdev.h"

#include "memory.h"

struct block_request { u64 device, operation, offset, address, length; };

static struct device *device_of(struct file *file) { return file->object; }

static i64 request(struct file *file, u64 operation, u64 offset, u64 address, u64 length) {
  struct block_request request = {host_device_index(device_of(file)), operation, offset, address, length};
  return hypercall(CALL_BLOCK, (u64)&request, 0, 0);
}

static i64 block_read(struct file *file, u8 *to, u64 n, u64 at) {
  u64 size = device_of(file)->size;
  if (n % SECTOR || at % SECTOR) return -EINVAL;
  if (at >= size || !n) return 0;
  return request(file, BLOCK_READ, at, (u64)to, minimum(minimum(n, size - at), BLOCK_MOST));
}

static i64 block_write(struct file *file, const u8 *from, u64 n, u64 at) {
  u64 size = device_of(file)->size;
  if (n % SECTOR || at % SECTOR) return -EINVAL;
  if (!n) return 0;
  if (at >= size) return -ENOSPC;
  return request(file, BLOCK_WRITE, at, (u64)from, minimum(minimum(n, size - at), BLOCK_MOST));
}

static i64 block_sync(struct file *file) { return request(file, BLOCK_FLUSH, 0, 0, 0); }

static void block_stat(struct file *file, struct stat *stat) {
  const struct device *device = device_of(file);
  memset(stat, 0, sizeof *stat);
  stat->device = 3;
  stat->inode = 0x100 + host_device_index(device);
  stat->links = 1;
  stat->mode = S_IFBLK | (device->flags & DEVICE_READ_ONLY ? 0440 : 0660);
  stat->real_device = 0x800 + host_device_index(device);
  stat->size = device->size;
  stat->block_size = PAGE;
  stat->blocks = device->size / 512;
}

static i64 block_control(struct file *file, u64 request, u64 argument) {
  enum { BLKROGET = 0x125e, BLKSSZGET = 0x1268, BLKGETSIZE64 = 0x80081272 };
  const struct device *device = device_of(file);
  if (request != BLKROGET && request != BLKSSZGET && request != BLKGETSIZE64) return -ENOTTY;
  if (!may_write(argument, request == BLKGETSIZE64 ? 8 : 4)) return -EFAULT;
  if (request == BLKGETSIZE64)
    *(u64 *)argument = device->size;
  else
    *(i32 *)argument = request == BLKSSZGET ? SECTOR : (i32)(device->flags & DEVICE_READ_ONLY);
  return 0;
}

static const struct operations block_operations = {
    .name = "block", .mode = S_IFBLK, .read = block_read, .write = block_write, .stat = block_stat,
    .control = block_control, .sync = block_sync, .seekable = true};

i64 block_open(struct device *device, u32 flags, struct file **file) {
  if ((device->flags & DEVICE_READ_ONLY) && (flags & O_ACCMODE)) return -EROFS;
  *file = file_new(&block_operations, flags);
  if (*file) (*file)->object = device;
  return 0;
}
