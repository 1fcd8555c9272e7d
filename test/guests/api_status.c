#include "guest.h"

/* Node information, the thread's own status, and a proposal read back. */
int main(void)
{
	struct popcorn_node_info info[MAX_POPCORN_NODES];
	struct popcorn_thread_status st;
	int me = -2;

	if (nodes() == 0) {
		CHECK(popcorn_get_node_info(&me, info) == -1 && errno == ENOSYS);
		CHECK(popcorn_get_status(&st) == -1 && errno == ENOSYS);
		CHECK(popcorn_propose_migration(0, 0) == -1 && errno == ENOSYS);
	} else {
		CHECK(popcorn_get_node_info(&me, info) == 0);
		CHECK(me >= 0 && me < nodes());
		for (int i = 0; i < MAX_POPCORN_NODES; i++) {
			CHECK(info[i].status == (i < nodes() ? POPCORN_NODE_ONLINE : POPCORN_NODE_OFFLINE));
			CHECK(i >= nodes() || info[i].arch == POPCORN_NODE_X86 || info[i].arch == POPCORN_NODE_AARCH64);
		}
		CHECK(popcorn_get_status(&st) == 0);
		CHECK(st.current_nid == me && st.proposed_nid == -1);
		CHECK((me == 0) == (st.peer_nid == -1 && st.peer_pid == -1));

		int to = (me + 1) % nodes();

		CHECK(popcorn_propose_migration(popcorn_gettid(), to) == 0);
		CHECK(popcorn_get_status(&st) == 0 && st.proposed_nid == to && st.current_nid == me);
		CHECK(popcorn_propose_migration(0, -1) == 0);
		CHECK(popcorn_get_status(&st) == 0 && st.proposed_nid == -1);
		CHECK(node_available(nodes() - 1) && !node_available(nodes()));
	}
	puts("PASSED");
	success();
	return 0;
}
