// calls: clock_nanosleep clone3 getpid read rt_sigprocmask rt_sigqueueinfo rt_sigtimedwait signalfd4
#include "guest.h"
#include <sys/signalfd.h>

static sigset_t set;

static void *sender(void *arg)
{
	sleep_ms(10);
	CHECK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = (long)arg}) == 0);
	return NULL;
}

/* sigwait, sigwaitinfo, sigtimedwait and signalfd receive what is blocked. */
int main(void)
{
	pthread_t t;
	siginfo_t si;
	int sig;
	struct timespec ts = {0, 20000000};
	struct signalfd_siginfo fd_info;

	sigemptyset(&set), sigaddset(&set, SIGUSR1);
	CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
	double start = now();

	CHECK(sigtimedwait(&set, &si, &ts) == -1 && errno == EAGAIN && now() - start >= 0.0199);
	hop();
	pthread_create(&t, NULL, sender, (void *)11);
	CHECK(sigwait(&set, &sig) == 0 && sig == SIGUSR1);
	pthread_join(t, NULL);
	hop();
	pthread_create(&t, NULL, sender, (void *)12);
	CHECK(sigwaitinfo(&set, &si) == SIGUSR1 && si.si_value.sival_int == 12 && si.si_code == SI_QUEUE);
	pthread_join(t, NULL);
	hop();
	int fd = signalfd(-1, &set, 0);

	pthread_create(&t, NULL, sender, (void *)13);
	CHECK(read(fd, &fd_info, sizeof fd_info) == sizeof fd_info && fd_info.ssi_int == 13);
	pthread_join(t, NULL);
	success();
	return 0;
}
