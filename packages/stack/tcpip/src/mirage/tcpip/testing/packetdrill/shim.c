/* The shared object that packetdrill loads (--so_filename): each call of its interface becomes a request on a Unix
 * socket, whose path is --so_flags, and waits for the reply. What goes over the socket says __init__.py.
 *
 *     cc -shared -fPIC -O2 -I PACKETDRILL/gtests/net/packetdrill -o shim.so shim.c
 *
 * For what scripts say in %{ }%, packetdrill asks for TCP_INFO by getsockopt itself: loaded by LD_PRELOAD too, this object
 * takes that call over for the descriptors that are the stack's.
 *
 * A thread that calls has a connection of its own, so that a call that blocks does not stop the others. An error of
 * the socket itself ends the process: nothing that packetdrill says afterwards would be worth anything.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "packetdrill.h"

enum call {
    SOCKET = 1, BIND, LISTEN, ACCEPT, CONNECT, READ, WRITE, CLOSE, SHUTDOWN, GETOPT, SETOPT, POLL, FCNTL, IOCTL, NSEND,
    NRECV, USLEEP, GTOD, EPOLL_CREATE, EPOLL_CTL, EPOLL_WAIT, RECVMSG, SENDMSG
};

struct request { uint32_t call, size; int64_t a, b, c, d; };
struct reply { int64_t result; int32_t error; uint32_t size; int64_t x; };

static struct sockaddr_un server = {.sun_family = AF_UNIX};
static __thread int connection = -1;

static void give_up(const char *what) {
    perror(what);
    _exit(2);
}

static void put(const void *data, size_t size) {
    for (const char *at = data; size;) {
        ssize_t done = write(connection, at, size);
        if (done <= 0) give_up("shim: write");
        at += done, size -= done;
    }
}

static void get(void *data, size_t size) {
    for (char *at = data; size;) {
        ssize_t done = read(connection, at, size);
        if (done <= 0) give_up("shim: read");
        at += done, size -= done;
    }
}

/* One call. *out becomes the reply's octets, to be freed by the caller, if out is not null. */
static struct reply ask(struct request request, const void *in, char **out) {
    struct reply reply;
    if (connection < 0) {
        connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connection < 0 || connect(connection, (struct sockaddr *)&server, sizeof server)) give_up("shim: connect");
    }
    put(&request, sizeof request);
    put(in, request.size);
    get(&reply, sizeof reply);
    char *data = malloc(reply.size + 1);
    if (!data) give_up("shim: malloc");
    get(data, reply.size);
    if (out) *out = data;
    else free(data);
    if (reply.result < 0) errno = reply.error;
    return reply;
}

static struct reply plain(enum call call, int64_t a, int64_t b, int64_t c) {
    return ask((struct request){.call = call, .a = a, .b = b, .c = c}, NULL, NULL);
}

/* Copy at most `room` octets to where the caller wants them. */
static void hand(void *to, size_t room, const char *from, size_t size) {
    if (to) memcpy(to, from, size < room ? size : room);
}

static char ours[4096]; /* Which descriptors are the stack's. */

/* packetdrill closes some numbers itself: let them be descriptors of this process, of nothing. */
static int occupy(int number) {
    if (number >= 0 && number < (int)sizeof ours) ours[number] = 1;
    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (number >= 0 && nothing >= 0) dup2(nothing, number);
    if (nothing >= 0) close(nothing);
    return number;
}

static void nothing(void *user) {}

static int stack_socket(void *user, int domain, int type, int protocol) {
    return occupy(plain(SOCKET, domain, type, protocol).result);
}

static int stack_bind(void *user, int fd, const struct sockaddr *address, socklen_t size) {
    return ask((struct request){.call = BIND, .size = size, .a = fd}, address, NULL).result;
}

static int stack_listen(void *user, int fd, int backlog) { return plain(LISTEN, fd, backlog, 0).result; }

static int stack_accept(void *user, int fd, struct sockaddr *address, socklen_t *size) {
    char *data;
    struct reply reply = ask((struct request){.call = ACCEPT, .a = fd}, NULL, &data);
    if (address && size && reply.result >= 0) {
        hand(address, *size, data, reply.size);
        *size = reply.size;
    }
    free(data);
    return occupy(reply.result);
}

static int stack_connect(void *user, int fd, const struct sockaddr *address, socklen_t size) {
    return ask((struct request){.call = CONNECT, .size = size, .a = fd}, address, NULL).result;
}

static ssize_t stack_recv(void *user, int fd, void *buffer, size_t room, int flags) {
    char *data;
    struct reply reply = ask((struct request){.call = READ, .a = fd, .b = room, .c = flags}, NULL, &data);
    hand(buffer, room, data, reply.size);
    free(data);
    return reply.result;
}

