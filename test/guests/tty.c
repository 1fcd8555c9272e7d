// only: terminal_test.go
#include "guest.h"
#include <sys/ioctl.h>

static volatile int interrupts;

static void on_int(int sig)
{
	(void)sig;
	dprintf(1, "interrupted %d\n", ++interrupts);
}

static void on_winch(int sig)
{
	struct winsize w;

	(void)sig;
	CHECK(ioctl(0, TIOCGWINSZ, &w) == 0);
	dprintf(1, "size %d %d\n", w.ws_row, w.ws_col);
}

static void *computes(void *arg)
{
	for (volatile unsigned long x = (long)arg;; x = x * 3 + 1)
		;
}

/* Talks to its terminal from wherever it is: "tick" prints, else it echoes lines until one says "done", or how often it was
 * interrupted: what a handler prints is lost or shown twice when Ctrl-C or Ctrl-Z empty the terminal's queues just then.
 */
int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_int, .sa_flags = SA_RESTART}, sw = {.sa_handler = on_winch, .sa_flags = SA_RESTART};
	pthread_t t;
	char line[64];

	pthread_create(&t, NULL, computes, NULL);
	if (argc > 1)
		for (;; sleep_ms(50))
			dprintf(1, "tock\n");
	CHECK(sigaction(SIGINT, &sa, NULL) == 0 && sigaction(SIGWINCH, &sw, NULL) == 0);
	dprintf(1, "%s\n", isatty(0) && tcgetpgrp(0) == getpgrp() ? "ready" : "no terminal");
	while (fgets(line, sizeof line, stdin) && strcmp(line, "done\n") != 0)
		if (strcmp(line, "count\n") == 0)
			dprintf(1, "count %d\n", interrupts);
		else
			dprintf(1, "line %s", line);
	dprintf(1, "done %d\n", interrupts);
	return 3;
}
