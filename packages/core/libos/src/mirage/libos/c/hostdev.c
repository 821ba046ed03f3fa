#include "hostdev.h"

static struct device *const table = (struct device *)(SHARED_ADDRESS + SHARED_DEVICES);

struct device *host_device(u64 index) { return index < DEVICES && table[index].kind ? &table[index] : 0; }

u64 host_device_index(const struct device *device) { return device - table; }

i64 host_device_open(const char *path, u32 flags, struct file **file) {
  if (!starts_with(path, "/dev/")) return -ENOENT;
  struct device *device;
  for (u64 i = 0; (device = host_device(i)); i++) {
    if (strcmp(path + 5, device->name)) continue;
    if (flags & O_DIRECTORY) return -ENOTDIR;
    return device->kind == DEVICE_NET ? net_open(device, flags, file) : block_open(device, flags, file);
  }
  return -ENOENT;
}
