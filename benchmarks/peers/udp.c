/* Serve time in C: one thread that receives and answers up to 64 datagrams at a time. This is the upper bound. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64, LARGEST = 2048 };

static int checked(int result, const char *what)
{
    if (result < 0) {
        perror(what);
        exit(1);
    }
    return result;
}

int main(void)
{
    static char questions[BATCH][LARGEST];
    static struct sockaddr_in senders[BATCH];
    static struct iovec received[BATCH];
    static struct mmsghdr incoming[BATCH], outgoing[BATCH];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    uint32_t seconds;
    struct iovec answer = {&seconds, sizeof seconds};
    int sock = checked(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
    checked(bind(sock, (struct sockaddr *)&address, sizeof address), "bind");
    checked(getsockname(sock, (struct sockaddr *)&address, &size), "getsockname");
    for (int i = 0; i < BATCH; i++) {
        received[i] = (struct iovec){questions[i], LARGEST};
        incoming[i].msg_hdr = (struct msghdr){.msg_iov = &received[i], .msg_iovlen = 1, .msg_name = &senders[i]};
        outgoing[i].msg_hdr = (struct msghdr){
            .msg_iov = &answer, .msg_iovlen = 1, .msg_name = &senders[i], .msg_namelen = sizeof senders[i]};
    }
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        for (int i = 0; i < BATCH; i++)
            incoming[i].msg_hdr.msg_namelen = sizeof senders[i];
        int count = checked(recvmmsg(sock, incoming, BATCH, MSG_WAITFORONE, NULL), "recvmmsg");
        seconds = htonl((uint32_t)time(NULL));
        for (int sent = 0; sent < count;) {
            int done = sendmmsg(sock, outgoing + sent, (unsigned)(count - sent), 0);
            sent += done > 0 ? done : 1; /* skip an unanswerable sender */
        }
    }
}
