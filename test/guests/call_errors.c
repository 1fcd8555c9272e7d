// calls: sendfile shmctl semctl msgctl uselib ustat sysfs iopl ioperm pivot_root _sysctl adjtimex chroot acct
// calls: settimeofday mount umount2 swapon swapoff reboot sethostname setdomainname create_module init_module
// calls: delete_module get_kernel_syms query_module quotactl nfsservctl getpmsg putpmsg afs_syscall tuxcall
// calls: security readahead setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr
// calls: flistxattr removexattr lremovexattr fremovexattr io_setup io_destroy io_getevents io_submit io_cancel
// calls: set_thread_area get_thread_area lookup_dcookie epoll_ctl_old epoll_wait_old remap_file_pages
// calls: clock_settime vserver mbind set_mempolicy get_mempolicy mq_notify kexec_load add_key
// calls: request_key keyctl ioprio_set inotify_add_watch inotify_rm_watch migrate_pages mknodat fchownat futimesat
// calls: unshare tee sync_file_range vmsplice move_pages perf_event_open fanotify_init fanotify_mark
// calls: name_to_handle_at open_by_handle_at clock_adjtime syncfs sendmmsg setns kcmp finit_module sched_setattr
// calls: sched_getattr seccomp kexec_file_load bpf userfaultfd preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free
// calls: io_pgetevents io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen fsconfig fsmount
// calls: fspick close_range openat2 pidfd_getfd process_madvise mount_setattr quotactl_fd landlock_create_ruleset
// calls: landlock_add_rule landlock_restrict_self memfd_secret process_mrelease futex_waitv set_mempolicy_home_node
// calls: cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue statmount listmount
// calls: lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat listxattrat removexattrat
// calls: open_tree_attr file_getattr file_setattr listns modify_ldt ptrace syslog timerfd_gettime shmat shmdt semop
// calls: mlock munlock mlockall mremap restart_syscall
#include "guest.h"

static const struct { int nr; const char *name; } calls[] = {
	{40, "sendfile"}, {31, "shmctl"}, {66, "semctl"}, {71, "msgctl"}, {134, "uselib"}, {136, "ustat"},
	{139, "sysfs"}, {172, "iopl"}, {173, "ioperm"}, {155, "pivot_root"}, {156, "_sysctl"}, {159, "adjtimex"},
	{161, "chroot"}, {163, "acct"}, {164, "settimeofday"}, {165, "mount"}, {166, "umount2"}, {167, "swapon"},
	{168, "swapoff"}, {169, "reboot"}, {170, "sethostname"}, {171, "setdomainname"}, {174, "create_module"},
	{175, "init_module"}, {176, "delete_module"}, {177, "get_kernel_syms"}, {178, "query_module"},
	{179, "quotactl"}, {180, "nfsservctl"}, {181, "getpmsg"}, {182, "putpmsg"}, {183, "afs_syscall"},
	{184, "tuxcall"}, {185, "security"}, {187, "readahead"}, {188, "setxattr"}, {189, "lsetxattr"},
	{190, "fsetxattr"}, {191, "getxattr"}, {192, "lgetxattr"}, {193, "fgetxattr"}, {194, "listxattr"},
	{195, "llistxattr"}, {196, "flistxattr"}, {197, "removexattr"}, {198, "lremovexattr"}, {199, "fremovexattr"},
	{206, "io_setup"}, {207, "io_destroy"}, {208, "io_getevents"}, {209, "io_submit"}, {210, "io_cancel"},
	{205, "set_thread_area"}, {211, "get_thread_area"}, {212, "lookup_dcookie"}, {214, "epoll_ctl_old"},
	{215, "epoll_wait_old"}, {216, "remap_file_pages"}, {227, "clock_settime"},
	{236, "vserver"}, {237, "mbind"}, {238, "set_mempolicy"}, {239, "get_mempolicy"}, {244, "mq_notify"},
	{246, "kexec_load"}, {248, "add_key"}, {249, "request_key"}, {250, "keyctl"}, {251, "ioprio_set"},
	{254, "inotify_add_watch"}, {255, "inotify_rm_watch"}, {256, "migrate_pages"}, {259, "mknodat"},
	{260, "fchownat"}, {261, "futimesat"}, {272, "unshare"}, {276, "tee"}, {277, "sync_file_range"},
	{278, "vmsplice"}, {279, "move_pages"}, {298, "perf_event_open"}, {300, "fanotify_init"},
	{301, "fanotify_mark"}, {303, "name_to_handle_at"}, {304, "open_by_handle_at"}, {305, "clock_adjtime"},
	{306, "syncfs"}, {307, "sendmmsg"}, {308, "setns"}, {312, "kcmp"}, {313, "finit_module"},
	{314, "sched_setattr"}, {315, "sched_getattr"}, {317, "seccomp"}, {320, "kexec_file_load"}, {321, "bpf"},
	{323, "userfaultfd"}, {327, "preadv2"}, {328, "pwritev2"}, {329, "pkey_mprotect"}, {330, "pkey_alloc"},
	{331, "pkey_free"}, {333, "io_pgetevents"}, {425, "io_uring_setup"}, {426, "io_uring_enter"},
	{427, "io_uring_register"}, {428, "open_tree"}, {429, "move_mount"}, {430, "fsopen"}, {431, "fsconfig"},
	{432, "fsmount"}, {433, "fspick"}, {436, "close_range"}, {437, "openat2"}, {438, "pidfd_getfd"},
	{440, "process_madvise"}, {442, "mount_setattr"}, {443, "quotactl_fd"}, {444, "landlock_create_ruleset"},
	{445, "landlock_add_rule"}, {446, "landlock_restrict_self"}, {447, "memfd_secret"}, {448, "process_mrelease"},
	{449, "futex_waitv"}, {450, "set_mempolicy_home_node"}, {451, "cachestat"}, {452, "fchmodat2"},
	{453, "map_shadow_stack"}, {454, "futex_wake"}, {455, "futex_wait"}, {456, "futex_requeue"},
	{457, "statmount"}, {458, "listmount"}, {459, "lsm_get_self_attr"}, {460, "lsm_set_self_attr"},
	{461, "lsm_list_modules"}, {462, "mseal"}, {463, "setxattrat"}, {464, "getxattrat"}, {465, "listxattrat"},
	{466, "removexattrat"}, {467, "open_tree_attr"}, {468, "file_getattr"}, {469, "file_setattr"},
	{470, "listns"}, {154, "modify_ldt"}, {101, "ptrace"}, {103, "syslog"}, {287, "timerfd_gettime"},
	{30, "shmat"}, {67, "shmdt"}, {65, "semop"}, {149, "mlock"}, {150, "munlock"}, {151, "mlockall"},
	{25, "mremap"}, {219, "restart_syscall"},
};

/* Rare calls with arguments that no kernel takes: each error is the one of the kernel at home, as natively. */
int main(void)
{
	for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
		if (i % 16 == 0)
			hop();
		errno = 0;
		long r = syscall(calls[i].nr, -1l, -1l, -1l, -1l, -1l, -1l);

		printf("%s: %ld %s\n", calls[i].name, r, r == -1 ? strerrorname_np(errno) : "");
	}
	success();
	return 0;
}
