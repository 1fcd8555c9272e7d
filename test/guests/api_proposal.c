#include "guest.h"

static int calls;
static void called(void *arg) { calls += *(int *)arg; }

/* A proposal moves nothing until the thread asks: migrate(-1) and check_migrate() do. */
int main(void)
{
	int one = 1;

	CHECK(check_migrate(called, &one) == 0 && calls == 0);
	if (nodes() > 1) {
		go(0);
		CHECK(popcorn_propose_migration(0, 1) == 0);
		CHECK(current_nid() == 0);
		CHECK(migrate(-1, called, &one) == 0 && current_nid() == 1 && calls == 1);
		CHECK(migrate(-1, called, &one) == EINVAL && calls == 1);
		CHECK(popcorn_propose_migration(0, 0) == 0);
		CHECK(check_migrate(called, &one) == 0 && current_nid() == 0 && calls == 2);
		CHECK(check_migrate(called, &one) == 0 && calls == 2);
	}
	success();
	return 0;
}
