// only: wronguse
#include "guest.h"

/* Where the machine cannot give threads away, each is told so each time, and runs on. */
static void *stays(void *arg)
{
	(void)arg;
	for (int i = 0; i < 3; i++) {
		CHECK(migrate(1, NULL, NULL) == EAGAIN);
		CHECK(popcorn_current_nid() == 0);
		free(malloc(1 << 20));
	}
	return NULL;
}

int main(void)
{
	stays(NULL);
	run_threads(4, stays);
	stays(NULL);
	CHECK(system("exit 3") == 3 << 8);
	success();
	return 0;
}
