#include "guest.h"

/* Wrong arguments get the documented errors, and nothing else happens. */
int main(void)
{
	if (nodes() > 0) {
		int here = current_nid();

		CHECK(migrate(-1, NULL, NULL) == EINVAL);
		CHECK(migrate(-2, NULL, NULL) == EINVAL);
		CHECK(migrate(32, NULL, NULL) == EINVAL);
		CHECK(migrate(INT_MAX, NULL, NULL) == EINVAL);
		CHECK(migrate(31, NULL, NULL) == EAGAIN);
		CHECK(migrate(here, NULL, NULL) == EBUSY);
		CHECK(popcorn_propose_migration(0, -2) == -1 && errno == EINVAL);
		CHECK(popcorn_propose_migration(0, 32) == -1 && errno == EINVAL);
		CHECK(popcorn_propose_migration(999999999, 0) == -1 && errno == ENOENT);
		CHECK(popcorn_get_status((void *)8) == -1 && errno == EINVAL);
		CHECK(popcorn_get_node_info((void *)8, (void *)8) == -1 && errno == EINVAL);
		if (nodes() > 1)
			CHECK(popcorn_migrate_regs(!here, (void *)8) == -1 && errno == EFAULT);
		CHECK(current_nid() == here);
	}
	success();
	return 0;
}
