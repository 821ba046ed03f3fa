/* Pipes and connected pairs of local sockets. Other sockets are refused: the network is `mirage.runtime`'s. */
#ifndef PIPES_H
#define PIPES_H

#include "files.h"

i64 sys_pipe(const u64 *a);
i64 sys_pipe2(const u64 *a);
i64 sys_socket(const u64 *a);
i64 sys_socketpair(const u64 *a);
i64 sys_sendto(const u64 *a);
i64 sys_recvfrom(const u64 *a);
i64 sys_sendmsg(const u64 *a);
i64 sys_recvmsg(const u64 *a);
i64 sys_shutdown(const u64 *a);
i64 sys_getsockname(const u64 *a);
i64 sys_getsockopt(const u64 *a);
i64 sys_setsockopt(const u64 *a);

#endif
