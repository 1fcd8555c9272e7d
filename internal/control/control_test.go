package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a job of two threads whose end the test decides.
type fake struct {
	mu    sync.Mutex
	moved []string
	err   error
	ended chan int
	begun chan string // receives the operation's name when it blocks
}

func newFake() *fake { return &fake{ended: make(chan int, 1), begun: make(chan string, 8)} }

func (f *fake) note(format string, a ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moved = append(f.moved, fmt.Sprintf(format, a...))
	return f.err
}

func (f *fake) Info(context.Context) (Info, error) {
	return Info{Version: 1, ID: "x", PID: 42, Command: []string{"xz", "-T4"}, State: StateRunning,
		Nodes:   []NodeInfo{{NID: 0, Name: "home"}, {NID: 1}},
		Threads: []ThreadInfo{{TID: 42, Node: 1}}}, nil
}
func (f *fake) Migrate(ctx context.Context, tids []int, node int, wait bool) error {
	if node == 99 { // never arrives
		f.begun <- "migrate"
		<-ctx.Done()
		return ctx.Err()
	}
	return f.note("migrate %v %d %v", tids, node, wait)
}
func (f *fake) Kill(_ context.Context, sig int) error { return f.note("kill %d", sig) }
func (f *fake) Pause(context.Context) error           { return f.note("pause") }
func (f *fake) Detach(context.Context) error          { return f.note("detach") }
func (f *fake) Resume(context.Context) error          { return f.note("resume") }
func (f *fake) Inspect(context.Context) (json.RawMessage, error) {
	return json.RawMessage(`{"big":"` + strings.Repeat("x", 1<<20) + `"}`), nil
}
func (f *fake) Checkpoint(_ context.Context, r Checkpoint) (Checkpointed, error) {
	return Checkpointed{Version: 1, Bytes: 7}, f.note("checkpoint %s %v %v", r.File, r.Check, r.Kill)
}
func (f *fake) Wait(ctx context.Context) (int, error) {
	f.begun <- "wait"
	select {
	case code := <-f.ended:
		return code, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// serve starts a job with the given id and name in a folder of its own.
func serve(t *testing.T, id, name string, b Backend) *Server {
	t.Helper()
	s, err := Serve(context.Background(), Entry{ID: id, Name: name, PID: 42}, b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func dial(t *testing.T, ref string) *Client {
	t.Helper()
	e, err := Find(ref)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Dial(e)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func freshDir(t *testing.T) string {
	t.Helper()
	d, err := os.MkdirTemp("", "ctl") // t.TempDir can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(d) })
	t.Setenv("XDG_RUNTIME_DIR", d)
	return filepath.Join(d, "popcorn")
}

func TestCalls(t *testing.T) {
	freshDir(t)
	f := newFake()
	serve(t, "aa11", "sum", f)
	c := dial(t, "sum")
	ctx := context.Background()

	info, err := c.Info(ctx)
	if err != nil || info.PID != 42 || len(info.Nodes) != 2 || info.Threads[0].Node != 1 {
		t.Errorf("Info = %+v, %v", info, err)
	}
	steps := []error{
		c.Migrate(ctx, []int{7, 8}, 1, true), c.Migrate(ctx, nil, 0, false),
		c.Kill(ctx, 15), c.Pause(ctx), c.Resume(ctx), c.Detach(ctx),
	}
	saved, err := c.Checkpoint(ctx, Checkpoint{File: "/f", Kill: true})
	if err != nil || saved.Bytes != 7 {
		t.Errorf("Checkpoint = %+v, %v", saved, err)
	}
	if err := errors.Join(steps...); err != nil {
		t.Error(err)
	}
	want := []string{"migrate [7 8] 1 true", "migrate [] 0 false", "kill 15", "pause", "resume", "detach", "checkpoint /f false true"}
	if !slices.Equal(f.moved, want) {
		t.Errorf("backend saw %q, want %q", f.moved, want)
	}
	raw, err := c.Inspect(ctx)
	if err != nil || len(raw) < 1<<20 {
		t.Errorf("Inspect: %d bytes, %v", len(raw), err)
	}
}

func TestErrorsCrossTheSocket(t *testing.T) {
	freshDir(t)
	f := newFake()
	serve(t, "aa11", "", f)
	c := dial(t, "aa11")
	for _, want := range []error{ErrNoSuchThread, ErrNoSuchNode, ErrRefused, ErrUnreachable} {
		f.err = fmt.Errorf("move thread 7: %w", want)
		err := c.Migrate(context.Background(), nil, 1, true)
		if !errors.Is(err, want) || err.Error() != f.err.Error() {
			t.Errorf("got %v, want %v", err, f.err)
		}
	}
	f.err = errors.New("odd")
	if err := c.Pause(context.Background()); err == nil || err.Error() != "odd" {
		t.Errorf("plain error became %v", err)
	}
}

func TestWaitLearnsTheCodeOfAnEndingJob(t *testing.T) {
	freshDir(t)
	f := newFake()
	s := serve(t, "aa11", "", f)
	c := dial(t, "aa11")
	code := make(chan int, 1)
	go func() {
		n, err := c.Wait(context.Background())
		if err != nil {
			n = -1
		}
		code <- n
	}()
	<-f.begun
	f.ended <- 137
	s.Close()
	if n := <-code; n != 137 {
		t.Errorf("Wait = %d, want 137", n)
	}
}

func TestCloseEndsWaiters(t *testing.T) {
	freshDir(t)
	f := newFake()
	s := serve(t, "aa11", "", f)
	c := dial(t, "aa11")
	failed := make(chan error, 1)
	go func() {
		_, err := c.Wait(context.Background())
		failed <- err
	}()
	<-f.begun
	s.Close()
	if err := <-failed; err == nil {
		t.Error("Wait returned without an error though the job did not end")
	}
	if _, err := Dial(Entry{ID: "aa11"}); !errors.Is(err, ErrNoSuchJob) {
		t.Errorf("Dial after Close = %v", err)
	}
}

// A caller who gives up frees the backend: both by its context and by death.
func TestCallerGivesUp(t *testing.T) {
	freshDir(t)
	f := newFake()
	s := serve(t, "aa11", "", f)
	c := dial(t, "aa11")
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error, 1)
	go func() { failed <- c.Migrate(ctx, nil, 99, true) }()
	<-f.begun
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := c.Migrate(ctx, nil, 99, true); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	s.Close() // hangs, or leaks into goleak, when a call did not end
}

// raw sends text as it is and returns the reply line.
func raw(t *testing.T, id, text string) string {
	t.Helper()
	conn, err := net.Dial("unix", Entry{ID: id}.socket())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go io.WriteString(conn, text) // the server may answer before it has read all
	reply, _ := io.ReadAll(conn)
	return string(reply)
}

func TestRefusals(t *testing.T) {
	freshDir(t)
	serve(t, "aa11", "", newFake())
	for name, c := range map[string]struct{ send, want string }{
		"unknown operation": {`{"v":1,"op":"fly"}` + "\n", `"unknown_op"`},
		"other version":     {`{"v":2,"op":"info"}` + "\n", `"version"`},
		"not JSON":          {"hello\n", `"malformed"`},
		"endless line":      {strings.Repeat("x", maxRequest+1), `"malformed"`},
		"silence":           {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "silence" {
				conn, err := net.Dial("unix", Entry{ID: "aa11"}.socket())
				if err != nil {
					t.Fatal(err)
				}
				conn.Close()
				return
			}
			if got := raw(t, "aa11", c.send); !strings.Contains(got, c.want) {
				t.Errorf("reply %q lacks %s", got, c.want)
			}
		})
	}
}

func TestFind(t *testing.T) {
	all := []Entry{
		{ID: "aa11", Name: "sum", PID: 42}, {ID: "ab22", Name: "42", PID: 7}, {ID: "cc33", Name: "twin"}, {ID: "dd44", Name: "twin"},
	}
	for ref, want := range map[string]string{
		"aa11": "aa11", "sum": "aa11", "7": "ab22", "42": "ab22" /* a name before a pid */, "cc": "cc33",
	} {
		if e, err := find(all, ref); err != nil || e.ID != want {
			t.Errorf("find(%q) = %s, %v; want %s", ref, e.ID, err, want)
		}
	}
	for ref, want := range map[string]error{"a": ErrAmbiguous, "twin": ErrAmbiguous, "zz": ErrNoSuchJob, "": ErrNoSuchJob} {
		if e, err := find(all, ref); !errors.Is(err, want) {
			t.Errorf("find(%q) = %s, %v; want %v", ref, e.ID, err, want)
		}
	}
}

func TestListForgetsTheDead(t *testing.T) {
	dir := freshDir(t)
	if all, err := List(); err != nil || len(all) != 0 {
		t.Fatalf("no folder yet: %v, %v", all, err)
	}
	live := serve(t, "aa11", "", newFake())
	dead := serve(t, "bb22", "", newFake())
	dead.ln.Close() // what a kill does: the files stay
	all, err := List()
	if err != nil || len(all) != 1 || all[0].ID != "aa11" {
		t.Errorf("List = %v, %v", all, err)
	}
	names := func() (out []string) {
		files, _ := os.ReadDir(dir)
		for _, f := range files {
			out = append(out, f.Name())
		}
		return out
	}
	if got := names(); !slices.Equal(got, []string{"aa11.json", "aa11.sock"}) {
		t.Errorf("after List: %v", got)
	}
	live.Close()
	if got := names(); len(got) != 0 {
		t.Errorf("after Close: %v", got)
	}
}

func TestModes(t *testing.T) {
	dir := freshDir(t)
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	s := serve(t, "aa11", "", newFake())
	for path, want := range map[string]os.FileMode{dir: 0o700, s.entry.socket(): 0o666, s.entry.file(): 0o600} {
		fi, err := os.Stat(path)
		if err != nil || fi.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", path, fi.Mode().Perm(), err, want)
		}
	}
}

// The node's daemon lets its callers pass through root's folder.
func TestPassableDirectory(t *testing.T) {
	dir := freshDir(t)
	if err := os.Mkdir(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	serve(t, "aa11", "", newFake())
	if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o711 {
		t.Errorf("%v, %v; want it left as it was", fi.Mode().Perm(), err)
	}
}

// A link somebody else planted in a shared folder is no control directory.
func TestForeignDirectory(t *testing.T) {
	dir := freshDir(t)
	if err := os.Symlink(t.TempDir(), dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Serve(context.Background(), Entry{ID: "aa11"}, newFake()); !errors.Is(err, ErrRefused) {
		t.Errorf("Serve = %v", err)
	}
}
