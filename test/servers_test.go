package test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// service is a server with threads of its own.
type service struct {
	name    string
	command command
	ready   func(r *running) bool
	// load keeps it busy, and returns what it answered that is the same each time.
	load func(r *running) ([]byte, error)
	end  func(r *running) error // asks it to
}

// TestServers keeps servers under load, away, while they are moved about, and while they
// are attached to and let go: no reply is lost or another than natively, and no request
// fails.
func TestServers(t *testing.T) {
	for _, prepare := range []func(*testing.T) service{redisServer, nginxServer, goServer} {
		s := prepare(t)
		if s.name == "" {
			continue // not here
		}
		s.command.deadline = full(2*time.Minute, 10*time.Minute)
		t.Run(s.name, func(t *testing.T) {
			want, _ := s.serve(t, native, 0)
			cases := []struct {
				v     variant
				every time.Duration // between moves of the whole job; 0: it stays
			}{{allAway, 0}, {spread3, 100 * time.Millisecond}, {spread2, 0}, {spread3, 0}, {allAway, 100 * time.Millisecond}}
			for _, c := range cases[:full(2, len(cases))] {
				name := c.v.name
				if c.every > 0 {
					name += "-moved"
				}
				t.Run(name, func(t *testing.T) {
					got, moves := s.serve(t, c.v, c.every)
					if at := firstDifference(want, got); at >= 0 {
						t.Errorf("replies differ from byte %d\nnative: %s\nhere:   %s", at, around(want, at), around(got, at))
					}
					if c.every > 0 && moves == 0 {
						t.Error("nothing was moved")
					}
					t.Logf("%d moves", moves)
				})
			}
			t.Run("attached", func(t *testing.T) { s.attached(t, want) })
		})
	}
}

// serve starts the server and loads it, and returns its replies and how often it was
// moved meanwhile.
func (s service) serve(t *testing.T, v variant, every time.Duration) (replies []byte, moves int) {
	t.Helper()
	r := start(t, s.command, v)
	r.until("it answers", func() bool { return s.ready(r) })
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
	replies, err := s.load(r)
	if err != nil {
		t.Errorf("under load: %v", err)
	}
	close(stop)
	moves = <-moved
	if err := s.end(r); err != nil {
		t.Errorf("end: %v", err)
	}
	if o := r.wait(); o.code != 0 {
		t.Errorf("exit code %d\n%s", o.code, r.printed())
	}
	return replies, moves
}

// attached moves the server out and back that was started without popcorn.
func (s service) attached(t *testing.T, want []byte) {
	r := start(t, s.command, native)
	r.until("it answers", func() bool { return s.ready(r) })
	var got []byte
	loaded := make(chan error, 1)
	go func() {
		replies, err := s.load(r)
		got = replies
		loaded <- err
	}()
	for range full(2, 4) {
		found{}.outAndBack(t, r)
	}
	if err := <-loaded; err != nil {
		t.Errorf("under load: %v", err)
	}
	if at := firstDifference(want, got); at >= 0 {
		t.Errorf("replies differ from byte %d\nnative: %s\nhere:   %s", at, around(want, at), around(got, at))
	}
	if err := s.end(r); err != nil {
		t.Errorf("end: %v", err)
	}
	if o := r.wait(); o.code != 0 {
		t.Errorf("exit code %d\n%s", o.code, r.printed())
	}
}

func redisServer(t *testing.T) service {
	// One program: what it does is told by its name.
	binary, err := exec.LookPath("redis-check-rdb")
	if err != nil {
		t.Error("redis is not installed")
		return service{}
	}
	server := filepath.Join(t.TempDir(), "redis-server")
	if err := os.Symlink(binary, server); err != nil {
		t.Fatal(err)
	}
	client := func(r *running, stdin []byte, argv ...string) ([]byte, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, argv[0], append([]string{"-s", "socket"}, argv[1:]...)...)
		cmd.Dir, cmd.Stdin = r.dir, bytes.NewReader(stdin)
		cmd.Env = r.environ()
		return cmd.CombinedOutput()
	}
	commands, requests := redisCommands(full(2000, 20_000)), strconv.Itoa(full(200, 5000))
	return service{
		name: "redis",
		command: command{path: server, args: []string{"--port", "0", "--unixsocket", "socket",
			"--io-threads", "3", "--io-threads-do-reads", "yes", "--save", "", "--appendonly", "no"}},
		ready: func(r *running) bool {
			out, err := client(r, nil, "redis-cli", "ping")
			return err == nil && string(out) == "PONG\n"
		},
		load: func(r *running) ([]byte, error) {
			replies, err := client(r, commands, "redis-cli")
			if err != nil {
				return nil, fmt.Errorf("ask: %w\n%s", err, tail(replies))
			}
			out, err := client(r, nil, "redis-benchmark", "-q", "-c", "10", "-n", requests) // ends at the first error
			if tests := strings.Count(string(out), "requests per second"); err != nil || tests < 20 {
				return nil, fmt.Errorf("benchmark: %w, %d tests\n%s", err, tests, tail(out))
			}
			return replies, nil
		},
		end: func(r *running) error {
			_, err := client(r, nil, "redis-cli", "shutdown")
			return err
		},
	}
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

