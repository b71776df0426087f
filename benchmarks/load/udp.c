/* Keep NUMBER datagrams outstanding on each of SOCKETS sockets: send as many as were answered.
 *
 * With 32 on each socket more are outstanding than a receive buffer of default size holds (194 of the smallest). The
 * kernel drops some of the first burst, and they are sent again later. By then the order of the answers no longer
 * matches the requests, so the latencies shown are too long.
 *
 * A request is one byte, so that an answer of four bytes cannot be its echo. Answers do not identify their
 * request: latency follows from the order, which loopback and a server of one thread keep. A datagram without an
 * answer for LOST_AFTER is lost, and sent again; more than a burst and one in a thousand is a failure.
 */
#include "load.h"

enum { SOCKETS = 8, MOST = 256, FIT = 128, LOST_AFTER = 500 /* milliseconds */, CLOCKS_APART = 2 /* seconds */ };

struct asker {
    int sock;
    unsigned outstanding;
    uint64_t first, next; /* numbers of outstanding requests; modulo MOST, an index of asked_at */
    uint64_t asked_at[MOST];
};

static unsigned char question = '?', answers[MOST][8];
static struct iovec sent[MOST], received[MOST];
static struct mmsghdr questions[MOST], incoming[MOST];

static void ask(struct asker *asker, unsigned count)
{
    uint64_t moment = now();
    for (unsigned i = 0; i < count; i++)
        asker->asked_at[asker->next++ % MOST] = moment;
    asker->outstanding += count;
    for (unsigned sent = 0; sent < count;)
        sent += (unsigned)checked(sendmmsg(asker->sock, questions, count - sent, 0), "sendmmsg");
}

static void check_time(const unsigned char *answer, unsigned size, time_t clock)
{
    uint32_t seconds;
    if (size != sizeof seconds)
        fail("an answer of %u bytes", size);
    memcpy(&seconds, answer, sizeof seconds);
    if (llabs((long long)ntohl(seconds) - (long long)(uint32_t)clock) > CLOCKS_APART)
        fail("an answer that says %u at %lld", ntohl(seconds), (long long)clock);
}

/* Receive answers and return the number of requests that they answer. */
static unsigned take(struct asker *asker, bool lost_before)
{
    int count = recvmmsg(asker->sock, incoming, MOST, MSG_DONTWAIT, NULL);
    if (count < 0 && errno == EAGAIN)
        return 0;
    checked(count, "recvmmsg");
    uint64_t moment = now();
    time_t clock = time(NULL);
    for (int i = 0; i < count; i++) {
        check_time(answers[i], incoming[i].msg_len, clock);
        if (asker->first == asker->next) {
            if (!lost_before)
                fail("more answers than questions");
            continue; /* a late answer to a request counted as lost */
        }
        count_latency(moment - asker->asked_at[asker->first++ % MOST]);
    }
    unsigned fitting = (unsigned)count < asker->outstanding ? (unsigned)count : asker->outstanding;
    asker->outstanding -= fitting;
    return fitting;
}

static void open_asker(const struct load *load, struct asker *asker)
{
    struct sockaddr_in server = {
        .sin_family = AF_INET, .sin_port = htons(load->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    asker->sock = checked(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
    checked(connect(asker->sock, (struct sockaddr *)&server, sizeof server), "connect");
}

int main(int count, char **arguments)
{
    struct load load = begin(count, arguments);
    static struct asker askers[SOCKETS];
    struct epoll_event events[SOCKETS];
    int epoll = checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    if (load.number > MOST)
        fail("at most %d at a time", MOST);
    unsigned sockets = MOST / load.number < SOCKETS ? MOST / load.number : SOCKETS;
    for (unsigned i = 0; i < MOST; i++) {
        sent[i] = (struct iovec){&question, 1};
        received[i] = (struct iovec){answers[i], sizeof answers[i]};
        questions[i].msg_hdr = (struct msghdr){.msg_iov = &sent[i], .msg_iovlen = 1};
        incoming[i].msg_hdr = (struct msghdr){.msg_iov = &received[i], .msg_iovlen = 1};
    }
    for (unsigned i = 0; i < sockets; i++) {
        open_asker(&load, &askers[i]);
        watch(epoll, EPOLL_CTL_ADD, askers[i].sock, EPOLLIN, &askers[i]);
    }
    uint64_t work = 0, lost = 0, start = started();
    unsigned under_way = sockets * load.number;
    for (unsigned i = 0; i < sockets; i++)
        ask(&askers[i], load.number);
    while (under_way > 0) {
        int ready = checked(epoll_wait(epoll, events, SOCKETS, LOST_AFTER), "epoll_wait");
        bool more = now() - start < load.span;
        for (int i = 0; i < ready; i++) {
            struct asker *asker = events[i].data.ptr;
            unsigned answered = take(asker, lost > 0);
            work += answered;
            under_way -= answered;
            if (more && answered > 0) {
                ask(asker, answered);
                under_way += answered;
            }
        }
        for (unsigned i = 0; i < sockets; i++) {
            struct asker *asker = &askers[i];
            unsigned missing = asker->outstanding;
            if (missing == 0 || now() - asker->asked_at[asker->first % MOST] < LOST_AFTER * SECOND / 1000)
                continue;
            lost += missing;
            asker->first = asker->next;
            asker->outstanding = 0;
            under_way -= missing;
            if (more) {
                ask(asker, missing);
                under_way += missing;
            }
        }
    }
    /* a few on each socket fit the buffer, so no burst is lost */
    uint64_t burst = SOCKETS * load.number > FIT ? SOCKETS * load.number : 0;
    if (lost > burst + work / 1000)
        fail("%" PRIu64 " lost of %" PRIu64, lost, work + lost);
    return ended(start, (double)work, lost);
}
