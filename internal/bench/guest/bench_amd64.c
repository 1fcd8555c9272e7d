/*
 * What `popcorn bench` runs: measurements inside a program whose thread moves
 * between two nodes, and the floors beside them, the plainest code that does the
 * same. No libc: a start-up, a heap or a lock of its own would be measured too.
 *
 * Argument: which measurement. Result on standard output: the clock twice
 * (time stamp counter, nanoseconds), then records (what, count, samples), all
 * 64-bit words; samples are differences of the time stamp counter.
 * measure.go knows the numbers too.
 */
#include <linux/filter.h>
#include <linux/ioctl.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

typedef unsigned long u64;

enum { READ = 1, WRITE, UPGRADE, GETPPID, FIRST, FORWARD, BACK, MMAP, STREAM, TOUCH_HOME, TOUCH_AWAY, ROUND_TRIP, STREAM_BUFFER,
       FSTAT = 15, /* 14 is a read fault, encrypted */
       WRITE_FILE, READ_FILE, TRANSFER };

enum {
	MIGRATE = 900,
	PAGE = 4096,
	PAGES = 1024,    /* a power of two */
	STRIDE = 421,    /* odd: visits every page, never in a row, so that nothing is read ahead */
	MOVES = 300,
	CALLS = 1000,
	MAPS = 300,
	BULK = 256 << 20,
	CHUNK = 256 << 10,
	TRANSFER_SIZE = 1 << 20,
	TRANSFERS = 50,
	REQUEST = 64,
};

/* System calls. */

static inline long call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}

#define sys0(nr) call(nr, 0, 0, 0, 0, 0, 0)
#define sys1(nr, a) call(nr, (long)(a), 0, 0, 0, 0, 0)
#define sys2(nr, a, b) call(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define sys3(nr, a, b, c) call(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define sys5(nr, a, b, c, d, e) call(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

static void leave(int code)
{
	sys1(SYS_exit_group, code);
	__builtin_unreachable();
}

/* must ends the program, its exit code telling which line. */
#define must(x)                                   \
	({                                        \
		long must_ = (long)(x);           \
		if (must_ < 0 && must_ > -4096)   \
			leave(__LINE__ % 200 + 1); \
		must_;                            \
	})

static inline u64 now(void)
{
	u64 lo, hi;

	/* The fences keep the measured access between two reads of the clock. */
	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(lo), "=d"(hi) : : "memory");
	return lo | hi << 32;
}

static void *anonymous(u64 size, int flags)
{
	return (void *)must(call(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0));
}

/* Output. */

static u64 samples[2 * PAGES], samples2[2 * PAGES];

static void put(const void *from, u64 n)
{
	while (n > 0) {
		long done = must(sys3(SYS_write, 1, from, n));

		from = (const char *)from + done;
		n -= done;
	}
}

static void record(u64 what, u64 *s, u64 n)
{
	u64 head[2] = {what, n};

	put(head, sizeof head);
	put(s, n * sizeof *s);
}

static void clocks(void)
{
	struct timespec ts;
	u64 out[2];

	must(sys2(SYS_clock_gettime, CLOCK_MONOTONIC, &ts));
	out[0] = now();
	out[1] = ts.tv_sec * 1000000000ul + ts.tv_nsec;
	put(out, sizeof out);
}

/* Memory. */

static inline u64 look(const volatile void *p) { return *(const volatile u64 *)p; }
static inline void mark(volatile void *p, u64 v) { *(volatile u64 *)p = v; }

static void touch(void *p, u64 n)
{
	for (u64 i = 0; i < n; i += PAGE)
		mark((char *)p + i, i + 1);
}

static void fill(void *p, u64 n)
{
	u64 words = n / 8;

	__asm__ volatile("rep stosq" : "+D"(p), "+c"(words) : "a"(0x1234567812345678) : "memory");
}

static u64 timed_fill(void *p, u64 n)
{
	u64 t = now();

	fill(p, n);
	return now() - t;
}

static u64 timed_scan(const char *p, u64 n)
{
	u64 t = now();

	for (u64 i = 0; i < n; i += 64)
		look(p + i);
	return now() - t;
}

/* each faults on all pages of p in a scattered order. */
static void each(char *p, int write, u64 *out)
{
	for (u64 i = 0; i < PAGES; i++) {
		char *at = p + (i * STRIDE % PAGES) * PAGE;
		u64 t = now();

		if (write)
			mark(at, i);
		else
			look(at);
		out[i] = now() - t;
	}
}

/* Measurements under popcorn run --nodes 2. */

static void go(int node) { must(sys2(MIGRATE, node, 0)); }

static void first(void)
{
	u64 t = now();

	go(1);
	t = now() - t;
	go(0);
	samples[0] = t;
	record(FIRST, samples, 1);
}

