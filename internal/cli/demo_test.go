package cli

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"popcorn/internal/control"
)

func TestPackFilesIsDeterministic(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"b": "bbbb", "a": "aa", "c": "cccccc"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	var packed [2][]byte
	for i := range packed {
		path := filepath.Join(t.TempDir(), "x.tar")
		n, err := packFiles(path, []string{root}, 8)
		if err != nil || n != 8 {
			t.Fatalf("packed %d bytes, %v; want 8", n, err)
		}
		if packed[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(packed[0], packed[1]) {
		t.Error("the same files gave two archives")
	}
	var got []string
	for tr := tar.NewReader(bytes.NewReader(packed[0])); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(tr)
		got = append(got, filepath.Base(h.Name)+"="+string(text))
	}
	if want := "a=aa b=bbbb c=cc"; strings.Join(got, " ") != want {
		t.Errorf("archive holds %q, want %q", got, want)
	}
}

func TestRunStats(t *testing.T) {
	var s runStats
	text := `{"version":1,"nodes":[{"nid":0,"name":"home","cpu_seconds":1.25,"threads_peak":2},{"nid":1,"name":"node1","cpu_seconds":3,"threads_peak":4}],
	"migrations":{"count":5},"pages":{"sent":10,"prefetched":4,"invalidated":3},
	"syscalls":{"read":{"forwarded":7},"getpid":{"answered":2,"local":1}},"went_home":{"fork":2}}`
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := s.print(&indent{w: &out}); err != nil {
		t.Fatal(err)
	}
	want := `   NODE  NAME   CPU SECONDS  THREADS AT MOST
   0     home   1.25         2
   1     node1  3.00         4
   5 migrations; 10 pages sent between nodes, 4 of them before they were asked for, 3 taken away
   system calls of threads away: 1 made there, 2 answered there, 7 forwarded home
   went home 2 times: fork
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

// TestIndent: tables write their cells one by one.
func TestIndent(t *testing.T) {
	var out strings.Builder
	info := control.Info{ID: "1234abcd", Threads: []control.ThreadInfo{{TID: 12, Node: 1, State: "away", Comm: "xz"}}}
	if err := threadTable(&indent{w: &out}, []control.Info{info}); err != nil {
		t.Fatal(err)
	}
	want := "   ID        NAME  TID  NODE  STATE  COMM\n   1234abcd  -     12   1     away   xz\n"
	if out.String() != want {
		t.Errorf("printed\n%s\nexpected\n%s", out.String(), want)
	}
}
