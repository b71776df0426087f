/* Echo on NUMBER connections: each sends a message, reads and checks the whole echo, and sends the next.
 *
 * With 0 SECONDS each connection echoes once more, to show that idle connections are still served.
 */
#include "load.h"

enum { EVENTS = 128 };

struct connection {
    int sock;
    uint64_t turn, sent_at;
    size_t got;
    unsigned char answer[MOST_ANSWER];
};

static void ask(struct connection *connection)
{
    connection->turn++;
    connection->got = 0;
    connection->sent_at = now();
    if (send(connection->sock, message(connection->turn), MESSAGE, 0) != MESSAGE)
        fail("send: %s", strerror(errno));
}

/* Return true if the whole answer has arrived. */
static bool answered(const struct load *load, struct connection *connection)
{
    size_t due = MESSAGE + load->acknowledgement_size;
    ssize_t size = recv(connection->sock, connection->answer + connection->got, MOST_ANSWER - connection->got, 0);
    if (size <= 0)
        fail("recv: %s", size ? strerror(errno) : "end of file before the answer");
    connection->got += (size_t)size;
    if (connection->got > due)
        fail("%zu bytes of answer where %zu are due", connection->got, due);
    if (connection->got < due)
        return false;
    check_answer(load, message(connection->turn), connection->answer);
    return true;
}

int main(int count, char **arguments)
{
    struct load load = begin(count, arguments);
    struct connection *connections = calloc(load.number, sizeof *connections);
    struct epoll_event events[EVENTS];
    int epoll = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    for (unsigned i = 0; i < load.number; i++) {
        connections[i] = (struct connection){.sock = proven_connection(&load, i), .turn = i * 31};
        watch(epoll, EPOLL_CTL_ADD, connections[i].sock, EPOLLIN, &connections[i]);
    }
    uint64_t work = 0, start = started(), moment = start;
    unsigned under_way = load.number;
    for (unsigned i = 0; i < load.number; i++)
        ask(&connections[i]);
    while (under_way > 0) {
        int ready = awaited(epoll, events, EVENTS);
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!answered(&load, connection))
                continue;
            work++;
            moment = now();
            count_latency(moment - connection->sent_at);
            if (moment - start < load.span)
                ask(connection);
            else
                under_way--;
        }
    }
    return ended(start, (double)work, 0);
}
