// calls: exit_group vfork wait4
#include "guest.h"
#include <spawn.h>

extern char **environ;

static int finish(pid_t pid)
{
	int status;

	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* posix_spawn with file actions, vfork and exec, system, popen; a missing program is an error, not a hang. */
int main(void)
{
	pid_t pid;
	char line[64];
	char *echo[] = {"sh", "-c", "echo spawned; exit 4", NULL};
	posix_spawn_file_actions_t fa;

	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_addopen(&fa, 1, "out", O_CREAT | O_WRONLY, 0644);
	CHECK(posix_spawn(&pid, "/bin/sh", &fa, NULL, echo, environ) == 0 && finish(pid) == 4);
	FILE *f = fopen("out", "r");

	CHECK(f && fgets(line, sizeof line, f) && strcmp(line, "spawned\n") == 0);
	fclose(f);
	hop();
	CHECK(posix_spawnp(&pid, "no-such-program", NULL, NULL, echo, environ) == ENOENT);
	hop();
	if ((pid = vfork()) == 0) {
		execl("/bin/sh", "sh", "-c", "exit 9", (char *)NULL);
		_exit(127);
	}
	CHECK(finish(pid) == 9);
	if ((pid = vfork()) == 0) {
		execl("/no/such", "x", (char *)NULL);
		_exit(errno == ENOENT ? 3 : 4);
	}
	CHECK(finish(pid) == 3);
	hop();
	CHECK(WEXITSTATUS(system("exit 6")) == 6);
	CHECK((f = popen("echo piped", "r")) && fgets(line, sizeof line, f) && strcmp(line, "piped\n") == 0);
	CHECK(pclose(f) == 0);
	success();
	return 0;
}
