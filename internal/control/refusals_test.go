package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOthersAreRefused: another user is told so, whatever he calls for, and is
// written down in the system log; not without end.
func TestOthersAreRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: calls as another user")
	}
	dir, err := os.MkdirTemp("", "pc")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	log, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "log"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	was := systemLog
	systemLog = filepath.Join(dir, "log")
	defer func() { systemLog = was }()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	s, err := Serve(context.Background(), Entry{ID: "0123abcd", PID: 42}, newFake())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := errors.Join(os.Chmod(dir, 0o711), os.Chmod(filepath.Join(dir, "popcorn"), 0o711)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1000)
	ops := []string{opHello, opInfo, opMigrate, opKill, opPause, opResume, opInspect, opWait, "attach"}
	for _, op := range ops {
		ask := fmt.Sprintf(`{"v":1,"op":%q,"sig":9}`, op)
		cmd := exec.Command("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/python3", "-c",
			"import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\ntry: s.sendall(sys.argv[2].encode()+b'\\n')\nexcept BrokenPipeError: pass\nprint(s.makefile().readline())",
			s.entry.socket(), ask)
		out, err := cmd.CombinedOutput()
		if err != nil && len(out) == 0 {
			t.Skipf("no setpriv or python3 here: %v", err)
		}
		if !strings.Contains(string(out), `"code":"refused"`) || strings.Contains(string(out), "result") {
			t.Fatalf("%s: %s", op, out)
		}
		log.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := log.Read(buf)
		if want := "called job 0123abcd of user 0"; err != nil || !strings.HasPrefix(string(buf[:n]), "<85>popcorn[") ||
			!strings.Contains(string(buf[:n]), "user 65534 (pid ") || !strings.HasSuffix(string(buf[:n]), want) {
			t.Fatalf("%s: system log has %q, %v", op, buf[:n], err)
		}
	}
	if moved := s.backend.(*fake).moved; len(moved) > 0 {
		t.Errorf("done all the same: %q", moved)
	}
	var r refusals
	written, now := 0, time.Now()
	for range 1000 {
		if r.room(now) {
			written++
		}
	}
	if written != refusalsAMinute || !r.room(now.Add(2*time.Minute)) {
		t.Errorf("%d lines a minute", written)
	}
}

// What file modes forbid is a refusal, also when it is the list that is closed.
func TestDeniedIsRefused(t *testing.T) {
	err := denied(fmt.Errorf("x: %w", os.ErrPermission))
	if !errors.Is(err, ErrRefused) || errors.Is(denied(os.ErrNotExist), ErrRefused) {
		t.Error(err)
	}
	for ref, want := range map[string]bool{"0123abcd": true, "../abcde": false, "0123abc": false, "0123ABCD": false} {
		if isID(ref) != want {
			t.Errorf("%q", ref)
		}
	}
}