static ssize_t stack_read(void *user, int fd, void *buffer, size_t room) { return stack_recv(user, fd, buffer, room, 0); }

static ssize_t stack_recvmsg(void *user, int fd, struct msghdr *message, int flags) {
    size_t room = 0;
    char *data;
    for (size_t i = 0; i < message->msg_iovlen; i++) room += message->msg_iov[i].iov_len;
    struct reply reply = ask((struct request){.call = RECVMSG, .a = fd, .b = room, .c = flags}, NULL, &data);
    if (reply.result >= 0 && reply.size >= 8) {
        uint32_t name, control;
        memcpy(&name, data, 4);
        memcpy(&control, data + 4, 4);
        const char *at = data + 8;
        hand(message->msg_name, message->msg_namelen, at, name);
        if (message->msg_name) message->msg_namelen = name;
        at += name;
        hand(message->msg_control, message->msg_controllen, at, control);
        message->msg_flags = reply.x | (control > message->msg_controllen ? MSG_CTRUNC : 0);
        message->msg_controllen = control < message->msg_controllen ? control : message->msg_controllen;
        at += control;
        size_t left = data + reply.size - at;
        for (size_t i = 0; i < message->msg_iovlen && left; i++) {
            size_t part = left < message->msg_iov[i].iov_len ? left : message->msg_iov[i].iov_len;
            hand(message->msg_iov[i].iov_base, part, at, part);
            at += part, left -= part;
        }
    }
    free(data);
    return reply.result;
}

static ssize_t stack_readv(void *user, int fd, const struct iovec *parts, int count) {
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
    return stack_recvmsg(user, fd, &message, 0);
}

static ssize_t stack_recvfrom(void *user, int fd, void *buffer, size_t room, int flags, struct sockaddr *address,
                              socklen_t *size) {
    struct iovec part = {buffer, room};
    struct msghdr message = {.msg_name = address, .msg_namelen = size ? *size : 0, .msg_iov = &part, .msg_iovlen = 1};
    ssize_t result = stack_recvmsg(user, fd, &message, flags);
    if (address && size) *size = message.msg_namelen;
    return result;
}

static ssize_t stack_send(void *user, int fd, const void *data, size_t size, int flags) {
    return ask((struct request){.call = WRITE, .size = size, .a = fd, .b = flags}, data, NULL).result;
}

static ssize_t stack_write(void *user, int fd, const void *data, size_t size) {
    return stack_send(user, fd, data, size, 0);
}

static ssize_t stack_sendmsg(void *user, int fd, const struct msghdr *message, int flags) {
    uint32_t name = message->msg_name ? message->msg_namelen : 0;
    size_t size = 4 + name;
    for (size_t i = 0; i < message->msg_iovlen; i++) size += message->msg_iov[i].iov_len;
    char *data = malloc(size), *at = data + 4;
    if (!data) give_up("shim: malloc");
    memcpy(data, &name, 4);
    if (name) memcpy(at, message->msg_name, name);
    at += name;
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        if (message->msg_iov[i].iov_len) memcpy(at, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
        at += message->msg_iov[i].iov_len;
    }
    struct reply reply = ask((struct request){.call = SENDMSG, .size = size, .a = fd, .b = flags}, data, NULL);
    free(data);
    return reply.result;
}

static ssize_t stack_writev(void *user, int fd, const struct iovec *parts, int count) {
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
    return stack_sendmsg(user, fd, &message, 0);
}

static ssize_t stack_sendto(void *user, int fd, const void *data, size_t size, int flags,
                            const struct sockaddr *address, socklen_t address_size) {
    struct iovec part = {(void *)data, size};
    struct msghdr message = {
        .msg_name = (void *)address, .msg_namelen = address_size, .msg_iov = &part, .msg_iovlen = 1};
    return stack_sendmsg(user, fd, &message, flags);
}

static int stack_fcntl(void *user, int fd, int command, ...) {
    va_list rest;
    va_start(rest, command);
    long value = va_arg(rest, long);
    va_end(rest);
    return plain(FCNTL, fd, command, value).result;
}

static int stack_ioctl(void *user, int fd, unsigned long what, ...) {
    va_list rest;
    va_start(rest, what);
    int *value = va_arg(rest, int *);
    va_end(rest);
    struct reply reply = plain(IOCTL, fd, what, 0);
    if (value && reply.result >= 0) *value = reply.x;
    return reply.result;
}

static int stack_close(void *user, int fd) {
    if (fd >= 0 && fd < (int)sizeof ours) ours[fd] = 0;
    return plain(CLOSE, fd, 0, 0).result;
}

static int stack_shutdown(void *user, int fd, int how) { return plain(SHUTDOWN, fd, how, 0).result; }

