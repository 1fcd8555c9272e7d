package cli

import (
	"fmt"
	"strings"
	"testing"

	"popcorn/internal/job"
)

func jobHosts(names []string) []job.Host {
	var out []job.Host
	for i, n := range names {
		out = append(out, job.Host{Name: n, IP: fmt.Sprintf("10.0.0.%d", i)})
	}
	return out
}

// A node may be named by the name of its host, where the job has hosts.
func TestPlaces(t *testing.T) {
	hosts := []string{"here", "b"}
	for word, want := range map[string]int{"home": 0, "1": 1, "node1": 1, "b": 1, "here": 0, "10.0.0.1": 1} {
		if got, err := place(word).among(jobHosts(hosts)); err != nil || got != want {
			t.Errorf("%s: node %d, %v, want %d", word, got, err, want)
		}
	}
	_, err := place("c").among(jobHosts(hosts))
	if err == nil || !strings.Contains(err.Error(), "no host of that name, but here, b") {
		t.Errorf("a host that is not of the job: %v", err)
	}
	if _, err := place("b").among(nil); err == nil || !strings.Contains(err.Error(), "give a number") {
		t.Errorf("a host of a job without: %v", err)
	}
}
