/* Send blocks on NUMBER connections and read the echo at the same time; work is the megabytes echoed.
 *
 * Only the acknowledgements show where the server's messages end. They cannot occur in the payload, so the rest
 * must be the payload to the byte, and each acknowledgement follows 1 to 4096 bytes of it.
 */
#include "load.h"

enum { EVENTS = 16, UNDER_WAY = 4 * BLOCK, LONGEST = 4096, READ = 65536 };

struct stream {
    int sock;
    bool shut;
    uint64_t sent, returned;
    size_t unacknowledged, of_acknowledgement; /* bytes of echo since the last acknowledgement, and bytes of a partial one */
};

static void check_echo(struct stream *stream, const unsigned char *bytes, size_t size)
{
    stream->unacknowledged += size;
    if (stream->returned + size > stream->sent)
        fail("more echo than was sent");
    while (size > 0) {
        size_t piece = size < BLOCK ? size : BLOCK;
        if (memcmp(bytes, payload + stream->returned % PERIOD, piece) != 0)
            fail("wrong byte in the echo");
        stream->returned += piece, bytes += piece, size -= piece;
    }
}

static void check_acknowledgements(const struct load *load, struct stream *stream, const unsigned char *bytes, size_t size)
{
    for (const unsigned char *end = bytes + size; bytes < end;) {
        if (stream->of_acknowledgement > 0) {
            if (*bytes++ != (unsigned char)load->acknowledgement[stream->of_acknowledgement++])
                fail("wrong byte in an acknowledgement");
            if (stream->of_acknowledgement == load->acknowledgement_size)
                stream->of_acknowledgement = stream->unacknowledged = 0;
            continue;
        }
        const unsigned char *next = memchr(bytes, load->acknowledgement[0], (size_t)(end - bytes));
        check_echo(stream, bytes, (size_t)((next ? next : end) - bytes));
        if (stream->unacknowledged > LONGEST || (next && stream->unacknowledged == 0))
            fail("an acknowledgement behind %zu bytes", stream->unacknowledged);
        stream->of_acknowledgement = next ? 1 : 0;
        bytes = next ? next + 1 : end;
    }
}

/* Read what has arrived; return true at the end of file, after which nothing may be missing. */
static bool over(const struct load *load, struct stream *stream)
{
    static unsigned char bytes[READ];
    for (;;) {
        ssize_t size = recv(stream->sock, bytes, sizeof bytes, 0);
        if (size < 0 && errno == EAGAIN)
            return false;
        if (size < 0)
            fail("recv: %s", strerror(errno));
        if (size == 0)
            break;
        if (load->acknowledgement_size > 0)
            check_acknowledgements(load, stream, bytes, (size_t)size);
        else
            check_echo(stream, bytes, (size_t)size);
    }
    if (!stream->shut || stream->returned != stream->sent)
        fail("end of file after %" PRIu64 " of %" PRIu64 " bytes", stream->returned, stream->sent);
    if (load->acknowledgement_size > 0 && stream->of_acknowledgement + stream->unacknowledged > 0)
        fail("the last acknowledgement is missing");
    return true;
}

static void send_more(struct stream *stream, bool more)
{
    while (more && stream->sent - stream->returned <= UNDER_WAY - BLOCK) {
        ssize_t size = send(stream->sock, payload + stream->sent % PERIOD, BLOCK, 0);
        if (size < 0 && errno == EAGAIN)
            return;
        if (size < 0)
            fail("send: %s", strerror(errno));
        stream->sent += (uint64_t)size;
    }
    if (!more && !stream->shut) {
        checked(shutdown(stream->sock, SHUT_WR), "shutdown");
        stream->shut = true;
    }
}

int main(int count, char **arguments)
{
    struct load load = begin(count, arguments);
    struct stream *streams = calloc(load.number, sizeof *streams);
    struct epoll_event events[EVENTS];
    int epoll = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    for (unsigned i = 0; i < load.number; i++) {
        streams[i].sock = proven_connection(&load, i);
        int flags = checked(fcntl(streams[i].sock, F_GETFL), "F_GETFL");
        checked(fcntl(streams[i].sock, F_SETFL, flags | O_NONBLOCK), "F_SETFL");
    }
    uint64_t work = 0, start = started();
    /* edge triggered: at each event read everything, then send as much as may be outstanding */
    for (unsigned i = 0; i < load.number; i++)
        watch(epoll, EPOLL_CTL_ADD, streams[i].sock, EPOLLIN | EPOLLOUT | EPOLLET, &streams[i]);
    for (unsigned under_way = load.number; under_way > 0;) {
        int ready = awaited(epoll, events, EVENTS);
        for (int i = 0; i < ready; i++) {
            struct stream *stream = events[i].data.ptr;
            if (over(&load, stream)) {
                work += stream->returned;
                under_way--;
                checked(epoll_ctl(epoll, EPOLL_CTL_DEL, stream->sock, NULL), "epoll_ctl");
            } else {
                send_more(stream, now() - start < load.span);
            }
        }
    }
    return ended(start, (double)work / 1e6, 0);
}
