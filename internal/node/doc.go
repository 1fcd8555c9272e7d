// Package node is a host's daemon and the client of it. Daemons of one cluster
// know each other by certificates of its authority (package trust), call each
// other over TLS, and are called by the users of their host over a unix socket,
// where the kernel tells who calls. A daemon tells who is in the cluster, lets
// nodes join and leave, starts deputies of users who ask for it at any node, and
// empties a node by asking its deputies to go.
//
// It holds no guest and no job: deputies are processes of their own, which do not
// notice that their daemon ends.
package node
