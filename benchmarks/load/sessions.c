/* Run one-shot sessions, NUMBER at a time: connect, send, shut down, read to the end of file, close. */
#include "load.h"

enum { EVENTS = 64 };

struct session {
    int sock;
    unsigned index;
    uint64_t started_at;
    bool sent;
    size_t got;
    unsigned char answer[MOST_ANSWER];
};

/* Send the message; return false if the handshake has not finished. On one machine it mostly has. */
static bool send_message(struct session *session)
{
    ssize_t size = send(session->sock, message(session->index), MESSAGE, 0);
    if (size < 0 && errno == EAGAIN)
        return false;
    if (size != MESSAGE)
        fail("send: %s", strerror(errno));
    checked(shutdown(session->sock, SHUT_WR), "shutdown");
    return true;
}

static void open_session(const struct load *load, int epoll, struct session *session, unsigned index)
{
    *session = (struct session){.index = index, .started_at = now()};
    session->sock = started_connection(load, index, SOCK_NONBLOCK);
    session->sent = send_message(session);
    watch(epoll, EPOLL_CTL_ADD, session->sock, session->sent ? EPOLLIN : EPOLLOUT, session);
}

/* Return true at the end of file, after a complete answer and nothing else. */
static bool over(const struct load *load, int epoll, struct session *session)
{
    if (!session->sent) {
        if ((session->sent = send_message(session)))
            watch(epoll, EPOLL_CTL_MOD, session->sock, EPOLLIN, session);
        return false;
    }
    for (;;) {
        ssize_t size = recv(session->sock, session->answer + session->got, MOST_ANSWER - session->got, 0);
        if (size == 0)
            break;
        if (size < 0 && errno == EAGAIN)
            return false;
        if (size < 0)
            fail("recv: %s", strerror(errno));
        session->got += (size_t)size;
    }
    size_t due = MESSAGE + load->acknowledgement_size;
    if (session->got != due)
        fail("%zu bytes of answer where %zu are due", session->got, due);
    check_answer(load, message(session->index), session->answer);
    checked(close(session->sock), "close");
    return true;
}

int main(int count, char **arguments)
{
    struct load load = begin(count, arguments);
    struct session *sessions = calloc(load.number, sizeof *sessions);
    struct epoll_event events[EVENTS];
    int epoll = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    uint64_t work = 0, start = started();
    unsigned index = 0, under_way = load.number;
    while (index < load.number) {
        open_session(&load, epoll, &sessions[index], index);
        index++;
    }
    while (under_way > 0) {
        int ready = awaited(epoll, events, EVENTS);
        for (int i = 0; i < ready; i++) {
            struct session *session = events[i].data.ptr;
            if (!over(&load, epoll, session))
                continue;
            work++;
            uint64_t moment = now();
            count_latency(moment - session->started_at);
            if (moment - start < load.span)
                open_session(&load, epoll, session, index++);
            else
                under_way--;
        }
    }
    return ended(start, (double)work, 0);
}