static void moves(void)
{
	go(1);
	go(0);
	for (int i = 0; i < MOVES; i++) {
		u64 t0 = now(), t1, t2;

		go(1);
		t1 = now();
		go(0);
		t2 = now();
		/* Stored here, at home: a fault there would be in the next round. */
		samples[i] = t1 - t0;
		samples2[i] = t2 - t1;
	}
	record(FORWARD, samples, MOVES);
	record(BACK, samples2, MOVES);
}

static void getppids(u64 *out)
{
	for (int i = 0; i < CALLS; i++) {
		u64 t = now();

		sys0(SYS_getppid);
		out[i] = now() - t;
	}
}

static void fstats(u64 *out)
{
	char st[256];

	for (int i = 0; i < CALLS; i++) {
		u64 t = now();

		must(sys2(SYS_fstat, 1, st));
		out[i] = now() - t;
	}
}

static void forwarded(void)
{
	go(1);
	touch(samples, sizeof samples);
	touch(samples2, sizeof samples2);
	getppids(samples);
	fstats(samples2);
	go(0);
	record(GETPPID, samples, CALLS);
	record(FSTAT, samples2, CALLS);
}

/* files writes and reads a file as large as one transfer, from and to memory that is used. */
static void files(void)
{
	char *p = anonymous(TRANSFER_SIZE, MAP_PRIVATE);
	int fd = must(sys2(SYS_memfd_create, "bench", 0));

	go(1);
	touch(samples, sizeof samples);
	touch(samples2, sizeof samples2);
	for (int i = -1; i < TRANSFERS; i++) { /* once to have everything there */
		u64 t;

		fill(p, TRANSFER_SIZE);
		t = now();
		must(call(SYS_pwrite64, fd, (long)p, TRANSFER_SIZE, 0, 0, 0));
		if (i >= 0)
			samples[i] = now() - t;
		t = now();
		must(call(SYS_pread64, fd, (long)p, TRANSFER_SIZE, 0, 0, 0));
		timed_scan(p, TRANSFER_SIZE);
		if (i >= 0)
			samples2[i] = now() - t;
	}
	go(0);
	record(WRITE_FILE, samples, TRANSFERS);
	record(READ_FILE, samples2, TRANSFERS);
}

static void maps(void)
{
	for (int i = 0; i < MAPS; i++) {
		u64 t = now();
		void *p = anonymous(PAGE, MAP_PRIVATE);

		must(sys2(SYS_munmap, p, PAGE));
		samples[i] = now() - t;
	}
	record(MMAP, samples, MAPS);
}

static void distributed_maps(void)
{
	go(1);
	go(0);
	maps();
}

static void faults(void)
{
	char *read = anonymous(PAGES * PAGE, MAP_PRIVATE), *write = anonymous(PAGES * PAGE, MAP_PRIVATE);

	touch(read, PAGES * PAGE);
	touch(write, PAGES * PAGE);
	go(1);
	touch(samples, sizeof samples);
	touch(samples2, sizeof samples2);
	each(read, 0, samples);
	each(read, 1, samples2);
	go(0);
	record(READ, samples, PAGES);
	record(UPGRADE, samples2, PAGES);
	go(1);
	each(write, 1, samples);
	go(0);
	record(WRITE, samples, PAGES);
}

static void stream(void)
{
	char *p = anonymous(BULK, MAP_PRIVATE);
	u64 t;

	fill(p, BULK);
	go(1);
	t = timed_scan(p, BULK);
	go(0);
	samples[0] = t;
	record(STREAM, samples, 1);
}

static void touch_home(void)
{
	go(1);
	go(0);
	samples[0] = timed_fill(anonymous(BULK, MAP_PRIVATE), BULK);
	record(TOUCH_HOME, samples, 1);
}

static void touch_away(void)
{
	char *p = anonymous(BULK, MAP_PRIVATE);
	u64 t;

	go(1);
	t = timed_fill(p, BULK);
	go(0);
	samples[0] = t;
	record(TOUCH_AWAY, samples, 1);
}

/*
 * Floors. As under popcorn there is a program, a process beside it that serves
 * its faults and calls ("here"), and one at the other end of a TCP connection
 * ("there"). All block in read, none has anything else to do.
 */

static void read_all(int fd, void *to, u64 n)
{
	while (n > 0) {
		long done = must(sys3(SYS_read, fd, to, n));

		if (done == 0)
			leave(0); /* the program has ended */
		to = (char *)to + done;
		n -= done;
	}
}

static void write_all(int fd, const void *from, u64 n)
{
	while (n > 0) {
		long done = must(sys3(SYS_write, fd, from, n));

		from = (const char *)from + done;
		n -= done;
	}
}

