package test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestManyHosts: one program has its threads on as many hosts as a job may have,
// of a cluster of 64.
func TestManyHosts(t *testing.T) {
	if soak() == 0 {
		t.Skip("64 hosts are for a soak")
	}
	const hosts, most = 64, 32 // cli's maxNodes, which the program's interface sets
	c := newCluster(t, hosts)
	a := c.lab.Host("a")
	var names []string
	for _, h := range c.lab.Hosts()[hosts-most+1:] {
		names = append(names, h.Name)
	}
	begin := time.Now()
	job := c.run([]string{"-H", strings.Join(names, ","), "--spread"}, c.put(guest(t, "thr_wide")), "128", "3", "everywhere")
	code, out, errs := c.end(job, 10*time.Minute)
	if code != 0 || out != "EXIT-SUCCESS\n" {
		t.Fatalf("exit code %d\n%s\n%s", code, out, tail([]byte(errs)))
	}
	t.Logf("ran for %v", time.Since(begin))
	text, err := a.ReadFile("/tmp/stats")
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Nodes []struct {
			Name string `json:"name"`
			Peak int    `json:"threads_peak"`
		} `json:"nodes"`
	}
	if err := json.Unmarshal(text, &s); err != nil || len(s.Nodes) != most {
		t.Fatalf("%d nodes in the statistics, %v", len(s.Nodes), err)
	}
	for _, n := range s.Nodes {
		if n.Peak < 1 {
			t.Errorf("host %s had no thread", n.Name)
		}
	}
	for _, h := range c.lab.Hosts() {
		c.onlyDaemons(h)
	}
}
