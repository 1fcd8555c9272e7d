package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func listed(hosts []hostSlots) string {
	var out []string
	for _, h := range hosts {
		out = append(out, fmt.Sprintf("%s:%d", h.name, h.slots))
	}
	return strings.Join(out, " ")
}

func TestHostLists(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hosts")
	text := "# ours\na slots=2\n\nb:3 # half\nn[08-10] max_slots=4\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for list, want := range map[string]string{
		"a":                    "a:1",
		"a:4,b":                "a:4 b:1",
		"node[1-3,6]":          "node1:1 node2:1 node3:1 node6:1",
		"n[08-10]x:2, other":   "n08x:2 n09x:2 n10x:2 other:1",
		"@" + file:             "a:2 b:3 n08:1 n09:1 n10:1",
		"first,@" + file:       "first:1 a:2 b:3 n08:1 n09:1 n10:1",
		"10.0.0.1,host.domain": "10.0.0.1:1 host.domain:1",
	} {
		got, err := parseHosts(list)
		if err != nil || listed(got) != want {
			t.Errorf("%s: %s, %v; want %s", list, listed(got), err, want)
		}
	}
	for _, list := range []string{"", "a,,b", "a:0", "a:x", "a b", "n[1-", "n[3-1]", "n[1-99999]", "n[1][2]", "-x", "a/b", "@/nonexistent", "n[]"} {
		if got, err := parseHosts(list); err == nil {
			t.Errorf("%q is read as %s", list, listed(got))
		}
	}
}
