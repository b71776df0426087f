/* The echo in C: one thread, epoll, level triggered. What is possible at best on this kernel. */
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
#include <unistd.h>

enum { CHUNK = 4096, EVENTS = 512, MOST_IN_TURN = 16 };
static const char ACKNOWLEDGEMENT[] = "\nI get it!\n";
enum { ACKNOWLEDGEMENT_SIZE = sizeof ACKNOWLEDGEMENT - 1 };

struct connection {
    int sock;
    unsigned rest_size;
    char *rest; /* what the kernel would not take yet; nothing is read meanwhile */
};

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
        watch(epoll, EPOLL_CTL_ADD, connection, EPOLLIN | EPOLLRDHUP);
    }
}

/* Whether all could be sent; else the rest is kept, and writing is waited for. */
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

/* One message, and more while they come in full; up to the end of file once the client has said that there is one. */
static void echo(int epoll, struct connection *connection, bool to_the_end)
{
    static char answer[CHUNK + ACKNOWLEDGEMENT_SIZE];
    ssize_t size = CHUNK;
    for (int turn = 0; to_the_end || (size == CHUNK && turn < MOST_IN_TURN); turn++) {
        size = recv(connection->sock, answer, CHUNK, 0);
        if (size < 0 && errno == EAGAIN)
            return;
        if (size <= 0) {
            end(connection);
            return;
        }
        memcpy(answer + size, ACKNOWLEDGEMENT, ACKNOWLEDGEMENT_SIZE);
        if (!sent(epoll, connection, answer, (size_t)size + ACKNOWLEDGEMENT_SIZE))
            return;
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
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int ready = checked(epoll_wait(epoll, events, EVENTS, -1), "epoll_wait");
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
