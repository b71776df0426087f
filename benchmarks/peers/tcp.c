/* Echo messages in C: one thread, level-triggered epoll. This is the upper bound for one thread on this kernel.
 *
 * A connection whose client streams is read up to 128 KiB at a time. Its messages are still those that reads of 4096
 * bytes would have found: the data is cut into pieces of 4096, and an acknowledgement follows each.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define ACKNOWLEDGEMENT "\nI get it!\n"
enum {
    MESSAGE = 4096,        /* bytes that a message has at most */
    MOST_MESSAGES = 32,    /* that one read may find */
    READ_IN_TURN = 131072, /* bytes read from a connection before the others have their turn */
    EVENTS = 512,
    ACKNOWLEDGEMENT_SIZE = sizeof ACKNOWLEDGEMENT - 1,
};

struct connection {
    int sock;
    int messages; /* that the next read may find: 1, or MOST_MESSAGES while the client streams */
    unsigned rest_size;
    char *rest; /* bytes of the last answer that did not fit the send buffer; nothing is read until they are sent */
};

/* A read puts each message into a place of its own. The acknowledgement of a full message stands behind it already. */
static char answers[MOST_MESSAGES][MESSAGE + ACKNOWLEDGEMENT_SIZE];
static struct iovec places[MOST_MESSAGES];

static int checked(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
    return result;
}

static void watch(int epoll, int operation, struct connection *connection, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    checked(epoll_ctl(epoll, operation, connection->sock, &event), "epoll_ctl");
}

static void end(struct connection *connection)
{
    close(connection->sock);
    free(connection->rest);
    free(connection);
}

static void accept_all(int epoll, int listener)
{
    for (;;) {
        int sock = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (sock < 0)
            return;
        struct connection *connection = calloc(1, sizeof *connection);
        connection->sock = sock;
        connection->messages = 1;
        watch(epoll, EPOLL_CTL_ADD, connection, EPOLLIN | EPOLLRDHUP);
    }
}

/* Send an answer; return true if all of it was sent. What does not fit is kept until the socket is writable. */
static bool sent(int epoll, struct connection *connection, const char *answer, size_t size)
{
    ssize_t done = send(connection->sock, answer, size, MSG_NOSIGNAL);
    if (done == (ssize_t)size)
        return true;
    if (done < 0 && errno != EAGAIN) {
        end(connection);
        return false;
    }
    done = done < 0 ? 0 : done;
    connection->rest_size = (unsigned)(size - (size_t)done);
    connection->rest = malloc(connection->rest_size);
    memcpy(connection->rest, answer + done, connection->rest_size);
    watch(epoll, EPOLL_CTL_MOD, connection, EPOLLOUT);
    return false;
}

static void send_rest(int epoll, struct connection *connection)
{
    ssize_t done = send(connection->sock, connection->rest, connection->rest_size, MSG_NOSIGNAL);
    if (done < 0 && errno != EAGAIN) {
        end(connection);
        return;
    }
    done = done < 0 ? 0 : done;
    connection->rest_size -= (unsigned)done;
    memmove(connection->rest, connection->rest + done, connection->rest_size);
    if (connection->rest_size == 0) {
        free(connection->rest);
        connection->rest = NULL;
        watch(epoll, EPOLL_CTL_MOD, connection, EPOLLIN | EPOLLRDHUP);
    }
}

/* Echo what a read found: whole messages, and the last one of any size. */
static bool answered(int epoll, struct connection *connection, size_t size)
{
    size_t whole = size / MESSAGE, part = size % MESSAGE;
    size_t answer_size = size + (whole + (part > 0)) * ACKNOWLEDGEMENT_SIZE;
    if (part == 0)
        return sent(epoll, connection, answers[0], answer_size);
    memcpy(answers[whole] + part, ACKNOWLEDGEMENT, ACKNOWLEDGEMENT_SIZE);
    bool all = sent(epoll, connection, answers[0], answer_size);
    /* behind a message of almost 4096 bytes it overlaps the place of the one behind a full message */
    memcpy(answers[whole] + MESSAGE, ACKNOWLEDGEMENT, ACKNOWLEDGEMENT_SIZE);
    return all;
}

/* Read and echo while reads are full, until the turn is over; after the client's end of file, read to the end. */
static void echo(int epoll, struct connection *connection, bool to_the_end)
{
    for (size_t total = 0; to_the_end || total < READ_IN_TURN;) {
        int messages = connection->messages;
        ssize_t size = messages > 1 ? readv(connection->sock, places, messages)
                                    : recv(connection->sock, answers[0], MESSAGE, 0);
        if (size < 0 && errno == EAGAIN)
            return;
        if (size <= 0) {
            end(connection);
            return;
        }
        bool full = size == (ssize_t)messages * MESSAGE;
        connection->messages = full ? MOST_MESSAGES : 1;
        if (!answered(epoll, connection, (size_t)size) || (!full && !to_the_end))
            return;
        total += (size_t)size;
    }
}

int main(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct epoll_event events[EVENTS];
    int one = 1, epoll = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    struct connection port = {.sock = checked(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket")};
    checked(setsockopt(port.sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), "TCP_NODELAY");
    checked(bind(port.sock, (struct sockaddr *)&address, sizeof address), "bind");
    checked(listen(port.sock, 1024), "listen");
    checked(getsockname(port.sock, (struct sockaddr *)&address, &size), "getsockname");
    watch(epoll, EPOLL_CTL_ADD, &port, EPOLLIN);
    for (int i = 0; i < MOST_MESSAGES; i++) {
        memcpy(answers[i] + MESSAGE, ACKNOWLEDGEMENT, ACKNOWLEDGEMENT_SIZE);
        places[i] = (struct iovec){answers[i], MESSAGE};
    }
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        if (ready < 0 && errno != EINTR) /* which a stop and SIGCONT cause: man 7 signal */
            checked(ready, "epoll_wait");
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection == &port)
                accept_all(epoll, port.sock);
            else if (connection->rest != NULL)
                send_rest(epoll, connection);
            else
                echo(epoll, connection, events[i].events & EPOLLRDHUP);
        }
    }
}
