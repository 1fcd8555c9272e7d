// Package lab makes hosts for tests out of Linux namespaces. Each has its own
// network, process ids, mounts, host name, System V IPC and a small root of its
// own, and shares nothing with the others but the network that joins them: a
// router in one more namespace, never the machine's own network. Links are cut
// and healed, made late and lossy, and rid of their connections; processes killed
// and frozen, hosts switched off and on.
//
// Nothing has a name outside: namespaces live as long as processes and
// descriptors of the test, and each host's process 1 ends when its standard
// input does. So all is gone when the test is, however it ends.
//
// A host may also be a virtual machine with another kernel (see [VM]): QEMU, which
// dies with the test, on a cable to the same router. What is in files called vm*.go
// belongs to that, on both sides.
//
// The test's own program is what runs as process 1 and as the door into a host
// (see init in role.go): importing this package gives a program those roles.
//
// It knows nothing about the product, and it is imported by tests only.
package lab
