/* The devices that the tender has for this guest: networks and disks, each a file below /dev.
 *
 * The builder writes the table's names and kinds into the shared page of the image, for they are what the application
 * needs; the tender fills in the rest at boot, from what it was given. */
#ifndef HOSTDEV_H
#define HOSTDEV_H

#include "files.h"

struct device {
  char name[DEVICE_NAME]; /* with a NUL: the file is /dev/NAME */
  u64 kind;               /* DEVICE_NET or DEVICE_BLOCK; 0 ends the table */
  u64 size;               /* of a network: its MTU; of a disk: its octets */
  u64 flags;              /* DEVICE_READ_ONLY */
  u64 rings;              /* of a network, written by the tender: where its rings are, 0 while it is not open. With the */
  u64 offload;            /* next, the flags of TUNSETOFFLOAD, it lets a guest that is resumed go on */
  u8 address[8];          /* of a network: six octets */
};
_Static_assert(sizeof(struct device) == DEVICE_SIZE, "layout.h");
_Static_assert(SHARED_DEVICES + DEVICES * DEVICE_SIZE <= PAGE, "layout.h");

struct device *host_device(u64 index); /* 0 past the last one */
u64 host_device_index(const struct device *device);
i64 host_device_open(const char *path, u32 flags, struct file **file); /* -ENOENT when there is none */

i64 net_open(struct device *device, u32 flags, struct file **file);
bool net_unsent(void); /* frames wait in a ring for the guest to leave */
void net_looked(void); /* the guest has just left, and frames that waited outside have come in */

i64 block_open(struct device *device, u32 flags, struct file **file);

#endif