// nginxServer reads its files in threads of its own.
func nginxServer(t *testing.T) service {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		nginx = filepath.Join(repo, "bin/unpacked/usr/sbin/nginx")
	}
	if _, err := os.Stat(nginx); err != nil {
		t.Errorf("nginx is not here: %v", err)
		return service{}
	}
	const config = `daemon off;
master_process off;
pid pid;
thread_pool default threads=4;
events { worker_connections 64; }
http {
	access_log access;
	client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
	sendfile off;
	aio threads;
	output_buffers 2 64k;
	keepalive_requests 50;
	server { listen unix:socket; root .; }
}
`
	files := map[string][]byte{"config": []byte(config)}
	var names []string
	for i := range 6 {
		names = append(names, fmt.Sprintf("file%d", i))
		files[names[i]] = mixedData(1000 << (2 * i))
	}
	return service{
		name:    "nginx",
		command: command{path: nginx, args: []string{"-p", ".", "-c", "config", "-e", "errors"}, files: files},
		ready:   func(r *running) bool { return answers(r, names[0]) },
		load: func(r *running) ([]byte, error) {
			return askHTTP(r, full(40, 2000), func(i int) (string, string) { return names[i%len(names)], "" })
		},
		end: func(r *running) error {
			if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				return err
			}
			// It looks whether it was to end, and then waits: a signal in between it only
			// sees at the next event, natively too.
			for end := time.Now().Add(time.Minute); time.Now().Before(end); {
				select {
				case <-r.done:
					return nil
				case <-time.After(50 * time.Millisecond):
					answers(r, names[0])
				}
			}
			return errors.New("it does not end")
		},
	}
}

// goServer is the standard library's server, in front of a program of ours.
func goServer(t *testing.T) service {
	return service{
		name:    "go",
		command: command{path: readGuest(t, "guests/go_server/main.go").build(t), args: []string{"socket"}},
		ready:   func(r *running) bool { return answers(r, "") },
		load: func(r *running) ([]byte, error) {
			return askHTTP(r, full(60, 5000), func(i int) (string, string) {
				return fmt.Sprint("sum?times=", i%500), strings.Repeat(strconv.Itoa(i), 1+i*i%20_000)
			})
		},
		end: func(r *running) error { return r.cmd.Process.Signal(syscall.SIGTERM) },
	}
}

func answers(r *running, path string) bool {
	c := httpClient(r)
	defer c.CloseIdleConnections()
	reply, err := c.Get("http://server/" + path)
	if err == nil {
		reply.Body.Close()
	}
	return err == nil
}

// httpClient talks to the server at r's socket.
func httpClient(r *running) *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(r.dir, "socket"))
		},
	}}
}

// askHTTP has ten clients at once make requests each, one after the other, and returns
// the sums of the replies. what says the path, and what is sent if it is not empty.
func askHTTP(r *running, requests int, what func(i int) (path, body string)) ([]byte, error) {
	const clients = 10
	var all [clients]bytes.Buffer
	var errs [clients]error
	var wg sync.WaitGroup
	for n := range clients {
		wg.Go(func() {
			c := httpClient(r)
			defer c.CloseIdleConnections()
			for i := n * requests; i < (n+1)*requests && errs[n] == nil; i++ {
				path, body := what(i)
				errs[n] = request(c, path, body, &all[n])
			}
		})
	}
	wg.Wait()
	var replies []byte
	for n := range clients {
		replies = append(replies, all[n].Bytes()...)
	}
	return replies, errors.Join(errs[:]...)
}

func request(c *http.Client, path, body string, to io.Writer) error {
	var reply *http.Response
	var err error
	if body == "" {
		reply, err = c.Get("http://server/" + path)
	} else {
		reply, err = c.Post("http://server/"+path, "text/plain", strings.NewReader(body))
	}
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, reply.Body)
	if err == nil && reply.StatusCode != http.StatusOK {
		err = errors.New(reply.Status)
	}
	fmt.Fprintf(to, "%s %d %x\n", path, n, sum.Sum(nil))
	return err
}
