// Package api is what daemons and their clients say to each other: messages,
// clients and handlers generated from node.proto, and the version of it all.
//
// It does nothing with what is said.
package api

//go:generate go run ./gen

// Version is the version of the API this popcorn speaks. It grows when an old
// daemon would misunderstand a new caller, not when a field is added.
const Version = 1
