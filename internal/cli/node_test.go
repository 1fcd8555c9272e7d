package cli

import (
	"github.com/rogpeppe/go-internal/testscript"

	"popcorn/internal/node"
)

// startDaemon runs the daemon of a node that founds a cluster until the
// script's end.
func startDaemon(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: daemon NAME")
	}
	d, err := node.Start(node.Config{Name: args[0], State: ts.MkAbs(args[0]), Listen: "127.0.0.1:0", Socket: ts.Getenv("POPCORN_NODE_SOCKET")})
	ts.Check(err)
	ts.Setenv("FOUNDER", d.Self().Address)
	ts.Defer(func() { ts.Check(d.Close()) })
}

// joinDaemon lets a node join the cluster of startDaemon, with the token at
// standard input, and wants an exit code.
func joinDaemon(ts *testscript.TestScript, code string, args []string) {
	exits(ts, false, []string{code, "popcorn", "node", "join", ts.Getenv("FOUNDER"), "--token", "-", "--name", args[0],
		"--listen", "127.0.0.1:0", "--state", ts.MkAbs(args[0])})
}
