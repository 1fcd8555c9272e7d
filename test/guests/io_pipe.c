// args: 300
// soak: 20000
// calls: clone3 close pipe2 read rt_sigaction write
#include "guest.h"

static int rounds, ping[2], pong[2];

/* Two threads talk through two pipes; big writes block until somebody reads; a closed end is an error. */
static void *echo(void *arg)
{
	int v;

	(void)arg;
	while (read(ping[0], &v, sizeof v) == sizeof v) {
		v = v * 2 + 1;
		CHECK(write(pong[1], &v, sizeof v) == sizeof v);
	}
	return NULL;
}

static void *drain(void *arg)
{
	char *buf = malloc(1 << 20);
	size_t got = 0;

	(void)arg;
	while (got < 1 << 20) {
		ssize_t n = read(ping[0], buf + got, (1 << 20) - got);

		CHECK(n > 0);
		got += n;
	}
	for (int i = 0; i < 1 << 20; i++)
		CHECK(buf[i] == (char)(i * 7));
	return buf;
}

int main(int argc, char **argv)
{
	pthread_t t;
	void *got;
	char *big = malloc(1 << 20);

	rounds = argc > 1 ? atoi(argv[1]) : 1000;
	CHECK(pipe(ping) == 0 && pipe2(pong, O_CLOEXEC) == 0);
	pthread_create(&t, NULL, drain, NULL);
	for (int i = 0; i < 1 << 20; i++)
		big[i] = i * 7;
	CHECK(write(ping[1], big, 1 << 20) == 1 << 20);
	pthread_join(t, &got);
	pthread_create(&t, NULL, echo, NULL);
	for (int i = 0, v; i < rounds; i++) {
		if (i % 50 == 0)
			hop();
		CHECK(write(ping[1], &i, sizeof i) == sizeof i);
		CHECK(read(pong[0], &v, sizeof v) == sizeof v && v == 2 * i + 1);
	}
	close(ping[1]);
	pthread_join(t, NULL);
	signal(SIGPIPE, SIG_IGN);
	close(pong[0]);
	CHECK(write(pong[1], "x", 1) == -1 && errno == EPIPE);
	success();
	return 0;
}
