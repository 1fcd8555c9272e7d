//go:build race

package node

// manyNodes is fewer where the race detector makes each handshake ten times as dear;
// make unit runs the test without it, too.
const manyNodes = 20
