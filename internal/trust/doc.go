// Package trust is what the nodes of a cluster know each other by: the
// cluster's own certificate authority, kept by the node that founded it, the
// certificates it issues, and tokens that let a new node ask for one. It makes
// the TLS configurations of both ends of a connection, 1.3 and nothing older.
// A peer is believed for the chain to the cluster's authority and the name in
// the certificate; where it was found, host name and address, proves nothing.
//
// It opens no connection and decides nothing about users.
package trust
