/* Shared by all loads: arguments, payload, connections, times of the measurement, and one line of JSON.
 *
 * A load is started as `NAME PORT SECONDS NUMBER ACKNOWLEDGEMENT`; a plain echo has an empty acknowledgement. When
 * all its sockets are open it prints `ready`, waits for a line, works for SECONDS and prints its figures. It keeps
 * its sockets until standard input ends: neither connecting nor closing may fall between the two readings of the
 * server's clock. The first wrong byte or missing answer ends it with a message and status 1.
 */
#ifndef LOAD_H
#define LOAD_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

enum {
    MESSAGE = 100,       /* bytes that an echo or a session sends */
    MOST_ANSWER = 256,   /* a message and its acknowledgement */
    BLOCK = 65536,       /* bytes that a stream sends at a time */
    PERIOD = 65521,      /* of the payload; a prime, so that answers displaced by whole blocks are detected */
    PATIENCE = 10,       /* seconds without any answer, after which a load fails */
    FINE = 64,           /* histogram slots per power of two: figures are right to 1.6 % */
    POWERS = 40,
};

struct load {
    uint16_t port;
    uint64_t span; /* nanoseconds */
    unsigned number;
    const char *acknowledgement;
    size_t acknowledgement_size;
};

static unsigned char payload[PERIOD + BLOCK];
static uint64_t histogram[POWERS * FINE];

__attribute__((noreturn, format(printf, 1, 2))) static inline void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static inline int checked(int result, const char *what)
{
    if (result < 0)
        fail("%s: %s", what, strerror(errno));
    return result;
}

static inline uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static inline void too_late(int signal)
{
    (void)signal;
    static const char text[] = "not done in time: an answer is missing\n";
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(2);
    _exit(1);
}

/* Every byte of the payload is 0x80 or above, so no byte can be part of an acknowledgement. */
static inline struct load begin(int count, char **arguments)
{
    if (count != 5)
        fail("usage: %s PORT SECONDS NUMBER ACKNOWLEDGEMENT", arguments[0]);
    struct load load = {
        .port = (uint16_t)atoi(arguments[1]),
        .span = (uint64_t)(atof(arguments[2]) * (double)SECOND),
        .number = (unsigned)atoi(arguments[3]),
        .acknowledgement = arguments[4],
        .acknowledgement_size = strlen(arguments[4]),
    };
    if (load.number == 0 || load.acknowledgement_size > MOST_ANSWER - MESSAGE)
        fail("the number is 0, or the acknowledgement too long");
    uint32_t random = 2463534242;
    for (size_t i = 0; i < sizeof payload; i++) {
        random ^= random << 13, random ^= random >> 17, random ^= random << 5;
        payload[i] = i < PERIOD ? 0x80 | (random >> 24) : payload[i - PERIOD];
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, too_late);
    alarm((unsigned)(load.span / SECOND) + 60);
    return load;
}

static inline const unsigned char *message(uint64_t turn)
{
    return payload + turn * 97 % PERIOD;
}

/* Connect from 250 source addresses in turn: connections in TIME_WAIT would use up the ports of one address. */
static inline int started_connection(const struct load *load, unsigned index, int flags)
{
    int one = 1, sock = checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0), "socket");
    struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000101 + index % 250)};
    struct sockaddr_in server = {
        .sin_family = AF_INET, .sin_port = htons(load->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    checked(setsockopt(sock, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one), "IP_BIND_ADDRESS_NO_PORT");
    checked(setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), "TCP_NODELAY");
    checked(bind(sock, (struct sockaddr *)&source, sizeof source), "bind");
    if (connect(sock, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS)
        fail("connect: %s", strerror(errno));
    return sock;
}

static inline void check_answer(const struct load *load, const unsigned char *sent, const unsigned char *answer)
{
    if (memcmp(answer, sent, MESSAGE) != 0)
        fail("wrong byte in the echo");
    if (memcmp(answer + MESSAGE, load->acknowledgement, load->acknowledgement_size) != 0)
        fail("wrong byte in the acknowledgement");
}

/* Connect and echo one message, so that the connection is accepted before the next one: no backlog overflows. */
static inline int proven_connection(const struct load *load, unsigned index)
{
    unsigned char answer[MOST_ANSWER];
    struct timeval patience = {.tv_sec = PATIENCE};
    size_t due = MESSAGE + load->acknowledgement_size, got = 0;
    int sock = started_connection(load, index, 0);
    checked(setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), "SO_RCVTIMEO");
    if (send(sock, message(index), MESSAGE, 0) != MESSAGE)
        fail("send: %s", strerror(errno));
    while (got < due) {
        ssize_t size = recv(sock, answer + got, due - got, 0);
        if (size <= 0)
            fail("first echo of connection %u: %s", index, size ? strerror(errno) : "end of file");
        got += (size_t)size;
    }
    check_answer(load, message(index), answer);
    return sock;
}

static inline void watch(int epoll, int operation, int sock, uint32_t events, void *whose)
{
    struct epoll_event event = {.events = events, .data.ptr = whose};
    checked(epoll_ctl(epoll, operation, sock, &event), "epoll_ctl");
}

static inline int awaited(int epoll, struct epoll_event *events, int most)
{
    int count = checked(epoll_wait(epoll, events, most, PATIENCE * 1000), "epoll_wait");
    if (count == 0)
        fail("no answer for %d seconds", PATIENCE);
    return count;
}

/* Print `ready`, wait for a line, and return the start time. */
static inline uint64_t started(void)
{
    char line[16];
    puts("ready");
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        exit(2);
    return now();
}

static inline void count_latency(uint64_t nanoseconds)
{
    unsigned power = 0;
    while (nanoseconds >> power >= 2 * FINE && power < POWERS - 2)
        power++;
    uint64_t slot = power * FINE + (nanoseconds >> power);
    histogram[slot < POWERS * FINE ? slot : POWERS * FINE - 1]++;
}

/* Return a percentile in microseconds: the middle of its histogram slot. */
static inline double latency(double part)
{
    uint64_t total = 0, seen = 0;
    for (size_t i = 0; i < POWERS * FINE; i++)
        total += histogram[i];
    for (size_t i = 0; i < POWERS * FINE; i++) {
        seen += histogram[i];
        if (seen > 0 && (double)seen >= part * (double)total) {
            unsigned power = i < 2 * FINE ? 0 : (unsigned)(i / FINE - 1);
            return ((double)(i - power * FINE) + 0.5) * (double)(UINT64_C(1) << power) / 1000;
        }
    }
    return 0;
}

static inline int ended(uint64_t start, double work, uint64_t lost)
{
    double seconds = (double)(now() - start) / (double)SECOND;
    printf("{\"work\": %.6f, \"seconds\": %.6f, \"lost\": %" PRIu64, work, seconds, lost);
    if (latency(1) > 0)
        printf(", \"p50\": %.2f, \"p99\": %.2f, \"p999\": %.2f", latency(0.50), latency(0.99), latency(0.999));
    puts("}");
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return 0;
}

#endif
