package node

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// A cluster of many nodes forms; -v tells in what time.
func TestManyNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("many daemons take seconds")
	}
	first := newHost(t, "n-0")
	first.cfg.Beat = 2 * time.Second
	first.start()
	begin := time.Now()
	hosts := []*host{first}
	want := []string{"n-0=alive"}
	for i := range manyNodes - 1 {
		h := newHost(t, fmt.Sprintf("n-%02d", i+1))
		h.cfg.Beat = first.cfg.Beat
		h.join(first)
		hosts = append(hosts, h)
		want = append(want, h.cfg.Name+"=alive")
	}
	first.until(strings.Join(want, " "))
	t.Logf("formed in %v", time.Since(begin))
	hosts[manyNodes-1].until(strings.Join(want, " "))
	var stopping sync.WaitGroup
	for _, h := range hosts { // together: each says goodbye
		stopping.Go(h.stop)
	}
	stopping.Wait()
}
