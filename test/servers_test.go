package test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestServers keeps a server with threads of its own under load, away and while it is
// moved about: no reply is lost or another than natively, and no request fails.
func TestServers(t *testing.T) {
	// One program: what it does is told by its name.
	binary, err := exec.LookPath("redis-check-rdb")
	if err != nil {
		t.Skip("no redis here")
	}
	server := filepath.Join(t.TempDir(), "redis-server")
	if err := os.Symlink(binary, server); err != nil {
		t.Fatal(err)
	}
	commands := redisCommands(full(2000, 20_000))
	want, _ := serveRedis(t, server, variant{name: "native"}, commands, 0)
	cases := []struct {
		v     variant
		every time.Duration // between moves of the whole job; 0: it stays
	}{{allAway, 0}, {spread2, 0}, {spread3, 100 * time.Millisecond}, {spread3, 0}, {allAway, 100 * time.Millisecond}}
	for _, c := range cases[:full(3, len(cases))] {
		name := c.v.name
		if c.every > 0 {
			name += "-moved"
		}
		t.Run(name, func(t *testing.T) {
			got, moves := serveRedis(t, server, c.v, commands, c.every)
			if at := firstDifference(want, got); at >= 0 {
				t.Errorf("replies differ from byte %d\nnative: %s\nhere:   %s", at, around(want, at), around(got, at))
			}
			if c.every > 0 && moves == 0 {
				t.Error("nothing was moved")
			}
			t.Logf("%d moves", moves)
		})
	}
}

// serveRedis starts a redis server, asks it commands and has it benchmarked, and returns
// its replies and how often it was moved meanwhile.
func serveRedis(t *testing.T, server string, v variant, commands []byte, every time.Duration) (replies []byte, moves int) {
	t.Helper()
	r := start(t, command{path: server, deadline: 4 * time.Minute, args: []string{"--port", "0", "--unixsocket", "socket",
		"--io-threads", "3", "--io-threads-do-reads", "yes", "--save", "", "--appendonly", "no"}}, v)
	client := func(stdin []byte, argv ...string) ([]byte, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, argv[0], append([]string{"-s", "socket"}, argv[1:]...)...)
		cmd.Dir, cmd.Stdin = r.dir, bytes.NewReader(stdin)
		cmd.Env = r.environ()[3:] // a process of its own, not one the job has left
		return cmd.CombinedOutput()
	}
	r.until("it answers", func() bool {
		out, err := client(nil, "redis-cli", "ping")
		return err == nil && string(out) == "PONG\n"
	})
	stop, moved := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for every > 0 {
			select {
			case <-stop:
				moved <- n
				return
			case <-time.After(every):
			}
			if out, err := r.popcorn(30*time.Second, "migrate", r.id, strconv.Itoa((n+1)%v.nodes)); err != nil {
				t.Errorf("migrate, after %d moves: %v\n%s", n, err, out)
			}
			n++
		}
		moved <- n
	}()
	replies, err := client(commands, "redis-cli")
	if err != nil {
		t.Errorf("ask: %v\n%s", err, tail(replies))
	}
	requests := strconv.Itoa(full(200, 5000))
	out, err := client(nil, "redis-benchmark", "-q", "-c", "10", "-n", requests) // ends at the first error
	if tests := strings.Count(string(out), "requests per second"); err != nil || tests < 20 {
		t.Errorf("benchmark: %v, %d tests\n%s", err, tests, tail(out))
	}
	close(stop)
	moves = <-moved
	if out, err := client(nil, "redis-cli", "shutdown"); err != nil {
		t.Errorf("shut down: %v\n%s", err, out)
	}
	if o := r.wait(); o.code != 0 {
		t.Errorf("exit code %d\n%s", o.code, r.printed())
	}
	return replies, moves
}

// redisCommands is n commands of all kinds whose replies are always the same.
func redisCommands(n int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for i := range n {
		key, value := random.IntN(50), strings.Repeat(strconv.Itoa(i), 1+random.IntN(200))
		switch random.IntN(16) {
		case 0:
			fmt.Fprintf(&b, "SET s%d %s\n", key, value)
		case 1:
			fmt.Fprintf(&b, "GET s%d\n", key)
		case 2:
			fmt.Fprintf(&b, "APPEND s%d %d\nSTRLEN s%d\n", key, i, key)
		case 3:
			fmt.Fprintf(&b, "INCRBY n%d %d\n", key, i)
		case 4:
			fmt.Fprintf(&b, "RPUSH l%d %s %d %d\nLRANGE l%d -5 -1\n", key, value, i, key, key)
		case 5:
			fmt.Fprintf(&b, "LPOP l%d\nLLEN l%d\n", key, key)
		case 6:
			fmt.Fprintf(&b, "HSET h%d f%d %s\nHLEN h%d\nHGET h%d f%d\n", key, i%20, value, key, key, i%20)
		case 7:
			fmt.Fprintf(&b, "SADD t%d %d %d %d\nSORT t%d\n", key, i, i+1, i+2, key)
		case 8:
			fmt.Fprintf(&b, "ZADD z%d %d m%d\nZRANGE z%d 0 -1 WITHSCORES\n", key, random.IntN(1000), i%30, key)
		case 9:
			fmt.Fprintf(&b, "SETBIT b%d %d 1\nBITCOUNT b%d\n", key, random.IntN(10000), key)
		case 10:
			fmt.Fprintf(&b, "PFADD p%d %d %d\nPFCOUNT p%d\n", key, i, i*7, key)
		case 11:
			fmt.Fprintf(&b, "XADD x%d %d-1 f %s\nXLEN x%d\n", key, i+1, value, key)
		case 12:
			fmt.Fprintf(&b, "EVAL \"return redis.call('incr', KEYS[1]) + ARGV[1]\" 1 e%d %d\n", key, i)
		case 13:
			fmt.Fprintf(&b, "GEOADD g%d %d.%d %d.5 p%d\nGEOPOS g%d p%d\n", key, i%180, i%10, i%80, i%20, key, i%20)
		case 14:
			fmt.Fprintf(&b, "MULTI\nINCR m%d\nGET m%d\nEXEC\n", key, key)
		case 15:
			fmt.Fprintf(&b, "DEL s%d l%d\nEXISTS s%d\nTYPE z%d\n", key, key, key, key)
		}
	}
	return b.Bytes()
}
