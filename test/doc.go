// Package test runs whole programs, natively and under popcorn, and compares
// what they did.
//
// # What runs
//
//   - guests/*.c and guests/*/main.go are programs of one page that check
//     themselves. They print EXIT-SUCCESS last, and the same standard output
//     wherever their threads ran (guests_test.go).
//   - programs_test.go runs real programs of the distribution.
//   - litmus_test.go asks for forbidden outcomes of the memory model.
//   - foreign_test.go runs at nodes that take the origin for another machine, or
//     have other clocks.
//   - moves_test.go moves threads by `popcorn migrate` while they compute or
//     sit in a system call.
//   - faults_test.go kills, at random moments, each process a job is made of.
//   - calls_test.go holds that every system call is tested from a thread that is
//     away, and that those who claim to test one really make it there.
//   - interactive_test.go types to programs, and compares screens.
//   - servers_test.go keeps a server under load while its threads are away, or moved.
//   - errnos_test.go has each forwarded call fail with every error.
//   - core_test.go looks into core dumps.
//   - checkpoint*_test.go save programs at every stage, and restore them.
//   - wronguse_test.go uses it wrongly.
//   - hosts_test.go runs jobs on hosts made by package lab, cluster_test.go on
//     several with daemons, virtual_test.go on some that have other kernels.
//
// Every command runs natively once and then in each [variant]. Standard output
// and exit code must be equal. A run that does not end in time is diagnosed
// (`popcorn inspect`, and what each of its threads waits for) and killed. After
// every run nothing may be left: no process, no file in the runtime directory.
//
// # Guests
//
// Comment lines at the top of a guest tell the harness about it:
//
//	// build: -static -no-pie    more flags for gcc
//	// args: 3 100               arguments
//	// soak: 3 100000            arguments when POPCORN_SOAK is set
//	// exit: 134                 expected exit code, 128+N for signal N; else 0
//	// only: moves               started by that test, not by guests_test.go
//	// calls: read write         system calls it tests from a thread that is away
//
// A guest that moves itself uses go() of guests/guest.h: it insists on the
// documented answer, ENOSYS on a plain kernel. The harness tells it the number
// of nodes in POPCORN_TEST_NODES; POPCORN_TEST_HOP makes hop() move.
//
// # Environment
//
//   - POPCORN_VERIFY is passed through to the runs.
//   - POPCORN_SOAK=1 uses full sizes, rounds and repetitions; 2 the longest.
//   - POPCORN_TEST_FOREIGN=N in a variant has nodes from N on take the origin for
//     another machine.
//   - POPCORN_TEST_NO_VM=1 skips what needs virtual machines; POPCORN_TEST_BY_HAND=1
//     has TestVirtualByHand keep some for people.
//   - POPCORN_TEST_SEED repeats the random choices of an earlier run.
//
// It does not test packages from the inside, nor the grammar of the command
// line; those tests live beside the code they test.
package test
