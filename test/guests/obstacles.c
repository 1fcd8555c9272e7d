// only: obstacles
/* Has one thing that a checkpoint cannot carry, which its argument names. */
#include "carry.h"

#include <sys/inotify.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>

static pid_t child;
static int shm = -1;

static void make(const char *what)
{
	int fd = -1;

	if (!strcmp(what, "socket"))
		fd = socket(AF_INET, SOCK_STREAM, 0);
	else if (!strcmp(what, "bound")) {
		struct sockaddr_un name = {AF_UNIX, "bound"};

		CHECK((fd = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0 && bind(fd, (struct sockaddr *)&name, sizeof name) == 0);
	} else if (!strcmp(what, "shut")) {
		int s[2];

		CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && shutdown(s[0], SHUT_WR) == 0);
		fd = s[1];
	} else if (!strcmp(what, "inotify"))
		fd = inotify_init();
	else if (!strcmp(what, "fifo"))
		CHECK(mkfifo("fifo", 0600) == 0 && (fd = open("fifo", O_RDWR)) >= 0);
	else if (!strcmp(what, "shm"))
		CHECK((shm = shmget(IPC_PRIVATE, PAGE, 0600)) >= 0 && shmat(shm, NULL, 0) != (void *)-1 && shmctl(shm, IPC_RMID, NULL) == 0);
	else if (!strcmp(what, "ids"))
		CHECK(setresuid(-1, 0, 1) == 0);
	else if (!strcmp(what, "child") && (child = fork()) == 0) {
		pause();
		_exit(0);
	}
	if (fd >= 0)
		CHECK(dup2(fd, 5) == 5 && (fd == 5 || close(fd) == 0));
}

int main(int argc, char **argv)
{
	make(argv[1 % argc]);
	saved();
	if (child > 0)
		CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
	success();
}
