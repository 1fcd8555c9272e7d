#include "guest.h"

static int calls;
static void called(void *arg) { calls += arg == &calls; }

/* migrate_schedule reads its node from the file, by region and thread number. */
int main(void)
{
	FILE *f;

	CHECK(migrate_schedule(1, 0, called, &calls) == ENOENT);
	CHECK((f = fopen("thread-schedule.txt", "w")));
	fprintf(f, "1 2 0 1\n7 3 1 0 1\n");
	fclose(f);
	CHECK(migrate_schedule(2, 0, NULL, NULL) == ENOENT);
	CHECK(migrate_schedule(1, 2, NULL, NULL) == ENOENT);
	if (nodes() == 0)
		CHECK(migrate_schedule(7, 2, called, &calls) == ENOSYS && calls == 0);
	if (nodes() > 1) {
		go(0);
		CHECK(migrate_schedule(1, 0, called, &calls) == 0 && calls == 0);
		CHECK(migrate_schedule(7, 2, called, &calls) == 0 && calls == 1 && current_nid() == 1);
	}
	CHECK((f = fopen("other.txt", "w")));
	fprintf(f, "1 1 0\n");
	fclose(f);
	setenv("POPCORN_THREAD_SCHEDULE", "other.txt", 1);
	CHECK(migrate_schedule(7, 0, NULL, NULL) == ENOENT);
	if (nodes() > 0)
		CHECK(migrate_schedule(1, 0, NULL, NULL) == 0 && current_nid() == 0);
	success();
	return 0;
}