static int stack_getsockopt(void *user, int fd, int level, int option, void *value, socklen_t *size) {
    char *data;
    struct reply reply = ask((struct request){.call = GETOPT, .a = fd, .b = level, .c = option, .d = *size}, NULL, &data);
    if (reply.result >= 0) {
        hand(value, *size, data, reply.size);
        if (reply.size < *size) *size = reply.size;
    }
    free(data);
    return reply.result;
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *size) {
    if (fd >= 0 && fd < (int)sizeof ours && ours[fd]) return stack_getsockopt(NULL, fd, level, option, value, size);
    return syscall(SYS_getsockopt, fd, level, option, value, size);
}

static int stack_setsockopt(void *user, int fd, int level, int option, const void *value, socklen_t size) {
    return ask((struct request){.call = SETOPT, .size = size, .a = fd, .b = level, .c = option}, value, NULL).result;
}

static int stack_poll(void *user, struct pollfd *entries, nfds_t count, int timeout) {
    char *data;
    size_t size = count * sizeof *entries;
    struct reply reply = ask((struct request){.call = POLL, .size = size, .a = count, .b = timeout}, entries, &data);
    hand(entries, size, data, reply.size);
    free(data);
    return reply.result;
}

static int stack_epoll_create(void *user, int size) { return occupy(plain(EPOLL_CREATE, size, 0, 0).result); }

static int stack_epoll_ctl(void *user, int epoll, int what, int fd, struct epoll_event *event) {
    struct request request = {.call = EPOLL_CTL, .a = epoll, .b = what, .c = fd};
    if (event) {
        request.d = event->events;
        request.size = sizeof event->data;
    }
    return ask(request, event ? &event->data : NULL, NULL).result;
}

static int stack_epoll_wait(void *user, int epoll, struct epoll_event *events, int most, int timeout) {
    char *data;
    struct reply reply = ask((struct request){.call = EPOLL_WAIT, .a = epoll, .b = most, .c = timeout}, NULL, &data);
    for (int i = 0; i < reply.result; i++) {
        memcpy(&events[i].events, data + 12 * i, 4);
        memcpy(&events[i].data, data + 12 * i + 4, 8);
    }
    free(data);
    return reply.result;
}

static int refused(void) {
    errno = ENOSYS;
    return -1;
}

static int stack_pipe(void *user, int ends[2]) { return refused(); }

static int stack_splice(void *user, int from, loff_t *from_at, int to, loff_t *to_at, size_t size, unsigned flags) {
    return refused();
}

static int stack_netdev_send(void *user, const void *packet, size_t size) {
    return ask((struct request){.call = NSEND, .size = size}, packet, NULL).result;
}

static int stack_netdev_receive(void *user, void *packet, size_t *size, long long *when) {
    char *data;
    struct reply reply = ask((struct request){.call = NRECV, .a = *size}, NULL, &data);
    hand(packet, *size, data, reply.size);
    if (reply.size < *size) *size = reply.size;
    *when = reply.x;
    free(data);
    return reply.result;
}

static int stack_usleep(void *user, useconds_t us) { return plain(USLEEP, us, 0, 0).result; }

static int stack_gettimeofday(void *user, struct timeval *when, struct timezone *zone) {
    int64_t us = plain(GTOD, 0, 0, 0).x;
    when->tv_sec = us / 1000000;
    when->tv_usec = us % 1000000;
    return 0;
}

void packetdrill_interface_init(const char *flags, struct packetdrill_interface *interface) {
    if (!flags || strlen(flags) >= sizeof server.sun_path) {
        fprintf(stderr, "shim: --so_flags has to be the path of a Unix socket\n");
        _exit(2);
    }
    strcpy(server.sun_path, flags);
    *interface = (struct packetdrill_interface){
        .free = nothing,
        .socket = stack_socket,
        .bind = stack_bind,
        .listen = stack_listen,
        .accept = stack_accept,
        .connect = stack_connect,
        .read = stack_read,
        .readv = stack_readv,
        .recv = stack_recv,
        .recvfrom = stack_recvfrom,
        .recvmsg = stack_recvmsg,
        .write = stack_write,
        .writev = stack_writev,
        .send = stack_send,
        .sendto = stack_sendto,
        .sendmsg = stack_sendmsg,
        .fcntl = stack_fcntl,
        .ioctl = stack_ioctl,
        .close = stack_close,
        .shutdown = stack_shutdown,
        .getsockopt = stack_getsockopt,
        .setsockopt = stack_setsockopt,
        .poll = stack_poll,
        .netdev_send = stack_netdev_send,
        .netdev_receive = stack_netdev_receive,
        .usleep = stack_usleep,
        .gettimeofday = stack_gettimeofday,
        .epoll_create = stack_epoll_create,
        .epoll_ctl = stack_epoll_ctl,
        .epoll_wait = stack_epoll_wait,
        .pipe = stack_pipe,
        .splice = stack_splice,
    };
}