/* connection makes a pair of connected TCP sockets over the loopback. */
static void connection(int fd[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = __builtin_bswap32(INADDR_LOOPBACK)};
	unsigned len = sizeof a;
	int on = 1, l = must(sys3(SYS_socket, AF_INET, SOCK_STREAM, 0));

	must(sys3(SYS_bind, l, &a, sizeof a));
	must(sys2(SYS_listen, l, 1));
	must(sys3(SYS_getsockname, l, &a, &len));
	fd[0] = must(sys3(SYS_socket, AF_INET, SOCK_STREAM, 0));
	must(sys3(SYS_connect, fd[0], &a, sizeof a));
	fd[1] = must(sys3(SYS_accept, l, 0, 0));
	must(sys1(SYS_close, l));
	for (int i = 0; i < 2; i++)
		must(sys5(SYS_setsockopt, fd[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
}

/* process forks; 0 in the child, which dies with its parent. */
static long process(u64 flags)
{
	enum { PR_SET_PDEATHSIG = 1, SIGCHLD = 17, SIGKILL = 9 };
	long pid = must(sys5(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0));

	if (pid == 0)
		must(sys2(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL));
	return pid;
}

static char request[REQUEST], page[PAGE];

/* there answers every request with size bytes; it returns the near end. */
static int there(u64 size)
{
	int fd[2];

	connection(fd);
	if (process(0) == 0) {
		must(sys1(SYS_close, fd[0]));
		fill(page, PAGE);
		for (;;) {
			read_all(fd[1], request, REQUEST);
			if (size == REQUEST)
				sys0(SYS_getppid);
			write_all(fd[1], page, size);
		}
	}
	must(sys1(SYS_close, fd[1]));
	return fd[0];
}

static void round_trip(int fd, u64 size)
{
	write_all(fd, request, REQUEST);
	read_all(fd, page, size);
}

static void round_trips(void)
{
	int fd = there(PAGE);

	for (int i = 0; i < CALLS; i++) {
		u64 t = now();

		round_trip(fd, PAGE);
		samples[i] = now() - t;
	}
	record(ROUND_TRIP, samples, CALLS);
	must(sys1(SYS_close, fd));
}

static void serve_faults(int uffd, int fd)
{
	struct uffd_msg msg;

	for (;;) {
		int wp;
		u64 at;

		read_all(uffd, &msg, sizeof msg);
		wp = !!(msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP);
		at = msg.arg.pagefault.address & -(u64)PAGE;
		/* A byte of the request says how much is wanted back. */
		request[0] = wp;
		round_trip(fd, wp ? REQUEST : PAGE);
		if (wp) {
			struct uffdio_writeprotect u = {{at, PAGE}, 0};

			must(sys3(SYS_ioctl, uffd, UFFDIO_WRITEPROTECT, &u));
		} else {
			struct uffdio_copy c = {.dst = at, .src = (u64)page, .len = PAGE};

			if (!(msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WRITE))
				c.mode = UFFDIO_COPY_MODE_WP;
			must(sys3(SYS_ioctl, uffd, UFFDIO_COPY, &c));
		}
	}
}

/* pages_there is the other end of floor_faults. */
static int pages_there(void)
{
	int fd[2];

	connection(fd);
	if (process(0) == 0) {
		must(sys1(SYS_close, fd[0]));
		fill(page, PAGE);
		for (;;) {
			read_all(fd[1], request, REQUEST);
			write_all(fd[1], page, request[0] ? REQUEST : PAGE);
		}
	}
	must(sys1(SYS_close, fd[1]));
	return fd[0];
}

static void floor_faults(void)
{
	u64 size = 2 * PAGES * PAGE;
	int mem = must(sys2(SYS_memfd_create, "floor", 0)), uffd, fd;
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_WP_HUGETLBFS_SHMEM};
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP};
	char *p;

	must(sys2(SYS_ftruncate, mem, size));
	p = (char *)must(call(SYS_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED, mem, 0));
	uffd = must(sys1(SYS_userfaultfd, 0));
	must(sys3(SYS_ioctl, uffd, UFFDIO_API, &api));
	reg.range.start = (u64)p;
	reg.range.len = size;
	must(sys3(SYS_ioctl, uffd, UFFDIO_REGISTER, &reg));
	fd = pages_there();
	if (process(0) == 0)
		serve_faults(uffd, fd);
	must(sys1(SYS_close, fd));
	touch(samples, sizeof samples);
	each(p, 0, samples);
	record(READ, samples, PAGES);
	each(p, 1, samples);
	record(UPGRADE, samples, PAGES);
	each(p + PAGES * PAGE, 1, samples);
	record(WRITE, samples, PAGES);
}

/* floor_getppid: a notification, and its call made over there. */
static void floor_getppid(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {sizeof code / sizeof *code, code};
	enum { CLONE_FILES = 0x400, PR_SET_NO_NEW_PRIVS = 38 };
	volatile int *listener = anonymous(PAGE, MAP_SHARED);
	int fd = there(REQUEST), gate[2];

	must(sys2(SYS_pipe2, gate, 0));
	if (process(CLONE_FILES) == 0) {
		read_all(gate[0], request, 1);
		for (;;) {
			static struct seccomp_notif n;
			struct seccomp_notif_resp r = {0};

			n = (struct seccomp_notif){0};
			must(sys3(SYS_ioctl, *listener, SECCOMP_IOCTL_NOTIF_RECV, &n));
			round_trip(fd, REQUEST);
			r.id = n.id;
			must(sys3(SYS_ioctl, *listener, SECCOMP_IOCTL_NOTIF_SEND, &r));
		}
	}
	must(sys5(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	*listener = must(sys3(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog));
	write_all(gate[1], request, 1);
	getppids(samples);
	record(GETPPID, samples, CALLS);
}

/* streamed moves memory there into fresh memory here, or all into the same buffer. */
static void streamed(u64 step)
{
	char *p = anonymous(BULK, MAP_PRIVATE);
	int fd[2];
	u64 t;

	connection(fd);
	if (process(0) == 0) {
		must(sys1(SYS_close, fd[0]));
		fill(p, BULK);
		write_all(fd[1], page, 1);
		read_all(fd[1], request, REQUEST);
		for (u64 i = 0; i < BULK; i += CHUNK)
			write_all(fd[1], p + i, CHUNK);
		read_all(fd[1], request, 1); /* until the reader is gone */
	}
	must(sys1(SYS_close, fd[1]));
	read_all(fd[0], page, 1);
	t = now();
	write_all(fd[0], request, REQUEST);
	for (u64 i = 0; i < BULK; i += CHUNK)
		read_all(fd[0], p + i * step, CHUNK);
	samples[0] = now() - t;
	record(step ? STREAM : STREAM_BUFFER, samples, 1);
}

static void floor_stream(void) { streamed(1); }
static void floor_stream_buffer(void) { streamed(0); }

/* transfers asks for so many bytes, which are there, and has them. */
static void transfers(void)
{
	char *p = anonymous(TRANSFER_SIZE, MAP_PRIVATE);
	int fd[2];

	connection(fd);
	fill(p, TRANSFER_SIZE);
	if (process(0) == 0) {
		must(sys1(SYS_close, fd[0]));
		for (;;) {
			read_all(fd[1], request, REQUEST);
			write_all(fd[1], p, TRANSFER_SIZE);
		}
	}
	must(sys1(SYS_close, fd[1]));
	for (int i = -1; i < TRANSFERS; i++) {
		u64 t = now();

		write_all(fd[0], request, REQUEST);
		read_all(fd[0], p, TRANSFER_SIZE);
		if (i >= 0)
			samples[i] = now() - t;
	}
	record(TRANSFER, samples, TRANSFERS);
	must(sys1(SYS_close, fd[0]));
}

/* floor_first starts one process of a small static program. */
static void floor_first(void)
{
	static char *argv[] = {"bench", 0}, *envp[] = {0};

	for (int i = 0; i < 10; i++) {
		u64 t = now();
		int status;

		if (process(0) == 0) {
			must(sys3(SYS_execve, "/proc/self/exe", argv, envp));
			leave(1);
		}
		must(sys5(SYS_wait4, -1, &status, 0, 0, 0));
		samples[i] = now() - t;
	}
	record(FIRST, samples, 10);
}

static void floor_touch(void)
{
	samples[0] = timed_fill(anonymous(BULK, MAP_PRIVATE), BULK);
	record(TOUCH_HOME, samples, 1);
}

static const struct {
	const char *name;
	void (*run)(void);
} modes[] = {
	{"first", first}, {"moves", moves}, {"getppid", forwarded}, {"maps", distributed_maps}, {"faults", faults},
	{"files", files}, {"floor-transfers", transfers},
	{"stream", stream}, {"touch-home", touch_home}, {"touch-away", touch_away}, {"floor-round-trip", round_trips},
	{"floor-faults", floor_faults}, {"floor-getppid", floor_getppid}, {"floor-stream", floor_stream},
	{"floor-stream-buffer", floor_stream_buffer},
	{"floor-first", floor_first}, {"floor-maps", maps}, {"floor-touch", floor_touch},
};

static int same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

__attribute__((used)) static void start(long *stack)
{
	char **argv = (char **)(stack + 1);

	for (u64 i = 0; stack[0] > 1 && i < sizeof modes / sizeof *modes; i++) {
		if (!same(argv[1], modes[i].name))
			continue;
		clocks();
		modes[i].run();
		clocks();
		leave(0);
	}
	leave(0); /* as floor_first wants it */
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");
