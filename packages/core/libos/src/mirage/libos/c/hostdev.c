#include "hostdev.h"

static struct device *const table = (struct device *)(SHARED_ADDRESS + SHARED_DEVICES);

struct device *host_device(u64 index) { return index < DEVICES && table[index].kind ? &table[index] : 0; }

u64 host_device_index(const struct device *device) { return device - table; }

static struct device *named(const char *path) {
  struct device *device;
  for (u64 i = 0; starts_with(path, "/dev/") && (device = host_device(i)); i++)
    if (!strcmp(path + 5, device->name)) return device;
  return 0;
}

i64 host_device_open(const char *path, u32 flags, struct file **file) {
  struct device *device = named(path);
  if (!device) return -ENOENT;
  if (flags & O_DIRECTORY) return -ENOTDIR;
  return device->kind == DEVICE_NET ? net_open(device, flags, file) : block_open(device, flags, file);
}

void host_device_describe(const struct device *device, struct stat *stat) {
  bool net = device->kind == DEVICE_NET;
  memset(stat, 0, sizeof *stat);
  stat->device = DEVICES_DEVICE;
  stat->inode = 0x100 + host_device_index(device);
  stat->links = 1;
  stat->mode = net ? S_IFCHR | 0660 : S_IFBLK | (device->flags & DEVICE_READ_ONLY ? 0440 : 0660);
  stat->real_device = (net ? 0xa00 : 0x800) + host_device_index(device);
  stat->size = net ? 0 : device->size;
  stat->block_size = PAGE;
  stat->blocks = stat->size / 512;
}

i64 host_device_stat(const char *path, struct stat *stat) {
  const struct device *device = named(path);
  if (!device) return -ENOENT;
  host_device_describe(device, stat);
  return 0;
}

i64 host_device_path(const struct device *device, char *path) {
  memcpy(path, "/dev/", 5);
  memcpy(path + 5, device->name, strlen(device->name) + 1);
  return 0;
}
